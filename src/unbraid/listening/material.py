"""The folder of a listening test: songs, their true stems, and the systems that separated them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unbraid.data.tracks import Track, find_tracks
from unbraid.errors import DataError, reason
from unbraid.evaluation.run import check
from unbraid.evaluation.systems import Folder
from unbraid.listening.ratings import ANCHOR, RATINGS, REFERENCE

MIXTURE = "mixture"  # the anchor for interference, so it is not among the systems
MOST_SYSTEMS = 10  # with the reference and the anchor 12 sounds, the most of BS.1534-3
_EXCERPTS = "excerpts"  # where `unbraid evaluate` puts them, below a system


@dataclass(frozen=True)
class Material:
    """What is compared.

    Attributes:
        tracks: songs with their true stems, sorted by name.
        systems: name -> folder of its stems.
    """

    tracks: tuple[Track, ...]
    systems: Mapping[str, Folder]


def find_material(folder: Path) -> Material:
    """Finds `reference/SONG/STEM.wav` and `SYSTEM/SONG/STEM.wav`, or what `evaluate` wrote.

    The headers of all files are read. The songs are those that any system has.

    Args:
        folder: of the test.

    Raises:
        DataError: a folder, a song or a stem is missing or cannot be read, two songs have one
            name, stems of a song differ in sample rate, length or channels, or there are fewer
            than two systems or too many.
    """
    reference, folders = folder / REFERENCE, _folders(folder)
    if reference not in folders:
        raise DataError(
            f"{folder}: no folder {REFERENCE!r} with the true stems; a listening test needs "
            f"{REFERENCE}/SONG/vocals.wav and accompaniment.wav, and SYSTEM/SONG/ likewise"
        )
    inside = _EXCERPTS if (reference / _EXCERPTS).is_dir() else "."
    systems = {
        path.name: Folder(path / inside)
        for path in folders
        if path.name not in (REFERENCE, RATINGS, MIXTURE) and (path / inside).is_dir()
    }
    if ANCHOR in systems:
        raise DataError(f"{folder / ANCHOR}: a system cannot be named {ANCHOR!r}: rename it")
    if len(systems) < 2:
        there = ", ".join(systems) or "none"
        raise DataError(f"{folder}: a comparison needs two systems or more, and there is {there}")
    if len(systems) > MOST_SYSTEMS:
        raise DataError(
            f"{folder}: {len(systems)} systems, but nobody compares more than {MOST_SYSTEMS} at "
            "once; move some elsewhere"
        )
    tracks = sorted(find_tracks(reference / inside), key=lambda track: track.name)
    known = {track.name for track in tracks}
    songs: dict[str, str] = {}  # the first system that has it
    for name, system in systems.items():
        for path in _folders(system.path):
            songs.setdefault(path.name, name)
    for song, name in songs.items():
        if song not in known:
            raise DataError(f"{reference}: no true stems of {song!r}, which {name} has")
    if not songs:
        raise DataError(f"{folder}: no songs below {', '.join(systems)}")
    chosen = tuple(track for track in tracks if track.name in songs)
    check(chosen, list(systems.values()))
    return Material(chosen, systems)


def _folders(path: Path) -> list[Path]:
    """Those in a folder, but for hidden ones, which programs leave behind."""
    try:
        inside = [inner for inner in sorted(path.iterdir()) if inner.name[0] != "."]
        return [inner for inner in inside if inner.is_dir()]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({reason(error)})") from None
