"""The folder of a server: a folder a job, named by its number alone, within a limit of bytes."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from unbraid.errors import ConfigError, UnbraidError, reason
from unbraid.replacing import replacing

_STEP = 8 << 20  # bytes by which the space of an upload of unknown size grows
_ID = re.compile(r"[0-9a-f]{32}")


class TooLargeError(UnbraidError):
    """More than the server takes."""


class FullError(UnbraidError):
    """No room, even without the finished songs."""


class StalledError(UnbraidError):
    """An upload that stopped coming."""


@contextmanager
def room() -> Iterator[None]:
    """Surrounds what writes to the disk.

    Raises:
        FullError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise FullError("the server's disk is full: delete songs, or try later") from error


class Storage:
    """Songs, stems and records on disk.

    Args:
        folder: for all of it; made if it is missing.
        max_disk: most bytes in it.

    Raises:
        ConfigError: the folder cannot be written to.
    """

    def __init__(self, folder: Path, max_disk: int) -> None:
        self._jobs = folder / "jobs"
        try:
            self._jobs.mkdir(parents=True, exist_ok=True, mode=0o700)
            with TemporaryFile(dir=self._jobs):
                pass
        except OSError as error:
            raise ConfigError(
                f"{folder}: cannot be written to ({reason(error)}); choose another --folder"
            ) from error
        self._max_disk = max_disk
        self._sizes: dict[str, int] = {}

    def create(self) -> str:
        """Make the folder of a new job and return the job's id, which nobody can guess."""
        job_id = secrets.token_hex(16)
        self._folder(job_id).mkdir(mode=0o700)
        self._sizes[job_id] = 0
        return job_id

    def song(self, job_id: str) -> Path:
        """The uploaded file of a job; what it holds says its format, so it has no suffix."""
        return self._folder(job_id) / "song"

    def share_song(self, source: str, target: str) -> None:
        """Give the file of one job to another, too: no second copy where the disk can do so."""
        try:
            os.link(self.song(source), self.song(target))  # nobody writes to it any more
        except OSError:
            shutil.copyfile(self.song(source), self.song(target))

    def stems(self, job_id: str) -> Path:
        """Folder of a job's stems as the model wrote them."""
        return self._folder(job_id) / "stems"

    def encoded(self, job_id: str, stem: str, format: str) -> Path:
        """A stem in a format: the model's WAV file, or a file made of it."""
        folder = "stems" if format == "wav" else "encoded"
        return self._folder(job_id) / folder / f"{stem}.{format}"

    def reserve(self, job_id: str, size: int, evictable: Iterator[str]) -> list[str]:
        """Set aside room for a job.

        Args:
            job_id: the job.
            size: bytes that it will have in all.
            evictable: jobs that may go, first to go first.

        Returns:
            The jobs whose folders have to be removed for it.

        Raises:
            FullError: there is no room even then.
        """
        others = sum(self._sizes.values()) - self._sizes.get(job_id, 0)
        evicted = []
        while others + size > self._max_disk:
            victim = next(evictable, None)
            if victim is None:
                raise FullError("the server's disk space is used up: delete songs, or try later")
            evicted.append(victim)
            others -= self._sizes.get(victim, 0)
        self._sizes[job_id] = size
        return evicted

    def settle(self, job_id: str) -> None:
        """Count what a job really takes."""
        self._sizes[job_id] = self.size(job_id)

    def size(self, job_id: str) -> int:
        """Bytes that a job takes on disk."""
        files = self._folder(job_id).rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())

    def remove(self, job_id: str) -> None:
        """Remove all of a job."""
        shutil.rmtree(self._folder(job_id), ignore_errors=True)
        self._sizes.pop(job_id, None)

    def save(self, job_id: str, record: dict[str, Any]) -> None:
        """Keep a job's record over a restart."""
        with replacing(self._folder(job_id) / "job.json") as file:
            file.write_text(json.dumps(record), encoding="utf-8")

    def load(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Records of the jobs on disk; half-uploaded ones are removed."""
        for folder in self._jobs.iterdir():
            if not _ID.fullmatch(folder.name):
                continue
            try:
                record = json.loads((folder / "job.json").read_text(encoding="utf-8"))
            except (OSError, ValueError):
                shutil.rmtree(folder, ignore_errors=True)
                continue
            self._sizes[folder.name] = self.size(folder.name)
            yield folder.name, record

    def without_paths(self, job_id: str, reason: str) -> str:
        """A reason that calls a job's files by their names, and the song not at all."""
        shown = reason.removeprefix(f"{self.song(job_id)}: ")
        folder = re.escape(f"{self._folder(job_id)}{os.sep}")
        return re.sub(rf"{folder}((stems|encoded)[/\\])?", "", shown)

    def _folder(self, job_id: str) -> Path:
        return self._jobs / job_id


class Upload:
    """A song on its way to disk.

    Args:
        path: file to write.
        max_bytes: largest size.
        stall_seconds: longest pause.
    """

    def __init__(self, path: Path, max_bytes: int, stall_seconds: float) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._stall_seconds = stall_seconds

    def check(self, size: int) -> None:
        """Raise TooLargeError for a size above the limit."""
        if size > self._max_bytes:
            raise TooLargeError(f"the song is larger than {self._max_bytes >> 20} MB")

    async def receive(self, body: AsyncIterator[bytes]) -> AsyncIterator[int]:
        """Write a body to the file, never more of it in memory than a chunk.

        Yields:
            Bytes to set aside before more is written, now and then.

        Raises:
            TooLargeError: it is larger than the limit.
            StalledError: nothing came for too long.
        """
        written = reserved = 0
        with self._path.open("wb") as file:
            while True:
                try:
                    chunk = await asyncio.wait_for(anext(body, None), self._stall_seconds)
                except asyncio.TimeoutError:
                    raise StalledError("the upload stopped coming: try again") from None
                if chunk is None:
                    return
                written += len(chunk)
                self.check(written)
                if written > reserved:
                    reserved = written + _STEP
                    yield reserved
                file.write(chunk)
