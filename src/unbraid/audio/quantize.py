"""Rounding to the grid of integer files, shared by whoever writes and whoever subtracts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unbraid.audio.info import Block
from unbraid.errors import AudioError

BIT_DEPTHS = ("16", "24", "32f")


def quantize(block: Block, bit_depth: str) -> Block:
    """Round to the nearest value that a file of this bit depth holds; nothing is clipped.

    Args:
        block: float32, any shape; full scale is 1.
        bit_depth: "16", "24", or "32f", which changes nothing.

    Returns:
        float32 of the same shape.

    Raises:
        AudioError: unknown bit depth.
    """
    if bit_depth not in BIT_DEPTHS:
        raise AudioError(f"unknown bit depth {bit_depth!r}; use one of {', '.join(BIT_DEPTHS)}")
    if bit_depth == "32f":
        return block
    scale = np.float32(2 ** (int(bit_depth) - 1))
    rounded: Block = np.rint(block * scale) / scale
    return rounded


def exceeds(low: float, high: float, bits: int) -> bool:
    """Whether the extremes of a block round to integers that `bits` cannot hold."""
    scale = 2.0 ** (bits - 1)
    return bool(np.rint(low * scale) < -scale or np.rint(high * scale) > scale - 1)


def to_integers(block: Block, bits: int) -> NDArray[np.int32]:
    """The integers that `quantize` rounds to; the block must not exceed full scale."""
    integers: NDArray[np.int32] = np.rint(block * np.float32(2 ** (bits - 1))).astype(np.int32)
    return integers
