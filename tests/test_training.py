"""Training runs on a synthetic tree: what they write, resume, refuse."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from unbraid import Separator
from unbraid.errors import ConfigError, DataError, ModelError, UnbraidError
from unbraid.models import build, checkpoint
from unbraid.training import fit
from unbraid.training.config import CONFIGS, TrainConfig, read_config
from unbraid.training.losses import LossConfig, separation_loss

RATE = 44100


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Voices are high tones, music is low noise; songs hold both."""
    root = tmp_path_factory.mktemp("tree")
    seconds = np.arange(2 * RATE) / RATE
    rng = np.random.default_rng(0)

    def voice(hertz: float) -> np.ndarray:
        wave = 0.2 * np.sin(2 * np.pi * hertz * seconds) * (1 + np.sin(2 * np.pi * 3 * seconds))
        return np.stack([wave, wave], 1)

    def music() -> np.ndarray:
        return 0.1 * np.cumsum(rng.standard_normal((2 * RATE, 2)) * 0.05, 0).clip(-5, 5)

    for name, audio in {
        "voices/a.wav": voice(1000),
        "voices/b.wav": voice(1500),
        "music/a.wav": music(),
        "music/b.wav": music(),
        "songs/one/vocals.wav": voice(1200),
        "songs/one/accompaniment.wav": music(),
        "songs/two/vocals.wav": voice(900),
        "songs/two/accompaniment.wav": music(),
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, audio, RATE)
    (root / "tiny.yaml").write_text(
        f"""
name: tiny
licence: CC0 1.0
data_card: tones and noise
model: {{architecture: bandsplit, features: 8, hidden: 8, blocks: 1, bands: [[5, 400]]}}
data:
  stems:
    vocals: {{all: {{path: {root}/voices}}}}
    accompaniment: {{all: {{path: {root}/music}}}}
  valid: {root}/songs
  cache: {root}/cache
  seconds: 0.5
  batch_size: 2
  workers: 0
optimizer: {{warmup: 5, learning_rate: 0.01, ema: 0.8}}
run: {{steps: 40, steps_per_epoch: 20, accelerator: cpu, conditions: [as is, mono]}}
"""
    )
    return root


def train(tree: Path, folder: Path, *overrides: str, **options: object) -> Path:
    return fit.run(tree / "tiny.yaml", [f"run.folder={folder}", *overrides], **options)


def scalars(folder: Path, tag: str) -> list[float]:
    events = EventAccumulator(str(folder / "tiny" / "tensorboard"))
    events.Reload()
    return [event.value for event in events.Scalars(tag)]


@pytest.fixture(scope="module")
def finished(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    train(tree, folder)
    return folder


def test_run_writes_weights_that_separate(finished: Path) -> None:
    weights = finished / "tiny" / "tiny.safetensors"
    info = checkpoint.read_info(weights)
    assert (info.licence, info.data) == ("CC0 1.0", "tones and noise")
    mixture = np.random.default_rng(0).standard_normal((2, RATE)).astype(np.float32)
    stems = Separator.from_pretrained(weights)(mixture, RATE)
    np.testing.assert_allclose(sum(stems.values()), mixture, atol=1e-5)


def test_run_learns_and_logs_it(finished: Path) -> None:
    scores = scalars(finished, "valid/sdr")
    assert len(scores) == 2
    assert scores[-1] > scores[0]
    tags = EventAccumulator(str(finished / "tiny" / "tensorboard"))
    tags.Reload()
    assert {"one/vocals", "one/mixture"} <= set(tags.Tags()["images"])
    assert "one/vocals" in tags.Tags()["audio"]
    assert {"train/loss", "valid/vocals/si_sdr", "songs/two (mono)/vocals"} <= set(
        tags.Tags()["scalars"]
    )


def test_run_keeps_its_configuration(finished: Path, tree: Path) -> None:
    kept = read_config(finished / "tiny" / "config.yaml")
    assert kept.data == read_config(tree / "tiny.yaml").data


def test_resumed_run_goes_on(finished: Path, tree: Path, tmp_path: Path) -> None:
    last = finished / "tiny" / "checkpoints" / "best.ckpt"
    step = torch.load(last, weights_only=True)["global_step"]
    train(tree, tmp_path, "run.steps=60", resume=last)
    best = torch.load(tmp_path / "tiny" / "checkpoints" / "best.ckpt", weights_only=True)
    assert step < best["global_step"] <= 60


def test_minutes_end_a_run(tree: Path, tmp_path: Path) -> None:
    weights = train(tree, tmp_path, "run.steps_per_epoch=1000000", minutes=0.05)
    assert weights.is_file()
    assert len(scalars(tmp_path, "valid/sdr")) == 1


def test_patience_ends_a_run(tree: Path, tmp_path: Path) -> None:
    train(
        tree,
        tmp_path,
        "run.patience=1",
        "run.steps=1000",
        "run.steps_per_epoch=1",
        "optimizer.learning_rate=1e-12",
    )
    assert len(scalars(tmp_path, "valid/sdr")) < 10


@pytest.mark.slow
def test_two_processes_train_as_one(tree: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "unbraid", "train", str(tree / "tiny.yaml")]
    command += [f"run.folder={tmp_path}", "run.devices=2", "run.steps=10", "run.steps_per_epoch=10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "tiny" / "tiny.safetensors").is_file()
    songs = [tag for tag in ("one", "two") if scalars(tmp_path, f"songs/{tag} (as is)/vocals")]
    assert songs == ["one", "two"]


def test_loss_that_is_not_finite_ends_the_run(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not finite at step.*learning_rate"):
        train(tree, tmp_path, "loss.waveform=.nan")


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["data.batchsize=2"], ConfigError, "batchsize"),
        (["data.batch_size=two"], ConfigError, "batch_size"),
        (["model.featurs=2"], ConfigError, "no setting 'featurs'.*features"),
        (["model.architecture=lstm"], ModelError, "no architecture 'lstm'.*bandsplit"),
        (["data.valid=/nowhere"], DataError, "/nowhere"),
        (["data.stems.vocals.all.path=/nowhere"], DataError, "/nowhere"),
        (["run.conditions=[vinyl]"], ConfigError, "vinyl"),
    ],
)
def test_mistakes_show_before_anything_is_written(
    tree: Path, tmp_path: Path, overrides: list[str], error: type[UnbraidError], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        train(tree, tmp_path, *overrides)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_missing_configuration_names_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file.*bandsplit"):
        read_config(tmp_path / "missing.yaml")


def test_missing_checkpoint(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such checkpoint"):
        train(tree, tmp_path, resume=tmp_path / "missing.ckpt")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configurations_are_valid(path: Path) -> None:
    config = read_config(Path("configs") / path.name)
    assert isinstance(config, TrainConfig)
    settings = dict(config.model)
    build(settings.pop("architecture"), **settings)


def test_loss_is_zero_only_for_the_truth() -> None:
    targets = torch.randn(2, 1, 2, 9000)
    assert separation_loss(targets, targets, LossConfig())["loss"] == 0
    small, large = (
        separation_loss(targets + error, targets, LossConfig())["loss"] for error in (0.01, 0.1)
    )
    assert 0 < small < large


def test_loss_is_the_sum_of_its_terms() -> None:
    targets, estimates = torch.randn(2, 1, 1, 2, 9000)
    losses = separation_loss(estimates, targets, LossConfig(waveform=2.0, spectrum=0.5))
    expected = 2 * (estimates - targets).abs().mean()
    torch.testing.assert_close(losses["waveform"], expected)
    torch.testing.assert_close(losses["loss"], losses["waveform"] + losses["spectrum"])
