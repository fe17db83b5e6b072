"""Songs of noise with stems, and the command line that scores them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from unbraid.audio import save_audio
from unbraid.cli import app

RATE = 8000


def noise(seed: int, seconds: float = 2.5, channels: int = 2) -> np.ndarray:
    shape = (channels, round(seconds * RATE))
    return (np.random.default_rng(seed).normal(size=shape) / 16).astype(np.float32)


def write(folder: Path, **stems: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, audio in stems.items():
        save_audio(folder / f"{stem}.wav", audio, RATE, "16")
    return folder


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])
