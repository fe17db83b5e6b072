"""A small listening test on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unbraid.audio import save_audio

RATE = 16000
SYSTEMS = ("alpha", "beta")


def stems(seed: int, seconds: float) -> dict[str, np.ndarray]:
    """A voice of gliding tones, and a band of noise and a bass; they differ in loudness."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    voice = sum(
        np.sin(2 * np.pi * k * 220 * times + 3 * np.sin(5 * times)) / k for k in range(1, 9)
    )
    band = np.sin(2 * np.pi * 80 * times) + 0.3 * rng.normal(size=len(times))
    both = {"vocals": 0.1 * voice, "accompaniment": 0.2 * band}
    return {stem: np.stack([audio, 0.8 * audio]) for stem, audio in both.items()}


def write(folder: Path, audio: dict[str, np.ndarray], suffix: str = "wav") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, samples in audio.items():
        save_audio(folder / f"{stem}.{suffix}", samples.astype(np.float32), RATE)


def make_test(folder: Path, songs: int = 2, seconds: float = 2.0, inside: str = ".") -> Path:
    """`reference`, and systems that leak, muffle and change the level."""
    for number in range(songs):
        song = f"Song {number}"
        true = stems(number, seconds)
        other = {"vocals": true["accompaniment"], "accompaniment": true["vocals"]}
        write(folder / "reference" / inside / song, true)
        for system, leak, gain in zip(SYSTEMS, (0.1, 0.5), (0.3, 1.5), strict=True):
            made = {stem: gain * (true[stem] + leak * other[stem]) for stem in true}
            write(folder / system / inside / song, made)
    return folder
