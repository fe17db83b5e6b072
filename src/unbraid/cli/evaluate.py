"""`unbraid evaluate`: scores of models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unbraid.cli.app import Device, OnDevice, app, require
from unbraid.cli.interruptions import load_torch
from unbraid.models import DEFAULT


@app.command()
def evaluate(
    data: Annotated[
        Path, typer.Option(metavar="ROOT", help="A song's folder of stems, or a folder of songs.")
    ],
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only its train, valid or test; else all below ROOT."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|PATH",
            help=f"A model, mixture, irm1, irm2 or mwf; repeatable. {DEFAULT} if there are no "
            "--estimates either.",
        ),
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
    device: OnDevice = Device.auto,
) -> None:
    """Score models on songs whose stems are known, as museval does.

    Scores that are in the folder already and still valid are kept: interrupted runs go on.
    """
    require("eval", "scipy", "PIL")
    load_torch()
    from unbraid.evaluation.progress import Lines, print_tables
    from unbraid.evaluation.published import as_systems, put_beside
    from unbraid.evaluation.run import evaluate, select_tracks
    from unbraid.evaluation.systems import make_systems

    songs = select_tracks(data, tracks or [], split)
    names = model or ([] if estimates else [DEFAULT])
    systems = make_systems(names, estimates or [], device.value)
    beside = as_systems(published or [], [song.name for song in songs])
    lines = Lines(len(songs) * len(systems))
    scores = evaluate(songs, systems, out, jobs, device.value, lines.result)
    put_beside(beside, out)
    print_tables({**scores, **beside})
    if lines.failed:
        raise typer.Exit(1)
