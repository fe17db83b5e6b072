"""A few seconds of each track to listen to, mono and small, as the report embeds them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unbraid.audio import save_audio

SECONDS = 10


def loudest_seconds(stems: Mapping[str, np.ndarray], sample_rate: int) -> int:
    """Where an excerpt starts, in seconds: where all stems are loud together.

    Args:
        stems: the true stems, `[channels, samples]` each.
        sample_rate: Hz.
    """
    product = np.ones(1)
    for audio in stems.values():
        seconds = audio.shape[1] // sample_rate
        if seconds <= SECONDS:
            return 0
        whole = audio[:, : seconds * sample_rate].reshape(len(audio), seconds, sample_rate)
        energy = np.square(whole).sum((0, 2), dtype=np.float64)
        product = product * np.convolve(energy, np.ones(SECONDS), "valid")
    return int(np.argmax(product))


def save_excerpts(
    folder: Path, stems: Mapping[str, np.ndarray], start: int, sample_rate: int
) -> None:
    """Writes `folder/STEM.ogg` for each stem, in mono.

    Args:
        folder: made if it is not there.
        stems: `[channels, samples]` each.
        start: of the excerpt in seconds.
        sample_rate: Hz.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cut = slice(start * sample_rate, (start + SECONDS) * sample_rate)
    for stem, audio in stems.items():
        save_audio(folder / f"{stem}.ogg", audio[:, cut].mean(0), sample_rate)
