"""What the terminal shows of an evaluation: a line for each score, then the tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console

from unbraid.evaluation.compare import Scores
from unbraid.evaluation.run import Result
from unbraid.evaluation.scores import UNSHOWN
from unbraid.evaluation.tables import NOTHING_COMMON, as_rich, tables

_WIDTH = 160  # of tables that go into a file or a pipe


class Lines:
    """A line for each result on standard error, with its place in the whole.

    Args:
        count: number of results to come.

    Attributes:
        failed: number of results without scores.
    """

    def __init__(self, count: int) -> None:
        self.failed = 0
        self._count = count
        self._seen = 0
        self._lossy = False  # whether that has been said

    def result(self, result: Result) -> None:
        """Shows a result."""
        self._seen += 1
        if result.scores is None:
            self.failed += 1
            said = f"error: {result.error}"
        else:
            sdr = result.scores.summary()["vocals"]["SDR"]
            pace = "kept" if result.kept else f"{result.elapsed:.1f} s"
            notes: Sequence[str] = result.scores.about.get("notes", ())
            said = "; ".join((f"vocals {sdr:.2f} dB, {pace}", *notes))
        place = f"[{self._seen}/{self._count}]"
        print(f"{place} {result.track}, {result.system}: {said}", file=sys.stderr, flush=True)
        if result.scores and result.scores.about.get("lossy") and not self._lossy:
            self._lossy = True
            print(f"of lossy-coded stems, as here, {UNSHOWN}", file=sys.stderr, flush=True)


def print_tables(scores: Scores) -> None:
    """Prints the tables of an evaluation.

    Args:
        scores: system -> its tracks.
    """
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    made = tables(scores)
    for table in made:
        console.print(as_rich(table))
    if not made and any(scores.values()):
        print(f"no table: {NOTHING_COMMON}", file=sys.stderr)
