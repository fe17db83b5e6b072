"""On a GPU, or one that is pretended: everything is moved where it has to be, and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pretended_gpu import gpu
from training_tree import scalars, training_tree
from unbraid import Separator
from unbraid.errors import ConfigError
from unbraid.evaluation import frame_sdr
from unbraid.models import build
from unbraid.runner import _repeatable
from unbraid.training import fit
from unbraid.training.losses import LossConfig, separation_loss
from unbraid.training.task import SeparationTask

RATE = 44100
NETWORKS = {
    "bandsplit": {"features": 4, "hidden": 4, "blocks": 1, "targets": ["vocals", "drums"]},
    "dprnn": {"features": 4, "hidden": 4, "blocks": 1, "maps": 1},
    "dprnn, causal": {"features": 4, "hidden": 4, "blocks": 1, "maps": 1, "causal": True},
    "openunmix": {"hidden": 4},
    "openunmix, ratio": {"hidden": 4, "own_residual": True},
    "conv1d": {"channels": [4]},
    "spleeter": {
        "widths": [2, 4],
        "heard": 256,
        "extended": 9,
        "level": -16.0,
        "ratio": False,
        "presence": 3,
    },
    "spleeter, ratio": {"widths": [2, 4], "heard": 256, "targets": ["vocals", "drums"]},
}
TERMS = [name for name in vars(LossConfig()) if name != "resolutions"]


@pytest.fixture(autouse=True)
def with_gpu() -> Iterator[None]:
    """All tests have one."""
    with gpu():
        yield


def network(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return build(name.split(",")[0], **NETWORKS[name])


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)


@pytest.mark.parametrize("precision", ["auto", "float32"])
@pytest.mark.parametrize("name", NETWORKS)
def test_stems_are_those_of_the_processor(name: str, precision: str) -> None:
    song = noise(2, RATE)
    separator = Separator(network(name), precision=precision, segment=0.5, batch_size=2)
    assert separator.device.type == "cuda"
    stems = separator(song, RATE)
    expected = Separator(network(name), "cpu", segment=0.5, precision="float32")(song, RATE)
    for stem in separator.stems:
        error = np.abs(stems[stem] - expected[stem]).max() / np.abs(expected[stem]).max()
        assert error < (1e-3 if precision == "float32" else 0.1), stem


def test_files_and_filter(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", noise(RATE), 48000)
    separator = Separator(network("spleeter"), "cuda:0", segment=0.5, wiener=1)
    stems = separator.separate_file(tmp_path / "song.wav", tmp_path)
    written = [soundfile.read(path, dtype="int16")[0] for path in stems.values()]
    np.testing.assert_array_equal(
        sum(written), soundfile.read(tmp_path / "song.wav", dtype="int16")[0]
    )


def test_tensors_come_back_to_the_device_they_came_from() -> None:
    song = torch.from_numpy(noise(2, RATE)).to("cuda")
    stems = Separator(network("conv1d"), "cuda")(song, RATE)
    assert all(stem.is_cuda for stem in stems.values())
    torch.testing.assert_close(sum(stems.values()), song, atol=1e-6, rtol=0)


def test_the_same_bits_every_time(monkeypatch) -> None:
    """By cuDNN's algorithms that have them, whose use is up to the program again afterwards."""
    made, asked = build("conv1d"), []
    made.register_forward_hook(lambda *_: asked.append(torch.backends.cudnn.deterministic))
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    Separator(made, "cuda", segment=0.1)(noise(2, 100), RATE)
    assert asked == [True]
    assert not torch.backends.cudnn.deterministic
    with _repeatable:
        Separator(made, "cuda", segment=0.1)(noise(2, 100), RATE)  # as in another thread
        assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.deterministic


def test_the_precision_is_that_of_the_gpu_that_is_asked_for(monkeypatch) -> None:
    current = []

    @contextmanager
    def device(chosen: torch.device) -> Iterator[None]:
        current.append(chosen.index)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr("unbraid.runner._fault", lambda device: None)  # the second may not be there
    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: current == [1])
    made = build("conv1d")
    monkeypatch.setattr(made, "to", lambda device: made)
    assert Separator(made, "cuda:0").precision == "float32"
    assert Separator(made, "cuda:1").precision == "bfloat16"


@pytest.mark.parametrize("term", TERMS)
def test_every_term_of_the_loss_has_gradients(term: str) -> None:
    targets, estimates = torch.from_numpy(noise(2, 1, 1, 2, 8192)).to("cuda")
    estimates.requires_grad_()
    config = LossConfig(**{**dict.fromkeys(TERMS, 0.0), term: 1.0})
    separation_loss(estimates, targets, config)["loss"].backward()
    assert estimates.grad is not None and estimates.grad.any()


def test_scores_are_those_of_the_processor() -> None:
    true, separated = noise(2, 2, RATE)
    moved = [torch.from_numpy(audio).to("cuda") for audio in (true, separated)]
    np.testing.assert_allclose(frame_sdr(*moved, RATE), frame_sdr(true, separated, RATE))


def test_a_network_is_trained_with_a_teacher_and_validated(
    tmp_path: Path, monkeypatch, model: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)  # which takes seconds
    tree = training_tree(tmp_path)
    settings = ["run.accelerator=gpu", "run.precision=16-mixed", f"teacher.model={model}"]
    brief = ["run.steps=1", "run.steps_per_epoch=1", "run.conditions=[as is]", "data.seconds=0.25"]
    fit.run(tree / "tiny.yaml", [f"run.folder={tmp_path}/runs", *settings, *brief])
    assert np.isfinite(scalars(tmp_path / "runs", "valid/loss")).all()


def test_a_training_that_memory_does_not_hold_is_one_line(tmp_path: Path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(SeparationTask, "training_step", fail)
    tree = training_tree(tmp_path)
    with pytest.raises(ConfigError, match=r"does not hold.*data.batch_size=2.*data.seconds=0.5"):
        fit.run(tree / "tiny.yaml", [f"run.folder={tmp_path}/runs", "run.accelerator=gpu"])
