"""The networks, by name, and the weights that are at hand.

A network is a module built from one frozen dataclass, `Network(config)`. Its configuration names
at least `targets`, `residual` and `sample_rate`; `forward` maps a mixture `[b, 2, samples]` to
`[b, targets, 2, samples]`.
"""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unbraid.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from torch import nn

    from unbraid.models.checkpoint import ModelInfo

# architecture: module, class, configuration dataclass
_ARCHITECTURES = {"bandsplit": ("unbraid.models.bandsplit", "BandSplit", "BandSplitConfig")}

WEIGHTS = Path(__file__).parents[1] / "weights"


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
    frozen = {key: _as_tuple(value) for key, value in config.items()}
    network: nn.Module = getattr(module, class_name)(config_class(**frozen))
    return network


def list_models() -> list[ModelInfo]:
    """What is known of each shipped weight file, read from its header, sorted by name."""
    from unbraid.models.checkpoint import read_info

    return [read_info(path) for path in sorted(WEIGHTS.glob("*.safetensors"))]


def find(name_or_path: str | Path) -> Path:
    """Weight file of a shipped model's name, or the path itself.

    Raises:
        ModelError: if there is no such model or file.
    """
    path = Path(name_or_path)
    shipped = WEIGHTS / f"{name_or_path}.safetensors"
    if shipped.parent == WEIGHTS and shipped.is_file():
        return shipped
    if path.is_file():
        return path
    names = ", ".join(sorted(file.stem for file in WEIGHTS.glob("*.safetensors")))
    raise ModelError(
        f"no model {str(name_or_path)!r}; name one of: {names}, or the path of a .safetensors file"
    )


def _as_tuple(value: Any) -> Any:
    """Lists from YAML and JSON as the tuples that frozen configurations hold."""
    return tuple(map(_as_tuple, value)) if isinstance(value, (list, tuple)) else value
