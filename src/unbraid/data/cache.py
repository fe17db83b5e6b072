"""Audio decoded once: random segments of it are then a memory map away."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from unbraid.arrays import as_stereo
from unbraid.audio import AudioReader, Resampler
from unbraid.errors import DataError
from unbraid.replacing import replacing

HEADROOM = 2.0  # lossy codecs overshoot full scale
LEVEL_SECONDS = 0.25
ACTIVE = 10 ** (-40 / 20)  # of the recording's loudest quarter second


class Recording:
    """A decoded stereo recording, read from a memory map.

    Args:
        files: audio files whose sum is the recording.
        sample_rate: Hz of the decoded audio.
        folder: where decoded audio is kept between runs.

    Attributes:
        samples: length.
        active: positions in samples of the quarter seconds within 40 dB of the loudest.

    Raises:
        DataError: if a file holds no sound.
    """

    def __init__(self, files: tuple[Path, ...], sample_rate: int, folder: Path) -> None:
        self._parts = [_decoded(path, sample_rate, folder) for path in files]
        self.samples = min(part.shape[0] for part in self._parts)
        hop = int(LEVEL_SECONDS * sample_rate)
        levels = np.array(
            [self.read(start, hop).std() for start in range(0, max(self.samples, 1), hop)]
        )
        if not levels.any():
            raise DataError(f"{files[0]}: silent throughout; remove it from the data set")
        self.active = np.flatnonzero(levels > ACTIVE * levels.max()) * hop

    def read(self, start: int, samples: int) -> np.ndarray:
        """Float32 `[2, samples]` from `start`, which may be negative; silence outside."""
        out = np.zeros((2, samples), np.float32)
        first, last = max(start, 0), min(start + samples, self.samples)
        for part in self._parts:
            if first < last:
                out[:, first - start : last - start] += part[first:last].T * (HEADROOM / 32768)
        return out


def _decoded(path: Path, sample_rate: int, folder: Path) -> np.ndarray:
    stat = path.stat()
    key = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns} {sample_rate}"
    cached = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"
    if not cached.exists():
        with replacing(cached) as temporary, temporary.open("wb") as file:
            np.save(file, _decode(path, sample_rate))
    audio: np.ndarray = np.load(cached, mmap_mode="r")
    return audio


def _decode(path: Path, sample_rate: int) -> np.ndarray:
    blocks = []
    with AudioReader(path) as reader:
        resampler = Resampler(2, reader.info.sample_rate, sample_rate)
        while True:
            block = reader.read(1 << 18)
            last = block.shape[1] == 0
            stereo = resampler.process(as_stereo(block), last=last)
            blocks.append(np.rint(stereo.T * (32767 / HEADROOM)).clip(-32768, 32767))
            if last:
                return np.concatenate(blocks).astype(np.int16)
