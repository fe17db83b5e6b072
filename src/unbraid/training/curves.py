"""Curves of training runs side by side: losses and validation scores by minutes and by steps."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from unbraid.errors import ConfigError, DataError
from unbraid.evaluation.charts import colours
from unbraid.folders import check_folder
from unbraid.replacing import replacing
from unbraid.training.aims import LossConfig, TeacherConfig
from unbraid.training.config import MONITORS, RunConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Array = NDArray[np.float64]

TAGS = ("train/loss", "valid/loss", "valid/sdr")
NOTE: dict[str, Any] = {"fontsize": 9, "color": "#495057"}
_TITLE = 60  # letters that a panel has room for
SMOOTHING = 15  # a smoothed value is the mean over this part of the run


@dataclass(frozen=True)
class Curve:
    """A number over the run.

    Attributes:
        steps: of training that were done, `[points]`.
        minutes: of the run's wall clock, validation included, `[points]`.
        values: `[points]`.
    """

    steps: Array
    minutes: Array
    values: Array


@dataclass(frozen=True)
class Run:
    """What a run's folder holds.

    Attributes:
        name: of the folder.
        loss: settings of the loss.
        teacher: settings of the teacher, empty without one; runs can be compared by losses if
            both are equal.
        monitor: the tag among `MONITORS` that picks the run's weights.
        curves: TensorBoard tag -> curve, of those tags among `TAGS` that were logged.
    """

    name: str
    loss: dict[str, Any] = field(default_factory=dict)
    teacher: dict[str, Any] = field(default_factory=dict)
    monitor: str = RunConfig.monitor
    curves: dict[str, Curve] = field(default_factory=dict)


def read_run(folder: Path) -> Run:
    """Reads the logs of a run, of all sessions if it was resumed.

    Minutes count from the start of the first session and leave out the time between sessions;
    steps that a resumed run repeats count once, as they were the last time.

    Args:
        folder: of `unbraid train`, with `config.yaml` and `tensorboard/`.

    Raises:
        DataError: it is not a run's folder, or nothing is logged in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; runs are in runs/NAME")
    files = sorted((folder / "tensorboard").glob("events.out.tfevents.*"))
    if not files:
        raise DataError(f"{folder}: no logs in tensorboard/; give the folder of an `unbraid train`")
    settings = _read_settings(folder)
    points: dict[str, Array] = {}
    for session in map(_read_session, files):
        points = _continued(points, session)
    if not points:
        raise DataError(f"{folder}: nothing is logged yet; losses come every 20 steps")
    curves = {tag: Curve(*rows.T) for tag, rows in points.items()}
    return Run(folder.resolve().name, **settings, curves=curves)


def _read_settings(folder: Path) -> dict[str, Any]:
    """What a run was told of its loss, its teacher and its monitor."""
    try:
        stated: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
        loss = {**asdict(LossConfig()), **stated["loss"]}
        teacher = {**asdict(TeacherConfig()), **stated.get("teacher", {})}
        monitor = {"monitor": RunConfig.monitor, **stated.get("run", {})}["monitor"]
    except (OSError, OmegaConfBaseException, YAMLError, KeyError, TypeError):
        raise DataError(f"{folder}: config.yaml is missing or damaged") from None
    taught = teacher["model"] is not None
    return {"loss": loss, "teacher": teacher if taught else {}, "monitor": monitor}


def _read_session(file: Path) -> dict[str, Array]:
    """Steps, minutes and values of each tag, `[points, 3]`."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events: Any = EventAccumulator(str(file), {"scalars": 0, "images": 1, "audio": 1, "tensors": 1})
    events.Reload()
    start = events.FirstEventTimestamp() if events.Tags()["scalars"] else 0.0
    return {
        tag: np.array(
            [
                (event.step + 1, (event.wall_time - start) / 60, event.value)  # logged from 0
                for event in events.Scalars(tag)
            ]
        )
        for tag in TAGS
        if tag in events.Tags()["scalars"]
    }


def _continued(before: Mapping[str, Array], after: Mapping[str, Array]) -> dict[str, Array]:
    first = min((rows[0, 0] for rows in after.values()), default=np.inf)
    kept = {tag: rows[rows[:, 0] < first] for tag, rows in before.items()}
    ends = [rows[-1, 1] for rows in kept.values() if len(rows)]
    shift = np.array([0, max(ends, default=0), 0])
    shifted = {tag: rows + shift for tag, rows in after.items()}
    joined = {
        tag: np.concatenate([part[tag] for part in (kept, shifted) if tag in part])
        for tag in TAGS
        if tag in kept or tag in shifted
    }
    return {tag: rows for tag, rows in joined.items() if len(rows)}


def plot_curves(folders: Sequence[Path], path: Path) -> None:
    """Draws the curves of runs into a PNG.

    Args:
        folders: of the runs.
        path: picture to write, `.png`; it appears whole or not at all.

    Raises:
        ConfigError: the picture has another suffix.
        DataError: a folder holds no run, or two runs have one name.
        AudioError: the picture's folder cannot be written to.
    """
    if path.suffix.lower() != ".png":
        raise ConfigError(f"{path}: the picture is a PNG; give it a name that ends in .png")
    check_folder(path.parent)
    runs = [read_run(folder) for folder in folders]
    names = [run.name for run in runs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"two runs are named {twice}: rename one's folder")
    figure = draw(runs)
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(temporary, format="png", dpi=120)


def draw(runs: Sequence[Run]) -> Figure:
    """Draws validation scores and losses, by minutes on the left and by steps on the right.

    Runs of the same loss and teacher share a row; each other loss gets a row of its own.

    Args:
        runs: of different names.
    """
    from matplotlib.figure import Figure

    palette = colours([run.name for run in runs])
    groups: list[list[Run]] = []
    for run in runs:
        group = next((group for group in groups if _comparable(group[0], run)), None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    scored = any("valid/sdr" in run.curves for run in runs)
    heights = [3.4] * scored + [3.4 if len(groups) == 1 else 2.2] * len(groups)
    figure = Figure(figsize=(13, 1.4 + sum(heights)), layout="constrained")
    axes = figure.subplots(
        len(heights), 2, sharex="col", sharey="row", height_ratios=heights, squeeze=False
    )
    if scored:
        _draw_scores(axes[0], runs, palette)
    for row, group in zip(axes[len(axes) - len(groups) :], groups, strict=True):
        _draw_losses(row, group, palette, len(groups) > 1)
    for panel, label in zip(axes[-1], ("Wall clock (minutes)", "Training steps"), strict=True):
        panel.set_xlabel(label)
    for panel in axes.flat:
        panel.grid(color="#dee2e6", linewidth=0.7)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_xlim(left=0)
    figure.align_ylabels(axes)
    handles = _legend(runs, palette)
    columns = max(1, 165 // (8 + max(len(str(handle.get_label())) for handle in handles)))
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False)
    return figure


def _comparable(one: Run, other: Run) -> bool:
    return (one.loss, one.teacher) == (other.loss, other.teacher)


def _draw_scores(row: Sequence[Axes], runs: Sequence[Run], palette: Mapping[str, str]) -> None:
    for panel, along in zip(row, ("minutes", "steps"), strict=True):
        for run in runs:
            curve, colour = run.curves.get("valid/sdr"), palette[run.name]
            if curve is None:
                continue
            x = getattr(curve, along)
            panel.plot(x, curve.values, color=colour, marker="o", markersize=3.5, linewidth=1.6)
            kept = _kept(run)
            if kept is not None:
                panel.plot(x[kept], curve.values[kept], "o", color=colour, markersize=9, mfc="none")
    row[0].set_ylabel("SDR (dB)")
    row[0].set_title("Validation, median SDR", loc="left", weight="bold", fontsize=11)
    row[0].set_title("ring: the weights that are kept", loc="right", **NOTE)


def _draw_losses(
    row: Sequence[Axes], runs: Sequence[Run], palette: Mapping[str, str], named: bool
) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    for panel, along in zip(row, ("minutes", "steps"), strict=True):
        for run in runs:
            colour = palette[run.name]
            train, valid = run.curves.get("train/loss"), run.curves.get("valid/loss")
            if train is not None:
                x = getattr(train, along)
                panel.plot(x, train.values, color=colour, linewidth=0.7, alpha=0.25)
                panel.plot(x, smooth(train.values), color=colour, linewidth=1.6)
            if valid is not None:
                x = getattr(valid, along)
                panel.plot(x, valid.values, "--o", color=colour, markersize=3.5, linewidth=1.2)
    low, high, scale = _limits(runs)
    row[0].set_yscale(scale)
    row[0].set_ylim(low, high)
    if scale == "log":
        row[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        row[0].yaxis.set_major_formatter("{x:g}")
        row[0].yaxis.set_minor_locator(NullLocator())
    row[0].set_ylabel("Loss")
    names = ", ".join(run.name for run in runs)
    shown = names if len(names) <= _TITLE else f"{names[: _TITLE - 2]} …"
    title = f"Loss of {shown}" if named else "Loss"
    row[0].set_title(title, loc="left", weight="bold", fontsize=11)
    taught = f", taught by {runs[0].teacher['model']}" if runs[0].teacher else ""
    row[1].set_title(_terms(runs[0].loss) + taught, loc="right", **NOTE)


def _limits(runs: Sequence[Run]) -> tuple[float, float, str]:
    """Range and scale of losses; single batches far from the rest may leave the panel."""
    shown = []
    for run in runs:
        if (train := run.curves.get("train/loss")) is not None:
            shown += [smooth(train.values), np.nanpercentile(train.values, (2, 98))]
        if (valid := run.curves.get("valid/loss")) is not None:
            shown.append(valid.values)
    values = np.concatenate([*shown, []])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0, "linear"
    low, high = float(values.min()), float(values.max())
    if low > 0 and high > 10 * low:
        return low / 1.2, high * 1.2, "log"
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin, high + margin, "linear"


def smooth(values: Array) -> Array:
    """Centred moving mean over a fifteenth of the run; at its ends, over what there is of it.

    Args:
        values: `[points]`.
    """
    window = np.ones(2 * (len(values) // (2 * SMOOTHING)) + 1)
    sums, counts = (np.convolve(part, window, "same") for part in (values, np.ones(len(values))))
    return sums / counts


def _kept(run: Run) -> int | None:
    """Which point of the SDR's curve is of the weights that the run keeps."""
    scores, watched = run.curves.get("valid/sdr"), run.curves.get(run.monitor)
    if scores is None or watched is None or not np.isfinite(watched.values).any():
        return None
    pick = np.nanargmax if MONITORS[run.monitor] == "max" else np.nanargmin
    step = watched.steps[pick(watched.values)]
    found = np.flatnonzero((scores.steps == step) & np.isfinite(scores.values))
    return int(found[0]) if found.size else None


def _terms(loss: Mapping[str, Any]) -> str:
    """Settings of a loss that are in force, in a line."""
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, (int, float)) else f"{name} {value}"
        for name, value in loss.items()
        if value and not isinstance(value, (list, dict))
    )


def _legend(runs: Sequence[Run], palette: Mapping[str, str]) -> list[Line2D]:
    from matplotlib.lines import Line2D

    handles = []
    for run in runs:
        label, curve = run.name, run.curves.get("valid/sdr")
        if curve is not None and (kept := _kept(run)) is not None:
            label += f": {curve.values[kept]:.2f} dB after {curve.minutes[kept]:.0f} min"
        handles.append(Line2D([], [], color=palette[run.name], linewidth=3, label=label))
    grey = NOTE["color"]
    handles += [
        Line2D([], [], color=grey, label="training loss, faint unsmoothed"),
        Line2D(
            [], [], color=grey, linestyle="--", marker="o", markersize=3.5, label="validation loss"
        ),
    ]
    return handles
