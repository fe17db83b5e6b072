"""`unbraid separate` and `unbraid info`: songs in, stems or facts out."""

from __future__ import annotations

import shlex
import sys
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unbraid.cli.app import AtAddress, Device, Engine, OnDevice, app, require
from unbraid.cli.interruptions import load_torch
from unbraid.errors import ConfigError, UnbraidError, describe
from unbraid.models import DEFAULT

if TYPE_CHECKING:
    from unbraid.separator import Separator


class Stem(str, Enum):  # typer turns enums into choices
    """Stems to write."""

    vocals = "vocals"
    accompaniment = "accompaniment"
    both = "both"


class Format(str, Enum):
    """File formats to write."""

    wav = "wav"
    flac = "flac"
    mp3 = "mp3"
    ogg = "ogg"


class Runtime(str, Enum):
    """What runs the network; "auto" is what its file is for."""

    auto = "auto"
    torch = "torch"
    onnx = "onnx"


class Precision(str, Enum):
    """What the network computes in; "auto" is bfloat16 where the device multiplies it natively."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class BitDepth(str, Enum):
    """Bit depths to write; "auto" is the song's own."""

    auto = "auto"
    int16 = "16"
    int24 = "24"
    float32 = "32f"


@app.command()
def separate(
    songs: Annotated[
        list[str],
        typer.Argument(
            metavar="SONG...",
            help="Audio or video files, and folders of them; links to folders in these are not "
            "followed.",
        ),
    ],
    out: Annotated[
        str, typer.Option("-o", "--out", metavar="DIR", help="Folder for the stems.")
    ] = "separated",
    model: Annotated[
        str, typer.Option(metavar="NAME|PATH", help="A name from `unbraid models`, or a file.")
    ] = DEFAULT,
    stem: Annotated[Stem, typer.Option(help="Stems to write.")] = Stem.both,
    format: Annotated[Format, typer.Option(help="File format of the stems.")] = Format.wav,
    bit_depth: Annotated[
        BitDepth, typer.Option(help="Bits per sample; auto: as the song.")
    ] = BitDepth.auto,
    name: Annotated[
        str, typer.Option(metavar="TEMPLATE", help="Where in the folder a stem goes.")
    ] = "{track}/{stem}.{ext}",
    device: OnDevice = Device.auto,
    precision: Annotated[
        Precision, typer.Option(help="What the network computes in; auto: what is faster.")
    ] = Precision.auto,
    runtime: Annotated[
        Runtime, typer.Option(help="What runs the network; auto: by the model's file.")
    ] = Runtime.auto,
    jobs: Annotated[
        int | None,
        typer.Option(
            "-j",
            "--jobs",
            min=1,
            metavar="N",
            help="Songs separated at once; else 1, or on Ray as many as there is room for.",
        ),
    ] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out songs whose stems are there.")
    ] = False,
    wiener: Annotated[
        int, typer.Option(min=0, metavar="N", help="Iterations of a multichannel Wiener filter.")
    ] = 0,
    plot: Annotated[
        bool, typer.Option("--plot", help="Also write a picture of mixture and stems.")
    ] = False,
    engine: Annotated[
        Engine, typer.Option(help="This machine, or a Ray cluster for catalogues.")
    ] = Engine.local,
    address: AtAddress = None,
) -> None:
    """Separate songs into vocals and accompaniment.

    Folders are searched to any depth and mirrored in the output folder.
    Stems that are there already are replaced, unless --skip-existing.
    """
    if plot:
        require("plot", "matplotlib")
    if engine is Engine.ray:
        require("ray", "ray", "pyarrow", "fsspec")
    elif address is not None:
        raise UnbraidError("--address needs --engine ray")
    from unbraid.allocator import keep_freed_memory
    from unbraid.batch import separate_songs
    from unbraid.fleet.places import Url, as_place
    from unbraid.models import find
    from unbraid.models.checkpoint import read_info
    from unbraid.planning import Options, check_options, plan
    from unbraid.progress import Display
    from unbraid.songs import find_songs

    inputs, out_dir = [as_place(song) for song in songs], as_place(out)
    if engine is Engine.local:
        for place in (*inputs, out_dir):
            if isinstance(place, Url):
                raise UnbraidError(f"{place}: a URL needs --engine ray")
    weights = find(model)
    _check_runtime(runtime, engine, model, weights)
    info = read_info(weights)
    stems = (*info.targets, info.residual)
    if stem is not Stem.both:
        if stem.value not in stems:
            raise UnbraidError(f"model {model} has no stem {stem.value}; it has {', '.join(stems)}")
        stems = (stem.value,)
    options = Options(out_dir, stems, name, format.value, bit_depth.value, plot, skip_existing)
    try:
        check_options(options)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from None
    settings: dict[str, Any] = {"wiener": wiener, "precision": precision.value}
    make_separator = partial(_separator, device=device.value, **settings)
    if engine is Engine.ray:
        from unbraid.fleet.catalogue import separate_catalogue

        with Display(None) as display:
            tally = separate_catalogue(
                inputs,
                options,
                weights,
                make_separator,
                settings=settings,
                device=device.value,
                jobs=jobs,
                address=address,
                on_progress=display.progress,
                on_result=display.result,
            )
        raise typer.Exit(1 if tally["failed"] else 0)
    tasks, known = plan(find_songs(map(Path, inputs), Path(out)), options)
    keep_freed_memory()
    with Display(len(tasks)) as display:
        for result in known:
            display.result(result)
        results = separate_songs(
            tasks,
            options,
            partial(make_separator, model),
            jobs or 1,
            display.progress,
            display.result,
        )
    if any(result.status == "failed" for result in known + results):
        raise typer.Exit(1)


def _separator(model: str | Path, **settings: Any) -> Separator:
    load_torch()  # it takes seconds: after the checks
    from unbraid.separator import Separator

    return Separator.from_pretrained(model, **settings)


def _check_runtime(runtime: Runtime, engine: Engine, model: str, weights: Path) -> None:
    if weights.suffix == ".onnx":
        if runtime is Runtime.torch or engine is Engine.ray:
            asked = "--runtime torch" if runtime is Runtime.torch else "--engine ray"
            raise UnbraidError(
                f"{weights}: {asked} does not run exported networks; name the model that it was "
                "made of"
            )
    elif runtime is Runtime.onnx:
        exported = f"{weights.stem}.onnx"
        raise UnbraidError(
            f"{weights}: --runtime onnx needs an exported network: "
            f"{shlex.join(['unbraid', 'export', model, exported])}, then --model "
            f"{shlex.quote(exported)}"
        )


@app.command()
def info(
    songs: Annotated[
        list[Path],
        typer.Argument(  # what cannot be read is told song by song
            metavar="SONG...", help="Audio or video files.", readable=False
        ),
    ],
) -> None:
    """Show what a file holds: format, length, sample rate, channels, bit depth."""
    from unbraid.audio import probe
    from unbraid.progress import clock

    failed = False
    for song in songs:
        try:
            found = probe(song)
        except (UnbraidError, OSError) as error:
            print(f"error: {describe(error)}", file=sys.stderr)
            failed = True
            continue
        length = "unknown" if found.duration is None else clock(found.duration)
        samples = "" if found.samples is None else f" ({found.samples} samples)"
        print(song)
        print(f"  format       {found.format}, {found.codec}")
        print(f"  length       {length}{samples}")
        print(f"  sample rate  {found.sample_rate} Hz")
        print(f"  channels     {found.channels}")
        print(f"  bit depth    {'none, as it is lossy' if found.lossy else found.bit_depth}")
    if failed:
        raise typer.Exit(1)
