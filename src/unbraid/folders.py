"""Whether a folder takes files, told before anything is computed."""

from __future__ import annotations

import os
from pathlib import Path

from unbraid.errors import AudioError, reason


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
        raise AudioError(f"{folder}: {reason(error)}: choose another folder") from error
    if not place.is_dir():
        raise AudioError(f"{folder}: {place} is a file, not a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise AudioError(f"{folder}: no permission to write to {place}")


def is_there(path: Path) -> bool:
    """Whether a file or folder is there; OSError where that cannot be told."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
