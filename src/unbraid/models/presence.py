"""Where a stem is present at all, told over a song from what a U-Net knows where it sees farthest.

Two recurrent networks, one after the other, as in a dual-path network: the first goes over the
frequencies of a moment (`Evidence`), the second over the moments of the song (`Gate`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

LAYERS = 3  # of a U-Net, the deepest: they see farthest
FEATURES = 6  # features of a cell, all that the second network hears of it
SLOPE = 0.1  # of leaky ReLUs
DROPOUT = 0.3
OPEN = 4.0  # score of a gate that has learnt nothing; from 1 it is open


class Evidence(nn.Module):
    """What tells in a cell, a moment of all frequencies, whether a stem is present.

    Each layer is reduced to a few features and joined to the next, half as long and high, until
    they are as the deepest, of which each column is a cell. A recurrent network goes over its rows.

    Args:
        channels: of the deepest layers, the deepest last.
        rows: of the deepest layer, each a range of frequencies.
        width: features of a row.
    """

    def __init__(self, channels: Sequence[int], rows: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(layer, width, 1) for layer in channels)
        self.halvings = nn.ModuleList(
            nn.Conv2d(width * min(2, number), width, (2, 3), 2, (0, 1))
            for number in range(1, len(channels))
        )
        self.rows = nn.GRU(
            width * min(2, len(channels)), width, batch_first=True, bidirectional=True
        )
        self.cell = nn.Linear(2 * width * rows, FEATURES)

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """Features from -1 to 1 of each cell, `[b, FEATURES, cells]`.

        Args:
            layers: `[b, channels, t, f]` each, `t` and `f` halved from one to the next.
        """
        found = self._features(0, layers[0])
        for number, halving in enumerate(self.halvings, 1):
            halved = functional.leaky_relu(halving(found), SLOPE)
            found = torch.cat([halved, self._features(number, layers[number])], 1)
        batch, width, cells, rows = found.shape
        found = functional.dropout(found.permute(0, 2, 3, 1), DROPOUT, self.training)
        found, _ = self.rows(found.reshape(batch * cells, rows, width))
        found = functional.dropout(found.reshape(batch, cells, -1), DROPOUT, self.training)
        told: Tensor = self.cell(found).tanh().transpose(1, 2)
        return told

    def _features(self, number: int, layer: Tensor) -> Tensor:
        made = functional.leaky_relu(self.layers[number](layer), SLOPE)
        return functional.dropout2d(made, DROPOUT / 2, self.training)


class Gate(nn.Module):
    """How open a stem is in each cell of a song, by all cells before it and some after it.

    Any music has moments that sound like a voice. That of a lead which plays on, or of a singer who
    has sung before, is told by the rest of the song.

    Args:
        width: features that are remembered, in each direction.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.past = nn.GRU(FEATURES, width, batch_first=True)
        self.future = nn.GRU(FEATURES, width, batch_first=True)
        self.score = nn.Linear(2 * width, 1)
        nn.init.zeros_(self.score.weight)
        nn.init.constant_(self.score.bias, OPEN)  # until it has learnt better

    def forward(self, evidence: Tensor) -> Tensor:
        """Scores `[b, cells]`: up to 0 where the stem is surely absent, from 1 where it may be.

        Args:
            evidence: of whole songs, `[b, FEATURES, cells]`.
        """
        cells = evidence.transpose(1, 2)
        past, _ = self.past(cells)
        future, _ = self.future(cells.flip(1))
        known = torch.cat([past, future.flip(1)], 2)
        scores: Tensor = self.score(functional.dropout(known, DROPOUT, self.training))
        return scores[..., 0]

    def remembered(self, cell: Tensor, past: Tensor | None) -> Tensor:
        """What is known of the song with a cell, `[1, 1, width]`.

        Args:
            cell: its evidence `[FEATURES]`.
            past: what was known before it, nothing at the song's beginning.
        """
        _, past = self.past(cell[None, None], past)
        assert past is not None
        return past

    def scored(self, past: Tensor, cells: Tensor) -> Tensor:
        """Score of a cell, of one element.

        Args:
            past: what is known with it, `remembered`.
            cells: evidence of it and of some after it, `[cells, FEATURES]`.
        """
        _, future = self.future(cells.flip(0)[None])
        score: Tensor = self.score(torch.cat([past, future], 2))
        return score.flatten()
