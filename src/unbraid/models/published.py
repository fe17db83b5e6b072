"""Weights that others published, brought into this package's files by the user."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from unbraid.errors import ModelError
from unbraid.models import user_folder
from unbraid.models.checkpoint import ModelInfo, save
from unbraid.models.openunmix import OpenUnmix, OpenUnmixConfig


@dataclass(frozen=True)
class Published:
    """A published file of Open-Unmix's vocals network.

    Attributes:
        file: its name, which ends in the first hexadecimal digits of its SHA-256.
        doi: where it is published.
        hidden: see `OpenUnmixConfig`.
        licence: of the weights.
        data: what they were trained on, in a sentence.
    """

    file: str
    doi: str
    hidden: int
    licence: str
    data: str

    @property
    def digits(self) -> str:
        """The first digits of the file's SHA-256."""
        return Path(self.file).stem.rpartition("-")[2]


PUBLISHED = {
    "umxhq": Published(
        file="vocals-b62c91ce.pth",
        doi="10.5281/zenodo.3370489",
        hidden=512,
        licence="MIT",
        data="The training songs of MUSDB18-HQ (songs for research and education only), by the "
        "authors of Open-Unmix",
    ),
    "umxl": Published(
        file="vocals-bccbd9aa.pth",
        doi="10.5281/zenodo.5069601",
        hidden=1024,
        licence="CC BY-NC-SA 4.0",
        data="A private collection of compressed stems, by the authors of Open-Unmix",
    ),
}


def add(name: str, source: Path | None = None) -> ModelInfo:
    """Convert published weights to a file in the user's folder; nothing is downloaded.

    Args:
        name: one of `PUBLISHED`.
        source: the published file; by default, where torch.hub keeps what it downloaded.

    Returns:
        The header of the new file.

    Raises:
        ModelError: for an unknown name, or a file that is missing or not the published one.
    """
    if name not in PUBLISHED:
        raise ModelError(f"no published model {name!r}; there are: {', '.join(PUBLISHED)}")
    model = PUBLISHED[name]
    path = source or Path(torch.hub.get_dir(), "checkpoints", model.file)
    if not path.is_file():
        raise ModelError(
            f"{path}: no such file; download {model.file} from https://doi.org/{model.doi} and "
            f"run: unbraid models add {name} --from {model.file}"
        )
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith(model.digits):
        raise ModelError(
            f"{path}: its SHA-256 begins with {digest[: len(model.digits)]}, but that of {name}'s "
            f"{model.file} with {model.digits}; download it again from https://doi.org/{model.doi}"
        )
    network = OpenUnmix(OpenUnmixConfig(hidden=model.hidden))
    _fill(network, content, path)
    return save(
        network,
        user_folder() / f"{name}.safetensors",
        architecture="openunmix",
        licence=model.licence,
        data=f"{model.data}, https://doi.org/{model.doi}",
    )


def _fill(network: OpenUnmix, content: bytes, path: Path) -> None:
    try:
        state: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # what a broken pickle raises is as good as anything
        raise ModelError(f"{path}: not a readable PyTorch weight file") from error
    one = network.networks[0]
    try:
        # older files also hold the window of an STFT and the sample rate
        one.load_state_dict({key: state[key] for key in one.state_dict() if key in state})
    except (RuntimeError, TypeError) as error:
        raise ModelError(f"{path}: its weights are not those of Open-Unmix") from error
