"""Dual-path recurrence: one RNN runs along one axis of a grid, the next along the other.

After Luo, Chen and Yoshioka, "Dual-path RNN" (ICASSP 2020), https://arxiv.org/abs/1910.06379.
"""

from __future__ import annotations

from torch import Tensor, nn


class PathRNN(nn.Module):
    """Residual recurrence along the first axis: norm, bidirectional LSTM, linear, add.

    Args:
        features: size of the last axis.
        hidden: LSTM units in each direction.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.rnn = nn.LSTM(features, hidden, bidirectional=True)
        self.linear = nn.Linear(2 * hidden, features)

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
