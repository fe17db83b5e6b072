"""The jobs of a server: a bounded queue, its workers, and what is kept of each song."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field

from unbraid.errors import UnbraidError
from unbraid.models import find
from unbraid.web.models import Model, Models
from unbraid.web.process import Child, DiedError
from unbraid.web.settings import Settings
from unbraid.web.storage import Storage
from unbraid.web.worker import UNEXPECTED

log = logging.getLogger("unbraid.web")

DIED = (
    "the separation process died, perhaps for want of memory; it was replaced: try again, or a "
    "shorter song"
)


class BusyError(UnbraidError):
    """The queue is full.

    Args:
        before: songs that are before the next one.
    """

    def __init__(self, before: int) -> None:
        super().__init__(f"busy, {before} before you: try again later")
        self.before = before


@dataclass
class Job:
    """A song and what became of it.

    Attributes:
        id: unguessable, 32 hexadecimal digits.
        number: order of arrival.
        name: what the user called the file; for people, never part of a path.
        samples: per channel.
        sample_rate: Hz.
        channels: their number.
        model: name of the one that separates it.
        created: Unix time in seconds.
        status: queued, running, done or failed.
        stems: those that are there.
        loud: stems that exceed full scale.
        warnings: what the user should know, one line each.
        error: why it failed.
        finished: Unix time in seconds.
        progress: fraction done, from 0 to 1.
        started: monotonic time at which the separation began, in seconds.
    """

    id: str
    number: int
    name: str
    samples: int
    sample_rate: int
    channels: int
    model: str
    created: float = field(default_factory=time.time)
    status: str = "queued"
    stems: list[str] = field(default_factory=list)
    loud: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: str | None = None
    finished: float | None = None
    progress: float = 0.0
    started: float | None = None


class Jobs:
    """All jobs, in order of arrival, and the processes that work on them.

    Args:
        settings: limits, model and device.
        storage: where songs and stems are.

    Raises:
        ModelError: there is no such model.

    Attributes:
        models: that songs can be separated with, known once it has started.
        change: set, and replaced by a new one, when any job changes.
    """

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self._settings = settings
        self.storage = storage
        self._own = str(find(settings.model))
        greeting = {"task": "load", "model": self._own, "device": settings.device}
        self.workers = [Child(greeting) for _ in range(settings.workers)]
        self._jobs: dict[str, Job] = {}
        self._arriving = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._running: dict[str, asyncio.Task[object]] = {}
        self.change = asyncio.Event()
        self.models = Models()

    async def start(self) -> None:
        """Load the server's own model, take up what a former server left, and begin.

        Raises:
            UnbraidError: the model or the device cannot be had.
        """
        for worker in self.workers:
            await worker.greet()
        found = await self.workers[0].ask({"task": "models", "own": self._own})
        self.models = Models(found["models"])
        for reason in found["damaged"]:
            log.warning("%s", reason)
        own = self.models.choose(None).name
        records = sorted(self.storage.load(), key=lambda item: item[1]["number"])
        for job_id, record in records:
            job = self._jobs[job_id] = Job(**{"model": own, **record})  # older servers had one
            if job.status == "running":
                job.status, job.progress = "queued", 0.0
        self._tasks = [asyncio.create_task(self._work(worker)) for worker in self.workers]
        self._tasks.append(asyncio.create_task(self._expire()))

    async def stop(self) -> None:
        """End all work; unfinished songs begin anew with the next server."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in self.workers:
            await worker.close()

    @property
    def healthy(self) -> bool:
        """Whether songs are still being taken from the queue."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    def __iter__(self) -> Iterator[Job]:
        """Jobs in order of arrival."""
        return iter(list(self._jobs.values()))

    def get(self, job_id: str) -> Job | None:
        """A job, if it is there."""
        return self._jobs.get(job_id)

    def before(self, job: Job) -> int:
        """Songs that come before one that waits."""
        if job.status != "queued":
            return 0
        return sum(
            other.status == "running" or (other.status == "queued" and other.number < job.number)
            for other in self
        )

    def seconds_left(self, job: Job) -> float | None:
        """Time that a running separation will take, as far as one can tell."""
        if job.started is None or job.progress <= 0:
            return None
        return (time.monotonic() - job.started) * (1 / job.progress - 1)

    def expires(self, job: Job) -> float | None:
        """Unix time at which a finished song is removed."""
        return None if job.finished is None else job.finished + self._settings.keep_seconds

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue while a song arrives.

        Raises:
            BusyError: there is none.
        """
        waiting = sum(job.status == "queued" for job in self) + self._arriving
        if waiting >= self._settings.max_queue:
            raise BusyError(waiting + len(self._running))
        self._arriving += 1
        try:
            yield
        finally:
            self._arriving -= 1

    def reserve(self, job_id: str, size: int) -> None:
        """Set aside room on disk; the oldest finished songs make way.

        Raises:
            FullError: there is no room even then.
        """
        finished = sorted((job for job in self if job.finished), key=lambda job: job.finished or 0)
        others = iter([job.id for job in finished if job.id != job_id])
        for victim in self.storage.reserve(job_id, size, others):
            self._forget(victim)

    def add(
        self,
        job_id: str,
        name: str,
        model: Model,
        samples: int,
        sample_rate: int,
        channels: int,
    ) -> Job:
        """Put a song into the queue."""
        number = max((job.number for job in self), default=0) + 1
        job = Job(job_id, number, name, samples, sample_rate, channels, model.name)
        self._jobs[job_id] = job
        self._save(job)
        return job

    async def delete(self, job: Job) -> None:
        """Forget a job, whatever its state, and remove its files."""
        self._jobs.pop(job.id, None)
        if task := self._running.get(job.id):
            task.cancel()
            await asyncio.wait([task])
        self._forget(job.id)

    def _forget(self, job_id: str) -> None:
        self._jobs.pop(job_id, None)
        self.storage.remove(job_id)
        self._changed()

    def _changed(self) -> None:
        self.change.set()
        self.change = asyncio.Event()

    def _save(self, job: Job) -> None:
        record = {**asdict(job), "started": None}
        try:
            self.storage.save(job.id, record)
        except OSError as error:  # a full disk; memory still has it
            log.error("job %s: a restart would forget its state (%s)", job.id, error.strerror)
        self._changed()

    def _end(self, job: Job, status: str, error: str | None = None) -> None:
        job.status, job.error = status, error
        job.finished, job.started = time.time(), None
        self._save(job)

    async def _work(self, worker: Child) -> None:
        """Separate whatever waits, one song after another, for ever."""
        while True:
            job = next((job for job in self if job.status == "queued"), None)
            if job is None:
                await self.change.wait()
                continue
            try:
                await self._take(worker, job)
            except Exception:
                log.exception("job %s", job.id)
                self._end(job, "failed", UNEXPECTED)
            with suppress(Exception):  # the next song fails with the reason
                await worker.greet()  # a new one loads the model before the next song comes

    async def _take(self, worker: Child, job: Job) -> None:
        """Separate a song, unless it is deleted meanwhile."""
        job.status, job.started = "running", time.monotonic()
        self._save(job)
        task = asyncio.create_task(self._separate(worker, job))
        self._running[job.id] = task
        try:
            await task
        except asyncio.CancelledError:
            if job.id in self._jobs:  # not deleted: the server stops
                raise
        finally:
            del self._running[job.id]

    async def _separate(self, worker: Child, job: Job) -> None:
        def follow(fraction: float) -> None:
            job.progress = fraction
            self._changed()

        song, out = self.storage.song(job.id), self.storage.stems(job.id)
        request = {"task": "separate", "song": str(song), "out": str(out)}
        try:
            model = self.models.choose(job.model)  # may be gone since the last server
            on = {"model": model.path, "device": self._settings.device}
            result = await worker.ask({**request, **on}, follow)
        except DiedError:
            log.warning("the separation process died while separating job %s", job.id)
            self._end(job, "failed", DIED)
        except UnbraidError as error:
            reason = self.storage.without_paths(job.id, str(error))
            self._end(job, "failed", self.models.without_paths(reason))
        else:
            job.progress = 1.0
            job.stems, job.loud = result["stems"], result["loud"]
            job.warnings = result["warnings"]
            self._end(job, "done")
        self.storage.settle(job.id)

    async def _expire(self) -> None:
        while True:
            for job in self:
                expires = self.expires(job)
                if expires is not None and expires < time.time():
                    self._forget(job.id)
            await asyncio.sleep(min(60.0, self._settings.keep_seconds / 4))
