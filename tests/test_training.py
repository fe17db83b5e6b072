"""Training runs on a synthetic tree: what they write, resume, refuse."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from lightning.fabric.utilities import move_data_to_device
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training_tree import RATE, scalars, training_tree
from unbraid import Separator
from unbraid.data.conditions import treated
from unbraid.data.sampling import Place
from unbraid.data.tracks import find_tracks, load_track
from unbraid.errors import ConfigError, DataError, ModelError, UnbraidError
from unbraid.evaluation import below
from unbraid.models import build, checkpoint
from unbraid.models.checkpoint import load
from unbraid.training import fit
from unbraid.training.config import read_config
from unbraid.training.losses import separation_loss
from unbraid.training.music import Music
from unbraid.training.task import SeparationTask


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training_tree(tmp_path_factory.mktemp("tree"))


def train(tree: Path, folder: Path, *overrides: str, **options: object) -> Path:
    return fit.run(tree / "tiny.yaml", [f"run.folder={folder}", *overrides], **options)


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
    logged = set(tags.Tags()["scalars"])
    assert {"train/loss", "valid/vocals/si_sdr", "songs/two (mono)/vocals"} <= logged
    assert "valid/leakage" not in logged  # no instrumentals are left out


def test_the_score_is_the_median_over_songs_and_conditions(finished: Path) -> None:
    keys = [f"songs/{song} ({way})/vocals" for song in ("one", "two") for way in ("as is", "mono")]
    of_songs = np.array([scalars(finished, key) for key in keys])
    assert of_songs.shape == (4, 2)
    assert scalars(finished, "valid/sdr") == pytest.approx(np.median(of_songs, 0), abs=1e-4)


def test_run_leaves_the_arithmetic_as_it_was(finished: Path) -> None:
    tiny = torch.tensor(1e-40)
    assert tiny / 2 > 0  # denormals were flushed during the run


def test_run_logs_the_losses_of_each_epoch(finished: Path) -> None:
    for tag in ("train/epoch_loss", "valid/loss"):
        losses = scalars(finished, tag)
        assert len(losses) == 2
        assert losses[1] < losses[0]


def test_validation_loss_is_that_of_the_songs_segments(finished: Path, tree: Path) -> None:
    config = read_config(tree / "tiny.yaml")
    best = torch.load(finished / "tiny" / "checkpoints" / "best.ckpt", weights_only=True)
    settings = dict(config.model)
    model = build(settings.pop("architecture"), **settings)
    model.load_state_dict(
        {name.removeprefix("model."): value for name, value in best["state_dict"].items()}
    )
    losses = []
    for track in find_tracks(tree / "songs"):
        stems = load_track(track, ("vocals",), "accompaniment", RATE)
        for condition in ("as is", "mono"):
            mixture, truth = treated(stems, condition, RATE)
            ours = Separator(model, device="cpu")(mixture, RATE)["vocals"]
            for start in range(0, mixture.shape[1], RATE // 2):
                pair = (
                    x[None, None, :, start : start + RATE // 2] for x in (ours, truth["vocals"])
                )
                losses.append(separation_loss(*map(torch.from_numpy, pair), config.loss)["loss"])
    logged = scalars(finished, "valid/loss")[np.argmax(scalars(finished, "valid/sdr"))]
    assert logged == pytest.approx(float(torch.stack(losses).mean()), rel=1e-3)


def test_leakage_is_that_of_the_middles_of_instrumentals(tree: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    seconds = (14, 1, 3)
    for number, length in enumerate(seconds):
        audio = rng.standard_normal((length * RATE, 2)) * 0.1
        if length > 12:  # only before its middle does it sound otherwise
            audio[:RATE] = np.sin(np.arange(RATE) * (0.05 + number))[:, None]
        soundfile.write(tmp_path / f"{number}.wav", audio, RATE)
    config = tmp_path / "quick.yaml"
    config.write_text(
        f"""
base: {tree}/tiny.yaml
model: {NETWORKS["conv1d"]}
data: {{instrumentals: [{tmp_path}/0.wav, {tmp_path}]}}
run: {{folder: {tmp_path}, steps: 2, steps_per_epoch: 1, conditions: [as is]}}
"""
    )
    weights = fit.run(config)

    separator = Separator.from_pretrained(weights, device="cpu")
    levels = []
    for number, length in enumerate(seconds):
        audio = soundfile.read(tmp_path / f"{number}.wav", dtype="float32")[0].T
        start = max(0, length - 12) * RATE // 2
        middle = audio[:, start : start + 12 * RATE]
        levels.append(below(middle, separator(middle, RATE)["vocals"]))
    logged = scalars(tmp_path, "valid/leakage")
    assert len(logged) == 2
    best = logged[np.argmax(scalars(tmp_path, "valid/sdr"))]
    assert best == pytest.approx(np.median(levels), abs=0.05)  # the file holds half precision


def test_validation_music_stays_where_numpy_reads_it(tree: Path) -> None:
    config = read_config(tree / "tiny.yaml", [f"data.instrumentals=[{tree}/music/a.wav]"]).data
    music = Music(config, build("conv1d").config, 0, 0, Place())
    songs, instrumentals = (next(iter(each)) for each in music.val_dataloader())
    device = torch.device("meta")  # like a GPU: NumPy cannot read it
    assert move_data_to_device(songs, device)["stems"]["vocals"].shape == (2, RATE)
    mixture, _ = treated(move_data_to_device(songs, device)["stems"], "as is", RATE)
    assert mixture.any()
    assert np.any(move_data_to_device(instrumentals, device)["mixture"])


NETWORKS = {
    "conv1d": "{architecture: conv1d, channels: [4], kernel: 7}",
    "dprnn": "{architecture: dprnn, features: 8, hidden: 8, blocks: 1, maps: 1}",
    "causal dprnn": "{architecture: dprnn, features: 8, hidden: 8, blocks: 1, causal: true}",
    "openunmix": "{architecture: openunmix, hidden: 8, layers: 2}",
}


@pytest.mark.parametrize("network", NETWORKS)
def test_other_networks_train_through_the_same_run(
    tree: Path, tmp_path: Path, network: str
) -> None:
    """As the report did it: plain Adam, and the validation loss picks the best."""
    config = tmp_path / "network.yaml"
    optimizer = "{name: adam, schedule: constant, learning_rate: 0.005, weight_decay: 0, ema: 0}"
    config.write_text(
        f"""
base: {tree}/tiny.yaml
model: {NETWORKS[network]}
data: {{seconds: 0.25}}
loss: {{waveform: 0, spectrum: 0, waveform_mse: 1, complex_mse: 1, log_magnitude: 0.001}}
optimizer: {optimizer}
run: {{folder: {tmp_path}, epochs: 4, steps_per_epoch: 5, monitor: valid/loss, conditions: [as is]}}
"""
    )
    weights = fit.run(config)
    assert checkpoint.read_info(weights).architecture == network.split()[-1]
    losses = scalars(tmp_path, "valid/loss")
    assert len(losses) == 4
    assert min(losses[1:]) < losses[0]
    best = torch.load(tmp_path / "tiny" / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["epoch"] == np.argmin(losses)
    mixture = np.random.default_rng(0).standard_normal((2, 1000)).astype(np.float32)
    stems = Separator.from_pretrained(weights)(mixture, RATE)
    np.testing.assert_allclose(sum(stems.values()), mixture, atol=1e-5)


def test_schedules(tree: Path) -> None:
    rates = {}
    for schedule, done in (("constant", 0.0), ("cosine", 0.05), ("cosine", 0.5)):
        words = [f"optimizer.schedule={schedule}", "optimizer.name=adam", "optimizer.warmup=4"]
        config = read_config(tree / "tiny.yaml", words)
        task = SeparationTask(build("conv1d", channels=(1,)), config, lambda done=done: done)
        made = task.configure_optimizers()
        assert type(made["optimizer"]) is torch.optim.Adam
        rates[done] = [made["lr_scheduler"]["scheduler"].get_last_lr()[0]]
        for _ in range(4):
            made["optimizer"].step()
            made["lr_scheduler"]["scheduler"].step()
            rates[done].append(made["lr_scheduler"]["scheduler"].get_last_lr()[0])
    assert rates[0.0] == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01])
    # half of the longest warm-up is over, and the cosine has hardly begun to fall
    assert rates[0.05] == pytest.approx([0.005, 0.005, 0.0075, 0.01, 0.01], rel=0.01)
    assert rates[0.5] == pytest.approx([0.005] * 5)


def test_run_keeps_its_configuration(finished: Path, tree: Path) -> None:
    kept = read_config(finished / "tiny" / "config.yaml")
    assert kept.data == read_config(tree / "tiny.yaml").data


def test_resumed_run_goes_on(finished: Path, tree: Path, tmp_path: Path) -> None:
    last = finished / "tiny" / "checkpoints" / "best.ckpt"
    step = torch.load(last, weights_only=True)["global_step"]
    train(tree, tmp_path, "run.steps=45", resume=last)
    best = torch.load(tmp_path / "tiny" / "checkpoints" / "best.ckpt", weights_only=True)
    assert step < best["global_step"] <= 45


def test_two_halves_of_a_batch_accumulate_to_the_whole(tree: Path, tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    few = ["run.steps=2", "run.steps_per_epoch=1", "run.conditions=[as is]"]
    train(tree, whole, "data.batch_size=4", *few)
    train(tree, halves, "data.batch_size=2", "run.accumulate=2", *few)
    assert scalars(halves, "valid/loss") == pytest.approx(scalars(whole, "valid/loss"), rel=1e-4)
    one, two = (load(folder / "tiny" / "tiny.safetensors") for folder in (whole, halves))
    for name, weight in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], weight, rtol=1e-2, atol=1e-3)


def test_a_run_begins_with_the_weights_of_another(
    finished: Path, tree: Path, tmp_path: Path
) -> None:
    first = finished / "tiny" / "tiny.safetensors"
    train(
        tree,
        tmp_path,
        f"run.init={first}",
        "optimizer.learning_rate=1e-12",
        "run.steps=1",
        "run.steps_per_epoch=1",
        "run.conditions=[as is]",
    )
    second = tmp_path / "tiny" / "tiny.safetensors"
    weights = load(second).state_dict()
    for name, weight in load(first).state_dict().items():
        torch.testing.assert_close(weights[name], weight)
    source = checkpoint.read_info(first)
    card = checkpoint.read_info(second).data
    assert card.startswith("tones and noise; begun with tiny")
    assert source.sha256 in card
    assert source.licence in card


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("{features: 12}", "features=8, not 12"),
        ("{architecture: conv1d}", "holds bandsplit, but model.architecture is conv1d"),
    ],
)
def test_weights_of_another_network_are_no_beginning(
    finished: Path, tree: Path, tmp_path: Path, network: str, message: str
) -> None:
    first = finished / "tiny" / "tiny.safetensors"
    config = tmp_path / "mine.yaml"
    config.write_text(
        f"base: {tree}/tiny.yaml\nmodel: {network}\nrun: {{folder: {tmp_path}/runs, init: {first}}}"
    )
    with pytest.raises(ModelError, match=message) as raised:
        fit.run(config)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "runs").exists()


def test_minutes_end_a_run(tree: Path, tmp_path: Path) -> None:
    weights = train(tree, tmp_path, "run.steps_per_epoch=1000000", minutes=0.01)
    assert weights.is_file()
    assert len(scalars(tmp_path, "valid/sdr")) == 1


def test_patience_ends_a_run(tree: Path, tmp_path: Path) -> None:
    train(
        tree,
        tmp_path,
        "run.patience=1",
        "run.conditions=[as is]",
        "run.steps=1000",
        "run.steps_per_epoch=1",
        "optimizer.learning_rate=1e-12",
    )
    assert len(scalars(tmp_path, "valid/sdr")) < 10


def test_loss_that_is_not_finite_ends_the_run(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not finite at step.*learning_rate"):
        train(tree, tmp_path, "loss.waveform=1e300")


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["data.batchsize=2"], ConfigError, "batchsize"),
        (["data.batch_size=two"], ConfigError, "batch_size"),
        (["model.featurs=2"], ConfigError, "no setting 'featurs'.*features"),
        (["model.architecture=lstm"], ModelError, "no architecture 'lstm'.*bandsplit"),
        (["data.valid=/nowhere"], DataError, "^data.valid: /nowhere: no audio"),
        (["data.instrumentals=[/nowhere]"], DataError, "^data.instrumentals: /nowhere"),
        (["data.songs.mine.path=/nowhere"], DataError, "^data.songs.mine: /nowhere"),
        (["data.stems.vocals.all.path=/nowhere"], DataError, "^data.stems.vocals.all: /nowhere"),
        (["run.conditions=[vinyl]"], ConfigError, "vinyl"),
        (["optimizer.name=sgd"], ConfigError, "no optimizer.name 'sgd'.*adamw, adam"),
        (["optimizer.schedule=linear"], ConfigError, "'linear'.*cosine, constant"),
        (["run.monitor=valid/si_sdr"], ConfigError, "valid/si_sdr.*valid/loss"),
        (["run.precision=half"], ConfigError, "no run.precision 'half'.*bf16-mixed"),
        (["run.accumulate=0"], ConfigError, "run.accumulate must be at least 1"),
        (["run.init=nowhere"], ModelError, "no model 'nowhere'"),
        (["loss.waveform=0", "loss.spectrum=0"], ConfigError, "every weight is 0"),
    ],
)
def test_mistakes_show_before_anything_is_written(
    tree: Path, tmp_path: Path, overrides: list[str], error: type[UnbraidError], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        train(tree, tmp_path, *overrides)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_missing_checkpoint(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such checkpoint"):
        train(tree, tmp_path, resume=tmp_path / "missing.ckpt")
