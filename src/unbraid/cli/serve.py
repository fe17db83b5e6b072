"""`unbraid serve`: the page to listen in, and its API."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from unbraid.cli.app import Device, OnDevice, app, require
from unbraid.errors import UnbraidError
from unbraid.models import DEFAULT

if TYPE_CHECKING:
    from fastapi import FastAPI

    from unbraid.web.settings import Access


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8765,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.")
    ] = False,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="UNBRAID_TOKEN",
            help="Secret to ask for; one is made up where others can reach the server.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Name by which browsers may call the server; repeatable."
        ),
    ] = None,
    listen: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Serve a blind listening test of DIR's stems instead."),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|PATH",
            help="A name from `unbraid models`, or a file: for songs that name none.",
        ),
    ] = DEFAULT,
    device: OnDevice = Device.auto,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=1, metavar="N", help="Songs separated at once.")
    ] = 1,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where songs and stems are kept; else the user's cache."),
    ] = None,
    max_upload: Annotated[int, typer.Option(min=1, metavar="MB", help="Largest song.")] = 500,
    max_minutes: Annotated[
        float, typer.Option(min=0.01, metavar="MINUTES", help="Longest song.")
    ] = 20.0,
    max_queue: Annotated[int, typer.Option(min=1, metavar="N", help="Songs that may wait.")] = 32,
    max_disk: Annotated[
        float, typer.Option(min=0.01, metavar="GB", help="Space for songs and stems.")
    ] = 10.0,
    keep_hours: Annotated[
        float,
        typer.Option(
            min=0.001, metavar="HOURS", help="Time after which finished songs are removed."
        ),
    ] = 24.0,
) -> None:
    """Serve a page to separate songs and listen to their stems, or a blind listening test."""
    require("web", "fastapi", "uvicorn")
    from unbraid.models import find
    from unbraid.web.app import create_app
    from unbraid.web.server import bind, serve
    from unbraid.web.settings import LOOPBACK, Access, Settings, cache_folder

    local = host in LOOPBACK
    if token is not None and not token.isascii():
        raise UnbraidError("the token may only have ASCII characters; choose another")
    if not local:
        token = token or secrets.token_urlsafe(24)
        allow_host = [*(allow_host or []), socket.gethostname()]
    access = Access(
        hosts=frozenset((*LOOPBACK, host.lower(), *(name.lower() for name in allow_host or []))),
        any_address=not local,
        token=token,
    )
    shown = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}" + (f"/?token={quote(token, safe='')}" if token else "")
    if listen:
        made: AbstractContextManager[FastAPI] = _listening_app(listen, access)
    else:
        find(model)
        settings = Settings(
            folder=folder or cache_folder(port),
            model=model,
            device=device.value,
            workers=jobs,
            max_upload=max_upload << 20,
            max_seconds=max_minutes * 60,
            max_queue=max_queue,
            max_disk=round(max_disk * 2**30),
            keep_seconds=keep_hours * 3600,
            access=access,
        )
        made = nullcontext(create_app(settings))
    with bind(host, port) as bound, made as served:
        if host in ("0.0.0.0", "::"):
            print("Other devices: put this machine's address in the place of localhost")
        serve(served, bound, url, open_page)


@contextmanager
def _listening_app(folder: Path, access: Access) -> Iterator[FastAPI]:
    """The server of a listening test; its sounds are there as long as it is."""
    from unbraid.listening.material import find_material
    from unbraid.listening.ratings import ratings_folder
    from unbraid.listening.session import Sessions
    from unbraid.listening.sounds import make_trials
    from unbraid.web.listening import create_listening_app

    material = find_material(folder)
    ratings = ratings_folder(folder)
    with TemporaryDirectory(prefix="unbraid-listen-") as sounds:
        trials = make_trials(material, Path(sounds))
        app = create_listening_app(Sessions(trials, ratings), access)
        print(
            f"{len(trials)} pages of {', '.join(material.systems)}; ratings go to "
            f"{ratings}, and `unbraid report {folder}` shows them"
        )
        yield app
