"""One command at a time in a folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from unbraid.errors import ConfigError, reason
from unbraid.folders import make, remove_empty


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """No other command holds the folder meanwhile.

    The system lets go of it when the process ends, in whatever way; a file `.lock` that stays
    means nothing. Processes that it started and that outlive it hold the folder for as long.
    Folders that were made for it and are empty in the end go. On Windows, and on a disk that knows
    no locks, none is held.

    Args:
        folder: made if it is missing.

    Raises:
        ConfigError: another command holds it, or it cannot be written to.
    """
    lock = folder / ".lock"
    try:
        made = make(folder)
        file = lock.open("a")
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be written to ({reason(error)}); give another run.folder=… or name=…"
        ) from None
    with file:
        if not _held(file, lock):
            raise ConfigError(
                f"{folder}: another command is at work here; wait for its end, or give another "
                "name=…"
            )
        try:
            yield
        finally:
            if sys.platform == "win32":  # which removes no open file
                file.close()
            with suppress(OSError):
                lock.unlink()
            remove_empty(made)


def _held(file: IO[str], lock: Path) -> bool:
    """Take the lock, unless another command has it or took its file away in between."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError:
        return True  # the disk knows no locks
