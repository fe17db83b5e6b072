"""The tables of an evaluation, and how they look in a terminal, in Markdown, LaTeX and HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from unbraid.evaluation.bsseval import FILTERED
from unbraid.evaluation.compare import ENDLESS, Common, Scores, compare, interval, on_common_tracks

if TYPE_CHECKING:
    from rich.table import Table as RichTable

METRICS = ("SDR", "SIR", "ISR", "SAR", "SI-SDR", "uSDR")
NOTHING_COMMON = "no track has scores under every system"
_ORDER = ("vocals", "accompaniment")  # before all other targets


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        title: above it.
        columns: heads; the first `labels` columns are text, the others numbers.
        rows: cells, as many as there are columns.
        note: below it, or empty.
        best: (row, column) of cells to stress.
        labels: number of columns of text.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    best: frozenset[tuple[int, int]] = frozenset()
    labels: int = 2


def targets_of(scores: Scores) -> list[str]:
    """Targets that any track has, vocals and accompaniment first."""
    found = {target for tracks in scores.values() for track in tracks for target in track.summary()}
    return sorted(found, key=lambda target: (target not in _ORDER, target != "vocals", target))


def tables(scores: Scores) -> list[Table]:
    """A table of scores for each target, and a paired comparison if there are several systems.

    Args:
        scores: system -> its tracks.
    """
    common = {target: on_common_tracks(scores, target) for target in targets_of(scores)}
    common = {target: found for target, found in common.items() if found.tracks}
    made = [_scores(target, found) for target, found in common.items()]
    if any(len(found.values) > 1 for found in common.values()):
        made.append(_comparison(common))
    return made


def _scores(target: str, common: Common) -> Table:
    rows, figures = [], []
    count = len(common.tracks)
    kinds = {"median": False, "mean": True} if count > 1 else {"one track": False}
    shown = [metric for metric in METRICS if _shown(metric, common)]
    for system, metrics in common.values.items():
        for kind, mean in kinds.items():
            values = [_over_tracks(metrics.get(metric), mean) for metric in shown]
            range_ = _range(*interval(metrics["SDR"], mean))
            rows.append((system, kind, *map(_number, values), range_))
            figures.append(values)
    scenario = "vocals and accompaniment" if target in _ORDER else "all stems"
    note = f"Scenario: {scenario}. dB over {count} {'track' if count == 1 else 'tracks'}"
    if common.left_out:
        note += f"; left out, without a score under some system: {common.left_out}"
    return Table(
        title=target.capitalize(),
        columns=("system", "over tracks", *shown, "SDR, 95 %"),
        rows=tuple(rows),
        note=note + ".",
        best=_best(np.array(figures), len(kinds)) if len(common.values) > 1 else frozenset(),
    )


def _shown(metric: str, common: Common) -> bool:
    """Whether a metric has a column: those of filters only if it is over the same tracks as SDR."""
    nothing = np.full(len(common.tracks), np.nan)
    there = ~np.isnan([found.get(metric, nothing) for found in common.values.values()])
    return bool(there.all() if metric in FILTERED else there.any())


def _over_tracks(values: np.ndarray | None, mean: bool) -> float:
    if values is None or np.isnan(values).all():
        return math.nan
    return float(np.nanmean(values) if mean else np.nanmedian(values))


def _best(figures: np.ndarray, kinds: int) -> frozenset[tuple[int, int]]:
    """Cells with the highest value of each metric, of every kind: medians, means."""
    cells = set()
    for first in range(kinds):
        for column, values in enumerate(figures[first::kinds].round(2).T):
            if not np.isnan(values).all():
                rows = np.flatnonzero(values == np.nanmax(values))
                cells |= {(first + kinds * int(row), column + 2) for row in rows}
    return frozenset(cells)


def _comparison(common: Mapping[str, Common]) -> Table:
    rows = []
    for target, found in common.items():
        for first, second in combinations(found.values, 2):
            pair = compare(found.values[first]["SDR"], found.values[second]["SDR"])
            rows.append(
                (
                    target,
                    f"{first} - {second}",
                    f"{pair.wins} of {pair.tracks}",
                    _number(pair.median, "+.2f"),
                    _range(pair.low, pair.high),
                    "-" if math.isnan(pair.p) else f"{pair.p:.2g}",
                )
            )
    return Table(
        title="Paired comparison, SDR",
        columns=("target", "difference", "wins", "median", "95 %", "Wilcoxon p"),
        rows=tuple(rows),
        note="Differences in dB, track by track; intervals and tests need 5 tracks.",
    )


def _number(value: float, form: str = ".2f") -> str:
    if math.isnan(value):
        return "-"
    return "∞" if value >= ENDLESS else format(value, form)


def _range(low: float, high: float) -> str:
    return "-" if math.isnan(low) else f"{low:.2f} … {high:.2f}"


def as_rich(table: Table) -> RichTable:
    """For `rich.print`."""
    from rich import box
    from rich.markup import escape as plain
    from rich.table import Table as RichTable

    made = RichTable(
        title=table.title,
        title_style="bold",
        title_justify="left",
        caption=table.note,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for number, column in enumerate(table.columns):
        made.add_column(column, justify="left" if number < table.labels else "right", no_wrap=True)
    for row, cells in enumerate(table.rows):
        made.add_row(
            *(
                f"[bold]{plain(cell)}[/]" if (row, column) in table.best else plain(cell)
                for column, cell in enumerate(cells)
            )
        )
    return made


def as_markdown(table: Table) -> str:
    """A pipe table under a heading."""
    rule = ["---"] * table.labels + ["---:"] * (len(table.columns) - table.labels)
    lines = [list(table.columns), rule]
    for row, cells in enumerate(table.rows):
        cells = tuple(cell.replace("|", "\\|") for cell in cells)
        lines.append([f"**{c}**" if (row, i) in table.best else c for i, c in enumerate(cells)])
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"### {table.title}\n\n{body}\n\n{table.note}\n"


def as_latex(table: Table) -> str:
    """A table environment for the package booktabs."""
    lines = [" & ".join(map(_tex, table.columns)) + r" \\", r"\midrule"]
    for row, cells in enumerate(table.rows):
        marked = (
            rf"\textbf{{{_tex(cell)}}}" if (row, column) in table.best else _tex(cell)
            for column, cell in enumerate(cells)
        )
        lines.append(" & ".join(marked) + r" \\")
    form = "l" * table.labels + "r" * (len(table.columns) - table.labels)
    body = "\n".join(lines)
    caption = _tex(f"{table.title}. {table.note}")
    return (
        f"\\begin{{table}}\n\\centering\n\\caption{{{caption}}}\n\\begin{{tabular}}{{{form}}}\n"
        f"\\toprule\n{body}\n\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
    )


_TEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "…": r"\dots{}",
    "∞": r"$\infty$",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text).replace(" - ", " $-$ ")


def as_html(table: Table) -> str:
    """A table element; the first column's cells span equal neighbours."""
    heads = "".join(
        f'<th class="{"t" * (number < table.labels)}">{escape(column)}</th>'
        for number, column in enumerate(table.columns)
    )
    rows = []
    for row, cells in enumerate(table.rows):
        line = []
        for column, cell in enumerate(cells):
            if column == 0 and row and table.rows[row - 1][0] == cell:
                line.append("<td></td>")
                continue
            kind = "t" * (column < table.labels) or "best" * ((row, column) in table.best)
            line.append(f'<td class="{kind}">{escape(cell)}</td>')
        rows.append(f"<tr>{''.join(line)}</tr>")
    return (
        f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        f'<p class="note">{escape(table.note)}</p>'
    )
