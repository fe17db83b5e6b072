"""Whole files at once, for songs that fit into memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from unbraid.audio.info import Block
from unbraid.audio.quantize import exceeds
from unbraid.audio.reader import AudioReader
from unbraid.audio.resample import Resampler
from unbraid.audio.writer import AudioWriter
from unbraid.errors import AudioError

_BLOCK = 2**18  # samples


def load_audio(
    path: str | os.PathLike[str], sample_rate: int | None = None, stream: int = 0
) -> tuple[Block, int]:
    """Read a whole audio file.

    Args:
        path: the file.
        sample_rate: in Hz, to resample to; None keeps the file's.
        stream: number among its audio streams, from 0.

    Returns:
        float32 `[channels, samples]`, and its sample rate in Hz.

    Raises:
        AudioError: as `AudioReader` and `Resampler` do.
    """
    with AudioReader(path, stream) as reader:
        rate = reader.info.sample_rate if sample_rate is None else sample_rate
        resampler = Resampler(reader.info.channels, reader.info.sample_rate, rate)
        blocks = []
        while (block := reader.read(_BLOCK)).shape[1]:
            blocks.append(resampler.process(block))
        blocks.append(resampler.process(block, last=True))
    return np.concatenate(blocks, axis=1), rate


def save_audio(
    path: str | os.PathLike[str], audio: Any, sample_rate: int, bit_depth: str = "auto"
) -> Path:
    """Write a whole audio file.

    Args:
        path: the file; its suffix says the format (.wav, .flac, .mp3, .ogg or .opus).
        audio: NumPy array or torch tensor, floating point, `[channels, samples]` or `[samples]`;
            full scale is 1.
        sample_rate: in Hz.
        bit_depth: "16", "24", "32f" (WAV only), or "auto": the most that the format holds.

    Returns:
        The path written: another one only where a FLAC file would have clipped (see `AudioWriter`).

    Raises:
        AudioError: the array is not audio, or the file cannot be written.
    """
    array = np.atleast_2d(as_numpy(audio))
    if array.ndim != 2 or array.dtype.kind != "f":
        raise AudioError(
            f"{path}: audio is floating point [channels, samples],"
            f" not {array.dtype} {list(array.shape)}; scale and reshape it first"
        )
    if bit_depth == "auto":
        bit_depth = "24" if Path(path).suffix.lower() == ".flac" else "32f"
    with AudioWriter(path, sample_rate, array.shape[0], bit_depth) as writer:
        for start in range(0, array.shape[1], _BLOCK):
            writer.write(array[:, start : start + _BLOCK].astype(np.float32))
    return writer.path


def exceeds_full_scale(path: str | os.PathLike[str]) -> bool:
    """Whether no file of integers holds a file's samples.

    Raises:
        AudioError: as `AudioReader` does.
    """
    with AudioReader(path) as reader:
        if reader.info.bit_depth != "32f":
            return False
        while (block := reader.read(_BLOCK)).shape[1]:
            if exceeds(float(block.min()), float(block.max()), 24):
                return True
    return False


def as_numpy(audio: Any) -> np.ndarray:
    """A NumPy array or a torch tensor as NumPy's; torch is not imported for that."""
    if hasattr(audio, "detach"):
        audio = audio.detach().cpu().resolve_neg()
        return (audio.float() if audio.is_floating_point() else audio).numpy()  # no bfloat16 there
    return np.asarray(audio)
