"""The command line's root, and what its commands share."""

from __future__ import annotations

from enum import Enum
from importlib.util import find_spec
from itertools import pairwise
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from unbraid.errors import UnbraidError


class NoEmptyWords(TyperGroup):
    """An empty path would be the folder one is in; it mostly is a variable that is not set."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse empty words in any place."""
        for before, word in pairwise(["unbraid", *args]):
            if not word or (word.startswith("--") and word.endswith("=")):
                raise UnbraidError(
                    f"what follows {word or before} is empty, perhaps a variable that is not "
                    "set; '.' is this folder"
                )
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=NoEmptyWords,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Device(str, Enum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


OnDevice = Annotated[Device, typer.Option(help="Where to compute; auto: a GPU where there is one.")]


class Engine(str, Enum):
    """What does the work: this machine's processes, or a Ray cluster."""

    local = "local"
    ray = "ray"


AtAddress = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Ray cluster: auto, HOST:PORT or ray://HOST:PORT; else one is started here.",
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        import unbraid

        print(f"unbraid {unbraid.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Separates songs into vocals and accompaniment."""


def require(extra: str, *packages: str) -> None:
    """Says which extra to install if one of its packages is missing."""
    for package in packages:
        if find_spec(package) is None:
            raise UnbraidError(f'{package} is missing: this needs pip install "unbraid[{extra}]"')
