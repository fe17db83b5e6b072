"""A training run from a configuration to a weight file."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
)
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import OmegaConf

from unbraid.errors import ConfigError
from unbraid.models import build, checkpoint
from unbraid.training.config import MONITORS, TrainConfig, read_config
from unbraid.training.music import Music
from unbraid.training.task import SeparationTask


class Clock(Callback):
    """How much of the run is done, by steps or by the wall clock; ends it when all is.

    Args:
        steps: length of the run.
        minutes: its length by the clock, instead; time before a resumption counts.
    """

    def __init__(self, steps: int, minutes: float | None) -> None:
        self._steps, self._minutes = steps, minutes
        self._done = 0.0
        self._elapsed = 0.0
        self._last = time.monotonic()

    def __call__(self) -> float:
        """Finished part of the run, from 0 to 1; the same in all processes."""
        return self._done

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock once everything is loaded."""
        self._last = time.monotonic()

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Advance, and end the run when its time is over."""
        now = time.monotonic()
        self._elapsed, self._last = self._elapsed + now - self._last, now
        if self._minutes is None:
            self._done = trainer.global_step / self._steps
        else:
            self._done = trainer.strategy.broadcast(self._elapsed / (60 * self._minutes))
        if self._done >= 1:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, float]:
        """What a resumed run has to know."""
        return {"elapsed": self._elapsed, "done": self._done}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Go on where the run was left."""
        self._elapsed, self._done = state_dict["elapsed"], state_dict["done"]


def run(
    config_path: Path,
    overrides: Sequence[str] = (),
    minutes: float | None = None,
    resume: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> Path:
    """Train a network.

    Everything the run needs is tried first, with one training and one validation step. The run's
    folder receives the configuration, TensorBoard logs, checkpoints after every five minutes and
    validation, and the weights of the best validation.

    Args:
        config_path: YAML of a `TrainConfig`.
        overrides: `key=value` words that overlay it.
        minutes: length of the run by the clock, to which the schedule is fitted.
        resume: checkpoint of an earlier run to go on from.
        callbacks: more that Lightning calls.

    Returns:
        The best weights, `.safetensors`.

    Raises:
        ConfigError: for an unknown key, an impossible value or a missing checkpoint.
        DataError: if the data lacks something.
        ModelError: if the loss is not finite.
    """
    config = read_config(config_path, overrides)
    if resume and not resume.is_file():
        raise ConfigError(f"{resume}: no such checkpoint; runs keep theirs under checkpoints/")
    with _prepared_machine(config):
        return _train(config, minutes, resume, callbacks)


def _train(
    config: TrainConfig, minutes: float | None, resume: Path | None, callbacks: Sequence[Callback]
) -> Path:
    settings = dict(config.model)
    architecture = settings.pop("architecture", "bandsplit")
    model: Any = build(architecture, **settings)
    clock = Clock(config.run.steps, minutes)
    task = SeparationTask(model, config, clock)
    start = resume.stat().st_mtime_ns % (1 << 31) if resume else 0
    music = Music(config.data, model.config, config.run.seed, start)
    if hasattr(model, "standardize"):
        model.standardize(next(iter(music.train_dataloader()))["mixture"])

    # one step of each kind, so that a mistake shows before hours have passed
    _trainer(config, fast_dev_run=1, logger=False).fit(deepcopy(task), music)
    folder = Path(config.run.folder) / config.name
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(asdict(config)), folder / "config.yaml")
    best = ModelCheckpoint(
        folder / "checkpoints",
        "best",
        monitor=config.run.monitor,
        mode=MONITORS[config.run.monitor],
        enable_version_counter=False,
    )
    trainer = _trainer(
        config,
        logger=TensorBoardLogger(folder, name="tensorboard", version=""),
        callbacks=[*_callbacks(config, folder, clock, best), *callbacks],
        max_epochs=-1,
        limit_train_batches=config.run.steps_per_epoch,
        num_sanity_val_steps=0,
        log_every_n_steps=20,
    )
    trainer.fit(task, music, ckpt_path=resume, weights_only=True)
    weights = folder / f"{config.name}.safetensors"
    if trainer.is_global_zero:
        _export(model, architecture, best.best_model_path, weights, config)
    return weights


@contextmanager
def _prepared_machine(config: TrainConfig) -> Iterator[None]:
    lightning.seed_everything(config.run.seed, workers=True, verbose=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // config.run.devices))
    torch.set_flush_denormal(True)  # denormals make recurrences many times slower
    try:  # keep freed blocks: mapping them anew at each step costs more than the arithmetic
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD
    except OSError:  # not glibc
        pass
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def _trainer(config: TrainConfig, **options: Any) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator=config.run.accelerator,
        devices=config.run.devices,
        precision=config.run.precision,  # type: ignore[arg-type]
        gradient_clip_val=config.optimizer.clip,
        enable_model_summary=False,
        **options,
    )


def _callbacks(
    config: TrainConfig, folder: Path, clock: Clock, best: ModelCheckpoint
) -> list[Callback]:
    callbacks: list[Callback] = [
        clock,
        EMAWeightAveraging(decay=config.optimizer.ema),
        LearningRateMonitor("step"),
        best,
        ModelCheckpoint(
            folder / "checkpoints",
            "last",
            train_time_interval=timedelta(minutes=5),
            enable_version_counter=False,
        ),
    ]
    if config.run.patience is not None:
        monitor = config.run.monitor
        callbacks.append(
            EarlyStopping(monitor, mode=MONITORS[monitor], patience=config.run.patience)
        )
    return callbacks


def _export(
    model: torch.nn.Module, architecture: str, best: str, weights: Path, config: TrainConfig
) -> None:
    state = torch.load(best, map_location="cpu", weights_only=True)["state_dict"]
    model.load_state_dict({name.removeprefix("model."): value for name, value in state.items()})
    checkpoint.save(
        model,
        weights,
        architecture=architecture,
        licence=config.licence,
        data=config.data_card,
        dtype=torch.float16,  # half the size
    )
