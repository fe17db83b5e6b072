"""Many songs: checks all of them before any is separated."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Literal

from unbraid.audio import probe
from unbraid.audio.encoders import check_layout
from unbraid.audio.files import exceeds_full_scale
from unbraid.errors import AudioError, ConfigError, UnbraidError, describe
from unbraid.folders import check_folder, is_there
from unbraid.naming import check_output, forms_of
from unbraid.songs import Song

_USUAL = ("vocals", "accompaniment")  # an earlier run may have written the stem not asked for


@dataclass(frozen=True)
class Options:
    """What to write, the same for every song of a batch.

    Attributes:
        out_dir: folder that all output lies in: a Path, or for a fleet also a Url.
        stems: the stems to write.
        name: path of a stem below `out_dir`, with the fields {track}, {stem} and {ext}.
        format: "wav", "flac", "mp3" or "ogg".
        bit_depth: "auto" (as the song), "16", "24" or "32f".
        plot: also write a picture of mixture and stems.
        skip_existing: leave out songs whose output is there already.
    """

    out_dir: PurePath
    stems: tuple[str, ...]
    name: str = "{track}/{stem}.{ext}"
    format: str = "wav"
    bit_depth: str = "auto"
    plot: bool = False
    skip_existing: bool = False


@dataclass(frozen=True)
class Task:
    """A song that passed the checks.

    Attributes:
        song: the song.
        plot: picture to write, if any.
        duration: length in seconds, None where the file does not say.
    """

    song: Song
    plot: PurePath | None
    duration: float | None


@dataclass(frozen=True)
class Result:
    """What became of a song.

    Attributes:
        song: the song.
        status: "done", "skipped" (its output was there) or "failed".
        files: stem -> file written; the picture is under "plot".
        duration: length of the song in seconds.
        elapsed: time that separating took in seconds.
        warnings: what the user should know, one line each.
        error: why it failed: one line, or the traceback of an error that is not the user's.
    """

    song: Song
    status: Literal["done", "skipped", "failed"]
    files: dict[str, PurePath] = field(default_factory=dict)
    duration: float = 0.0
    elapsed: float = 0.0
    warnings: tuple[str, ...] = ()
    error: str | None = None


def check_options(options: Options) -> None:
    """Checks that the output can be written where and as it is asked for.

    Raises:
        ConfigError: a bad name template, or a format that cannot hold the bit depth.
        AudioError: the output folder cannot be written to.
    """
    check_output(options.name, options.stems, options.format, options.bit_depth)
    _path_of(options, Song(Path("track")), "stem", options.format)
    if isinstance(options.out_dir, Path):
        check_folder(options.out_dir)


def _path_of(options: Options, song: Song, stem: str, ext: str) -> PurePath:
    name = options.name.format(track=song.path.stem, stem=stem, ext=ext)
    path = options.out_dir / song.folder / name
    inside = Path(os.path.abspath(options.out_dir))
    if inside not in Path(os.path.abspath(path)).parents:
        raise ConfigError(
            f"name {options.name!r} leads out of the folder {options.out_dir}: choose another"
        )
    return path


def plan(
    songs: Sequence[Song],
    options: Options,
    exists: Callable[[PurePath], bool] = lambda path: is_there(Path(path)),
) -> tuple[list[Task], list[Result]]:
    """Checks every song before any is separated.

    Args:
        songs: from `find_songs`, or a folder's from `walk`.
        options: checked by `check_options`.
        exists: whether a file of the output is there.

    Returns:
        The songs to separate, and the results already known: unreadable ones, ones that would
        write to the same file as another or over an input, that the format cannot hold or no
        file can be named after, and ones whose output exists. A file found in a folder where
        the stem of another song goes is in neither.
    """
    tasks: list[Task] = []
    results = [Result(song, "failed", error=song.fault) for song in songs if song.fault]
    outputs: dict[Song, dict[str, PurePath]] = {}
    for song in songs:
        if not song.fault:
            try:
                outputs[song] = outputs_of(song, options)
            except UnbraidError as error:
                results.append(Result(song, "failed", error=describe(error)))
    stems = _stems_of_others(list(outputs), options)
    inputs = {_key(song.path) for song in outputs}
    outputs = {song: paths for song, paths in outputs.items() if song not in stems}
    owners = _owners(outputs)
    for song, paths in outputs.items():
        try:
            _check_clashes(song, paths, owners)
            if options.skip_existing and all(_written(path, exists) for path in paths.values()):
                results.append(Result(song, "skipped", paths))
                continue
            _check_inputs(paths, inputs)
            # what a Url holds is seen where it is fetched
            duration = _checked_duration(song.path, paths) if isinstance(song.path, Path) else None
        except (UnbraidError, OSError) as error:
            results.append(Result(song, "failed", error=describe(error)))
            continue
        tasks.append(Task(song, paths.get("plot"), duration))
    return tasks, results


def _written(path: PurePath, exists: Callable[[PurePath], bool]) -> bool:
    """Whether a file is there, or the float WAV that a FLAC file became; another WAV is none."""
    if exists(path):
        return True
    others = [form for form in forms_of(path) if form != path and exists(form)]
    try:
        return any(not isinstance(form, Path) or exceeds_full_scale(form) for form in others)
    except AudioError:  # a file that is no audio is no stem
        return False


def _checked_duration(song: Path, paths: dict[str, PurePath]) -> float | None:
    """Length of a song in seconds; AudioError if it or its stems' format is not up to it."""
    info = probe(song)
    for stem, path in paths.items():
        if stem != "plot":
            check_layout(path, info.sample_rate, info.channels)
    return info.duration


def _owners(outputs: dict[Song, dict[str, PurePath]]) -> dict[str, list[Song]]:
    """The songs that may write a file, by its key."""
    owners: dict[str, list[Song]] = {}
    for song, paths in outputs.items():
        for path in paths.values():
            for form in forms_of(path):
                owners.setdefault(_key(form), []).append(song)
    return owners


def _stems_of_others(songs: Sequence[Song], options: Options) -> set[Song]:
    """Files found where the stems of other songs go, in this format or another.

    Songs that write to the same place are none of each other's stems: that is a clash.
    """
    stems = {*options.stems, *_USUAL}
    places = {
        song: {_place(_path_of(options, song, stem, options.format)) for stem in stems}
        for song in songs
    }
    writers: dict[str, list[Song]] = {}
    for song, written in places.items():
        for place in written:
            writers.setdefault(place, []).append(song)
    return {
        song
        for song, written in places.items()
        if song.found
        and any(places[other].isdisjoint(written) for other in writers.get(_place(song.path), ()))
    }


def outputs_of(song: Song, options: Options) -> dict[str, PurePath]:
    """The files to write for a song: stem -> file, and the picture under "plot"."""
    paths = {stem: _path_of(options, song, stem, options.format) for stem in options.stems}
    if options.plot:
        paths["plot"] = _path_of(options, song, "plot", "png")
    return paths


def _key(path: PurePath) -> str:
    """What two paths of one file have in common, through whatever links they lead."""
    resolved = os.path.realpath if isinstance(path, Path) else os.path.abspath  # a Url has no links
    return os.path.normcase(resolved(path))


def _place(path: PurePath) -> str:
    """What the paths of a stem have in common, whatever its format."""
    return os.path.splitext(_key(path))[0]


def _check_clashes(song: Song, paths: dict[str, PurePath], owners: dict[str, list[Song]]) -> None:
    for path in paths.values():
        for form in forms_of(path):
            others = [owner.path for owner in owners[_key(form)] if owner is not song]
            if others:
                raise AudioError(
                    f"would write {form}, and so would {others[0]}: "
                    "rename one, or separate them into two folders"
                )


def _check_inputs(paths: dict[str, PurePath], inputs: set[str]) -> None:
    """Keep what lies among the songs: nothing tells a stem of an earlier run from a recording."""
    for path in paths.values():
        for form in forms_of(path):
            if _key(form) in inputs:
                raise AudioError(
                    f"{form} is among the songs and would be overwritten: choose another --out, "
                    "or --skip-existing"
                )
