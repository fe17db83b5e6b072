"""A small tree of music, a configuration that trains on it, and what came of the training."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader, IterableDataset

from unbraid.models.checkpoint import load
from unbraid.training import fit
from unbraid.training.music import Music

RATE = 44100


def training_tree(root: Path) -> Path:
    """Voices are high tones, music is low noise; songs hold both."""
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
        "songs/one/vocals.wav": voice(1200)[:RATE],  # short, for each is validated on often
        "songs/one/accompaniment.wav": music()[:RATE],
        "songs/two/vocals.wav": voice(900)[:RATE],
        "songs/two/accompaniment.wav": music()[:RATE],
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
run: {{steps: 30, steps_per_epoch: 15, accelerator: cpu, conditions: [as is, mono]}}
"""
    )
    return root


def quick_tree(root: Path) -> Path:
    """The same, and `quick.yaml`: four steps of a few convolutions."""
    training_tree(root)
    (root / "quick.yaml").write_text(
        f"""
base: {root}/tiny.yaml
model: {{architecture: conv1d, channels: [4], kernel: 7}}
optimizer: {{schedule: constant, warmup: 0, weight_decay: 0.01}}
run: {{steps: 4, steps_per_epoch: 2, conditions: [as is]}}
"""
    )
    return root


def train(tree: Path, folder: Path, *overrides: str, **options: Any) -> Path:
    """The quick run, `tiny`, in a folder."""
    return fit.run(tree / "quick.yaml", [f"run.folder={folder}", *overrides], **options)


def last(folder: Path) -> Path:
    """The checkpoint that the run `tiny` in a folder would go on from."""
    return folder / "tiny" / "checkpoints" / "last.ckpt"


def kept(folder: Path) -> dict[str, Any]:
    """What that checkpoint holds."""
    return torch.load(last(folder), weights_only=True)


def scalars(folder: Path, tag: str) -> list[float]:
    """What the run `tiny` in a folder logged."""
    events = EventAccumulator(str(folder / "tiny" / "tensorboard"))
    events.Reload()
    return [event.value for event in events.Scalars(tag)]


class Summed(Music):
    """In one process, what two processes draw: a batch of the first, a batch of the second."""

    def train_dataloader(self) -> DataLoader[Any]:
        """Endless batches of twice the size."""
        first = super().train_dataloader()
        second = copy(first.dataset)
        second.seed = [*second.seed[:-1], 1]
        batches = _Turns(first.dataset, second, self._config.batch_size)
        return DataLoader(batches, 2 * self._config.batch_size)


class _Turns(IterableDataset[dict[str, torch.Tensor]]):
    def __init__(self, first: Any, second: Any, size: int) -> None:
        self._both, self._size = (first, second), size

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        both = [iter(mixtures) for mixtures in self._both]
        while True:
            for mixtures in both:
                for _ in range(self._size):
                    yield next(mixtures)


def trained_as_one(tree: Path, folder: Path, overrides: list[str]) -> None:
    """One process with the summed batch of two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "Music", Summed)
        fit.run(tree / "tiny.yaml", [f"run.folder={folder}", *overrides])


def assert_same_training(one: Path, other: Path) -> None:
    """The runs `tiny` in two folders had the same losses and came to the same weights."""
    for tag in ("train/epoch_loss", "valid/loss", "valid/sdr"):
        assert scalars(one, tag) == pytest.approx(scalars(other, tag), rel=1e-3)
    weights = load(one / "tiny" / "tiny.safetensors").state_dict()
    for name, weight in load(other / "tiny" / "tiny.safetensors").state_dict().items():
        torch.testing.assert_close(weights[name], weight, rtol=1e-2, atol=1e-3)
