"""The routes of the API that lets people listen and rate, without a word on what they hear."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi import Path as PathParam
from pydantic import BaseModel, Field, StringConstraints

from unbraid.errors import DataError, UnbraidError
from unbraid.listening.ratings import HIGHEST
from unbraid.listening.session import RatedError, Session, Sessions
from unbraid.web.base import make_app, problems, refusal
from unbraid.web.schemas import Health
from unbraid.web.settings import Access

_STATUS = {RatedError: 409, DataError: 507}
_ID = "^[0-9a-f]{32}$"


class Listener(BaseModel):
    """Who listens."""

    listener: Annotated[
        str, StringConstraints(strip_whitespace=True, pattern=r"^\w[\w .'\u2019-]{0,59}$")
    ] = Field(description="a name or alias: letters, digits, spaces, apostrophes, . - _")


class PageView(BaseModel):
    """What is to be rated next."""

    number: int = Field(description="of the page, from 1")
    stem: str = Field(description="what is heard")
    scale: str = Field(description="what is judged: quality or interference")
    sample_rate: int = Field(description="of the sounds in Hz")
    reference: str = Field(description="id of the open reference's sound")
    sounds: list[str] = Field(description="ids of the sounds to rate, in their order")


class SessionView(BaseModel):
    """A run through the test."""

    id: str = Field(description="unguessable, 32 hexadecimal digits")
    listener: str
    pages: int = Field(description="in all")
    page: PageView | None = Field(description="the first that is not rated; null at the end")


class PageRatings(BaseModel):
    """A page's ratings."""

    ratings: dict[str, Annotated[int, Field(strict=True, ge=0, le=HIGHEST)]] = Field(
        description="id of each sound of the page: 0 to 100"
    )


def _session(
    session_id: Annotated[str, PathParam(pattern=_ID, description="id of a session")],
    request: Request,
) -> Session:
    sessions: Sessions = request.app.state.sessions
    session = sessions.get(session_id)
    if session is None:
        raise HTTPException(404, "no such session: the server was started anew; begin again")
    return session


TheSession = Annotated[Session, Depends(_session)]

api = APIRouter(prefix="/api", responses=problems(400, 401, 403, 422))


@api.get("/health", tags=["server"])
def health() -> Health:
    """Whether the server answers; needs no token."""
    return Health(status="ok")


@api.post("/sessions", status_code=201, tags=["sessions"])
async def begin(who: Listener, request: Request) -> SessionView:
    """Begin a run through the test, in an order of its own."""
    sessions: Sessions = request.app.state.sessions
    return _view(sessions.begin(who.listener))


@api.get("/sessions/{session_id}", tags=["sessions"], responses=problems(404))
async def show(session: TheSession) -> SessionView:
    """A run, to go on with it."""
    return _view(session)


@api.put(
    "/sessions/{session_id}/pages/{number}",
    tags=["sessions"],
    responses=problems(404, 409, 507),
)
async def rate(
    session: TheSession,
    number: Annotated[int, PathParam(ge=1, le=100_000, description="of the page, from 1")],
    given: PageRatings,
) -> SessionView:
    """Rate a page's sounds; answers with the next page. The same ratings may be sent again."""
    session.rate(number, given.ratings)
    return _view(session)


@api.get(
    "/sessions/{session_id}/sounds/{sound}.wav",
    tags=["sessions"],
    response_class=Response,
    responses={200: {"content": {"audio/wav": {}}}, **problems(404)},
)
def sound_file(
    session: TheSession,
    sound: Annotated[str, PathParam(pattern=_ID, description="id of a sound")],
) -> Response:
    """A sound, as long, as loud and of as many bytes as all others of its page."""
    found = session.find(sound)
    if found is None:
        raise HTTPException(404, "no such sound in this session")
    trial, name = found
    return Response(trial.wav(name), media_type="audio/wav", headers={"cache-control": "no-store"})


def _view(session: Session) -> SessionView:
    page = None
    if session.done < len(session.pages):
        now = session.pages[session.done]
        page = PageView(
            number=session.done + 1,
            stem=now.trial.stem,
            scale=now.trial.scale,
            sample_rate=now.trial.sample_rate,
            reference=now.reference,
            sounds=list(now.sounds),
        )
    return SessionView(
        id=session.id, listener=session.listener, pages=len(session.pages), page=page
    )


async def _refuse(request: Request, error: UnbraidError) -> Response:
    return refusal(error, _STATUS.get(type(error), 400))


def create_listening_app(sessions: Sessions, access: Access) -> FastAPI:
    """The server of a listening test as an ASGI application.

    Args:
        sessions: runs through the test.
        access: who may call the server.
    """
    description = "A blind listening test on this machine."
    app = make_app("listen.html", api, access, description, _refuse)
    app.state.sessions = sessions
    return app
