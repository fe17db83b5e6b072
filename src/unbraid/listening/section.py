"""A listening test in a report: tables, and a drawing for each stem and scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from unbraid.evaluation.tables import Table
from unbraid.listening.chart import mean_plot
from unbraid.listening.ratings import ANCHOR, REFERENCE, SCALES, Rating
from unbraid.listening.statistics import LOW, TOLERATED, Mean, means, misses, screened

Key = tuple[str, str, str]  # stem, scale, system


def systems_of(ratings: Sequence[Rating]) -> list[str]:
    """The systems that were rated, without the reference and the anchor."""
    return sorted({rating.system for rating in ratings} - {REFERENCE, ANCHOR})


def rating_tables(ratings: Sequence[Rating]) -> list[Table]:
    """A table for each stem: the reference, the systems, the anchor.

    Args:
        ratings: of all listeners.
    """
    kept = screened(ratings)
    if not kept:
        return [Table("Listening test", ("system",), (), _left_out(ratings), labels=1)]
    found = means(kept)
    return [_table(stem, ratings, kept, found) for stem in _stems(found)]


def rating_plots(ratings: Sequence[Rating], palette: Mapping[str, str]) -> str:
    """The same as drawings, in HTML.

    Args:
        ratings: of all listeners.
        palette: system -> colour.
    """
    found = means(screened(ratings))
    return "".join(
        f'<h3>{escape(stem.capitalize())}</h3><div class="ratings">'
        + "".join(
            mean_plot(scale.capitalize(), _rows(found, stem, scale), palette) for scale in SCALES
        )
        + "</div>"
        for stem in _stems(found)
    )


def _stems(found: Mapping[Key, Mean]) -> list[str]:
    return sorted({stem for stem, _, _ in found}, key=lambda stem: (stem != "vocals", stem))


def _rows(found: Mapping[Key, Mean], stem: str, scale: str) -> dict[str, Mean]:
    """System -> mean: the reference, the systems, the anchor."""
    rows = {key[2]: mean for key, mean in found.items() if key[:2] == (stem, scale)}
    return dict(sorted(rows.items(), key=lambda item: (_place(item[0]), item[0])))


def _place(system: str) -> int:
    return {REFERENCE: 0, ANCHOR: 2}.get(system, 1)


def _table(
    stem: str, ratings: Sequence[Rating], kept: Sequence[Rating], found: Mapping[Key, Mean]
) -> Table:
    columns = {scale: _rows(found, stem, scale) for scale in SCALES}
    names = [*dict.fromkeys(name for rows in columns.values() for name in rows)]
    names.sort(key=lambda name: (_place(name), name))
    rows = [
        (name, *(cell for scale in SCALES for cell in _cells(columns[scale].get(name))))
        for name in names
    ]
    best = {
        (names.index(name), 1 + 2 * column)
        for column, scale in enumerate(SCALES)
        for name in _best(columns[scale])
    }
    counts = _counts([rating for rating in kept if rating.stem == stem])
    return Table(
        title=f"Listening test, {stem}",
        columns=("system", *(head for scale in SCALES for head in (scale, "95 %"))),
        rows=tuple(rows),
        note=(
            "0 to 100, higher is better: 100 is the reference's quality, and no interference. "
            f"Means over {counts}; intervals: Student t over listeners. {_left_out(ratings)} "
            "Anchor: the stem below 3.5 kHz for quality, the mixture for interference."
        ),
        best=frozenset(best) if len(systems_of(ratings)) > 1 else frozenset(),
        labels=1,
    )


def _counts(heard: Sequence[Rating]) -> str:
    """Listeners and songs; of each scale if they differ, as some leave after the first one."""
    counts = {}
    for scale in sorted({rating.scale for rating in heard}, key=SCALES.index):
        listeners = len({rating.listener for rating in heard if rating.scale == scale})
        songs = len({rating.excerpt for rating in heard if rating.scale == scale})
        counts[scale] = (
            f"{listeners} listener{'s' * (listeners != 1)}, of {songs} song{'s' * (songs != 1)}"
        )
    if len({*counts.values()}) == 1:
        return counts.popitem()[1]
    return "; ".join(f"{count}, for {scale}" for scale, count in counts.items())


def _cells(mean: Mean | None) -> tuple[str, str]:
    if mean is None:
        return "-", "-"
    span = "-" if math.isnan(mean.low) else f"{mean.low:.1f} … {mean.high:.1f}"
    return f"{mean.value:.1f}", span


def _best(rows: Mapping[str, Mean]) -> list[str]:
    values = {
        name: round(mean.value, 1) for name, mean in rows.items() if name not in (REFERENCE, ANCHOR)
    }
    return [name for name, value in values.items() if value == max(values.values())]


def _left_out(ratings: Sequence[Rating]) -> str:
    everybody = misses(ratings).keys()
    out = everybody - {rating.listener for rating in screened(ratings)}
    rule = f"rated the hidden reference below {LOW} on more than {100 * TOLERATED:g} % of the pages"
    if not out:
        return f"Nobody is left out: no listener {rule}."
    count = len(everybody)
    return f"Left out: {len(out)} of {count} listener{'s' * (count != 1)}, who {rule}."
