"""The workers of a run: one song each at a time, and a new one for each that dies."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from unbraid.errors import UnbraidError
from unbraid.fleet.cluster import Size
from unbraid.fleet.places import HIDDEN, Store, absolute
from unbraid.fleet.worker import Job, MakeSeparator, Report, Worker
from unbraid.planning import Options, Task

ATTEMPTS = 2  # a song that kills so many workers is given up
_STARTS = 3  # so many workers that die as they start, one after another, end the run
_PAUSE = 0.5  # seconds between looks at the progress
_END = 10.0  # seconds that workers have to clean up when the run is interrupted


@dataclass
class _Member:
    """A worker.

    Attributes:
        actor: its handle.
        uploads: its folder for files on their way.
        answer: of `load` or `separate`, to come; None if it is idle.
        job: the song that it has.
        done: answer of `done`, to come.
    """

    actor: Any
    uploads: str
    answer: Any
    job: Job | None = None
    done: Any = None


class Crew:
    """Workers on a Ray cluster.

    Args:
        room: how many workers, and what each may use.
        weights: the weight file.
        make_separator: makes a Separator of a weight file.
        options: what to write.
        store: the output folder.
    """

    def __init__(
        self,
        room: Size,
        weights: Path,
        make_separator: MakeSeparator,
        options: Options,
        store: Store,
    ) -> None:
        self._room = room
        self._store = store
        self._weights = ray.put(weights.read_bytes())
        self._arguments = (
            make_separator,
            replace(options, out_dir=absolute(options.out_dir)),
            options.out_dir,
            room.threads,
        )
        self._members: list[_Member] = []
        self._waiting: deque[Job] = deque()
        self._failed_starts = 0
        self._looked = time.monotonic()

    def work_off(
        self,
        jobs: Iterator[Job],
        on_progress: Callable[[Task, float], None],
        on_report: Callable[[Job, Report], None],
    ) -> None:
        """Separate songs; no more are taken from the iterator than there are workers to do next.

        Args:
            jobs: the songs.
            on_progress: gets a task and its fraction done, from 0 to 1.
            on_report: gets what became of each song, once.

        Raises:
            UnbraidError: the workers cannot load the model, or die as they start.
        """
        while True:
            while len(self._waiting) < self._room.workers and (job := next(jobs, None)):
                self._waiting.append(job)
            self._hand_out()
            if not self._waiting and not self._busy():
                return
            answers = {member.answer: member for member in self._members if member.answer}
            ready, _ = ray.wait(list(answers), timeout=_PAUSE)
            for answer in ready:
                self._hear(answers[answer], on_report)
            self._watch(on_progress)

    def dismiss(self) -> list[tuple[Job, Report]]:
        """End all workers; a song under way leaves no file.

        Returns:
            The songs that were done before their workers heard of it.
        """
        done = []
        with suppress(RayError):
            for member in self._busy():
                member.actor.stop.remote()
            if self._busy():
                answers = [member.answer for member in self._busy()]
                ready, _ = ray.wait(answers, num_returns=len(answers), timeout=_END)
                done = self._last_reports(ready)
            for member in self._members:
                ray.kill(member.actor)
        self._members = []
        return done

    def _last_reports(self, ready: list[Any]) -> list[tuple[Job, Report]]:
        done = []
        for member in self._busy():
            if member.job and member.answer in ready:
                with suppress(RayError):
                    said = ray.get(member.answer)
                    if said is not None:
                        done.append((member.job, said))
        return done

    def _busy(self) -> list[_Member]:
        return [member for member in self._members if member.job]

    def _hand_out(self) -> None:
        wanted = min(self._room.workers, len(self._busy()) + len(self._waiting))
        while len(self._members) < wanted:
            self._members.append(self._start())
        for member in self._members:
            if member.answer is None and self._waiting:
                member.job = self._waiting.popleft()
                member.answer = member.actor.separate.remote(member.job)

    def _start(self) -> _Member:
        uploads = f"{HIDDEN}/{uuid.uuid4().hex}"
        remote: Any = ray.remote(Worker)
        actor = remote.options(
            num_cpus=self._room.threads,
            num_gpus=self._room.gpus,
            max_concurrency=3,  # `done` and `stop` are answered during `separate`
            scheduling_strategy="SPREAD",
        ).remote(self._weights, *self._arguments, uploads)
        return _Member(actor, uploads, actor.load.remote())

    def _hear(self, member: _Member, on_report: Callable[[Job, Report], None]) -> None:
        answer, job = member.answer, member.job
        member.answer = member.job = member.done = None
        try:
            said = ray.get(answer)
        except RayTaskError:
            raise  # a bug, not a death
        except RayError as error:
            self._replace(member, job, error, on_report)
            return
        if job:
            on_report(job, said)
        elif said is not None:
            raise UnbraidError(said)
        self._failed_starts = 0

    def _replace(
        self,
        member: _Member,
        job: Job | None,
        error: RayError,
        on_report: Callable[[Job, Report], None],
    ) -> None:
        self._members.remove(member)
        with suppress(RayError):
            ray.kill(member.actor)  # it may only be out of reach
        self._store.remove(member.uploads)
        if job is None:
            self._failed_starts += 1
            if self._failed_starts == _STARTS:
                why = str(error).strip().splitlines()[-1].strip()
                raise UnbraidError(f"the workers die as they start: {why}") from error
        elif job.attempt < ATTEMPTS:
            self._waiting.appendleft(replace(job, attempt=job.attempt + 1))
        else:
            said = f"{ATTEMPTS} workers died of it, perhaps for want of memory: try fewer jobs"
            on_report(job, Report("failed", error=said))

    def _watch(self, on_progress: Callable[[Task, float], None]) -> None:
        asked = {member.done: member for member in self._members if member.done}
        ready = ray.wait(list(asked), num_returns=len(asked), timeout=0)[0] if asked else []
        for answer in ready:
            member = asked[answer]
            member.done = None
            with suppress(RayError):
                fraction, duration = ray.get(answer)
                if member.job:
                    on_progress(replace(member.job.task, duration=duration), fraction)
        if time.monotonic() - self._looked > _PAUSE:
            self._looked = time.monotonic()
            for member in self._busy():
                member.done = member.done or member.actor.done.remote()
