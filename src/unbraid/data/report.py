"""How the check of a data set looks in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from unbraid.data.check import Report
from unbraid.data.splits import SPLITS


def table(reports: Sequence[Report]) -> Table:
    """A row for each track; what would stop training is red, what would not is yellow."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    splits = any(report.split for report in reports)
    made.add_column("track", overflow="fold")
    for column in ("split",) * splits + ("minutes", "Hz", "channels"):
        made.add_column(column, justify="left" if column == "split" else "right")
    made.add_column("stems")
    made.add_column("problems", overflow="fold")
    for report in reports:
        errors = [Text(_shown(problem), "red") for problem in report.errors]
        warnings = [Text(_shown(problem), "yellow") for problem in report.warnings]
        made.add_row(
            Text(_shown(report.track)),
            *([report.split or ""] if splits else []),
            f"{report.seconds / 60:.1f}",
            str(report.rate),
            str(report.channels),
            Text(_shown(", ".join(report.stems))),
            Text("; ").join([*errors, *warnings]),
        )
    return made


def summary(reports: Sequence[Report]) -> str:
    """Tracks, minutes, splits and problems in a line, and how many folders are none."""
    tracks = [report for report in reports if not report.passed_over]
    minutes = sum(report.seconds for report in tracks) / 60
    counts = Counter(report.split for report in tracks)
    parts = [_count(len(tracks), "track"), f"{minutes:.1f} minutes"]
    parts += [f"{split} {counts[split]}" for split in SPLITS if counts[split]]
    broken = sum(bool(report.errors) for report in tracks)
    doubtful = sum(bool(report.warnings) for report in tracks)
    parts.append(f"{broken} would stop training" if broken else "none would stop training")
    parts.append(_count(doubtful, "track") + " with warnings")
    passed_over = len(reports) - len(tracks)
    return ", ".join(parts + [f"{_count(passed_over, 'folder')} passed over"] * (passed_over > 0))


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _shown(text: str) -> str:
    """The text without letters that could steer the terminal."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
