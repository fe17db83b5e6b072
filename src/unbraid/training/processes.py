"""The processes that train one network: how many, where each stands, and which are quiet."""

from __future__ import annotations

import logging
import os
import warnings
from typing import Any

from unbraid.data.sampling import Place
from unbraid.training.bar import Bar
from unbraid.training.config import RunConfig
from unbraid.training.voice import under_torchrun

# that torchrun, Lightning, SLURM and LSF set; of these, Lightning takes what it finds
_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


def options(config: RunConfig) -> dict[str, Any]:
    """Lightning's options for as many processes as the configuration, or `torchrun`, says."""
    bar = {"callbacks": [Bar()]}
    if under_torchrun():
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        return {"devices": here, "num_nodes": int(os.environ["WORLD_SIZE"]) // here, **bar}
    return {"devices": config.devices, "num_nodes": config.nodes, **bar}


def is_first() -> bool:
    """Whether this process is the first, or will start the others, before there is a trainer."""
    return all(os.environ.get(rank, "0") == "0" for rank in _RANKS)


def place(trainer: Any) -> Place:
    """Where this process stands."""
    return Place(trainer.global_rank, trainer.world_size, trainer.node_rank, trainer.num_nodes)


def hush(level: int = logging.WARNING) -> None:
    """Lightning says nothing below this level, of its own code, or of what `run.init` wants."""
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(level)
    warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode")  # by `run.init`
    warnings.filterwarnings("ignore", r"Checkpoint directory .* exists and is not empty")
    # that go on in the midst of an epoch: mixtures have no order that could be lost
    warnings.filterwarnings("ignore", r"You're resuming from a checkpoint that ended before")
    warnings.filterwarnings("ignore", module=r"lightning\.pytorch\.utilities\._pytree")


def hush_all_but_the_first(trainer: Any) -> None:
    """From here on, all processes but the first are quiet."""
    if not trainer.is_global_zero:
        hush(logging.ERROR)
        warnings.simplefilter("ignore")
