"""Songs among files and folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from unbraid.errors import AudioError, reason

# fmt: off
SUFFIXES = frozenset((
    ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".alac", ".ape", ".au", ".avi", ".caf", ".flac",
    ".flv", ".m2ts", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4",
    ".mpeg", ".mpg", ".mts", ".oga", ".ogg", ".ogv", ".opus", ".rf64", ".spx", ".tta", ".vob",
    ".w64", ".wav", ".wave", ".weba", ".webm", ".wma", ".wmv", ".wv",
))
# fmt: on


@dataclass(frozen=True)
class Song:
    """A song to separate, or a folder whose songs cannot be listed.

    Attributes:
        path: the file: a Path, or for a fleet also a Url.
        folder: where its stems go, relative to the output folder.
        fault: of a folder: why it cannot be read.
        found: whether it was found in a folder, rather than named.
    """

    path: PurePath
    folder: PurePath = Path()
    fault: str | None = None
    found: bool = False


def find_songs(inputs: Iterable[Path], out_dir: Path) -> list[Song]:
    """Songs among files and folders: files as given, folders searched to any depth and mirrored.

    Hidden files and folders are left out, and so is what lies in `out_dir`. Links to folders are
    not followed. A folder that cannot be read is among them, with its fault.

    Args:
        inputs: files and folders.
        out_dir: folder that output goes to.

    Raises:
        AudioError: a folder holds no song.
    """
    songs: dict[str, Song] = {}
    for given in inputs:
        found = _search(given, out_dir) if os.path.isdir(given) else [Song(given)]
        if not found:
            raise AudioError(f"{given}: no audio or video files in this folder")
        for song in found:
            songs.setdefault(os.path.abspath(song.path), song)
    return list(songs.values())


def _search(root: Path, out_dir: Path) -> list[Song]:
    return sorted((song for songs in walk(root, out_dir) for song in songs), key=lambda s: s.path)


def walk(root: Path, out_dir: PurePath) -> Iterator[list[Song]]:
    """Songs of a folder and its subfolders, one list a folder, listed as they are asked for.

    A folder that cannot be read comes with the next list, with its fault.

    Args:
        root: the folder.
        out_dir: folder that output goes to, which is left out.
    """
    output = os.path.abspath(out_dir)
    unread: list[Song] = []

    def note(error: OSError) -> None:
        folder = Path(error.filename)
        fault = f"{folder}: cannot be read: {reason(error)}"
        unread.append(Song(folder, folder.relative_to(root), fault))

    for folder, subfolders, files in os.walk(root, onerror=note):
        subfolders[:] = [
            name
            for name in sorted(subfolders)
            if not is_hidden(name) and os.path.abspath(os.path.join(folder, name)) != output
        ]
        below = Path(folder).relative_to(root)
        songs = [
            Song(Path(folder, name), below, found=True) for name in sorted(files) if is_song(name)
        ]
        if unread or songs:
            yield [*unread, *songs]
        unread.clear()
    if unread:
        yield unread


def is_song(name: str) -> bool:
    """Whether a file in a searched folder is one to separate, by its name."""
    return not is_hidden(name) and os.path.splitext(name)[1].lower() in SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden; a title that begins with an ellipsis is not."""
    return name.startswith(".") and not name.startswith("..")
