"""The trials of a search: as a table, as a file, as a picture, and the best as a command."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from unbraid.evaluation.charts import COLOURS
from unbraid.replacing import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Trial:
    """A training run of a search.

    Attributes:
        name: of its folder.
        settings: what was tried, dotted key -> value.
        score: of its best validation; None if it had none.
        steps: trained.
        state: `finished`, `stopped early`, `unfinished`, or `failed: …`.
    """

    name: str
    settings: Mapping[str, Any]
    score: float | None
    steps: int
    state: str


def words(settings: Mapping[str, Any]) -> list[str]:
    """Settings as `key=value` words, such as `unbraid train` takes."""
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in settings.items()]


def ranked(trials: Sequence[Trial], mode: str) -> list[Trial]:
    """The best first, those without a score last.

    Args:
        trials: in any order.
        mode: `max` or `min`, whichever score is best.
    """
    sign = -1 if mode == "max" else 1
    return sorted(
        trials, key=lambda trial: np.inf if trial.score is None else sign * float(trial.score)
    )


def print_trials(trials: Sequence[Trial], metric: str) -> None:
    """Prints a table, in the order of `trials`."""
    keys = list(trials[0].settings)
    names = ("trial", *keys, metric, "steps", "")
    table = Table(*(Column(name, overflow="fold") for name in names))  # narrow terminals cut none
    for trial in trials:
        values = [shown(trial.settings[key]) for key in keys]
        score = "" if trial.score is None else f"{trial.score:.4g}"
        cells = (trial.name, *values, score, str(trial.steps), trial.state)
        table.add_row(*map(Text, cells))
    Console().print(table)


def write_trials(trials: Sequence[Trial], metric: str, path: Path) -> None:
    """Writes CSV, in the order of `trials`."""
    keys = list(trials[0].settings)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["trial", *keys, metric, "steps", "state"])
        for trial in trials:
            values = [shown(trial.settings[key]) for key in keys]
            rows.writerow([trial.name, *values, trial.score, trial.steps, trial.state])


def command(config: Path, trial: Trial, minutes: float | None) -> str:
    """What to type to train as in a trial.

    Args:
        config: the configuration that the settings overlay.
        trial: whose settings to take.
        minutes: length of the training by the clock, if it is given so.
    """
    parts = ["unbraid", "train", str(config), *words(trial.settings)]
    return shlex.join([*parts, *(["--minutes", f"{minutes:g}"] if minutes else [])])


def plot_trials(
    trials: Sequence[Trial], metric: str, logarithmic: Sequence[str], path: Path
) -> None:
    """Draws a PNG with the score over each key.

    Args:
        trials: with scores, the best first.
        metric: name of the score.
        logarithmic: keys to draw on a logarithmic axis.
        path: picture to write; it appears whole or not at all.
    """
    figure = draw(trials, metric, logarithmic)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def draw(trials: Sequence[Trial], metric: str, logarithmic: Sequence[str]) -> Figure:
    """Draws a panel for each key, the best trial ringed and trials stopped early hollow.

    Args:
        trials: with scores, the best first.
        metric: name of the score.
        logarithmic: keys to draw on a logarithmic axis.
    """
    from matplotlib.figure import Figure

    keys = list(trials[0].settings)
    columns = min(3, len(keys))
    rows = -(-len(keys) // columns)
    size = (max(6.0, 4.2 * columns), 0.5 + 3.4 * rows)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
    for panel, key in zip(panels, keys, strict=False):
        _draw_key(panel, key, trials, key in logarithmic)
    for panel in list(panels)[len(keys) :]:
        panel.remove()
    figure.supylabel(metric, fontsize=10)
    figure.suptitle("ringed: the best; hollow: stopped early", fontsize=9, color="#495057")
    return figure


def _draw_key(panel: Axes, key: str, trials: Sequence[Trial], logarithmic: bool) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    values = [trial.settings[key] for trial in trials]
    scores = [trial.score for trial in trials]
    places: Sequence[float] = values
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        names = sorted({shown(value) for value in values})
        places = [names.index(shown(value)) for value in values]
        panel.set_xticks(range(len(names)), names)
        panel.set_xlim(-0.5, len(names) - 0.5)
    elif logarithmic:
        panel.set_xscale("log")
        decades = np.log10(max(values) / min(values))
        subs = (1, 2, 5) if decades < 2 else (1,)
        panel.xaxis.set_major_locator(LogLocator(subs=subs, numticks=8))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_locator(NullLocator())
    fill = [COLOURS[1] if trial.state == "finished" else "none" for trial in trials]
    panel.scatter(places, scores, s=36, c=fill, edgecolors=COLOURS[1], zorder=2)  # type: ignore[arg-type]
    panel.scatter(places[:1], scores[:1], s=150, c="none", edgecolors=COLOURS[0], linewidths=2)  # type: ignore[arg-type]
    panel.set_xlabel(key)
    panel.grid(color="#dee2e6", linewidth=0.7)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def shown(value: Any) -> str:
    """A value as in a configuration, numbers to four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
