"""A training run on a Ray cluster, by Ray Train: one process a worker, on any of its machines."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")  # the default of later versions

import ray
import ray.train
import torch
from lightning.pytorch.callbacks import Callback
from ray.train.lightning import RayDDPStrategy, RayLightningEnvironment
from ray.train.torch import TorchTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from unbraid.errors import ConfigError, UnbraidError
from unbraid.fleet.cluster import Size, connected, size
from unbraid.training import fit
from unbraid.training.config import TrainConfig, read_config
from unbraid.training.lines import Lines
from unbraid.training.lock import locked

STATE = ".ray"  # where in the run's folder Ray keeps its books while it runs
DEVICES = {"cpu": "cpu", "gpu": "cuda", "cuda": "cuda"}  # Lightning's word -> ours; else "auto"
_GLANCE = 0.5  # seconds between looks at what the workers say


@dataclass(frozen=True)
class Job:
    """What every worker has to know.

    Attributes:
        config: of the run.
        minutes: its length by the clock, if it is given so.
        resume: checkpoint to go on from.
        here: folder that relative paths start from.
        folder: the run's, absolute.
    """

    config: TrainConfig
    minutes: float | None
    resume: Path | None
    here: Path
    folder: Path


class Progress(Callback):
    """Says after each validation how far the run is and how good.

    Args:
        say: takes the line.
    """

    def __init__(self, say: Callable[[str], Any]) -> None:
        self._say = say

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Say it once, not in every process."""
        if trainer.is_global_zero:
            scores = trainer.callback_metrics
            told = "  ".join(f"{name} {scores[name]:.4g}" for name in ("valid/sdr", "valid/loss"))
            done = min(1.0, pl_module.progress())
            self._say(f"step {trainer.global_step}  {done:.0%}  {told}")


def run(
    config_path: Path,
    overrides: Sequence[str] = (),
    minutes: float | None = None,
    resume: Path | None = None,
    address: str | None = None,
    workers: int | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Train a network as `fit.run` does, on the workers of a cluster.

    Its machines must see the run's folder and the music under the same paths. A worker or machine
    that is lost ends all processes; they start again from the last checkpoint, as long as there is
    a newer one each time.

    Args:
        config_path: YAML of a `TrainConfig`.
        overrides: `key=value` words that overlay it.
        minutes: length of the run by the clock, to which the schedule is fitted.
        resume: checkpoint of an earlier run to go on from.
        address: of a Ray cluster; None starts one here.
        workers: processes; None for as many as the cluster has room for.
        say: takes a line after each validation.

    Returns:
        The best weights, `.safetensors`.

    Raises:
        ConfigError: see `fit.run`; or the cluster has no room for the workers.
        UnbraidError: the cluster cannot be reached, or a worker failed.
    """
    config = read_config(config_path, overrides)
    folder = config.folder.absolute()
    with locked(folder), connected(address):
        room = _room(DEVICES.get(config.run.accelerator, "auto"), workers)
        cores = "1 core" if room.threads == 1 else f"{room.threads} cores"
        say(f"{room.workers} workers, {cores}{' and a GPU' if room.gpus else ''} each")
        try:
            while True:
                known = _checkpoints(folder)
                failure = _attempt(Job(config, minutes, resume, Path.cwd(), folder), room, say)
                if failure is None:
                    return folder / f"{config.name}.safetensors"
                newer = _checkpoints(folder) - known
                if not newer:
                    raise UnbraidError(f"a worker was lost or failed: {failure}")
                resume = max(newer)[1]
                say(f"a worker was lost or failed; going on from {resume}")
        finally:
            shutil.rmtree(folder / STATE, ignore_errors=True)


def _checkpoints(folder: Path) -> set[tuple[int, Path]]:
    """Checkpoints with the time of their writing."""
    return {(path.stat().st_mtime_ns, path) for path in (folder / "checkpoints").glob("*.ckpt")}


def _room(device: str, workers: int | None) -> Size:
    """Workers that the cluster has room for now: Ray would wait for more without a word."""
    room = size(device, workers)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if room.gpus:
        most = int(sum(node.get("GPU", 0) for node in nodes))
        what = "GPUs"
    else:
        most = int(sum(node.get("CPU", 0) for node in nodes))
        what = "cores"
    if room.workers > most:
        raise ConfigError(f"{room.workers} workers, but the cluster has {most} {what}")
    return room


def _attempt(job: Job, room: Size, say: Callable[[str], None]) -> str | None:
    """Trains until the end, or until a worker is lost or fails: then what is known of that.

    Raises:
        UnbraidError: a worker failed of something that trying again would not mend.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(Lines)
    lines = actor.options(num_cpus=0, scheduling_strategy=here).remote()
    shutil.rmtree(job.folder / STATE, ignore_errors=True)  # of an attempt before
    trainer = TorchTrainer(
        partial(_work, job, lines),
        scaling_config=ray.train.ScalingConfig(
            num_workers=room.workers,
            use_gpu=bool(room.gpus),
            resources_per_worker={"CPU": room.threads, **({"GPU": 1} if room.gpus else {})},
        ),
        run_config=ray.train.RunConfig(name=STATE, storage_path=str(job.folder)),
    )
    failed: list[BaseException] = []

    def fit_all() -> None:
        try:
            trainer.fit()
        except BaseException as error:  # the main thread judges it
            failed.append(error)

    # in the main thread Ray would take Ctrl-C for itself
    thread = threading.Thread(target=fit_all, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_GLANCE)
        for line in ray.get(lines.take.remote()):
            say(line)
    if not failed:
        return None
    causes = [*getattr(failed[0], "worker_failures", {}).values()] or failed
    for cause in causes:
        if isinstance(cause, UnbraidError):
            raise cause
    first = str(causes[0]).strip().splitlines() or [repr(causes[0])]
    return f"{type(causes[0]).__name__}: {first[-1]}"


def _work(job: Job, lines: Any) -> None:
    """What each worker does."""
    if not job.folder.is_dir() or not job.here.is_dir():
        raise ConfigError(
            f"{socket.gethostname()} does not see {job.folder}: set run.folder to a disk that all "
            "machines share"
        )
    os.chdir(job.here)  # paths in configurations are relative to it
    machines: list[int] = [0] * ray.train.get_context().get_world_size()
    torch.distributed.all_gather_object(machines, ray.train.get_context().get_node_rank())

    def options() -> dict[str, Any]:
        return {
            "devices": "auto",
            "num_nodes": max(machines) + 1,
            "strategy": RayDDPStrategy(),
            "plugins": [RayLightningEnvironment()],
            "enable_progress_bar": False,
        }

    fit.train(job.config, job.minutes, job.resume, [Progress(lines.add.remote)], options)
