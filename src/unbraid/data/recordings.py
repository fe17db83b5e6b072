"""Recordings to take random segments of: read in place where a file can be sought in, or cached."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from unbraid.arrays import as_stereo, fitted
from unbraid.audio import Resampler
from unbraid.data.tracks import StemSource
from unbraid.errors import ConfigError, describe
from unbraid.replacing import replacing

HEADROOM = 2.0  # lossy codecs overshoot full scale
LEVEL_SECONDS = 0.25
ACTIVE = 10 ** (-40 / 20)  # of the recording's loudest quarter second
_BLOCK = 1 << 18  # samples


class Recording:
    """A stereo recording of which any segment can be read.

    Uncompressed files, FLAC, and AAC in MP4 such as MUSDB18's are read in place if they have the
    sample rate that is wanted. All others are decoded once, to 16 bits in the cache folder. Either
    way its level over time is measured once, and kept there.

    Args:
        sources: what the recording is the sum of.
        sample_rate: Hz.
        folder: where decoded audio and levels are kept between runs.

    Attributes:
        samples: length.
        lengths: of each source, in samples; the recording ends with the shortest.
        hop: samples of a quarter second.
        sounding: for each quarter second, whether it is within 40 dB of the loudest.
        active: positions in samples of those that are; none if all is silent.

    Raises:
        AudioError: if a file is damaged.
    """

    def __init__(self, sources: Sequence[StemSource], sample_rate: int, folder: Path) -> None:
        self.hop = int(LEVEL_SECONDS * sample_rate)
        self._parts = [_part(source, sample_rate, folder) for source in sources]
        measured = folder / f"{_hash('levels', *(part.key for part in self._parts))}.npz"
        if not measured.exists():
            with _kept(measured) as file:
                lengths, levels = _measure(self._parts, self.hop)
                np.savez(file, lengths=lengths, levels=levels)
        with np.load(measured) as kept:
            self.lengths: list[int] = kept["lengths"].tolist()
            self.sounding: np.ndarray = kept["levels"] > ACTIVE * kept["levels"].max()
        self.samples = min(self.lengths)
        self.active = np.flatnonzero(self.sounding) * self.hop

    def read(self, start: int, samples: int) -> np.ndarray:
        """Float32 `[2, samples]` from `start`, which may be negative; silence outside."""
        out = np.zeros((2, samples), np.float32)
        first, last = max(start, 0), min(start + samples, self.samples)
        if first < last:
            for part in self._parts:
                out[:, first - start : last - start] += part.read(first, last - first)
        return out


@contextmanager
def _kept(path: Path) -> Iterator[BinaryIO]:
    """A new file of the cache; a ConfigError names the setting if the folder does not take it."""
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            yield file
    except OSError as error:
        place = Path(error.filename or path)
        if place != path and place not in path.parents:
            raise  # of a song
        raise ConfigError(f"data.cache: {describe(error)}; make room, or give another") from error


class _Part(Protocol):
    """A source of stereo audio at the sample rate that is wanted."""

    key: str  # changes with the file

    def read(self, start: int, samples: int) -> np.ndarray:
        """`[2, samples]` from the middle."""

    def blocks(self, samples: int) -> Iterator[np.ndarray]:
        """All of it as `[2, samples]`, the last block shorter."""


class _InPlace:
    """A part that is read from its file; opened for each segment, so that processes share none."""

    def __init__(self, source: StemSource, key: str) -> None:
        self.key = key
        self._source = source

    def read(self, start: int, samples: int) -> np.ndarray:
        with self._source.open() as reader:
            reader.seek(start)
            return fitted(as_stereo(reader.read(samples)), samples)

    def blocks(self, samples: int) -> Iterator[np.ndarray]:
        with self._source.open() as reader:
            while (block := reader.read(samples)).shape[1]:
                yield as_stereo(block)


class _Cached:
    """A part that was decoded to a file; mapped for each segment, as a map holds the file open."""

    def __init__(self, source: StemSource, key: str, sample_rate: int, folder: Path) -> None:
        self.key = key
        self._cached = folder / f"{_hash(key)}.npy"
        if not self._cached.exists():
            with _kept(self._cached) as file:
                np.save(file, _decode(source, sample_rate))

    def read(self, start: int, samples: int) -> np.ndarray:
        audio = np.load(self._cached, mmap_mode="r")  # [samples, 2]
        return audio[start : start + samples].T * np.float32(HEADROOM / 32768)

    def blocks(self, samples: int) -> Iterator[np.ndarray]:
        start = 0
        while (block := self.read(start, samples)).shape[1]:
            yield block
            start += samples


def _part(source: StemSource, sample_rate: int, folder: Path) -> _Part:
    stat = source.path.stat()
    key = f"{source.path.resolve()} {stat.st_size} {stat.st_mtime_ns} {sample_rate}"
    if source.stream:
        key += f" stream {source.stream}"
    with source.open() as reader:
        in_place = reader.seekable and reader.info.sample_rate == sample_rate
    return _InPlace(source, key) if in_place else _Cached(source, key, sample_rate, folder)


def _hash(*keys: str) -> str:
    return hashlib.sha256(" + ".join(keys).encode()).hexdigest()[:24]


def _measure(parts: Sequence[_Part], hop: int) -> tuple[list[int], np.ndarray]:
    """Length of each part, and the RMS about the mean of each hop of their sum."""
    lengths = [0] * len(parts)
    levels = [np.zeros(1)]
    for blocks in zip_longest(*(part.blocks(64 * hop) for part in parts)):
        there = [block for block in blocks if block is not None]
        lengths = [
            length + (0 if block is None else block.shape[1])
            for length, block in zip(lengths, blocks, strict=True)
        ]
        if len(there) == len(parts):
            samples = min(block.shape[1] for block in there)
            total = np.sum([block[:, :samples] for block in there], axis=0)
            hops = -(-samples // hop)
            levels.append(fitted(total, hops * hop).reshape(2, hops, hop).std((0, 2)))
    return lengths, np.concatenate(levels[1:] or levels)


def _decode(source: StemSource, sample_rate: int) -> np.ndarray:
    blocks = []
    with source.open() as reader:
        resampler = Resampler(2, reader.info.sample_rate, sample_rate)
        while True:
            block = reader.read(_BLOCK)
            last = block.shape[1] == 0
            stereo = resampler.process(as_stereo(block), last=last)
            scaled = np.rint(stereo.T * (32767 / HEADROOM)).clip(-32768, 32767)
            blocks.append(scaled.astype(np.int16))
            if last:
                return np.concatenate(blocks)
