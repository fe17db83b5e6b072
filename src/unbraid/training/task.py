"""One training task for every network: its loss, its optimiser, its validation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, distributed, nn

from unbraid.data.conditions import treated
from unbraid.errors import ConfigError, ModelError
from unbraid.evaluation.metrics import below, frame_sdr, median, si_sdr, usdr
from unbraid.notices import silence_expected
from unbraid.separator import Separator
from unbraid.training.config import TrainConfig
from unbraid.training.losses import separation_loss
from unbraid.training.pictures import log_song
from unbraid.training.teacher import Teacher

OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
LONGEST_WARMUP = 0.1  # of the run, or a short one would end before the highest learning rate
Scores = dict[tuple[str, str, str], dict[str, float]]  # by song, condition and stem
Losses = dict[tuple[str, str], float]  # by song and condition
Key = TypeVar("Key")
Value = TypeVar("Value")


class SeparationTask(lightning.LightningModule):
    """Learns to separate random mixtures; validates with the `Separator`.

    Args:
        model: the network.
        config: the run's configuration.
        progress: finished part of the run, from 0 to 1, which the learning rate follows.

    Raises:
        ConfigError: if a window of the loss is longer than a segment.
    """

    def __init__(
        self, model: nn.Module, config: TrainConfig, progress: Callable[[], float]
    ) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.progress = progress
        network: Any = model
        self._samples = int(config.data.seconds * network.config.sample_rate)
        longest = max(config.loss.resolutions)
        if longest > self._samples:
            raise ConfigError(
                f"loss.resolutions must be at most {self._samples}, the samples of "
                f"data.seconds={config.data.seconds:g}, not {longest}"
            )
        taught = config.teacher.model is not None
        self._teacher = Teacher(config.teacher, model.config) if taught else None
        self._scores: Scores = {}
        self._losses: Losses = {}
        self._mixture_sent = False  # to TensorBoard
        self._levels: dict[str, float] = {}  # of the vocals below an instrumental, by its name
        self.save_hyperparameters({"config": asdict(config)})

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of a batch of mixtures.

        Raises:
            ModelError: if it is not finite.
        """
        mixture, targets = batch["mixture"], batch["targets"]
        if self._teacher:
            targets = self._teacher.targets(mixture, targets)
        estimates = self.model(mixture).float()
        with torch.autocast(self.device.type, enabled=False):
            losses = separation_loss(estimates, targets, self.config.loss)
        finite = bool(torch.isfinite(losses["loss"]))
        if not self.trainer.strategy.reduce_boolean_decision(finite):  # else one alone would end
            raise ModelError(
                f"the loss is not finite at step {self.global_step}: lower "
                "optimizer.learning_rate and resume from the last checkpoint"
            )
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()})
        self.log(
            "train/epoch_loss",
            losses["loss"].detach(),
            on_step=False,
            on_epoch=True,
            batch_size=len(estimates),
            sync_dist=True,
        )
        return losses["loss"]

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The learning rate rises over the warm-up, then stays or falls as a cosine to zero."""
        options = self.config.optimizer
        optimizer = OPTIMIZERS[options.name](
            self.model.parameters(), options.learning_rate, weight_decay=options.weight_decay
        )

        def factor(step: int) -> float:
            warm = max((step + 1) / max(1, options.warmup), self.progress() / LONGEST_WARMUP)
            rise = min(1.0, warm)
            if options.schedule == "constant":
                return rise
            return rise * (1 + math.cos(math.pi * min(1.0, self.progress()))) / 2

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the configuration's rate and kind of decay, not the checkpoint's."""
        options = self.config.optimizer
        for group in checkpoint["optimizer_states"][0]["param_groups"]:
            group["lr"] *= options.learning_rate / group["initial_lr"]
            group["initial_lr"] = options.learning_rate
            group["weight_decay"] = options.weight_decay
            group["decoupled_weight_decay"] = options.name == "adamw"
        checkpoint["lr_schedulers"][0]["base_lrs"] = [options.learning_rate]

    def validation_step(
        self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Score a song under each condition; of the second loader, measure an instrumental."""
        separator = Separator(self.model, device=str(self.device))
        if dataloader_idx:
            self._measure_leakage(separator, **batch)
            return
        rate = separator.sample_rate
        for condition in self.config.run.conditions:
            mixture, stems = treated(batch["stems"], condition, rate)
            with torch.autocast(self.device.type, enabled=False), silence_expected():
                estimates = separator(mixture, rate)
                targets = separator.stems[:-1]
                self._losses[batch["name"], condition] = self._loss(
                    np.stack([estimates[stem] for stem in targets]),
                    np.stack([stems[stem] for stem in targets]),
                )
            for stem in separator.stems:
                reference, estimate = stems[stem], estimates[stem]
                self._scores[batch["name"], condition, stem] = {
                    "sdr": median(frame_sdr(reference, estimate, rate)),
                    "usdr": usdr(reference, estimate),
                    "si_sdr": si_sdr(reference, estimate),
                }
            if batch_idx == 0 and condition == self.config.run.conditions[0]:
                sounds = estimates if self._mixture_sent else {"mixture": mixture, **estimates}
                log_song(self.logger, batch["name"], sounds, rate, self.global_step)
                self._mixture_sent = True

    def _measure_leakage(self, separator: Separator, name: str, mixture: np.ndarray) -> None:
        """How far below an instrumental the first target's estimate lies."""
        with torch.autocast(self.device.type, enabled=False), silence_expected():
            estimates = separator(mixture, separator.sample_rate)
        self._levels[name] = below(mixture, estimates[separator.stems[0]])

    def _loss(self, estimates: np.ndarray, targets: np.ndarray) -> float:
        """Mean loss of a song's segments, which are as long as in training."""
        pairs = zip(
            torch.from_numpy(estimates)[None].split(self._samples, -1),
            torch.from_numpy(targets)[None].split(self._samples, -1),
            strict=True,
        )
        losses = [
            separation_loss(ours.to(self.device), true.to(self.device), self.config.loss)["loss"]
            for ours, true in pairs
        ]
        return float(torch.stack(losses).mean())

    def on_validation_epoch_end(self) -> None:
        """Mean loss, medians of scores over songs and conditions, and that over instrumentals.

        `valid/loss` or `valid/sdr`, that of the first target, picks the best.
        """
        losses = _of_all_processes(self._losses)
        self.log("valid/loss", float(np.mean([*losses.values()])), sync_dist=True)
        scores = _of_all_processes(self._scores)
        for stem in sorted({stem for _, _, stem in scores}):
            of_stem = {key: value for key, value in scores.items() if key[2] == stem}
            for metric in ("sdr", "usdr", "si_sdr"):
                values = np.array([value[metric] for value in of_stem.values()])
                self.log(f"valid/{stem}/{metric}", median(values), sync_dist=True)
            for (song, condition, _), value in of_stem.items():
                self.log(f"songs/{song} ({condition})/{stem}", value["sdr"], sync_dist=True)
        model: Any = self.model
        first = [value["sdr"] for key, value in scores.items() if key[2] == model.config.targets[0]]
        self.log("valid/sdr", median(np.array(first)), prog_bar=True, sync_dist=True)
        levels = _of_all_processes(self._levels)
        if levels:
            self.log("valid/leakage", float(np.median([*levels.values()])), sync_dist=True)
        self._levels.clear()
        self._scores.clear()
        self._losses.clear()


def _of_all_processes(values: dict[Key, Value]) -> dict[Key, Value]:
    if not distributed.is_initialized():
        return dict(values)
    gathered: list[dict[Key, Value]] = [{}] * distributed.get_world_size()
    distributed.all_gather_object(gathered, values)
    return {key: value for part in gathered for key, value in part.items()}
