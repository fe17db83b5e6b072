"""Streaming change of sample rate."""

from __future__ import annotations

import numpy as np

from unbraid.audio.info import Block
from unbraid.errors import AudioError


class Resampler:
    """Changes the sample rate of audio that comes in blocks (soxr, very high quality).

    Args:
        channels: number of channels.
        rate_in: sample rate of the blocks that come, in Hz.
        rate_out: sample rate of the blocks that go, in Hz.

    Raises:
        AudioError: if there is no such rate.
    """

    def __init__(self, channels: int, rate_in: int, rate_out: int) -> None:
        """Start a stream."""
        check_rate(rate_in)
        check_rate(rate_out)
        self._stream = None
        if rate_in != rate_out:
            import soxr

            self._stream = soxr.ResampleStream(rate_in, rate_out, channels, "float32", "VHQ")

    def process(self, block: Block, last: bool = False) -> Block:
        """Resample the next block.

        Args:
            block: `[channels, samples]`, of any length.
            last: whether no block follows, so that what soxr still holds must come out.

        Returns:
            `[channels, samples]`; all blocks together last as long as the input, to the sample.
        """
        if self._stream is None:
            return block
        resampled = self._stream.resample_chunk(np.ascontiguousarray(block.T), last=last)
        return np.ascontiguousarray(resampled.T)


def check_rate(sample_rate: float) -> None:
    """Raise for a rate that no audio has; by some of them soxr would compute without end.

    Raises:
        AudioError: if there is no such rate.
    """
    if not 1 <= sample_rate < float("inf"):
        raise AudioError(f"sample_rate {sample_rate}: give a number of Hz, 1 at least")
