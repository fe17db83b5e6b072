"""`unbraid data check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unbraid.cli.app import app

_WIDTH = 160  # of tables that go into a file or a pipe

data = typer.Typer(help="Check data sets.", no_args_is_help=True)
app.add_typer(data, name="data")


@data.command()
def check(
    root: Annotated[
        Path, typer.Argument(metavar="ROOT", help="MUSDB18, MUSDB18-HQ, or a folder of songs.")
    ],
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=1, metavar="N", help="Tracks read at once.")
    ] = 1,
) -> None:
    """Read every song through and list what is wrong; exit code 1 if it would stop training."""
    from rich.console import Console
    from rich.progress import track as shown

    from unbraid.data.check import check
    from unbraid.data.report import summary, table
    from unbraid.data.tracks import find_tracks

    tracks = find_tracks(root)
    bar = Console(stderr=True)
    done = check(tracks, jobs)
    reports = list(
        shown(done, "", len(tracks), console=bar, transient=True, disable=not bar.is_terminal)
    )
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(table(reports))
    console.print(summary(reports), markup=False, highlight=False)
    if any(report.errors for report in reports):
        raise typer.Exit(1)
