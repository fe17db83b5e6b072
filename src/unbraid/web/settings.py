"""What a server allows, and where it keeps its songs."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from unbraid.errors import ConfigError
from unbraid.models import DEFAULT

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may call a server.

    Attributes:
        hosts: names by which browsers may call it.
        any_address: whether they may also call it by any IP address.
        token: secret that every request must carry; None for none.
    """

    hosts: frozenset[str] = frozenset(LOOPBACK)
    any_address: bool = False
    token: str | None = None


@dataclass(frozen=True)
class Settings:
    """Settings of a server that separates.

    Attributes:
        folder: where songs and stems are kept; one server at a time.
        model: a name from `unbraid models`, or the path of a weight file.
        device: where to compute: `auto`, `cpu`, `cuda` or `mps`.
        workers: songs separated at once, each in a process of its own.
        max_upload: largest song in bytes.
        max_seconds: longest song in seconds.
        max_queue: songs that may wait.
        max_disk: most bytes of songs and stems; the oldest finished ones make room.
        keep_seconds: time after which a finished song is removed, in seconds.
        stall_seconds: longest pause in an upload, in seconds.
        access: who may call the server.
    """

    folder: Path
    model: str = DEFAULT
    device: str = "auto"
    workers: int = 1
    max_upload: int = 500 << 20
    max_seconds: float = 20 * 60.0
    max_queue: int = 32
    max_disk: int = 10 << 30
    keep_seconds: float = 24 * 3600.0
    stall_seconds: float = 30.0
    access: Access = Access()

    def __post_init__(self) -> None:
        sizes = (self.max_upload, self.max_seconds, self.max_disk, self.keep_seconds)
        if min(sizes) <= 0 or self.max_queue < 1 or self.workers < 1:
            raise ConfigError("the limits of a server must be positive")


def cache_folder(port: int) -> Path:
    """Where a server keeps its songs unless told otherwise: one folder a port.

    Below `$XDG_CACHE_HOME` (`~/.cache`), `~/Library/Caches` or `%LOCALAPPDATA%`.

    Raises:
        ConfigError: if the user has no home.
    """
    try:
        home = Path.home()
    except RuntimeError:
        raise ConfigError("no home folder: name a --folder for songs and stems") from None
    if sys.platform == "darwin":
        place = home / "Library" / "Caches"
    elif sys.platform == "win32":
        place = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        place = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return place / "unbraid" / f"serve-{port}"
