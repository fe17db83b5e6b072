"""`unbraid train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unbraid.cli.app import app, require


@app.command()
def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="Configuration.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings that differ from the file's."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.0, help="End by the clock; the schedule is fitted to it.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="CKPT", help="Checkpoint to go on from.")
    ] = None,
) -> None:
    """Train a model."""
    require("train", "lightning", "tensorboard", "pedalboard", "matplotlib")
    from unbraid.training import fit

    fit.run(config, overrides or [], minutes, resume)
