"""Where a stem is present at all, told from what a U-Net knows where it sees farthest."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

CONTEXT = 3  # neighbouring cells that are heard together, and that share a gate
DROPOUT = 0.3
UNSURE, SURE = 2.5, 3.5  # scores of a stem that may be a mistake, and that is none


class Presence(nn.Module):
    """A gate that closes where a stem is surely absent, so that nothing of the others is left.

    A mask is decided bin by bin, and some bins of any music look like a voice. Whether somebody
    sings is decided over a second and all bins: then all masks are zero, or none is changed. How
    sure that is, is told as well, for `unbraid.certainty`, which decides over a song.

    Args:
        channels: of the deepest layer.
        rows: of the deepest layer, each a range of frequencies.
        width: features of a row, and of what is made of all rows.
    """

    def __init__(self, channels: int, rows: int, width: int) -> None:
        super().__init__()
        self.row = nn.Linear(channels, width)
        self.cells = nn.Conv1d(rows * width, width, CONTEXT, padding=CONTEXT // 2)
        self.score = nn.Conv1d(width, 1, 1)
        assert self.score.bias is not None
        nn.init.constant_(self.score.bias, SURE + 1)  # open and sure until it has learnt better

    def forward(self, deepest: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """Factor `[b, 1, frames, 1]` from 0 to 1 for a mask, and certainty `[b, cells]`.

        A cell is as open as its most open neighbour, for the first consonant of a phrase may lie in
        the cell before; from the middle of a cell to the next, gates open and close evenly.

        Args:
            deepest: `[b, channels, cells, rows]`.
            frames: that all cells last together.
        """
        scores = self.scores(deepest)
        certainty = ((scores[:, 0] - UNSURE) / (SURE - UNSURE)).clamp(0, 1)
        scores = functional.max_pool1d(scores, CONTEXT, 1, CONTEXT // 2)
        gate = functional.interpolate(scores.clamp(0, 1), size=frames, mode="linear")
        return gate.unsqueeze(-1), certainty

    def scores(self, deepest: Tensor) -> Tensor:
        """`[b, 1, cells]`: up to 0 where the stem is surely absent, from 1 where it may be."""
        rows = self.row(deepest.permute(0, 2, 3, 1)).relu()  # [b, cells, rows, width]
        rows = functional.dropout(rows, DROPOUT, self.training)
        features = self.cells(rows.flatten(2).transpose(1, 2)).relu()
        scores: Tensor = self.score(functional.dropout(features, DROPOUT, self.training))
        return scores.float()
