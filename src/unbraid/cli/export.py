"""`unbraid export`: a network as ONNX."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from unbraid.cli.app import app, require
from unbraid.cli.interruptions import load_torch


@app.command()
def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name from `unbraid models`, or a file.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="File to write.")],
    segment: Annotated[
        float, typer.Option(metavar="SECONDS", help="Length of audio that the graph takes.")
    ] = 8.0,
) -> None:
    """Write a network as ONNX that takes and gives waveforms, compared with torch."""
    require("export", "onnx", "onnxruntime")
    load_torch()
    from unbraid.export import export

    config = export(model, out, segment)
    seconds = config.segment / config.sample_rate
    print(f"{out}: {', '.join(config.targets)} of {config.segment} samples ({seconds:.3f} s)")
    print(f"to use it: unbraid separate SONG --model {shlex.quote(str(out))}")
