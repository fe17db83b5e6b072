"""One worker: fetches a song, separates it and brings the stems to their place."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from glob import escape
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Literal

from unbraid.audio import probe
from unbraid.batch import separate_song
from unbraid.errors import UnbraidError, describe
from unbraid.fleet.places import Store, Url, fetch
from unbraid.planning import Options, Task, outputs_of
from unbraid.songs import Song

if TYPE_CHECKING:
    from unbraid.separator import Separator

_PREFIX = f"unbraid-{platform.node()}-"

MakeSeparator = Callable[[Path], "Separator"]


@dataclass(frozen=True)
class Job:
    """A song for a worker.

    Attributes:
        task: the song, as the user named it.
        place: the song, as any machine finds it.
        known_sha256: of the file that was separated with this model and options before.
        known_outputs: the files it was separated into.
        attempt: 1 for the first.
    """

    task: Task
    place: PurePath
    known_sha256: str | None = None
    known_outputs: dict[str, str] = field(default_factory=dict)
    attempt: int = 1


@dataclass(frozen=True)
class Report:
    """What became of a song.

    Attributes:
        status: "done", "skipped" (nothing has changed) or "failed".
        outputs: stem -> file, relative to the output folder.
        sha256: of the song's file, None if it was not read.
        duration: length of the song in seconds.
        elapsed: time that separating took in seconds.
        warnings: what the user should know, one line each.
        error: why it failed.
        node: Ray's name of the machine.
        worker: host and process.
    """

    status: Literal["done", "skipped", "failed"]
    outputs: dict[str, str] = field(default_factory=dict)
    sha256: str | None = None
    duration: float = 0.0
    elapsed: float = 0.0
    warnings: tuple[str, ...] = ()
    error: str | None = None
    node: str | None = None
    worker: str | None = None


class Worker:
    """A process with one model, which separates one song at a time.

    Args:
        weights: content of the weight file.
        make_separator: makes a Separator of the weight file.
        options: what to write; `out_dir` is absolute, or a Url.
        shown: `out_dir` as the user named it.
        threads: cores that it may use.
        uploads: folder in `out_dir` for files on their way.
    """

    def __init__(
        self,
        weights: bytes,
        make_separator: MakeSeparator,
        options: Options,
        shown: PurePath,
        threads: int,
        uploads: str,
    ) -> None:
        self._weights = weights
        self._make_separator = make_separator
        self._options = options
        self._shown = shown
        self._threads = threads
        self._uploads = uploads
        self._store = Store(options.out_dir)
        self._done: tuple[float, float | None] = (0.0, None)
        self._stopped = False
        self._separator: Separator | None = None

    def load(self) -> str | None:
        """Load the model; what the user can mend comes back as a line."""
        import torch

        torch.set_num_threads(self._threads)
        _remove_leftovers()
        with _temporary_folder() as folder:
            path = Path(folder, "weights.safetensors")
            path.write_bytes(self._weights)
            try:
                self._separator = self._make_separator(path)
            except UnbraidError as error:
                return str(error)
        self._weights = b""
        return None

    def separate(self, job: Job) -> Report | None:
        """Separate a song; None if `stop` came before the end."""
        import ray
        import torch

        torch.set_num_threads(self._threads)  # each thread of this process has its own setting
        self._done = (0.0, job.task.duration)
        try:
            with _temporary_folder() as folder:
                report = self._separate(job, Path(folder))
        except KeyboardInterrupt:
            return None
        except (UnbraidError, OSError) as error:
            report = Report("failed", error=describe(error))
        except Exception:
            report = Report("failed", error=traceback.format_exc())
        node = ray.get_runtime_context().get_node_id()
        return replace(report, node=node, worker=f"{platform.node()}:{os.getpid()}")

    def done(self) -> tuple[float, float | None]:
        """Fraction of the present song that is done, and the song's length in seconds."""
        return self._done

    def stop(self) -> None:
        """End the song under way, without leaving files."""
        self._stopped = True

    def _separate(self, job: Job, folder: Path) -> Report:
        song = self._fetch(job.place, folder / "song")
        sha256 = _sha256(song)
        if sha256 == job.known_sha256 and all(map(self._store.exists, job.known_outputs.values())):
            return Report("skipped", job.known_outputs, sha256, job.task.duration or 0.0)
        try:
            duration = job.task.duration or probe(song).duration
        except UnbraidError as error:
            shown = str(error).replace(str(song), str(job.task.song.path))
            return Report("failed", sha256=sha256, error=shown)
        stems = folder / "stems"
        options = replace(self._options, out_dir=stems)
        local = Song(song, job.task.song.folder)
        task = Task(local, outputs_of(local, options).get("plot"), duration)
        assert self._separator is not None  # `load` comes first

        def progress(fraction: float) -> None:
            if self._stopped:
                raise KeyboardInterrupt
            self._done = (fraction, duration)

        result = separate_song(self._separator, task, options, progress)
        if result.error is not None:
            shown = result.error.replace(str(song), str(job.task.song.path))
            shown = shown.replace(str(stems), str(self._shown))
            return Report("failed", sha256=sha256, error=shown)
        outputs = {}
        for stem, file in result.files.items():
            outputs[stem] = PurePath(file).relative_to(stems).as_posix()
            self._store.put(Path(file), outputs[stem], self._uploads)
        facts = (result.duration, result.elapsed, result.warnings)
        return Report("done", outputs, sha256, *facts)

    def _fetch(self, place: PurePath, folder: Path) -> Path:
        if not isinstance(place, Url):
            return Path(place)
        folder.mkdir()
        copy = folder / place.name
        fetch(place, copy)
        return copy


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-")


def _remove_leftovers() -> None:
    """Remove the temporary folders of workers that were killed on this machine."""
    for folder in Path(tempfile.gettempdir()).glob(f"{escape(_PREFIX)}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and os.name == "posix":
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                shutil.rmtree(folder, ignore_errors=True)
            except OSError:
                pass  # another user's, and alive


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
