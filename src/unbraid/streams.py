"""Audio in blocks on its way: out of an array or a file, checked, cut, resampled, counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unbraid.arrays import as_stereo, check_finite
from unbraid.audio import AudioReader, Resampler
from unbraid.audio.files import as_numpy
from unbraid.audio.info import Block
from unbraid.errors import AudioError

Floating: TypeAlias = NDArray[np.floating[Any]] | Tensor

BLOCK = 1 << 17  # samples to take from an array or a file at a time
LONGEST_BLOCK = 10.0  # seconds of a block: one of a few Hz would grow beyond memory when resampled


def floating(blocks: Iterable[Floating], channels: int) -> Iterator[Block]:
    """Copies of the blocks, in float32; whose they are may fill them anew, as recorders do.

    Raises:
        AudioError: for one that is not floating `[channels, samples]`, or not finite.
    """
    start = 0
    for block in blocks:
        audio = as_numpy(block)
        if audio.ndim != 2 or len(audio) != channels or audio.dtype.kind != "f":
            raise AudioError(
                f"a block of the mixture is floating [{channels}, samples], not"
                f" {audio.dtype} {list(audio.shape)}"
            )
        with np.errstate(over="ignore"):  # float64 reaches further
            copy = np.array(audio, np.float32, order="C")
        check_finite(copy, start)
        start += copy.shape[1]
        yield copy


def pieces(blocks: Iterable[Block], sample_rate: float) -> Iterator[Block]:
    """The blocks without the empty ones, cut where they are longer than `LONGEST_BLOCK`."""
    longest = max(1, int(LONGEST_BLOCK * sample_rate))
    for block in blocks:
        for start in range(0, block.shape[1], longest):
            yield block[:, start : start + longest]


def keeping(mixture: Iterable[Block], kept: deque[Block]) -> Iterator[Block]:
    """Front left and right of each block; the block itself is kept until it is paired."""
    for block in mixture:
        kept.append(block)
        yield as_stereo(block)


def resampled(blocks: Iterable[Block], resampler: Resampler) -> Iterator[Block]:
    """The blocks at the other rate, and what the resampler held back."""
    channels = 0
    for block in blocks:
        channels = len(block)
        at_other_rate = resampler.process(block)
        if at_other_rate.shape[1]:
            yield at_other_rate
    if channels:
        rest = resampler.process(np.zeros((channels, 0), np.float32), last=True)
        if rest.shape[1]:
            yield rest


def with_progress(
    blocks: Iterable[tuple[Tensor, ...]], samples: float, progress: Callable[[float], object]
) -> Iterator[tuple[Tensor, ...]]:
    """The blocks; as each comes, `progress` is told which part of the samples is there.

    Args:
        blocks: `[..., samples]` each, and what belongs to it.
        samples: of all of them.
        progress: gets a fraction, 1 at most.
    """
    done = 0
    for block in blocks:
        done += block[0].shape[-1]
        progress(min(1.0, done / samples))
        yield block


def slices(audio: Block) -> Iterator[Block]:
    """An array in blocks."""
    return (audio[:, start : start + BLOCK] for start in range(0, audio.shape[1], BLOCK))


def read(reader: AudioReader) -> Iterator[Block]:
    """A file in blocks."""
    while (block := reader.read(BLOCK)).shape[1]:
        yield block
