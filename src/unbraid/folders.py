"""Folders of files: what is below them, whether they take more, and that none is left empty."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from unbraid.errors import AudioError, reason


def files_below(root: Path, onerror: Callable[[OSError], object]) -> Iterator[Path]:
    """All files below a folder, and below the folders that it holds links to, each once.

    Args:
        root: the folder.
        onerror: called for a folder that cannot be listed.
    """
    waiting, done = [root], set[Path]()
    while waiting:
        start = waiting.pop(0)
        real = start.resolve()
        if any(real.is_relative_to(other) for other in done):
            continue
        for place, subfolders, files in os.walk(start, onerror=onerror):
            folder = Path(place)
            if folder.resolve() in done:
                subfolders.clear()  # a link led here
                continue
            waiting += [
                folder / name for name in sorted(subfolders) if (folder / name).is_symlink()
            ]
            yield from (folder / name for name in files)
        done.add(real)


def check_folder(folder: Path) -> None:
    """Look whether a folder, or the first above it that is there, can be written to.

    Raises:
        AudioError: if not.
    """
    place = folder.absolute()
    try:
        while not is_there(place):
            place = place.parent
    except OSError as error:
        raise AudioError(f"{folder}: {reason(error)}; choose another folder") from error
    if not place.is_dir():
        raise AudioError(f"{folder}: {place} is a file, not a folder; choose another")
    if not os.access(place, os.W_OK | os.X_OK):
        raise AudioError(f"{folder}: no permission to write to {place}; choose another folder")


def make(folder: Path) -> list[Path]:
    """Make a folder, and those above it that are missing, or none of them.

    Returns:
        Those that were, the innermost first.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        remove_empty(filter(os.path.exists, missing))
        raise
    return missing


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, the innermost first, until one of them holds something."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def is_there(path: Path) -> bool:
    """Whether a file or folder is there; OSError where that cannot be told."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
