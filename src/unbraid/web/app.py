"""The routes of the API that separates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi import Path as PathParam
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from unbraid.errors import ModelError, UnbraidError
from unbraid.web.base import make_app, problems, refusal
from unbraid.web.downloads import zipped
from unbraid.web.jobs import BusyError, Job
from unbraid.web.schemas import FORMATS, Format, Health, JobView, ModelView, ServerView
from unbraid.web.service import Service
from unbraid.web.settings import Settings
from unbraid.web.storage import FullError, StalledError, TooLargeError

MEDIA_TYPES = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg"}
_STATUS = {ModelError: 422, BusyError: 503, TooLargeError: 413, FullError: 507, StalledError: 408}
_RETRY_SECONDS = "30"


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(_service)]
JobId = Annotated[str, PathParam(description="id of a job")]


def _job(job_id: JobId, service: TheService) -> Job:
    job = service.jobs.get(job_id)
    if job is None:
        raise HTTPException(404, "no such song: it was deleted, or removed after its time")
    return job


TheJob = Annotated[Job, Depends(_job)]
TheModel = Annotated[
    str | None,
    Query(max_length=1000, description="name of one of the server's models; else its own"),
]

api = APIRouter(prefix="/api", responses=problems(400, 401, 403, 422))


@api.get("/health", tags=["server"], responses={503: {"model": Health}})
def health(service: TheService, response: Response) -> Health:
    """Whether the server separates songs; needs no token."""
    if service.jobs.healthy:
        return Health(status="ok")
    response.status_code = 503
    return Health(status="broken")


@api.get("/server", tags=["server"])
def server(service: TheService) -> ServerView:
    """The server's models and limits."""
    settings, models = service.settings, service.jobs.models
    return ServerView(
        version=version("unbraid"),
        model=models.choose(None).name,
        models=[
            ModelView(name=model.name, stems=model.stems, licence=model.licence) for model in models
        ],
        formats=list(FORMATS),
        waiting=sum(job.status == "queued" for job in service.jobs),
        max_queue=settings.max_queue,
        max_bytes=settings.max_upload,
        max_seconds=settings.max_seconds,
        keep_seconds=settings.keep_seconds,
    )


@api.get("/jobs", tags=["jobs"])
def list_jobs(service: TheService) -> list[JobView]:
    """All songs of the server, the latest first."""
    return [service.view(job) for job in reversed(list(service.jobs))]


@api.post(
    "/jobs",
    status_code=202,
    tags=["jobs"],
    responses=problems(408, 413, 415, 503, 507),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "an audio file, or a video file with sound, as it is",
            "content": {"application/octet-stream": {"schema": {"format": "binary"}}},
        }
    },
)
async def separate(
    request: Request,
    service: TheService,
    name: Annotated[str, Query(max_length=1000, description="what the file is called")] = "song",
    model: TheModel = None,
) -> JobView:
    """Upload a song; it is separated when its turn comes."""
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else 0
    uploaded = await service.upload(request.stream(), name, model, size, request.is_disconnected)
    return service.view(uploaded)


@api.post("/example", status_code=202, tags=["jobs"], responses=problems(503, 507))
async def separate_example(service: TheService, model: TheModel = None) -> JobView:
    """Separate the example song that comes with the package."""
    return service.view(await service.example(model))


@api.post(
    "/jobs/{job_id}/again", status_code=202, tags=["jobs"], responses=problems(404, 413, 503, 507)
)
async def separate_again(job: TheJob, service: TheService, model: TheModel = None) -> JobView:
    """Separate a song that is there, whatever its state, once more: as a job of its own."""
    return service.view(await service.again(job, model))


@api.get("/jobs/{job_id}", tags=["jobs"], responses=problems(404))
def show(job: TheJob, service: TheService) -> JobView:
    """A song's state."""
    return service.view(job)


@api.delete("/jobs/{job_id}", status_code=204, tags=["jobs"], responses=problems(404))
async def delete(job: TheJob, service: TheService) -> None:
    """Cancel a song if it is not finished, and remove it and its stems."""
    await service.jobs.delete(job)


@api.get(
    "/jobs/{job_id}/events",
    tags=["jobs"],
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        **problems(404),
    },
)
async def events(job: TheJob, service: TheService, request: Request) -> StreamingResponse:
    """A song's state whenever it changes, as server-sent events, until it is finished."""
    states = service.events(job.id, request.app.state.ending)
    return StreamingResponse(states, media_type="text/event-stream")


@api.get("/jobs/{job_id}/stems.zip", tags=["stems"], responses=problems(404, 409))
async def stems_zip(job: TheJob, service: TheService, format: Format = "wav") -> Response:
    """All stems of a song in one archive; those that the format cannot hold come as WAV."""
    track = service.track(job)
    entries = [(f"{track}/{path.name}", path) for path in await service.stems(job, format)]
    if not entries:
        raise HTTPException(404, "no stems: the song is not separated yet, or failed")
    stream = StreamingResponse(zipped(entries, job.created), media_type="application/zip")
    name = f"{track} ({format}).zip"
    named = FileResponse(entries[0][1], filename=name)  # it knows how to write names
    stream.headers["content-disposition"] = named.headers["content-disposition"]
    return stream


@api.get(
    "/jobs/{job_id}/stems/{stem}.{format}",
    tags=["stems"],
    response_class=FileResponse,
    responses={
        200: {"content": {kind: {} for kind in MEDIA_TYPES.values()}},
        206: {"description": "the range that was asked for"},
        416: {"description": "no such range"},
        **problems(404, 409),
    },
)
async def stem_file(job: TheJob, stem: str, format: Format, service: TheService) -> FileResponse:
    """A stem of a song; ranges of it may be asked for."""
    path = await service.stem(job, stem, format)
    if path is None:
        raise HTTPException(404, f"no such stem; there are: {', '.join(job.stems) or 'none yet'}")
    name = f"{service.track(job)} - {stem}.{format}"
    return FileResponse(path, media_type=MEDIA_TYPES[format], filename=name)


async def _refuse(request: Request, error: UnbraidError) -> Response:
    """An error that a user can mend."""
    default = 415 if request.method == "POST" else 409
    status = _STATUS.get(type(error), default)
    if isinstance(error, BusyError):
        content = {"detail": str(error), "before": error.before}
        return JSONResponse(content, status, {"retry-after": _RETRY_SECONDS})
    return refusal(error, status)


def create_app(settings: Settings) -> FastAPI:
    """The server as an ASGI application.

    Args:
        settings: limits, model, device and access.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = service = Service(settings)
        try:
            await service.start()
            yield
        finally:
            await service.stop()

    return make_app(
        "index.html",
        api,
        settings.access,
        "Separates songs into stems on this machine.",
        _refuse,
        lifespan,
    )
