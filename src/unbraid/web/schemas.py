"""What the API says, as its OpenAPI document describes it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

Format = Literal["wav", "flac", "mp3"]
FORMATS: tuple[Format, ...] = ("wav", "flac", "mp3")


class JobView(BaseModel):
    """A song and what has become of it."""

    id: str = Field(description="unguessable, 32 hexadecimal digits")
    name: str = Field(description="what the file was called")
    model: str = Field(description="name of the model that it was or will be separated with")
    status: Literal["queued", "running", "done", "failed"]
    progress: float = Field(description="fraction done, from 0 to 1")
    before: int = Field(description="songs that come before this one, while it is queued")
    seconds_left: float | None = Field(description="until it is done, while it is running")
    duration: float = Field(description="of the song in seconds")
    sample_rate: int = Field(description="Hz")
    channels: int
    stems: list[str] = Field(description="names of the stems, once it is done")
    formats: dict[str, list[Format]] = Field(
        description="name of each stem: formats that can hold it; wav can always"
    )
    warnings: list[str] = Field(description="what to know about the stems, one line each")
    error: str | None = Field(description="why it failed, and what to do")
    created: float = Field(description="Unix time in seconds")
    expires: float | None = Field(description="Unix time at which it is removed, once finished")


class ModelView(BaseModel):
    """A model that songs can be separated with."""

    name: str
    stems: list[str] = Field(description="names of the stems that it makes")
    licence: str = Field(description="of the weights")


class ServerView(BaseModel):
    """A server, its models and its limits."""

    version: str
    model: str = Field(description="name of the model that is taken if none is named")
    models: list[ModelView] = Field(description="all that can be named, that one first")
    formats: list[str]
    waiting: int = Field(description="songs in the queue")
    max_queue: int = Field(description="songs that may wait")
    max_bytes: int = Field(description="largest song in bytes")
    max_seconds: float = Field(description="longest song in seconds")
    keep_seconds: float = Field(description="time after which a finished song is removed")


class Health(BaseModel):
    """Whether songs are being separated."""

    status: Literal["ok", "broken"]


class Problem(BaseModel):
    """Why a request was refused, in one line that says what to do."""

    detail: str


class Busy(Problem):
    """The queue is full."""

    before: int = Field(description="songs that are before the next one")
