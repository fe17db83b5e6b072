"""The server's end of a child process: asks, follows, and replaces it when it dies."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from unbraid.errors import UnbraidError


class DiedError(Exception):
    """The child process ended without an answer."""


class Child:
    """A process of `unbraid.web.worker` that does one thing at a time.

    It starts at the first request, and anew at the first after it died.

    Args:
        greeting: request that every new process gets before any other.
    """

    def __init__(self, greeting: dict[str, Any] | None = None) -> None:
        self._greeting = greeting
        self._process: Process | None = None
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Number of the process, if it runs."""
        return self._process.pid if self._process else None

    async def ask(
        self,
        request: dict[str, Any],
        on_progress: Callable[[float], None] = lambda fraction: None,
    ) -> dict[str, Any]:
        """Have one thing done. Cancelling ends the process, and the thing with it.

        Args:
            request: `task`, a name in `worker.TASKS`, and its arguments.
            on_progress: gets the fraction done, from 0 to 1.

        Raises:
            UnbraidError: what the user can mend, in one line.
            DiedError: the process died.
        """
        async with self._turn:
            try:
                await self._ensure()
                return await self._exchange(request, on_progress)
            except (asyncio.CancelledError, DiedError):
                await self._kill()
                raise

    async def greet(self) -> None:
        """Start the process if it does not run, and have it answer the greeting."""
        async with self._turn:
            await self._ensure()

    async def close(self) -> None:
        """End the process, whatever it does."""
        await self._kill()

    async def _ensure(self) -> None:
        if self._process is not None and self._process.returncode is None:
            return
        # from where this process has its modules; -m would look in the folder one is in before
        code = f"import sys; sys.path = {sys.path}; from unbraid.web.worker import main; main()"
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code),
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,  # Ctrl-C in a terminal is for the server alone
        )
        if self._greeting:
            try:
                await self._exchange(self._greeting, lambda fraction: None)
            except BaseException:
                await self._kill()
                raise

    async def _exchange(
        self, request: dict[str, Any], on_progress: Callable[[float], None]
    ) -> dict[str, Any]:
        process = self._process
        assert process and process.stdin and process.stdout
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            await process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            raise DiedError from None
        while line := await process.stdout.readline():
            answer = json.loads(line)
            if "progress" in answer:
                on_progress(answer["progress"])
            elif "error" in answer:
                raise UnbraidError(answer["error"])
            else:
                result: dict[str, Any] = answer["result"]
                return result
        raise DiedError

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
