"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unbraid.folders import make, remove_empty


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden path beside a file, to write to: it replaces the file at a clean exit.

    Missing folders are made. After an exception nothing of it or of them remains, and the file is
    as it was. An OSError names the file.

    Args:
        path: the file.
    """
    made = make(path.parent)
    # A short name of its own: the file's may be as long as the file system allows.
    temporary = path.with_name(f".unbraid-{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.strerror and error.filename in (None, str(temporary)):  # a full disk has no name
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # a folder that is read-only says so even of what is not there
            temporary.unlink()
        remove_empty(made)  # the file is there, or they are not wanted
