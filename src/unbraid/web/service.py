"""What the routes call: songs in, stems out, within the server's limits."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from importlib.resources import as_file, files
from pathlib import Path

from unbraid.errors import AudioError, UnbraidError
from unbraid.web.downloads import clean_name
from unbraid.web.jobs import Job, Jobs
from unbraid.web.process import Child, DiedError
from unbraid.web.schemas import Format, JobView
from unbraid.web.settings import Settings
from unbraid.web.storage import Storage, TooLargeError, Upload

EXAMPLE = files("unbraid.web") / "example" / "lithium.ogg"
EXAMPLE_NAME = "Lithium (Software-Entwicklungskit).ogg"
_READ_SECONDS = 120.0  # longest that finding a song's length may take
_LINGER_SECONDS = 2.0  # reading on after a refusal, so that a client that still sends sees it


class Service:
    """A server's jobs, and the processes that read and encode audio for it.

    Args:
        settings: limits, model and device.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.storage = Storage(settings.folder, settings.max_disk)
        self.jobs = Jobs(settings, self.storage)
        self._reader = Child()
        self._encoder = Child()
        self._encoding = asyncio.Lock()

    async def start(self) -> None:
        """Load the model and begin.

        Raises:
            UnbraidError: the model or the device cannot be had.
        """
        await self.jobs.start()

    async def stop(self) -> None:
        """End all processes."""
        await self.jobs.stop()
        await self._reader.close()
        await self._encoder.close()

    async def upload(self, body: AsyncIterator[bytes], name: str, declared: int) -> Job:
        """Take a song in and put it into the queue.

        Args:
            body: the file's bytes.
            name: what the user calls it.
            declared: size that the request states in bytes, 0 if it states none.

        Raises:
            BusyError: the queue is full.
            TooLargeError: too many bytes, or too long.
            FullError: no room on disk.
            StalledError: the upload stopped coming.
            AudioError: it is no audio that can be read.
        """
        try:
            with self.jobs.place():
                job_id = self.storage.create()
                upload = Upload(
                    self.storage.song(job_id),
                    self.settings.max_upload,
                    self.settings.stall_seconds,
                )
                try:
                    upload.check(declared)
                    self.jobs.reserve(job_id, declared)
                    async for size in upload.receive(body):
                        self.jobs.reserve(job_id, max(size, declared))
                    return await self._admit(job_id, name)
                except BaseException:
                    self.storage.remove(job_id)
                    raise
        except UnbraidError:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(_discard(body), _LINGER_SECONDS)
            raise

    async def example(self) -> Job:
        """Put the example song into the queue.

        Raises:
            BusyError: the queue is full.
            FullError: no room on disk.
        """
        with self.jobs.place(), as_file(EXAMPLE) as song:
            job_id = self.storage.create()
            try:
                shutil.copyfile(song, self.storage.song(job_id))
                return await self._admit(job_id, EXAMPLE_NAME)
            except BaseException:
                self.storage.remove(job_id)
                raise

    async def stem(self, job: Job, stem: str, format: Format) -> Path | None:
        """File of a stem, encoded if need be; None if there is no such stem.

        Raises:
            UnbraidError: this stem cannot be had in this format.
        """
        if stem not in job.stems:
            return None
        path = self.storage.encoded(job.id, stem, format)
        async with self._encoding:
            if not path.exists() and format != "wav":
                source = self.storage.encoded(job.id, stem, "wav")
                request = {"task": "encode", "source": str(source), "target": str(path)}
                try:
                    await self._encoder.ask(request)
                except DiedError:
                    raise AudioError("encoding failed: take wav") from None
                except UnbraidError as error:
                    raise AudioError(str(error).removeprefix(f"{path}: ")) from None
                if self.jobs.get(job.id) is None:  # deleted meanwhile
                    self.storage.remove(job.id)
                    return None
                self.jobs.reserve(job.id, self.storage.size(job.id))
        return path

    def view(self, job: Job) -> JobView:
        """A job as the API shows it."""
        return JobView(
            id=job.id,
            name=job.name,
            status=job.status,  # type: ignore[arg-type]
            progress=job.progress,
            before=self.jobs.before(job),
            seconds_left=self.jobs.seconds_left(job),
            duration=job.samples / job.sample_rate,
            sample_rate=job.sample_rate,
            channels=job.channels,
            stems=job.stems,
            warnings=job.warnings,
            error=job.error,
            created=job.created,
            expires=self.jobs.expires(job),
        )

    async def events(self, job_id: str) -> AsyncIterator[str]:
        """A job's states as server-sent events, until it is finished or deleted."""
        last = None
        while True:
            change = self.jobs.change
            job = self.jobs.get(job_id)
            if job is None:
                yield "event: deleted\ndata: {}\n\n"
                return
            view = self.view(job).model_dump_json()
            if view != last:
                yield f"data: {view}\n\n"
                last = view
            if job.finished:
                return
            try:
                await asyncio.wait_for(change.wait(), 15.0)
            except asyncio.TimeoutError:
                yield ": still here\n\n"

    async def _admit(self, job_id: str, name: str) -> Job:
        """Put an arrived song into the queue if it is audio and within the limits."""
        song = self.storage.song(job_id)
        limit = self.settings.max_seconds
        request = {"task": "measure", "song": str(song), "max_seconds": limit}
        try:
            found = await asyncio.wait_for(self._reader.ask(request), _READ_SECONDS)
        except (DiedError, asyncio.TimeoutError):
            raise AudioError("this file cannot be read: export it again, as WAV or FLAC") from None
        except UnbraidError as error:
            raise AudioError(str(error).removeprefix(f"{song}: ")) from None
        if found["samples"] > limit * found["sample_rate"]:
            raise TooLargeError(f"the song is longer than {limit / 60:g} minutes")
        stems = len(self.jobs.stems) * found["samples"] * found["channels"] * 4  # bytes, as floats
        self.jobs.reserve(job_id, song.stat().st_size + stems)
        return self.jobs.add(job_id, clean_name(name), **found)


async def _discard(body: AsyncIterator[bytes]) -> None:
    async for _ in body:
        pass
