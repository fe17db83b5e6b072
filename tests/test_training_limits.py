"""Settings and songs that cannot be trained with: one line before anything is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from training_tree import RATE, training_tree
from unbraid.errors import ConfigError, DataError
from unbraid.training import fit
from unbraid.training.config import read_config


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = training_tree(tmp_path_factory.mktemp("tree"))
    (root / "quick.yaml").write_text(
        f"base: {root}/tiny.yaml\nmodel: {{architecture: conv1d, channels: [4]}}\n"
        "run: {steps: 2, steps_per_epoch: 1, conditions: [as is]}"
    )
    return root


IMPOSSIBLE = {
    "run.steps=0": "run.steps must be at least 1, not 0",
    "run.epochs=0": "run.epochs must be at least 1, not 0",
    "run.steps_per_epoch=0": "run.steps_per_epoch must be at least 1",
    "run.patience=-1": "run.patience must be at least 1",
    "run.seed=-1": "run.seed must be from 0",
    "run.accelerator=tpux": "no run.accelerator 'tpux'; there are: auto, cpu",
    "run.conditions=[]": "run.conditions is empty",
    "run.precision=16-true": "no run.precision '16-true'; there are: 32-true, 16-mixed, bf16-mixed",
    "optimizer.ema=2": "optimizer.ema must be at least 0 and below 1, not 2",
    "optimizer.learning_rate=-1": "optimizer.learning_rate must be above 0, not -1",
    "optimizer.learning_rate=.nan": "optimizer.learning_rate must be above 0, not nan",
    "optimizer.weight_decay=-1": "optimizer.weight_decay must be at least 0",
    "optimizer.warmup=-1": "optimizer.warmup must be at least 0",
    "optimizer.clip=-1": "optimizer.clip must be at least 0",
    "name=a/b": "name 'a/b': give the name of a file, and run.folder=",
    "name=..": r"name '\.\.': give the name of a file",
    "run.conditions=[vinyl]": "no run.conditions 'vinyl'; there are: as is, 16 kHz",
    "loss.waveform=-1": "loss.waveform must be at least 0, not -1",
    "loss.waveform=.nan": "loss.waveform must be at least 0, not nan",
    "teacher.highest=0": "teacher.highest must be above 0, not 0",
    "data.augment.balance_decibels=.nan": "data.augment.balance_decibels must be a number, not nan",
    "loss.resolutions=[0]": "loss.resolutions must be at least 4, not 0",
    "data.batch_size=0": "data.batch_size must be at least 1, not 0",
    "data.seconds=-1": "data.seconds must be at least 0.25, not -1",
    "data.seconds=0.05": "data.seconds must be at least 0.25, not 0.05",
    "data.workers=-1": "data.workers must be at least 0, not -1",
    "data.stems.vocals.all.share=0": "data.stems.vocals: every share is 0",
    "data.stems.vocals.all.share=-1": "data.stems.vocals.all.share must be at least 0, not -1",
    "data.augment.peak_decibels=[0,-18]": r"data.augment.peak_decibels must rise, not \[0, -18\]",
    "data.augment.silent=2": "data.augment.silent must be from 0 to 1, not 2",
    "data.augment=0": "quick.yaml: data.augment: holds settings of its own, and is no value",
    "data.augment.peak_decibels=[0]": "data.augment.peak_decibels: give as many values as",
    "run.conditions=mono": "run.conditions: give a list",
    "data.augment.semitones=-1": "data.augment.semitones must be at least 0",
}


@pytest.mark.parametrize("word", IMPOSSIBLE)
def test_impossible_numbers_are_named(tree: Path, word: str) -> None:
    with pytest.raises(ConfigError, match=IMPOSSIBLE[word]) as raised:
        read_config(tree / "quick.yaml", [word])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", [".", "/", "..", ""])
def test_a_folder_is_no_configuration(name: str) -> None:
    with pytest.raises(ConfigError, match="no such file, and no shipped configuration"):
        read_config(Path(name))


def test_shares_of_songs_stand_in_for_those_of_a_stem(tree: Path) -> None:
    songs = f"data.songs.mine={{path: {tree}/songs, share: 1}}"
    unused = "data.stems.vocals.all.share=0"
    assert read_config(tree / "quick.yaml", [songs, unused]).data.songs["mine"].share == 1
    with pytest.raises(ConfigError, match=r"data\.songs: every share is 0"):
        read_config(tree / "quick.yaml", [songs, "data.songs.mine.share=0", "data.shuffle=false"])


@pytest.mark.parametrize("value", ["abc", "[[4]]", "4"])
def test_impossible_network_is_one_line(tree: Path, tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"conv1d cannot be made with channels=.*") as raised:
        fit.run(tree / "quick.yaml", [f"run.folder={tmp_path}/runs", f"model.channels={value}"])
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "runs").exists()


def test_a_window_longer_than_a_segment_is_one_line(tree: Path, tmp_path: Path) -> None:
    longest = RATE // 2
    message = f"^loss.resolutions must be at most {longest}, the samples of data.seconds=0.5, not "
    with pytest.raises(ConfigError, match=message) as raised:
        fit.run(
            tree / "quick.yaml",
            [f"run.folder={tmp_path}/runs", f"loss.resolutions=[{longest + 2},64]"],
        )
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("minutes", [0, -1.0, float("nan")])
def test_no_minutes_are_no_run(tree: Path, tmp_path: Path, minutes: float) -> None:
    with pytest.raises(ConfigError, match="--minutes must be above 0, not"):
        fit.run(tree / "quick.yaml", [f"run.folder={tmp_path}/runs"], minutes)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("taken", ["runs", "runs/tiny"])
def test_a_file_is_no_folder_for_runs(tree: Path, tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).touch()
    with pytest.raises(ConfigError, match=r"tiny: cannot be written to .*run\.folder"):
        fit.run(tree / "quick.yaml", [f"run.folder={tmp_path}/runs"])


def test_a_cache_that_takes_nothing_is_named(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for cache in (tmp_path / "file", tmp_path / "file" / "deep"):
        with pytest.raises(ConfigError, match=r"^data\.cache: .*; make room, or give"):
            fit.run(tree / "quick.yaml", [f"run.folder={tmp_path}/runs", f"data.cache={cache}"])
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_cannot_be_is_one_line(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be written to .*run\.folder"):
        fit.run(tree / "quick.yaml", [f"run.folder={tmp_path}/{'a' * 300}"])


def test_a_missing_accelerator_is_one_line(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^run\.accelerator 'mps': ") as raised:
        fit.run(tree / "quick.yaml", [f"run.folder={tmp_path}/runs", "run.accelerator=mps"])
    assert "\n" not in str(raised.value)


def refused(tree: Path, tmp_path: Path, setting: str, value: str) -> str:
    words = [f"run.folder={tmp_path}/runs", f"{setting}={value}"]
    with pytest.raises(DataError) as raised:
        fit.run(tree / "quick.yaml", words)
    message = str(raised.value)
    assert message.startswith(f"{setting.removesuffix('.path')}: ")
    assert "\n" not in message
    assert not (tmp_path / "runs").exists()
    return message


def write_damaged(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, np.random.default_rng(0).standard_normal((RATE, 2)) * 0.1, RATE)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)


def test_every_validation_song_is_read_before_training(tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree / "songs", tmp_path / "songs")
    damaged = tmp_path / "songs" / "two" / "vocals.flac"
    damaged.with_suffix(".wav").unlink()
    write_damaged(damaged)
    assert str(damaged) in refused(tree, tmp_path, "data.valid", f"{tmp_path}/songs")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("data.instrumentals", "[{}]"), ("data.stems.accompaniment.all.path", "{}")],
)
def test_damaged_music_is_told_with_its_setting(
    tree: Path, tmp_path: Path, setting: str, value: str
) -> None:
    damaged = tmp_path / "damaged" / "a.flac"
    write_damaged(damaged)
    assert str(damaged) in refused(tree, tmp_path, setting, value.format(damaged.parent))


def test_a_silent_instrumental_is_refused(tree: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros((RATE, 2)), RATE)
    message = refused(tree, tmp_path, "data.instrumentals", f"[{tmp_path}/silent.wav]")
    assert "silent.wav: silent throughout" in message


def test_validation_songs_of_one_name_are_refused(tree: Path, tmp_path: Path) -> None:
    for disc in ("cd1", "cd2"):
        shutil.copytree(tree / "songs" / "one", tmp_path / "songs" / disc / "01")
    assert "two tracks are named '01'" in refused(tree, tmp_path, "data.valid", f"{tmp_path}/songs")


def silenced(tree: Path, songs: Path, *names: str) -> Path:
    shutil.copytree(tree / "songs", songs)
    for name in names:
        soundfile.write(songs / name / "vocals.wav", np.zeros((RATE, 2)), RATE)
    return songs


def test_songs_without_singing_score_nothing(tree: Path, tmp_path: Path) -> None:
    songs = silenced(tree, tmp_path / "songs", "one", "two")
    message = refused(tree, tmp_path, "data.valid", str(songs))
    assert "vocals is silent in all songs" in message
    assert "run.monitor=valid/loss" in message


@pytest.mark.parametrize(
    ("silent", "word"), [(["one"], ""), (["one", "two"], "run.monitor=valid/loss")]
)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_songs_without_singing_may_be_among_others(
    tree: Path, tmp_path: Path, silent: list[str], word: str
) -> None:
    songs = silenced(tree, tmp_path / "songs", *silent)
    words = [f"run.folder={tmp_path}/runs", f"data.valid={songs}", *filter(None, [word])]
    assert fit.run(tree / "quick.yaml", words).is_file()


@pytest.mark.parametrize(
    ("written", "words", "steps"),
    [
        ("", [], 30),
        ("", ["run.steps=50"], 50),
        ("", ["run.steps=50", "run.epochs=2"], 6),
        ("run: {steps: 7}", [], 7),
        ("run: {steps: 7}", ["run.epochs=2"], 6),
        ("run: {epochs: 1}", ["run.steps_per_epoch=5"], 5),
    ],
)
def test_a_length_that_is_stated_later_wins(
    tmp_path: Path, written: str, words: list[str], steps: int
) -> None:
    (tmp_path / "base.yaml").write_text("base: conv1d\nrun: {epochs: 10, steps_per_epoch: 3}")
    (tmp_path / "mine.yaml").write_text(f"base: base.yaml\n{written}")
    assert read_config(tmp_path / "mine.yaml", words).run.steps == steps


@pytest.mark.parametrize(
    ("text", "problem"),
    [("name: a\n\tlicence: b\n", "tab"), ("licence: b\nlicence: c\n", "duplicate key licence")],
)
def test_broken_yaml_is_told_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"mine.yaml: line 2: .*{problem}"):
        read_config(path)


@pytest.mark.parametrize(
    ("written", "setting"),
    [
        ('base: "${x}"', "base"),
        ('base: bandsplit\nrun: {steps: "${x}"}', "run.steps"),
        ('base: bandsplit\nmodel: {architecture: "${x}"}', "model.architecture"),
    ],
)
def test_a_reference_to_nothing_is_one_line(tmp_path: Path, written: str, setting: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(written)
    with pytest.raises(ConfigError) as raised:
        read_config(path)
    assert str(raised.value) == f"{path}: {setting}: Interpolation key 'x' not found"
