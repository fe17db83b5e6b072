"""Curves of training runs: what is read from the logs, what is drawn, what is refused."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("matplotlib")
pytest.importorskip("tensorboard")
from torch.utils.tensorboard import SummaryWriter

from unbraid.cli import app
from unbraid.errors import ConfigError, DataError
from unbraid.training.curves import draw, plot_curves, read_run, smooth

Points = list[tuple[int, float, float]]  # steps, minutes, value


def write_session(
    folder: Path, points: dict[str, Points], loss: str = "{waveform: 1.0}", more: str = ""
) -> Path:
    """Logs as Lightning writes them, whose first step is number 0."""
    (folder / "tensorboard").mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(f"name: {folder.name}\nloss: {loss}\n{more}")
    start = time.time()
    with SummaryWriter(folder / "tensorboard") as writer:
        for tag, rows in points.items():
            for step, minutes, value in rows:
                writer.add_scalar(tag, value, step - 1, walltime=start + 60 * minutes)
    return folder


def losses(first: int, last: int, scale: float = 1.0) -> Points:
    return [(step, step / 40, scale / step) for step in range(first, last + 1, 20)]


def test_curves_are_what_was_logged(tmp_path):
    points = {
        "train/loss": losses(20, 400),
        "valid/loss": [(200, 5.5, 0.5), (400, 11.0, 0.25)],
        "valid/sdr": [(200, 5.5, 1.5), (400, 11.0, 3.5)],
        "songs/one (as is)/vocals": [(200, 5.5, 9.0)],
    }
    run = read_run(write_session(tmp_path / "first", points))
    assert run.name == "first"
    assert set(run.curves) == {"train/loss", "valid/loss", "valid/sdr"}
    for tag, curve in run.curves.items():
        steps, minutes, values = zip(*points[tag], strict=True)
        np.testing.assert_array_equal(curve.steps, steps)
        np.testing.assert_allclose(curve.minutes, minutes, atol=0.1)
        np.testing.assert_allclose(curve.values, values, rtol=1e-6)


def test_a_resumed_run_is_one_curve_without_the_pause(tmp_path):
    folder = tmp_path / "run"
    write_session(folder, {"train/loss": [(20, 1, 0.5), (40, 2, 0.4), (60, 3, 0.3)]})
    for file in (folder / "tensorboard").iterdir():
        file.rename(file.with_name("events.out.tfevents.0000000001"))
    write_session(folder, {"train/loss": [(60, 1, 0.2), (80, 2, 0.1)]})
    curve = read_run(folder).curves["train/loss"]
    np.testing.assert_array_equal(curve.steps, [20, 40, 60, 80])
    np.testing.assert_allclose(curve.values, [0.5, 0.4, 0.2, 0.1], rtol=1e-6)
    np.testing.assert_allclose(curve.minutes, [1, 2, 3, 4], atol=0.2)


def lines(axes) -> list[np.ndarray]:
    return [line.get_ydata() for line in axes.get_lines()]


def test_runs_of_one_loss_share_a_panel_and_others_have_their_own(tmp_path):
    score = [(100, 3.0, 1.0), (200, 6.0, 2.0)]
    folders = [
        write_session(tmp_path / name, {"train/loss": losses(20, 200), "valid/sdr": score}, loss)
        for name, loss in (("a", "{}"), ("b", "{waveform: 1.0}"), ("c", "{waveform: 3.0}"))
    ]
    runs = [read_run(folder) for folder in folders]
    shared, separate = draw(runs[:2]), draw(runs)
    assert len(shared.axes) == 2 * 2  # scores and losses, by minutes and by steps
    assert len(separate.axes) == 2 * 3
    raw = runs[0].curves["train/loss"].values
    for axes in shared.axes[2:]:
        assert any(np.array_equal(line, raw) for line in lines(axes))
        assert any(np.array_equal(line, smooth(raw)) for line in lines(axes))
    for axes in shared.axes[:2]:
        assert any(np.array_equal(line, [1.0, 2.0]) for line in lines(axes))
    of_a = {line.get_color() for line in shared.axes[0].get_lines()[:1]}
    of_b = {line.get_color() for line in shared.axes[0].get_lines()[2:3]}
    assert of_a != of_b


def test_losses_by_different_targets_have_panels_of_their_own(tmp_path):
    points = {"train/loss": losses(20, 200)}
    alone, untaught, taught = (
        read_run(write_session(tmp_path / name, points, more=more))
        for name, more in (
            ("alone", ""),
            ("untaught", "teacher: {model: null, share: 0.9}\n"),
            ("taught", "teacher: {model: unet}\n"),
        )
    )
    assert len(draw([alone, untaught]).axes) == 2
    panels = draw([alone, taught]).axes
    assert len(panels) == 2 * 2
    assert panels[3].get_title("right").endswith("taught by unet")


def test_titles_of_panels_do_not_overlap(tmp_path):
    points = {"train/loss": losses(20, 200)}
    runs = [
        read_run(write_session(tmp_path / f"a-network-of-{name}", points, more=more))
        for name, more in (
            ("bands", "teacher: {model: unet}\n"),
            ("chunks", "teacher: {model: unet}\n"),
            ("convolutions", "teacher: {model: unet}\n"),
            ("samples", ""),
        )
    ]
    figure = draw(runs)
    figure.draw_without_rendering()
    for row in (figure.axes[:2], figure.axes[2:]):
        titles = [
            text for axes in row for text in (axes._left_title, axes.title, axes._right_title)
        ]
        boxes = [text.get_window_extent() for text in titles if text.get_text()]
        assert len(boxes) == 2
        assert not boxes[0].overlaps(boxes[1])


@pytest.mark.parametrize(
    ("monitor", "kept"), [("valid/sdr", (1, 9.0)), ("valid/loss", (2, 8.0)), (None, (1, 9.0))]
)
def test_the_ring_is_around_the_weights_that_the_run_keeps(tmp_path, monitor, kept):
    points = {
        "valid/loss": [(100, 1.0, 0.5), (200, 2.0, 0.4), (300, 3.0, 0.3)],
        "valid/sdr": [(100, 1.0, 7.0), (200, 2.0, 9.0), (300, 3.0, 8.0)],
    }
    more = f"run: {{monitor: {monitor}}}\n" if monitor else ""
    figure = draw([read_run(write_session(tmp_path / "run", points, more=more))])
    index, sdr = kept
    ring = figure.axes[1].get_lines()[-1]
    assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([100 * (index + 1)], [sdr])
    label = figure.legends[0].get_texts()[0]
    assert label.get_text().startswith(f"run: {sdr:.2f} dB after")


@pytest.mark.parametrize(("lowest", "scale"), [(1e-3, "log"), (-1e-3, "linear")])
def test_losses_are_logarithmic_where_they_can_be(tmp_path, lowest, scale):
    points = [(20 * n, n, lowest + 1.0 / n**3) for n in range(1, 60)]
    run = read_run(write_session(tmp_path / "run", {"train/loss": points}))
    assert [axes.get_yscale() for axes in draw([run]).axes] == [scale, scale]


def test_smoothing_keeps_constants_and_takes_noise_away():
    np.testing.assert_allclose(smooth(np.full(100, 3.0)), 3.0)
    noise = np.random.default_rng(0).normal(size=1000)
    assert smooth(noise).std() < noise.std() / 4
    np.testing.assert_array_equal(smooth(np.array([1.0, 5.0])), [1.0, 5.0])


@pytest.mark.filterwarnings("error:Glyph")
def test_command_writes_a_picture(tmp_path):
    from matplotlib.image import imread

    run = write_session(tmp_path / "絆", {"train/loss": losses(20, 200)})  # no font has it
    picture = tmp_path / "pictures" / "curves.png"
    done = CliRunner().invoke(app, ["report", "curves", str(run), "-o", str(picture)])
    assert done.exit_code == 0, done.output
    pixels = imread(picture)
    assert min(pixels.shape[:2]) > 300
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 3


@pytest.mark.parametrize("name", ["curves.jpg", "curves", "curves.svg"])
def test_a_picture_that_is_no_png_is_refused(tmp_path, name):
    run = write_session(tmp_path / "run", {"train/loss": losses(20, 40)})
    with pytest.raises(ConfigError, match=f"{name}: the picture is a PNG; .* ends in .png"):
        plot_curves([run], tmp_path / name)
    assert not (tmp_path / name).exists()


def test_folders_without_runs_are_refused(tmp_path):
    run = write_session(tmp_path / "run", {"train/loss": losses(20, 40)})
    other = write_session(tmp_path / "other" / "run", {"train/loss": losses(20, 40)})
    silent = write_session(tmp_path / "silent", {})
    bare = write_session(tmp_path / "bare", {"train/loss": losses(20, 40)})
    (bare / "config.yaml").unlink()
    (tmp_path / "empty").mkdir()
    for folders, message in (
        ([tmp_path / "nowhere"], "no such folder"),
        ([tmp_path / "empty"], "no logs"),
        ([silent], "nothing is logged yet"),
        ([bare], "config.yaml is missing"),
        ([run, other], "two runs are named run"),
    ):
        with pytest.raises(DataError, match=message) as raised:
            plot_curves(folders, tmp_path / "curves.png")
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "curves.png").exists()


def test_report_of_what_is_no_command_is_about_scores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in (str(tmp_path), "scores"):  # where `evaluate` leaves them by default
        done = CliRunner().invoke(app, ["report", folder])
        assert isinstance(done.exception, DataError)
        assert str(done.exception).startswith(f"{folder}: no scores here")
    shown = CliRunner().invoke(app, ["report", "--help"])
    assert shown.exit_code == 0
    assert "curves" in shown.output and "scores" in shown.output
    assert "--out" in CliRunner().invoke(app, ["report", "DIR", "--help"]).output
