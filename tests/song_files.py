"""Songs of noise on disk, and what is in a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unbraid.audio import save_audio

RATE = 44100


def make_song(path: Path, seconds: float = 1.0, channels: int = 2) -> Path:
    """Noise that the file's name decides, in 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(path.name.encode(errors="surrogateescape"))
    audio = np.random.default_rng(seed).normal(size=(channels, round(seconds * RATE))) / 16
    save_audio(path, audio.astype(np.float32), RATE, "16")
    return path


def files_in(folder: Path) -> set[str]:
    """Paths of all files below it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
