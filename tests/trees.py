"""Small data sets on disk in the layouts of MUSDB18 and MUSDB18-HQ."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

RATE = 44100
STEMS = ("drums", "bass", "other", "vocals")  # in the order of a .stem.mp4


def song(seed: int, seconds: float = 1.0) -> dict[str, np.ndarray]:
    """A tone and a little noise for each stem, and their sum as the mixture."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    stems = {
        stem: (
            0.1 * np.sin(2 * np.pi * 110 * (k + 1) * time + rng.uniform(0, 6))
            + rng.normal(0, 0.005, (2, len(time)))
        ).astype(np.float32)
        for k, stem in enumerate(STEMS)
    }
    return {"mixture": np.sum(list(stems.values()), axis=0), **stems}


def write_stem_file(path: Path, streams: Sequence[np.ndarray], rate: int = RATE) -> Path:
    """AAC streams in one MP4, without noise substitution, which no two decoders do alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        added = [
            container.add_stream(
                "aac", rate=rate, layout="stereo", bit_rate=256_000, options={"aac_pns": "0"}
            )
            for _ in streams
        ]
        for stream, audio in zip(added, streams, strict=True):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio), "fltp", "stereo")
            frame.rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def write_folder(folder: Path, subtype: str = "PCM_16", **stems: np.ndarray) -> Path:
    """A WAV file for each stem."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, audio in stems.items():
        soundfile.write(folder / f"{stem}.wav", audio.T, RATE, subtype)
    return folder


def write_song(root: Path, name: str, seed: int, packed: bool, seconds: float = 1.0) -> None:
    """A song of MUSDB18 (packed) or MUSDB18-HQ; the name begins with the split's folder."""
    audio = song(seed, seconds)
    if packed:
        write_stem_file(root / f"{name}.stem.mp4", list(audio.values()))
    else:
        write_folder(root / name, **audio)
