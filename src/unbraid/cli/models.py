"""`unbraid models`: what is at hand, and what others published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unbraid.cli.app import app

if TYPE_CHECKING:
    from unbraid.models.checkpoint import ModelInfo

models = typer.Typer()
app.add_typer(models, name="models")


@models.callback(invoke_without_command=True)
def list_(context: typer.Context) -> None:
    """List the models at hand, with licence and training data."""
    if context.invoked_subcommand:
        return
    from unbraid.models import list_models

    for model in list_models():
        _print(model)


@models.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="umxhq, umxl or spleeter.")],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="The published file; else torch.hub's or pip's copy."
        ),
    ] = None,
) -> None:
    """Convert weights that others published, and you downloaded, to a model at hand."""
    from unbraid.models.published import add

    _print(add(name, source))


def _print(model: ModelInfo) -> None:
    print(model.name)
    print(f"  stems         {', '.join((*model.targets, model.residual))}")
    print(f"  architecture  {model.architecture}, {model.parameters / 1e6:.2f} M parameters")
    print(f"  sample rate   {model.sample_rate} Hz")
    print(f"  licence       {model.licence}")
    print(f"  trained on    {model.data}")
    print(f"  sha-256       {model.sha256}")
    print(f"  file          {model.path}")
