"""Runs that go on: what they keep, what of it holds, and what is no checkpoint of theirs."""

from __future__ import annotations

import errno
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

from training_tree import kept, last, quick_tree, scalars, train
from unbraid.errors import AudioError, ConfigError, DataError, ModelError, UnbraidError
from unbraid.models.checkpoint import read_info
from unbraid.training import fit
from unbraid.training.lock import locked

SOUNDS = ("mixture", "vocals", "accompaniment")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quick_tree(tmp_path_factory.mktemp("tree"))


def train_until_ctrl_c(tree: Path, folder: Path, ends: Callback) -> None:
    """With the signal's handler as it was, which Lightning changes when it is interrupted."""
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit):
            train(tree, folder, callbacks=[ends])
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def finished(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    train(tree, folder)
    return folder


class Ends(Callback):
    """Ends a run from outside after a step, in the midst of an epoch."""

    def __init__(self, step: int, error: BaseException) -> None:
        self._step, self._error = step, error

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self._step:
            raise self._error


def test_last_checkpoint_of_a_short_run_is_its_end(finished: Path) -> None:
    assert kept(finished)["global_step"] == 4


def test_last_checkpoint_is_written_at_each_validation(tree: Path, tmp_path: Path) -> None:
    error = ModelError("the weights are no good")  # so that nothing is kept at the end
    with pytest.raises(ModelError, match="no good"):
        train(tree, tmp_path, callbacks=[Ends(3, error)])
    assert kept(tmp_path)["global_step"] == 2


def test_last_checkpoint_is_written_by_the_clock(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "KEPT_EVERY", 0)
    with pytest.raises(ModelError):
        train(tree, tmp_path, "run.steps_per_epoch=4", callbacks=[Ends(3, ModelError("bad"))])
    assert kept(tmp_path)["global_step"] == 2  # the third step ended before it was kept


def test_ctrl_c_keeps_the_run_and_says_how_to_go_on(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_until_ctrl_c(tree, tmp_path, Ends(3, KeyboardInterrupt()))
    assert kept(tmp_path)["global_step"] == 3
    assert f"to go on: the same command with --resume {last(tmp_path)}\n" in capsys.readouterr().err
    train(tree, tmp_path, resume=last(tmp_path))
    assert kept(tmp_path)["global_step"] == 4


class EndsValidation(Callback):
    """Ends a run by Ctrl-C in the midst of its first validation."""

    def on_validation_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step:
            raise KeyboardInterrupt


def test_ctrl_c_before_the_first_checkpoint_says_that_nothing_is_kept(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_until_ctrl_c(tree, tmp_path, EndsValidation())
    assert not last(tmp_path).exists()
    said = f"ended before the first checkpoint: {last(tmp_path)} is not there\n"
    assert said in capsys.readouterr().err


def test_what_ends_a_run_from_outside_keeps_it(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone"):
        train(tree, tmp_path, callbacks=[Ends(3, DataError("gone"))])
    assert kept(tmp_path)["global_step"] == 3


class Removes(Callback):
    """Takes music away while a run draws from it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def test_songs_that_vanish_end_a_run_in_one_line(tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree / "music", tmp_path / "music")
    words = [f"data.stems.accompaniment.all.path={tmp_path}/music", "data.workers=1"]
    with pytest.raises(AudioError, match=r"^\S+/music/.\.wav: no such file") as raised:
        train(tree, tmp_path, *words, "run.steps=99", callbacks=[Removes(tmp_path / "music")])
    assert "\n" not in str(raised.value)


def test_a_full_disk_ends_a_run_in_one_line_and_leaves_the_checkpoint_before(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def fill(path: Path, content: bytes) -> int:
        assert isinstance(content, bytes)  # Python 3.12.1 crashes on views that errors keep
        if last(tmp_path).is_file():
            write(path, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fill)
    file = r"\S+(best|last)\.ckpt"
    told = f"tiny ended: No space left on device: {file}; mend that, and go on .*--resume"
    with pytest.raises(UnbraidError, match=told) as raised:
        train(tree, tmp_path)
    assert "\n" not in str(raised.value)
    assert kept(tmp_path)["global_step"] == 2
    left = sorted(path.name for path in last(tmp_path).parent.iterdir())
    assert left == ["best.ckpt", "last.ckpt"]


def test_logs_that_a_full_disk_does_not_take_end_a_run_in_one_line_alone(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(writer: RecordWriter, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RecordWriter, "write", fill)
    said: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    with pytest.raises(UnbraidError, match="tiny ended: No space left on device; mend that"):
        train(tree, tmp_path)
    assert said == []


def test_sounds_go_to_tensorboard_at_each_validation_but_the_mixture_once(finished: Path) -> None:
    events = EventAccumulator(str(finished / "tiny" / "tensorboard"), {"audio": 0, "images": 0})
    events.Reload()
    for sent in (events.Audio, events.Images):
        steps = {sound: [each.step for each in sent(f"one/{sound}")] for sound in SOUNDS}
        assert steps == {"mixture": [2], "vocals": [2, 4], "accompaniment": [2, 4]}


def test_a_run_goes_on_with_the_rate_and_decay_of_the_configuration(
    tree: Path, finished: Path, tmp_path: Path
) -> None:
    words = ["run.steps=6", "optimizer.learning_rate=1e-12", "optimizer.weight_decay=0.5"]
    train(tree, tmp_path, *words, resume=last(finished))
    before, after = kept(finished), kept(tmp_path)
    assert after["global_step"] == 6
    for name, weight in before["current_model_state"].items():
        torch.testing.assert_close(after["current_model_state"][name], weight)
    (group,) = after["optimizer_states"][0]["param_groups"]
    assert group["lr"] == pytest.approx(1e-12)
    assert group["weight_decay"] == 0.5


def test_a_run_goes_on_with_the_kind_of_decay_of_the_configuration(
    tree: Path, tmp_path: Path
) -> None:
    train(tree, tmp_path, "run.steps=1", "optimizer.name=adamw")
    train(tree, tmp_path, "run.steps=2", "optimizer.name=adam", resume=last(tmp_path))
    (group,) = kept(tmp_path)["optimizer_states"][0]["param_groups"]
    assert not group["decoupled_weight_decay"]


def test_a_timed_run_goes_on_by_the_clock(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError):
        train(tree, tmp_path, minutes=0.01, callbacks=[Ends(1, DataError("gone"))])
    capsys.readouterr()
    train(tree, tmp_path, "run.steps_per_epoch=1000000", resume=last(tmp_path))
    (line,) = [said for said in capsys.readouterr().err.splitlines() if "--minutes" in said]
    assert line == "a run of 0.01 minutes goes on; --minutes N changes that"
    assert kept(tmp_path)["callbacks"]["Clock"]["minutes"] == 0.01


@pytest.mark.parametrize("moved", [False, True])
def test_a_run_that_goes_on_keeps_the_best_weights_before(
    tree: Path, tmp_path: Path, moved: bool
) -> None:
    folder = tmp_path / "runs"
    before = read_info(train(tree, folder, "run.steps=2"))
    if moved:
        folder = folder.rename(tmp_path / "elsewhere")
    after = train(tree, folder, "optimizer.learning_rate=100", resume=last(folder))
    best, worse = scalars(folder, "valid/sdr")
    assert worse < best
    assert read_info(after).sha256 == before.sha256


def test_another_run_that_goes_on_from_a_checkpoint_has_a_best_of_its_own(
    tree: Path, finished: Path, tmp_path: Path
) -> None:
    train(tree, tmp_path, "run.steps=6", resume=last(finished))
    assert torch.load(last(tmp_path).with_name("best.ckpt"), weights_only=True)["global_step"] == 6


def test_patience_goes_on_as_the_configuration_says(tree: Path, tmp_path: Path) -> None:
    words = ["run.steps=100", "optimizer.learning_rate=1e-12"]
    train(tree, tmp_path, *words, "run.patience=1")
    assert kept(tmp_path)["global_step"] == 4
    train(tree, tmp_path, *words, "run.patience=3", resume=last(tmp_path))
    assert kept(tmp_path)["global_step"] == 8


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_run_that_goes_on_in_the_midst_of_an_epoch_warns_of_nothing(
    tree: Path, tmp_path: Path
) -> None:
    train(tree, tmp_path, "run.steps=3")
    train(tree, tmp_path, resume=last(tmp_path))


def test_the_progress_line_tells_the_trial_and_counts_to_no_last_epoch(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tree, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("Epoch 1  ") for line in lines)
    assert not any("/-" in line for line in lines)
    shown = [line.split("━")[0].strip() for line in lines]
    assert [line for line in shown if line] == ["Trial", "Epoch 1"]


def test_a_run_is_not_written_over(tree: Path, finished: Path) -> None:
    weights = (finished / "tiny" / "tiny.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=r"tiny: holds a run; .*name=.*--resume .*last\.ckpt"):
        train(tree, finished, "optimizer.learning_rate=0.5")
    assert (finished / "tiny" / "tiny.safetensors").read_bytes() == weights
    train(tree, finished, "name=another", "run.steps=1")
    of_another = finished / "another" / "checkpoints" / "last.ckpt"
    with pytest.raises(ConfigError, match="tiny: holds a run"):
        train(tree, finished, resume=of_another)
    assert (finished / "tiny" / "tiny.safetensors").read_bytes() == weights


class Seconds(Callback):
    """Begins the same run once more before the first step."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self._arguments = (tree, folder)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        assert not list(last(self._arguments[1]).parent.glob("*"))
        with pytest.raises(ConfigError, match="tiny: another command is at work here; ") as raised:
            train(*self._arguments)
        assert "\n" not in str(raised.value)
        raise DataError("refused")


def test_two_runs_do_not_work_in_one_folder(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="refused"):
        train(tree, tmp_path, callbacks=[Seconds(tree, tmp_path)])
    train(tree, tmp_path, "run.steps=1")
    assert not (tmp_path / "tiny" / ".lock").exists()


def test_a_lock_of_what_was_killed_holds_nobody(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / ".lock").touch()
    with locked(tmp_path / "tiny"):
        pass
    assert not list((tmp_path / "tiny").iterdir())


@pytest.fixture
def junk(tmp_path: Path, finished: Path) -> dict[str, Path]:
    whole = last(finished).read_bytes()
    files = {"text": b"hello", "empty": b"", "half": whole[: len(whole) // 2]}
    paths = {name: tmp_path / name for name in files}
    for name, content in files.items():
        paths[name].write_bytes(content)
    paths["other"] = tmp_path / "other"
    torch.save({"weights": torch.zeros(1)}, paths["other"])
    paths["code"] = tmp_path / "code"
    torch.save({"state_dict": Path("here")}, paths["code"])
    return {**paths, "weights": finished / "tiny" / "tiny.safetensors"}


@pytest.mark.parametrize("kind", ["text", "empty", "half", "other", "code", "weights"])
def test_what_is_no_checkpoint_is_refused_in_one_line(
    tree: Path, tmp_path: Path, junk: dict[str, Path], kind: str
) -> None:
    with pytest.raises(ModelError, match=f"^--resume {junk[kind]}: no checkpoint") as raised:
        train(tree, tmp_path / "runs", resume=junk[kind])
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("word", ["model.channels=[5]", "model.kernel=9", "model.channels=[4,4]"])
def test_checkpoint_of_another_network_is_refused_in_one_line(
    tree: Path, finished: Path, word: str
) -> None:
    config = finished / "tiny" / "config.yaml"
    before = config.read_bytes()
    with pytest.raises(ModelError, match=r"of another network, .*'channels': \[4\]") as raised:
        train(tree, finished, word, resume=last(finished))
    assert "\n" not in str(raised.value)
    assert config.read_bytes() == before
