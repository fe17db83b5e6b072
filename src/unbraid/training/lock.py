"""One command at a time in a folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unbraid.errors import ConfigError, reason


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """No other command holds the folder meanwhile.

    The system lets go of it when the process ends, in whatever way; the file `.lock` that stays
    means nothing. On Windows, and on a disk that knows no locks, none is held.

    Args:
        folder: made if it is missing.

    Raises:
        ConfigError: another command holds it, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a")
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be written to ({reason(error)}); give another run.folder=… or name=…"
        ) from None
    with file:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"{folder}: another command is at work here; wait for its end, or give another "
                    "name=…"
                ) from None
            except OSError:
                pass  # the disk knows no locks
        yield
