"""Binds a port, then serves: what can go wrong is known before anything starts."""

from __future__ import annotations

import asyncio
import socket
import sys
import webbrowser
from contextlib import suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from unbraid.errors import UnbraidError

_GRACE_SECONDS = 2  # for answers under way when the server ends


class _Server(uvicorn.Server):
    """Ends at a signal without raising it again, which would cancel the cleaning up.

    What is still under way after the time of grace ends as if its client had hung up.

    Args:
        config: how to serve.
        ending: set at the end, for streams that would otherwise go on.
    """

    def __init__(self, config: uvicorn.Config, ending: asyncio.Event) -> None:
        super().__init__(config)
        self._ending = ending

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending.set()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(super().shutdown(sockets), _GRACE_SECONDS)
        for connection in self.server_state.connections:
            connection.transport.abort()
        for task in self.server_state.tasks:
            task.cancel()
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)


def bind(host: str, port: int) -> socket.socket:
    """Take a port.

    Raises:
        UnbraidError: it is taken, or there is no such address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()  # who calls while the model loads waits
    except OSError as error:
        raise UnbraidError(
            f"cannot listen on {host} port {port} ({error.strerror}); choose another --port"
        ) from None
    return bound


def serve(app: FastAPI, bound: socket.socket, url: str, open_page: bool = False) -> None:
    """Serve until interrupted.

    Args:
        app: the server.
        bound: from `bind`.
        url: address of the page, to print.
        open_page: whether to open it in the browser.

    Raises:
        UnbraidError: the model or the device cannot be had.
    """
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(app, bound, url, open_page))


async def _serve(app: FastAPI, bound: socket.socket, url: str, open_page: bool) -> None:
    async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
        """The app, but what the server's end cancels is no error to log."""
        with suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    async with app.router.lifespan_context(app):
        config = uvicorn.Config(
            quiet,
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            use_colors=None if sys.stdout else False,  # a service may have none to ask
        )
        print(f"Unbraid listens at {url}  (Ctrl-C ends it)", flush=True)
        if open_page:
            asyncio.get_running_loop().run_in_executor(None, webbrowser.open, url)
        await _Server(config, app.state.ending).serve([bound])
