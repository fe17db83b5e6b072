"""What TensorBoard shows and plays of a validation song."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib import colormaps

from unbraid.spectrogram import stft

SECONDS = 10
FLOOR = -80.0  # dB below the loudest bin


def log_song(
    logger: Any,
    name: str,
    sounds: Mapping[str, np.ndarray],
    sample_rate: int,
    step: int,
) -> None:
    """Send spectrograms and sound of a song's first seconds to TensorBoard, where it is used."""
    if not isinstance(logger, TensorBoardLogger):
        return
    for sound, audio in sounds.items():
        mono = torch.from_numpy(audio[:, : SECONDS * sample_rate].mean(0))
        tag = f"{name}/{sound}"
        logger.experiment.add_audio(tag, mono.clamp(-1, 1)[None], step, sample_rate)
        logger.experiment.add_image(tag, _picture(mono), step, dataformats="HWC")


def _picture(mono: torch.Tensor) -> np.ndarray:
    decibels = 20 * torch.log10(stft(mono, 2048, 512).abs() + 1e-9)
    level = ((decibels - decibels.max()) / -FLOOR + 1).clamp(0, 1).flip(0)
    picture: np.ndarray = colormaps["magma"](level.numpy())[..., :3]
    return picture
