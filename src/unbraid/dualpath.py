"""Dual-path recurrence: one RNN runs along one axis of a grid, the next along the other.

After Luo, Chen and Yoshioka, "Dual-path RNN" (ICASSP 2020), https://arxiv.org/abs/1910.06379.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class PathRNN(nn.Module):
    """Residual recurrence along the first axis: norm, LSTM, linear, add.

    Args:
        features: size of the last axis.
        hidden: LSTM units in each direction.
        bidirectional: whether a step sees the steps after it.
    """

    def __init__(self, features: int, hidden: int, bidirectional: bool = True) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.rnn = nn.LSTM(features, hidden, bidirectional=bidirectional)
        self.linear = nn.Linear(2 * hidden if bidirectional else hidden, features)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[steps, batch, features]` to the same shape."""
        y: Tensor = self.rnn(self.norm(x))[0]
        return x + self.linear(y)


class DualPathBlock(nn.Module):
    """One RNN along time, then one along bands.

    Normalisation sees one position at a time, so nothing depends on the length of the input.

    Args:
        features: size of the feature axis.
        hidden: LSTM units in each direction of each RNN.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.along_time = PathRNN(features, hidden)
        self.along_bands = PathRNN(features, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[t, b, k, n]` (frames, batch, bands, features) to the same shape."""
        t, b, k, n = x.shape
        x = self.along_time(x.reshape(t, b * k, n)).reshape(t, b, k, n)
        x = x.permute(2, 0, 1, 3)  # [k, t, b, n]
        x = self.along_bands(x.reshape(k, t * b, n)).reshape(k, t, b, n)
        return x.permute(1, 2, 0, 3)


class ChunkBlock(nn.Module):
    """One RNN along the frames of each chunk, then one along the chunks.

    Args:
        features: size of the feature axis.
        hidden: LSTM units in each direction of each RNN.
        causal: whether both see the past alone; then no frame depends on a later one, as the same
            place of an earlier chunk is an earlier frame.
    """

    def __init__(self, features: int, hidden: int, causal: bool) -> None:
        super().__init__()
        self.intra = PathRNN(features, hidden, bidirectional=not causal)
        self.inter = PathRNN(features, hidden, bidirectional=not causal)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[chunks, frames, b, n]` to the same shape."""
        chunks, frames, b, n = x.shape
        x = x.transpose(0, 1).reshape(frames, chunks * b, n)
        x = self.intra(x).reshape(frames, chunks, b, n)
        x = x.transpose(0, 1).reshape(chunks, frames * b, n)
        return self.inter(x).reshape(chunks, frames, b, n)


def chunked(x: Tensor, size: int) -> Tensor:
    """Cut frames into chunks with 50 % overlap, so that each frame is in two.

    Args:
        x: `[t, ...]`, at least one frame.
        size: frames of a chunk, even.

    Returns:
        `[chunks, size, ...]`; beyond the first and the last frame there are zeros.
    """
    half = size // 2
    after = half + -x.shape[0] % half
    padded = functional.pad(x, (0, 0) * (x.dim() - 1) + (half, after))
    halves = padded.reshape(-1, half, *x.shape[1:])
    return torch.cat([halves[:-1], halves[1:]], dim=1)


def overlap_added(chunks: Tensor, frames: int) -> Tensor:
    """Inverse of `chunked`: the mean of the two places of each frame.

    Args:
        chunks: `[chunks, size, ...]`.
        frames: number of frames that `chunked` was given.

    Returns:
        `[frames, ...]`.
    """
    half = chunks.shape[1] // 2
    return ((chunks[:-1, half:] + chunks[1:, :half]) / 2).flatten(0, 1)[:frames]
