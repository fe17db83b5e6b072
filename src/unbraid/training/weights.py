"""Weights into a network before training, and out of it after."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from unbraid.errors import ModelError
from unbraid.models import checkpoint, find
from unbraid.models.checkpoint import ModelInfo
from unbraid.training.config import TrainConfig

_LEFT_BY_A_RUN = {"state_dict", "optimizer_states", "lr_schedulers", "callbacks", "loops"}


def begin_with(model: Any, architecture: str, source: str) -> str:
    """Put the weights of an earlier model into a network.

    The statistics of batch normalisation stay as they are: small batches would spoil them.

    Args:
        model: the network.
        architecture: its name for `build`.
        source: name of a model, or path of a weight file.

    Returns:
        What those weights are, for the data card of those that come of them.

    Raises:
        ModelError: if there is no such file, it is damaged, or of another network.
    """
    path = find(source)
    info = checkpoint.read_info(path)
    if info.architecture != architecture:
        raise ModelError(
            f"run.init: {path} holds {info.architecture}, but model.architecture is {architecture}"
        )
    earlier: Any = checkpoint.load(path)
    try:
        model.load_state_dict(earlier.state_dict())
    except RuntimeError as error:
        theirs, ours = asdict(earlier.config), asdict(model.config)
        differing = [
            f"{key}={theirs[key]}, not {ours[key]}" for key in ours if theirs[key] != ours[key]
        ]
        raise ModelError(
            f"run.init: the network in {path} has other sizes: {'; '.join(differing)}"
        ) from error
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.eval()
    return f"begun with {described(info)}"


def described(info: ModelInfo) -> str:
    """A model, for the data card of one that was made of it."""
    return f"{info.name} ({info.licence}; SHA-256 {info.sha256}), of: {info.data}"


def read_run(path: Path, model: torch.nn.Module) -> dict[str, Any]:
    """What a run left in a checkpoint for the network to go on from.

    Args:
        path: the checkpoint.
        model: the network.

    Raises:
        ModelError: if it is no checkpoint of a run, damaged, or of another network.
    """
    advice = "runs keep theirs under checkpoints/, and weight files are for run.init"
    try:  # without the weights themselves, which are Lightning's to read
        kept = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever comes of reading a file that is something else
        raise ModelError(f"--resume {path}: no checkpoint, or a damaged one; {advice}") from error
    if not isinstance(kept, dict) or not kept.keys() >= _LEFT_BY_A_RUN:
        raise ModelError(f"--resume {path}: no checkpoint of a training run; {advice}")
    theirs = {name.removeprefix("model."): each.shape for name, each in kept["state_dict"].items()}
    if theirs != {name: each.shape for name, each in model.state_dict().items()}:
        raise ModelError(
            f"--resume {path}: of another network, {kept['hyper_parameters']['config']['model']}; "
            "give the configuration that its run began with"
        )
    return kept


def export(
    model: torch.nn.Module, architecture: str, best: str, path: Path, config: TrainConfig, card: str
) -> None:
    """Write the weights of a Lightning checkpoint as a weight file.

    Args:
        model: the network, which receives them.
        architecture: its name for `build`.
        best: the checkpoint.
        path: file to write.
        config: of the run.
        card: what they were trained on.
    """
    state = torch.load(best, map_location="cpu", weights_only=True)["state_dict"]
    model.load_state_dict({name.removeprefix("model."): value for name, value in state.items()})
    checkpoint.save(
        model,
        path,
        architecture=architecture,
        licence=config.licence,
        data=card,
        dtype=torch.float16,  # half the size
    )
