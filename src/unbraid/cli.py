"""Command line: parses, checks, calls."""

from __future__ import annotations

import signal
import sys
from enum import Enum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from unbraid.errors import ConfigError, UnbraidError

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


class BitDepth(str, Enum):
    """Bit depths to write; "auto" is the song's own."""

    auto = "auto"
    int16 = "16"
    int24 = "24"
    float32 = "32f"


class Device(str, Enum):
    """Where to compute; "auto" takes a GPU where there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


def main() -> None:
    """Runs the command line; what the user can mend ends in one line and exit code 1."""
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no error
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for name in ("SIGTERM", "SIGHUP"):  # end as Ctrl-C does, without leaving files; nohup holds
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        app()
    except UnbraidError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


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


@app.command()
def separate(
    songs: Annotated[
        list[Path],
        typer.Argument(metavar="SONG...", help="Audio or video files, and folders of them."),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="DIR", help="Folder for the stems.")
    ] = Path("separated"),
    model: Annotated[
        str, typer.Option(metavar="NAME|PATH", help="A name from `unbraid models`, or a file.")
    ] = "bandsplit",
    stem: Annotated[Stem, typer.Option(help="Stems to write.")] = Stem.both,
    format: Annotated[Format, typer.Option(help="File format of the stems.")] = Format.wav,
    bit_depth: Annotated[
        BitDepth, typer.Option(help="Bits per sample; auto: as the song.")
    ] = BitDepth.auto,
    name: Annotated[
        str, typer.Option(metavar="TEMPLATE", help="Where in the folder a stem goes.")
    ] = "{track}/{stem}.{ext}",
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=1, metavar="N", help="Songs separated at once.")
    ] = 1,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out songs whose stems are there.")
    ] = False,
    plot: Annotated[
        bool, typer.Option("--plot", help="Also write a picture of mixture and stems.")
    ] = False,
) -> None:
    """Separate songs into vocals and accompaniment.

    Folders are searched to any depth and mirrored in the output folder.
    """
    if plot:
        _require("plot", "matplotlib")
    from unbraid.batch import separate_songs
    from unbraid.models import find
    from unbraid.models.checkpoint import read_info
    from unbraid.planning import Options, check_options, find_songs, plan
    from unbraid.progress import Display

    info = read_info(find(model))
    stems = (*info.targets, info.residual)
    if stem is not Stem.both:
        if stem.value not in stems:
            raise UnbraidError(f"model {model} has no stem {stem.value}; it has {', '.join(stems)}")
        stems = (stem.value,)
    options = Options(out, stems, name, format.value, bit_depth.value, plot, skip_existing)
    try:
        check_options(options)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from None
    tasks, known = plan(find_songs(songs, out), options)

    from unbraid.separator import Separator  # torch takes seconds: after the checks

    with Display(len(tasks)) as display:
        for result in known:
            display.result(result)
        results = separate_songs(
            tasks,
            options,
            partial(Separator.from_pretrained, model, device=device.value),
            jobs,
            display.progress,
            display.result,
        )
    if any(result.status == "failed" for result in known + results):
        raise typer.Exit(1)


@app.command()
def info(songs: Annotated[list[Path], typer.Argument(metavar="SONG...", help="Files.")]) -> None:
    """Show what a file holds: format, length, sample rate, channels, bit depth."""
    from unbraid.audio import probe
    from unbraid.planning import describe
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
        print(f"  bit depth    {found.bit_depth}")
    if failed:
        raise typer.Exit(1)


@app.command()
def models() -> None:
    """List the models at hand, with licence and training data."""
    from unbraid.models import list_models

    for model in list_models():
        print(model.name)
        print(f"  stems         {', '.join((*model.targets, model.residual))}")
        print(f"  architecture  {model.architecture}, {model.parameters / 1e6:.2f} M parameters")
        print(f"  sample rate   {model.sample_rate} Hz")
        print(f"  licence       {model.licence}")
        print(f"  trained on    {model.data}")
        print(f"  sha-256       {model.sha256}")
        print(f"  file          {model.path}")


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
    _require("train", "lightning", "tensorboard", "pedalboard", "matplotlib")
    from unbraid.training import fit

    fit.run(config, overrides or [], minutes, resume)


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
    _require("eval", "scipy", "PIL")
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
    _require("eval", "scipy", "PIL")
    from unbraid.evaluation.report import write_report

    for path in write_report(folders, out or folders[0]):
        print(path)


def _require(extra: str, *packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            raise UnbraidError(f"{package} is missing: this needs pip install 'unbraid[{extra}]'")
