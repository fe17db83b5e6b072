"""`unbraid tune`: what a search may be, how its trials look, and a search from end to end."""

from __future__ import annotations

import csv
import shlex
import subprocess
import sys
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lightning")
pytest.importorskip("ray.tune")
import ray
import soundfile
from typer.testing import CliRunner

from unbraid.cli import app
from unbraid.errors import ConfigError, UnbraidError
from unbraid.fleet.cluster import ENVIRONMENT
from unbraid.training import tune
from unbraid.training.config import read_config
from unbraid.training.failures import why
from unbraid.training.lock import locked
from unbraid.training.search import Range, read_search
from unbraid.training.trials import (
    Trial,
    command,
    draw,
    print_trials,
    ranked,
    words,
    write_trials,
)

RATE = 44100


def write_config(folder: Path, search: str) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(
        f"""
name: tiny
licence: CC0 1.0
data_card: tones and noise
model: {{architecture: bandsplit, features: 4, hidden: 4, blocks: 1, bands: [[2, 1000]]}}
data:
  stems:
    vocals: {{all: {{path: {folder}/voices}}}}
    accompaniment: {{all: {{path: {folder}/music}}}}
  valid: {folder}/songs
  cache: {folder}/cache
  seconds: 0.25
  batch_size: 1
  workers: 0
optimizer: {{warmup: 2, ema: 0.8}}
run:
  folder: {folder}/runs
  steps: 4
  steps_per_epoch: 2
  accelerator: cpu
  conditions: [as is]
search: {search}
"""
    )
    return path


def test_a_search_is_read_with_the_training_it_varies(tmp_path):
    path = write_config(
        tmp_path,
        "{trials: 4, space: {optimizer.learning_rate: {low: 1.0e-4, high: 0.1, log: true},"
        " model.hidden: {low: 4, high: 8}, run.precision: [32-true, bf16-mixed]}}",
    )
    path.write_text(path.read_text().replace("steps: 4", "epochs: 3"))
    search = read_search(path, ["search.trials=9", "optimizer.warmup=7", "run.steps=5"])
    assert search.config.run.steps == 5
    assert search.options.trials == 9
    assert search.config.optimizer.warmup == 7
    assert search.space == {
        "optimizer.learning_rate": Range(1e-4, 0.1, True),
        "model.hidden": Range(4, 8),
        "run.precision": ["32-true", "bf16-mixed"],
    }
    assert search.logarithmic == ["optimizer.learning_rate"]
    assert search.folder == tmp_path / "runs" / "tiny-search"


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("null", "no section `search`"),
        ("{space: {}}", "space is empty"),
        ("{space: {optimizer.learning_rat: [0.1]}}", "no setting 'optimizer.learning_rat'"),
        ("{space: {optimizer.warmup: [5, many]}}", "warmup"),
        ("{space: {optimizer.warmup: 5}}", "needs a list of values, or low and high"),
        ("{space: {optimizer.warmup: {low: 5}}}", "high"),
        ("{space: {optimizer.warmup: {low: 5, high: 5}}, trials: 2}", "less than high"),
        ("{space: {optimizer.ema: {low: 0, high: 0.5, log: true}}, trials: 2}", "above 0 if log"),
        ("{space: {optimizer.warmup: {low: 5, high: 9}}}", "search.trials"),
        ("{space: {optimizer.warmup: [5]}, trials: 0}", "trials must be at least 1"),
        ("{space: {optimizer.warmup: [5]}, minutes: -1}", "minutes must be above 0"),
        ("{space: {optimizer.warmup: [5]}, grace: 1.0}", "grace must be between 0 and 1"),
        ("{space: {optimizer.warmup: [5]}, trails: 3}", "no setting 'trails'.*trials"),
        ("{space: {model.featurs: [4]}}", "bandsplit has no setting 'model.featurs'.*features"),
        ("{space: {model: [{featurs: 4}]}}", "bandsplit has no setting 'model.featurs'"),
        ("{space: {model.architecture: [bandsplit, conv1d]}}", "conv1d has no .*features.*kernel"),
        ("{space: {model.architecture: [[lstm]]}}", "no architecture .*lstm.*there are: bandsplit"),
        ("{space: {name: [one, two]}}", "space: name is the same for all trials; .*optimizer"),
        ("{space: {run.folder: [here, there]}}", "run.folder is the same for all trials"),
        ("{space: {run.devices: [1, 2]}}", "run.devices is the same for all trials"),
        ("{space: {run.monitor: [valid/sdr, valid/loss]}}", "run.monitor is the same"),
        ("{space: {run: [{seed: 1}]}}", "run holds run.folder, which is the same for all trials"),
        ("{space: {run.steps: [5]}, minutes: 1}", "run.steps changes nothing .*search.minutes"),
    ],
)
def test_impossible_searches_are_refused(tmp_path, search, message):
    with pytest.raises(ConfigError, match=message) as raised:
        read_search(write_config(tmp_path, search))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("space", ["loss.log_error: [0, 0.1]", "loss: [{waveform: 2}]"])
def test_losses_of_different_kinds_are_not_compared(tmp_path, space):
    path = write_config(tmp_path, f"{{space: {{{space}}}}}")
    with pytest.raises(ConfigError, match=r"do not compare; set run\.monitor=valid/sdr"):
        read_search(path, ["run.monitor=valid/loss"])
    assert read_search(path).config.run.monitor == "valid/sdr"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("optimizer.warmup=[1,", "line 2: did not find expected node content"),
        ("run.steps=${nothing}", "run.steps: Interpolation key 'nothing' not found"),
        ("search=${nothing}", "search: Interpolation key 'nothing' not found"),
    ],
)
def test_words_that_say_nothing_are_one_line(tmp_path, word, message):
    path = write_config(tmp_path, "{space: {optimizer.warmup: [5]}}")
    with pytest.raises(ConfigError) as raised:
        read_search(path, [word])
    assert str(raised.value) == f"{path}: {message}"


TRIALS = [
    Trial("trial-00", {"a.rate": 0.1, "b.kind": "x y"}, 1.5, 10, "finished"),
    Trial("trial-01", {"a.rate": 0.01, "b.kind": None}, 4.0, 5, "stopped early"),
    Trial("trial-02", {"a.rate": 0.001, "b.kind": [1, 2]}, None, 0, "failed: no data"),
]


@pytest.mark.parametrize(("mode", "order"), [("max", [1, 0, 2]), ("min", [0, 1, 2])])
def test_the_best_trial_is_first_and_failed_ones_are_last(mode, order):
    assert ranked(TRIALS, mode) == [TRIALS[number] for number in order]


def test_a_narrow_terminal_cuts_no_key_off(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    keys = {"optimizer.learning_rate": 0.01, "optimizer.weight_decay": 0.1, "optimizer.ema": 0.9}
    print_trials([Trial("trial-00", keys, 1.5, 10, "stopped early")], "valid/sdr")
    assert "…" not in capsys.readouterr().out


def test_results_are_written_as_a_table(tmp_path):
    write_trials(TRIALS, "valid/sdr", tmp_path / "results.csv")
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["valid/sdr"] for row in rows] == ["1.5", "4.0", ""]
    assert [row["b.kind"] for row in rows] == ["x y", "null", "[1, 2]"]
    assert rows[2]["state"] == "failed: no data"


def test_the_picture_has_a_panel_for_each_key_with_all_scores():
    figure = draw(TRIALS[:2], "valid/sdr", ["a.rate"])
    panels = {axes.get_xlabel(): axes for axes in figure.axes}
    assert set(panels) == {"a.rate", "b.kind"}
    places = panels["a.rate"].collections[0].get_offsets()
    np.testing.assert_allclose(places, [[0.1, 1.5], [0.01, 4.0]])
    assert panels["a.rate"].get_xscale() == "log"
    assert {tick.get_text() for tick in panels["b.kind"].get_xticklabels()} == {"x y", "null"}


@pytest.mark.parametrize("rates", [(0.0018788, 0.0001208), (1e-6, 1e-1), (1e2, 1e-7)])
def test_numbers_at_a_logarithmic_axis_do_not_overlap(rates):
    trials = [Trial(f"{rate}", {"rate": rate, "b": rate}, rate, 4, "finished") for rate in rates]
    figure = draw(trials, "valid/loss", ["rate"])
    figure.draw_without_rendering()
    axis = figure.axes[0].xaxis
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    labels = [tick.label1 for tick in ticks if tick.label1.get_text()]
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
    assert len(boxes) > 2
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_words_say_the_settings_again(tmp_path):
    path = write_config(tmp_path, "{space: {optimizer.warmup: [5]}}")
    settings = {
        "optimizer.learning_rate": 1.25e-5,
        "run.conditions": ["as is", "mono"],
        "run.patience": None,
        "data_card": "all: 'mine', \"yours\" = {x}",
    }
    search = read_search(path, words(settings))
    assert search.config.optimizer.learning_rate == 1.25e-5
    assert search.config.run.conditions == ["as is", "mono"]
    assert search.config.run.patience is None
    assert search.config.data_card == settings["data_card"]


def test_errors_of_trials_are_one_line_without_their_class():
    assert why(ConfigError("no data")) == "no data"
    told = RuntimeError("Traceback:\n  File ...\nunbraid.errors.DataError: songs: no such folder\n")
    assert why(told) == "songs: no such folder"


def write_music(folder: Path) -> None:
    tones = np.sin(np.arange(RATE) / 10)[:, None].repeat(2, 1) / 4
    noise = np.random.default_rng(0).normal(size=(RATE, 2)) / 10
    for name, audio in {
        "voices/a.wav": tones,
        "music/a.wav": noise,
        "songs/one/vocals.wav": tones,
        "songs/one/accompaniment.wav": noise,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, audio, RATE)


@pytest.mark.slow
def test_a_search_from_end_to_end(tmp_path):
    write_music(tmp_path)
    search = "{space: {model.features: [4, -1]}, cpus: 1}"
    path = write_config(tmp_path, search)

    done = CliRunner().invoke(app, ["tune", str(path)])

    assert not ray.is_initialized()
    assert done.exit_code == 1, done.output  # one trial is impossible
    folder = tmp_path / "runs" / "tiny-search"
    good, bad = read_results(folder)
    assert (good["model.features"], good["steps"], good["state"]) == ("4", "4", "finished")
    assert np.isfinite(float(good["valid/sdr"]))
    assert bad["state"].startswith("failed: ")
    assert (folder / good["trial"] / f"{good['trial']}.safetensors").is_file()
    assert (folder / "search.png").stat().st_size > 1000
    best = next(line for line in done.output.splitlines() if "unbraid train" in line)
    _, _, config, *overrides = shlex.split(best)
    assert read_config(Path(config), overrides).model["features"] == 4

    again = CliRunner().invoke(app, ["tune", str(path), "optimizer.warmup=3"])
    assert isinstance(again.exception, ConfigError)
    assert "another configuration, see 'warmup: 3'" in str(again.exception)


@pytest.fixture
def address():
    """Of a cluster that this process does not belong to: one machine with one core."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        node = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
        there = Cluster(initialize_head=True, head_node_args=node)
        try:
            yield there.address
        finally:
            ray.shutdown()
            there.shutdown()


@pytest.mark.slow
def test_a_random_search_on_a_cluster_stops_what_is_worse(tmp_path, address):
    write_music(tmp_path)
    search = "{space: {optimizer.learning_rate: [1.0e-9, 0.1]}, trials: 2}"
    path = write_config(tmp_path, search)
    long = ["run.steps=8", "run.monitor=valid/loss", "run.seed=2"]

    done = CliRunner().invoke(app, ["tune", str(path), *long, "--address", address])

    assert not ray.is_initialized()
    assert done.exit_code == 0, done.output
    folder = tmp_path / "runs" / "tiny-search"
    best, worse = read_results(folder)
    assert (best["optimizer.learning_rate"], best["steps"], best["state"]) == (
        "0.1",
        "8",
        "finished",
    )
    assert worse["optimizer.learning_rate"] == "1e-09"
    assert worse["state"] == "stopped early"
    assert 2 <= int(worse["steps"]) < 8
    assert not (folder / worse["trial"] / f"{worse['trial']}.safetensors").exists()
    assert (folder / best["trial"] / f"{best['trial']}.safetensors").is_file()

    # as a version wrote it that did not know two of today's settings
    kept = folder / "search.yaml"
    lines = kept.read_text(encoding="utf-8").splitlines(keepends=True)
    older = [line for line in lines if not line.startswith(("  accumulate:", "  shard:"))]
    assert len(older) == len(lines) - 2
    kept.write_text("".join(older), encoding="utf-8")
    again = CliRunner().invoke(app, ["tune", str(path), *long, "--address", address])
    assert again.exit_code == 0, again.output
    assert read_results(folder) == [best, worse]

    kept.write_text("".join(older) + "unheard_of: 1\n", encoding="utf-8")
    refused = CliRunner().invoke(app, ["tune", str(path), *long, "--address", address])
    assert isinstance(refused.exception, ConfigError)
    assert "unheard_of" in str(refused.exception)
    assert "another name=" in str(refused.exception)
    assert "\n" not in str(refused.exception)


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "connected", lambda address: nullcontext())
    monkeypatch.setattr(tune, "_resources", lambda search: {"cpu": 1})
    search = read_search(write_config(tmp_path, "{space: {optimizer.warmup: [5]}}"))
    (tmp_path / "runs").touch()

    with pytest.raises(ConfigError, match=r"tiny-search: cannot be written") as raised:
        tune.run(search)
    assert "\n" not in str(raised.value)

    (tmp_path / "runs").unlink()
    (search.folder / "train.yaml").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"train\.yaml: cannot be written"):
        tune.run(search)
    assert (search.folder / "search.yaml").is_file()  # another search is refused from now on


HOLDS = """
import sys, time
from pathlib import Path
from unbraid.training.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_two_searches_do_not_work_in_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "connected", lambda address: nullcontext())
    monkeypatch.setattr(tune, "_resources", lambda search: {"cpu": 1})
    search = read_search(write_config(tmp_path, "{space: {optimizer.warmup: [5]}}"))
    command = [sys.executable, "-c", HOLDS, str(search.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        try:
            assert first.stdout.readline() == "held\n"
            with pytest.raises(ConfigError, match="tiny-search: another command is at") as raised:
                tune.run(search)
            assert "\n" not in str(raised.value)
            assert not (search.folder / "search.yaml").exists()
        finally:
            first.kill()  # as a crash would
    with locked(search.folder):
        pass


def test_a_cluster_that_does_not_answer_is_one_line(tmp_path):
    path = write_config(tmp_path, "{space: {optimizer.warmup: [5]}}")
    done = CliRunner().invoke(app, ["tune", str(path), "--address", "127.0.0.1:9"])
    assert isinstance(done.exception, UnbraidError)
    assert "no Ray cluster answers at 127.0.0.1:9" in str(done.exception)
    assert not (tmp_path / "runs").exists()
    assert "\n" not in str(done.exception)


def read_results(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_command_ends_trainings_by_the_clock_if_trials_were(tmp_path):
    assert command(Path("a b.yaml"), TRIALS[0], 2.5).endswith("--minutes 2.5")
    assert "--minutes" not in command(Path("a b.yaml"), TRIALS[0], None)
    assert "'a b.yaml'" in command(Path("a b.yaml"), TRIALS[0], None)
