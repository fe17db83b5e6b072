"""`unbraid evaluate` and `unbraid report`: scores, and how they look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unbraid.cli.app import Device, app, require


@app.command()
def evaluate(
    data: Annotated[
        Path, typer.Option(metavar="ROOT", help="A song's folder of stems, or a folder of songs.")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|PATH", help="A model, mixture, irm1, irm2 or mwf; repeatable."),
    ] = None,
    estimates: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Another program's DIR/TRACK/STEM.wav; repeatable."),
    ] = None,
    published: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Published scores of the same tracks: openunmix, …"),
    ] = None,
    tracks: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this track; repeatable.")
    ] = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="DIR", help="Folder for the scores.")
    ] = Path("scores"),
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=1, metavar="N", help="Tracks scored at once.")
    ] = 1,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
) -> None:
    """Score models on songs whose stems are known, as museval does.

    Scores that are in the folder already and still valid are kept: interrupted runs go on.
    """
    require("eval", "scipy", "PIL")
    from unbraid.evaluation.progress import Lines, print_tables
    from unbraid.evaluation.published import put_beside
    from unbraid.evaluation.run import evaluate, select_tracks
    from unbraid.evaluation.systems import make_systems

    songs = select_tracks(data, tracks or [])
    names = model or ([] if estimates else ["bandsplit"])
    systems = make_systems(names, estimates or [], device.value)
    beside = put_beside(published or [], [song.name for song in songs], out)
    lines = Lines(len(songs) * len(systems))
    scores = evaluate(songs, systems, out, jobs, device.value, lines.result)
    print_tables({**scores, **beside})
    if lines.failed:
        raise typer.Exit(1)


@app.command()
def report(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders of `unbraid evaluate`.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="Where to write; the first DIR if left."),
    ] = None,
) -> None:
    """Show scores on one page: report.html to look at and listen to, report.md, report.tex."""
    require("eval", "scipy", "PIL")
    from unbraid.evaluation.report import write_report

    for path in write_report(folders, out or folders[0]):
        print(path)
