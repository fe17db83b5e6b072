"""`unbraid report`: how scores and training runs look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from unbraid.cli.app import app, require

SCORES = "DIR..."  # the command's name, which nobody types: a folder may well be called `scores`


class FoldersUnlessNamed(TyperGroup):
    """Whatever is no other command is a folder of scores."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the command where no other is named and no help is asked for."""
        if not args or args[0] not in {*self.commands, *ctx.help_option_names} - {SCORES}:
            args = [SCORES, *args]
        return super().parse_args(ctx, args)


report = typer.Typer(
    cls=FoldersUnlessNamed,
    help="Show scores on one page (report DIR...) or training runs (report curves RUN...).",
    subcommand_metavar="DIR... | COMMAND [ARGS]...",
)
app.add_typer(report, name="report")


@report.command(SCORES)
def scores(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...", help="Folders of `unbraid evaluate` and of `unbraid serve --listen`."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="Where to write; the first DIR if left."),
    ] = None,
) -> None:
    """Show scores and ratings on one page: report.html to look at and listen to, report.md, .tex.

    A CSV file of ratings may stand for a folder.
    """
    require("eval", "scipy", "PIL")
    from unbraid.evaluation.report import write_report

    first = folders[0].parent if folders[0].is_file() else folders[0]
    for path in write_report(folders, out or first):
        print(path)


@report.command()
def curves(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of `unbraid train`: runs/NAME.")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="PNG", help="Picture to write.")
    ] = Path("curves.png"),
) -> None:
    """Draw losses and validation scores of training runs, by minutes and by steps."""
    require("train", "tensorboard", "matplotlib")
    from unbraid.training.curves import plot_curves

    plot_curves(runs, out)
    print(out)
