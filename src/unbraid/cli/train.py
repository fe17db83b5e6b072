"""`unbraid train` and `unbraid tune`: a model, and its best settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unbraid.cli.app import AtAddress, Engine, app, require
from unbraid.cli.interruptions import load_torch
from unbraid.errors import UnbraidError


@app.command()
def train(
    config: Annotated[
        Path,
        typer.Argument(metavar="CONFIG.yaml", help="Configuration, or the name of a shipped one."),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings that differ from the file's."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(metavar="N", help="End by the clock; the learning rate is fitted to it."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="CKPT", help="Checkpoint to go on from.")
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="This machine (or torchrun's), or a Ray cluster.")
    ] = Engine.local,
    address: AtAddress = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Processes on Ray; else as many as there is room for."
        ),
    ] = None,
) -> None:
    """Train a model."""
    require("train", "lightning", "tensorboard", "pedalboard", "matplotlib")
    if engine is Engine.ray:
        require("ray", "ray", "pandas", "pyarrow", "fsspec", "pydantic")
    elif address is not None or workers is not None:
        raise UnbraidError("--address and --workers need --engine ray")
    from unbraid.training.config import read_config
    from unbraid.training.voice import one_voice

    with one_voice():
        read_config(config, overrides or [])  # what is wrong is said before seconds of imports
    load_torch()
    if engine is Engine.ray:
        from unbraid.training import cluster

        print(cluster.run(config, overrides or [], minutes, resume, address, workers))
        return
    from lightning.pytorch.utilities import rank_zero_only

    from unbraid.training import fit

    result = fit.run(config, overrides or [], minutes, resume)
    rank_zero_only(print)(result)


@app.command()
def tune(
    config: Annotated[
        Path,
        typer.Argument(metavar="CONFIG.yaml", help="Configuration, with a section `search`."),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings that differ from the file's."),
    ] = None,
    address: AtAddress = None,
) -> None:
    """Search for the best settings of a training; the same command goes on where it was left."""
    require("train", "lightning", "tensorboard", "pedalboard", "matplotlib")
    require("ray", "ray", "pandas", "pyarrow")
    load_torch()
    from unbraid.training.search import read_search
    from unbraid.training.trials import command, print_trials

    search = read_search(config, overrides or [])
    from unbraid.training import tune  # Ray takes seconds: after the checks

    trials, folder = tune.run(search, address)
    print_trials(trials, search.config.run.monitor)
    print(f"{folder}: results.csv, search.png and a folder for each trial")
    if trials[0].score is not None:
        print("the best again, or longer:")
        print(f"  {command(folder / 'train.yaml', trials[0], search.options.minutes)}")
    if any(trial.state == "unfinished" for trial in trials):
        print("not all trials are finished: the same command goes on")
    if any(trial.state not in ("finished", "stopped early") for trial in trials):
        raise typer.Exit(1)
