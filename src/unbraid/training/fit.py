"""A training run from a configuration to a weight file."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import (
    Callback,
    Checkpoint,
    EMAWeightAveraging,
    LearningRateMonitor,
)
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import OmegaConf

from unbraid.allocator import keep_freed_memory
from unbraid.errors import ConfigError, ModelError
from unbraid.models import build, checkpoint, find
from unbraid.runner import is_out_of_memory
from unbraid.training import processes, weights
from unbraid.training.best import Best, Patience, leave
from unbraid.training.config import TrainConfig, read_config
from unbraid.training.failures import in_one_line
from unbraid.training.lock import locked
from unbraid.training.music import Music
from unbraid.training.saving import WholeFiles
from unbraid.training.task import SeparationTask
from unbraid.training.voice import one_voice

Launch = Callable[[], dict[str, Any]]
KEPT_EVERY = 300  # seconds


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
        self._validated = 0  # steps that were done at the last validation

    def __call__(self) -> float:
        """Finished part of the run, from 0 to 1; the same in all processes."""
        return self._done

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock once everything is loaded; leave a finished run as it is."""
        self._last = time.monotonic()
        self._measure(trainer)
        if self._done >= 1 and self._validated == trainer.global_step:
            longer = "a larger run.steps" if self._minutes is None else "more --minutes"
            leave(trainer, f"at step {trainer.global_step} all is done; {longer}")

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Advance, and end the run when its time is over."""
        now = time.monotonic()
        self._elapsed, self._last = self._elapsed + now - self._last, now
        self._measure(trainer)
        if self._done >= 1:
            trainer.should_stop = True

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Know that these weights are validated."""
        self._validated = trainer.global_step

    def state_dict(self) -> dict[str, float | None]:
        """What a resumed run has to know."""
        return {
            "elapsed": self._elapsed,
            "done": self._done,
            "minutes": self._minutes,
            "validated": self._validated,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the run was left; earlier versions did not keep when it was validated."""
        self._elapsed, self._done = state_dict["elapsed"], state_dict["done"]
        self._validated = state_dict.get("validated", 0)

    def _measure(self, trainer: Any) -> None:
        if self._minutes is None:
            self._done = trainer.global_step / self._steps
        else:
            self._done = trainer.strategy.broadcast(self._elapsed / (60 * self._minutes))


class Last(Checkpoint):
    """Keeps where the run is, to go on from.

    Every five minutes, after each validation, and when the run is ended from outside: by Ctrl-C, or
    by what is neither wrong with the weights nor with the disk that they would be kept on.

    Args:
        path: file to write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept = time.monotonic()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The first five minutes begin once everything is loaded."""
        self._kept = time.monotonic()

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Keep it every five minutes, in all processes at one step."""
        if trainer.strategy.broadcast(time.monotonic() - self._kept >= KEPT_EVERY):
            self._keep(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Keep it with what the validation brought."""
        self._keep(trainer)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Keep it where no other process has to agree and no average stands for the weights."""
        alone = trainer.world_size == 1 and trainer.training
        if alone and trainer.global_step and not isinstance(exception, ModelError | OSError):
            self._keep(trainer)
        stopped = isinstance(exception, KeyboardInterrupt) and trainer.is_global_zero
        if stopped and self.path.is_file():
            print(f"to go on: the same command with --resume {self.path}", file=sys.stderr)
        elif stopped:
            print(f"ended before the first checkpoint: {self.path} is not there", file=sys.stderr)

    def _keep(self, trainer: Any) -> None:
        trainer.save_checkpoint(self.path)
        self._kept = time.monotonic()


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
        minutes: length of the run by the clock, to which the schedule is fitted; None: of the run
            that is resumed, if that one was timed, else the configuration's steps.
        resume: checkpoint of an earlier run to go on from.
        callbacks: more that Lightning calls.

    Returns:
        The best weights, `.safetensors`.

    Raises:
        ConfigError: for an unknown key, an impossible value, a missing checkpoint, batches that the
            device's memory does not hold, or a folder that holds another run, where another command
            is at work, or that cannot be written to.
        DataError: if the data lacks something.
        ModelError: if the loss is not finite, or the checkpoint is damaged or of another network.
    """
    with one_voice():
        config = read_config(config_path, overrides)
        with locked(config.folder) if processes.is_first() else nullcontext():
            return train(config, minutes, resume, callbacks, partial(processes.options, config.run))


def train(
    config: TrainConfig,
    minutes: float | None,
    resume: Path | None,
    callbacks: Sequence[Callback],
    launch: Launch,
) -> Path:
    """What `run` does with the configuration it read, in a folder that is its own.

    Args:
        config: the configuration.
        minutes: length of the run by the clock.
        resume: checkpoint of an earlier run to go on from.
        callbacks: more that Lightning calls.
        launch: makes a trainer's options that say how many processes there are, who starts them,
            and what shows how far it is.
    """
    if minutes is not None and not minutes > 0:
        raise ConfigError(f"--minutes must be above 0, not {minutes:g}")
    if resume and not resume.is_file():
        raise ConfigError(f"{resume}: no such checkpoint; runs keep theirs under checkpoints/")
    _check_folder(config.folder, resume)
    devices = launch()["devices"]
    with _prepared_machine(config.run.seed, devices if isinstance(devices, int) else 1):
        try:
            return _train(config, minutes, resume, callbacks, launch)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise ConfigError(
                f"the device's memory does not hold what a step takes: lower data.batch_size="
                f"{config.data.batch_size}, with run.accumulate for as many examples a step, or "
                f"data.seconds={config.data.seconds:g}"
            ) from error


def _train(
    config: TrainConfig,
    minutes: float | None,
    resume: Path | None,
    callbacks: Sequence[Callback],
    launch: Launch,
) -> Path:
    settings = dict(config.model)
    architecture = settings.pop("architecture", "bandsplit")
    model: Any = build(architecture, **settings)
    card = config.data_card
    if config.run.init is not None:
        card = f"{card}; {weights.begin_with(model, architecture, config.run.init)}"
    if config.teacher.model is not None:
        teacher = checkpoint.read_info(find(config.teacher.model))
        card = f"{card}; taught by {weights.described(teacher)}"
    processes.hush()
    trial = _trainer(config, launch, fast_dev_run=1, logger=False)
    processes.hush_all_but_the_first(trial)
    if resume:
        before = weights.read_run(resume, model)["callbacks"]["Clock"]
        if minutes is None and before.get("minutes") is not None:
            minutes = before["minutes"]
            if before["done"] < 1 and trial.is_global_zero:
                print(
                    f"a run of {minutes:g} minutes goes on; --minutes N changes that",
                    file=sys.stderr,
                )
    clock = Clock(config.run.steps, minutes)
    task = SeparationTask(model, config, clock)
    start = resume.stat().st_mtime_ns % (1 << 31) if resume else 0
    music = Music(config.data, model.config, config.run.seed, start, processes.place(trial))
    if trial.is_global_zero:  # else all would decode the same
        music.read_songs(scored=config.run.monitor == "valid/sdr")
    if hasattr(model, "standardize") and config.run.init is None:
        model.standardize(next(iter(music.train_dataloader()))["mixture"])

    # one step of each kind, so that a mistake shows before hours have passed
    trial.fit(deepcopy(task), music)
    folder = config.folder
    if trial.is_global_zero:
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.create(asdict(config)), folder / "config.yaml")
    best = Best(config.run.monitor, folder / "checkpoints", resume)
    trainer = _trainer(
        config,
        launch,
        logger=TensorBoardLogger(folder, name="tensorboard", version=""),
        callbacks=[*_callbacks(config, folder, clock, best), *callbacks],
        max_epochs=-1,
        limit_train_batches=config.run.steps_per_epoch * config.run.accumulate,
        accumulate_grad_batches=config.run.accumulate,
        num_sanity_val_steps=0,
        log_every_n_steps=min(20, config.run.steps_per_epoch),
    )
    if resume or not trainer.is_global_zero:  # else masks would be drawn twice
        torch.manual_seed(config.run.seed + start + trainer.global_rank)
    result = folder / f"{config.name}.safetensors"
    with in_one_line(folder):
        trainer.fit(task, music, ckpt_path=resume, weights_only=True)
        if trainer.is_global_zero:
            weights.export(model, architecture, best.best_model_path, result, config, card)
    return result


def _check_folder(folder: Path, resume: Path | None) -> None:
    """Nothing is written over what another run has left."""
    checkpoints = folder / "checkpoints"
    left = sorted(checkpoints.glob("*.ckpt"))
    if left and not (resume and resume.resolve().parent == checkpoints.resolve()):
        raise ConfigError(
            f"{folder}: holds a run; give this one another name=…, go on with that one by "
            f"--resume {left[-1]}, or remove the folder"
        )


@contextmanager
def _prepared_machine(seed: int, devices: int) -> Iterator[None]:
    lightning.seed_everything(seed, workers=True, verbose=False)
    threads = torch.get_num_threads()
    if "OMP_NUM_THREADS" not in os.environ:  # which whoever starts several processes sets for each
        torch.set_num_threads(max(1, threads // devices))
    torch.set_flush_denormal(True)  # denormals make recurrences many times slower
    keep_freed_memory(arenas=0)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def _trainer(config: TrainConfig, launch: Launch, **options: Any) -> lightning.Trainer:
    launched = launch()
    plugins = [*launched.pop("plugins", []), WholeFiles()]
    callbacks = [*launched.pop("callbacks", []), *options.pop("callbacks", [])]
    try:
        return lightning.Trainer(
            accelerator=config.run.accelerator,
            precision=config.run.precision,  # type: ignore[arg-type]
            gradient_clip_val=config.optimizer.clip,
            enable_model_summary=False,
            plugins=plugins,
            callbacks=callbacks,
            **launched,
            **options,
        )
    except MisconfigurationException as error:
        message = " ".join(str(error).split())
        raise ConfigError(f"run.accelerator {config.run.accelerator!r}: {message}") from error


def _callbacks(config: TrainConfig, folder: Path, clock: Clock, best: Best) -> list[Callback]:
    callbacks: list[Callback] = [
        clock,
        EMAWeightAveraging(decay=config.optimizer.ema),
        LearningRateMonitor("step"),
        best,
        Last(folder / "checkpoints" / "last.ckpt"),
    ]
    if config.run.patience is not None:
        callbacks.append(Patience(config.run.monitor, config.run.patience))
    return callbacks
