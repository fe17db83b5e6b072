"""`unbraid models`: what is at hand, and what others published."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from unbraid.cli.app import app
from unbraid.errors import UnbraidWarning

if TYPE_CHECKING:
    from unbraid.models.checkpoint import ModelInfo

MADE_OF = "; "  # in a data card, between training data and the weights that helped

models = typer.Typer()
app.add_typer(models, name="models")


@models.callback(invoke_without_command=True)
def list_(context: typer.Context) -> None:
    """List the models at hand, with licence and training data."""
    if context.invoked_subcommand:
        return
    from unbraid.models import list_models

    with warnings.catch_warnings(record=True) as damaged:
        warnings.simplefilter("ignore")  # but for ours
        warnings.simplefilter("always", UnbraidWarning)
        found = list_models()
    for model in found:
        own, *rest = model.data.split(MADE_OF, 1)
        more = f"; other weights helped: unbraid models show {model.name}" if rest else ""
        _print(model, own + more)
    for warning in damaged:
        print(f"error: {warning.message}", file=sys.stderr)
    if damaged:
        raise typer.Exit(1)


@models.command()
def show(
    model: Annotated[str, typer.Argument(metavar="NAME|PATH", help="A model, or a weight file.")],
) -> None:
    """Show a model, with all that its weights were made of."""
    from unbraid.models import find
    from unbraid.models.checkpoint import read_info

    info = read_info(find(model))
    _print(info, info.data)


@models.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="umxhq, umxl or spleeter.")],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="PATH",
            help="The published file, or the folder of several; else torch.hub's or pip's copy.",
        ),
    ] = None,
) -> None:
    """Convert weights that others published, and you downloaded, to a model at hand."""
    from unbraid.models.published import add

    model = add(name, source)
    _print(model, model.data)


def _print(model: ModelInfo, data: str) -> None:
    from unbraid.models import DEFAULT

    print(f"{model.name}, the default" if model.name == DEFAULT else model.name)
    facts = {
        "stems": ", ".join((*model.targets, model.residual)),
        "architecture": f"{model.architecture}, {model.parameters / 1e6:.2f} M parameters",
        "sample rate": f"{model.sample_rate} Hz",
        "licence": model.licence,
        "trained on": f"\n{' ' * 16}".join(wrap(data, 84, break_on_hyphens=False)),
        "sha-256": model.sha256,
        "file": model.path,
    }
    for name, fact in facts.items():
        print(f"  {name:<14}{fact}")
