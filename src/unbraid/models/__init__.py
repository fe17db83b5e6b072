"""The networks, by name, and the weights that are at hand.

A network is a module built from one frozen dataclass, `Network(config)`. Its configuration names
at least `targets`, `residual` and `sample_rate`; `forward` maps a mixture `[b, 2, samples]` to
`[b, targets, 2, samples]`.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unbraid.errors import ConfigError, ModelError, UnbraidError, UnbraidWarning

if TYPE_CHECKING:
    from torch import nn

    from unbraid.models.checkpoint import ModelInfo

# architecture: module, class, configuration dataclass
_ARCHITECTURES = {
    "bandsplit": ("unbraid.models.bandsplit", "BandSplit", "BandSplitConfig"),
    "conv1d": ("unbraid.models.conv1d", "Conv1d", "Conv1dConfig"),
    "dprnn": ("unbraid.models.dprnn", "DPRNN", "DPRNNConfig"),
    "openunmix": ("unbraid.models.openunmix", "OpenUnmix", "OpenUnmixConfig"),
    "spleeter": ("unbraid.models.spleeter", "Spleeter", "SpleeterConfig"),
}

WEIGHTS = Path(__file__).parents[1] / "weights"
DEFAULT = "unet"  # the model that is taken if none is named


def architectures() -> list[str]:
    """Names that `build` knows."""
    return sorted(_ARCHITECTURES)


def build(architecture: str, **config: Any) -> nn.Module:
    """Make a network with random weights.

    Args:
        architecture: one of `architectures()`.
        **config: fields of its configuration dataclass that differ from the defaults.

    Raises:
        ModelError: for an unknown architecture.
        ConfigError: for an unknown field, listing the known ones, or an impossible value.
    """
    if architecture not in _ARCHITECTURES:
        raise ModelError(
            f"no architecture {architecture!r}; there are: {', '.join(architectures())}"
        )
    module_name, class_name, config_name = _ARCHITECTURES[architecture]
    module = importlib.import_module(module_name)
    config_class = getattr(module, config_name)
    known = [field.name for field in dataclasses.fields(config_class)]
    for key in config:
        if key not in known:
            raise ConfigError(f"{architecture} has no setting {key!r}; it has: {', '.join(known)}")
    frozen = config_class(**{key: _as_tuple(value) for key, value in config.items()})
    try:
        _check(frozen)
        network: nn.Module = getattr(module, class_name)(frozen)
    except UnbraidError:
        raise
    except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        stated = ", ".join(f"{key}={value}" for key, value in config.items())
        raise ConfigError(f"{architecture} cannot be made with {stated}; change a value") from error
    return network


def _check(config: Any) -> None:
    """Raise for stems that are not told apart, and for windows that overlap by less than half."""
    targets, stems = config.targets, {*config.targets, config.residual}
    if isinstance(targets, str) or not 0 < len(targets) < len(stems):
        raise ConfigError(
            f"targets {targets}: list one or more, each once, without the residual "
            f"{config.residual!r}"
        )
    n_fft, hop = getattr(config, "n_fft", 2), getattr(config, "hop", 1)
    if n_fft % 2 or not 1 <= hop <= n_fft // 2:
        raise ConfigError(f"hop {hop}: give at most half of an even n_fft")


def user_folder() -> Path:
    """Folder of the models that the user added.

    `$UNBRAID_MODELS`, or `unbraid/models` where the platform keeps a user's data:
    `$XDG_DATA_HOME` (`~/.local/share`), `~/Library/Application Support` or `%LOCALAPPDATA%`.

    Raises:
        ModelError: if the user has no home, and the first is not set.
    """
    if given := os.environ.get("UNBRAID_MODELS"):
        return Path(given)
    try:
        home = Path.home()
    except RuntimeError:
        raise ModelError("no home folder: set UNBRAID_MODELS to a folder for models") from None
    if sys.platform == "darwin":
        place = home / "Library" / "Application Support"
    elif sys.platform == "win32":
        place = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        place = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return place / "unbraid" / "models"


def list_models() -> list[ModelInfo]:
    """What is known of each weight file at hand, from its header: the shipped, then the added.

    Of a file that is damaged, of another kind, or called as one before it, an `UnbraidWarning`
    tells; the list lacks it.
    """
    from unbraid.models.checkpoint import read_info

    models: dict[str, ModelInfo] = {}
    for path in _files():
        try:
            if path.stem in models:
                raise ModelError(f"{path}: {path.stem} is another model's name; rename the file")
            models[path.stem] = read_info(path)
        except ModelError as error:
            warnings.warn(str(error), UnbraidWarning, stacklevel=2)
    return list(models.values())


def find(name_or_path: str | Path) -> Path:
    """Weight file of a shipped or added model's name, or the path itself.

    Raises:
        ModelError: if there is no such model or file.
    """
    for file in _files():
        if str(name_or_path) == file.stem:
            return file
    if os.path.isfile(name_or_path):
        return Path(name_or_path)
    from unbraid.models.published import PUBLISHED

    if str(name_or_path) in PUBLISHED:
        raise ModelError(f"no model {name_or_path} at hand; {PUBLISHED[str(name_or_path)].advice}")
    names = ", ".join(dict.fromkeys(file.stem for file in _files()))
    raise ModelError(
        f"no model {str(name_or_path)!r}; name one of: {names}, or the path of a .safetensors or "
        ".onnx file"
    )


def _files() -> list[Path]:
    files = sorted(WEIGHTS.glob("*.safetensors"))
    with suppress(OSError, ModelError):  # a user without a home, or with that of another
        files += sorted(user_folder().glob("[!.]*.safetensors"))  # a Mac adds hidden ones
    return files


def _as_tuple(value: Any) -> Any:
    """Lists from YAML and JSON as the tuples that frozen configurations hold."""
    return tuple(map(_as_tuple, value)) if isinstance(value, (list, tuple)) else value
