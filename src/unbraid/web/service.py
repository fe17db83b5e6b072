"""What the routes call: songs in, stems out, within the server's limits."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.resources import as_file, files
from pathlib import Path

from starlette.requests import ClientDisconnect

from unbraid.errors import AudioError, UnbraidError
from unbraid.web.downloads import clean_name, formats_of, track_of
from unbraid.web.jobs import Job, Jobs
from unbraid.web.models import Model
from unbraid.web.process import Child, DiedError
from unbraid.web.schemas import Format, JobView
from unbraid.web.settings import Settings
from unbraid.web.storage import Storage, TooLargeError, Upload, room

EXAMPLE = files("unbraid.web") / "example" / "lithium.ogg"
EXAMPLE_NAME = "Lithium (Software-Entwicklungskit).ogg"
_READ_SECONDS = 120.0  # longest that finding a song's length may take
_SILENCE_SECONDS = 15.0  # longest in a stream of events
_PAUSE_SECONDS = 2.0  # longest in a song that is refused already


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

    async def upload(
        self,
        body: AsyncIterator[bytes],
        name: str,
        model: str | None,
        declared: int,
        hung_up: Callable[[], Awaitable[bool]],
    ) -> Job:
        """Take a song in and put it into the queue.

        Args:
            body: the file's bytes.
            name: what the user calls it.
            model: name of the one to separate it with; None for the server's own.
            declared: size that the request states in bytes, 0 if it states none.
            hung_up: whether nobody waits for the answer any more.

        Raises:
            ClientDisconnect: nobody does.
            ModelError: there is no such model.
            BusyError: the queue is full.
            TooLargeError: too many bytes, or too long.
            FullError: no room on disk.
            StalledError: the upload stopped coming.
            AudioError: it is no audio that can be read.
        """
        try:
            chosen = self.jobs.models.choose(model)
            with self._arrival() as job_id:
                upload = Upload(
                    self.storage.song(job_id),
                    self.settings.max_upload,
                    self.settings.stall_seconds,
                )
                upload.check(declared)
                self.jobs.reserve(job_id, declared)
                async for size in upload.receive(body):
                    self.jobs.reserve(job_id, max(size, declared))
                found = await self._measure(job_id)
                if await hung_up():
                    raise ClientDisconnect
                return self._admit(job_id, name, chosen, **found)
        except UnbraidError:
            await _discard(body, self.settings.max_upload)
            raise

    async def example(self, model: str | None) -> Job:
        """Put the example song into the queue.

        Args:
            model: as of `upload`.

        Raises:
            ModelError: there is no such model.
            BusyError: the queue is full.
            FullError: no room on disk.
        """
        chosen = self.jobs.models.choose(model)
        with self._arrival() as job_id, as_file(EXAMPLE) as song:
            shutil.copyfile(song, self.storage.song(job_id))
            found = await self._measure(job_id)
            return self._admit(job_id, EXAMPLE_NAME, chosen, **found)

    async def again(self, job: Job, model: str | None) -> Job:
        """Put the song of a job into the queue as another job, which outlives the first.

        Args:
            job: finished or not.
            model: as of `upload`.

        Raises:
            ModelError: there is no such model.
            BusyError: the queue is full.
            TooLargeError: the song is longer than the server allows now.
            FullError: no room on disk.
        """
        chosen = self.jobs.models.choose(model)
        with self._arrival() as job_id:
            await asyncio.to_thread(self.storage.share_song, job.id, job_id)
            return self._admit(job_id, job.name, chosen, job.samples, job.sample_rate, job.channels)

    async def stem(self, job: Job, stem: str, format: Format) -> Path | None:
        """File of a stem, encoded if need be; None if there is no such stem.

        Raises:
            UnbraidError: this stem cannot be had in this format.
        """
        if stem not in job.stems:
            return None
        path = self.storage.encoded(job.id, stem, format)
        if format == "wav" or path.exists():
            return path
        async with self._encoding:
            if not path.exists():  # nobody else had it encoded meanwhile
                await self._encode(job, self.storage.encoded(job.id, stem, "wav"), path)
                if self.jobs.get(job.id) is None:  # deleted meanwhile
                    self.storage.remove(job.id)
                    return None
                self.jobs.reserve(job.id, self.storage.size(job.id))
        return path

    async def stems(self, job: Job, format: Format) -> list[Path]:
        """Files of all stems, in WAV those that the format cannot hold.

        Raises:
            UnbraidError: a stem cannot be encoded.
        """
        formats = self.formats(job)
        found = [
            await self.stem(job, stem, format if format in formats[stem] else "wav")
            for stem in job.stems
        ]
        return [path for path in found if path is not None]

    def formats(self, job: Job) -> dict[str, list[Format]]:
        """Formats that can hold each stem of a job."""
        return {
            stem: formats_of(job.sample_rate, job.channels, stem in job.loud) for stem in job.stems
        }

    def track(self, job: Job) -> str:
        """What a job's downloads are called: with the model, unless it is the server's own."""
        own = self.jobs.models.choose(None).name
        return track_of(job.name, None if job.model == own else job.model)

    def view(self, job: Job) -> JobView:
        """A job as the API shows it."""
        return JobView(
            id=job.id,
            name=job.name,
            model=job.model,
            status=job.status,  # type: ignore[arg-type]
            progress=job.progress,
            before=self.jobs.before(job),
            seconds_left=self.jobs.seconds_left(job),
            duration=job.samples / job.sample_rate,
            sample_rate=job.sample_rate,
            channels=job.channels,
            stems=job.stems,
            formats=self.formats(job),
            warnings=job.warnings,
            error=job.error,
            created=job.created,
            expires=self.jobs.expires(job),
        )

    async def events(self, job_id: str, ending: asyncio.Event) -> AsyncIterator[str]:
        """A job's states as server-sent events, until it is finished or deleted.

        Args:
            job_id: the job.
            ending: set when the server is about to end, which ends this too.
        """
        last = None
        while not ending.is_set():
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
            if not await _any_of(change, ending, seconds=_SILENCE_SECONDS):
                yield ": still here\n\n"

    async def _encode(self, job: Job, source: Path, target: Path) -> None:
        request = {"task": "encode", "source": str(source), "target": str(target)}
        try:
            await self._encoder.ask(request)
        except DiedError:
            raise AudioError("encoding failed: take wav") from None
        except UnbraidError as error:
            raise AudioError(self.storage.without_paths(job.id, str(error))) from None

    @contextmanager
    def _arrival(self) -> Iterator[str]:
        """The id of a job whose song arrives meanwhile; what fails leaves nothing.

        Raises:
            BusyError: the queue is full.
            FullError: no room on disk.
        """
        with self.jobs.place(), room():
            job_id = self.storage.create()
            try:
                yield job_id
            except BaseException:
                self.storage.remove(job_id)
                raise

    async def _measure(self, job_id: str) -> dict[str, int]:
        """Samples, sample rate and channels of an arrived song if it is audio."""
        song, limit = self.storage.song(job_id), self.settings.max_seconds
        request = {"task": "measure", "song": str(song), "max_seconds": limit}
        try:
            return await asyncio.wait_for(self._reader.ask(request), _READ_SECONDS)
        except (DiedError, asyncio.TimeoutError):
            raise AudioError("this file cannot be read: export it again, as WAV or FLAC") from None
        except UnbraidError as error:
            raise AudioError(self.storage.without_paths(job_id, str(error))) from None

    def _admit(
        self, job_id: str, name: str, model: Model, samples: int, sample_rate: int, channels: int
    ) -> Job:
        """Put a measured song into the queue if it is within the limits."""
        limit = self.settings.max_seconds
        if samples > limit * sample_rate:
            raise TooLargeError(f"the song is longer than {limit / 60:g} minutes")
        stems = len(model.stems) * samples * channels * 4  # bytes, as floats
        self.jobs.reserve(job_id, self.storage.size(job_id) + stems)
        return self.jobs.add(job_id, clean_name(name), model, samples, sample_rate, channels)


async def _discard(body: AsyncIterator[bytes], most: int) -> None:
    """Read on after a refusal: Firefox and Safari look for an answer only when all is sent."""
    with suppress(asyncio.TimeoutError):
        while most > 0:
            chunk = await asyncio.wait_for(anext(body, None), _PAUSE_SECONDS)
            if chunk is None:
                return
            most -= len(chunk)


async def _any_of(*events: asyncio.Event, seconds: float) -> bool:
    """Wait until one of them is set; False if none was in time."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        done, _ = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return bool(done)
