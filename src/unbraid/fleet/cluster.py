"""Ray: reaching a cluster or starting one here, and how many workers it has room for."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from unbraid.errors import UnbraidError, reason

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # or Ray prints a warning
    "RAY_worker_niceness": "0",  # as the local engine's processes; Ray's own is 15
}
_REACH = 10.0  # seconds for an address to answer
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # with no settings
_SETTINGS = b"\4"  # kind of frame that every HTTP/2 server, such as Ray, answers with
_THREADS = 2  # of a worker, where the user does not say how many workers


@dataclass(frozen=True)
class Size:
    """Workers for a cluster.

    Attributes:
        workers: their number.
        threads: processor cores of each.
        gpus: of each; below 1, several share a GPU.
    """

    workers: int
    threads: int
    gpus: float = 0.0


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connection to a Ray cluster; one that is there already is used and kept.

    Args:
        address: of a cluster: `auto`, `host:port` or `ray://host:port`; None starts one here.

    Raises:
        UnbraidError: no cluster answers at the address.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    settings: dict[str, Any] = {"address": "local", "include_dashboard": False}
    if address is not None:
        _check_reachable(address)
        settings = {"address": address}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _silence():
            ray.init(**settings, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises just this, too
        ray.shutdown()
        why = reason(error)
        if "AuthToken" in str(error.__cause__):
            why = (
                "it asks for a token: set RAY_AUTH_MODE=token, and copy its ~/.ray/auth_token here"
            )
        raise UnbraidError(f"Ray at {address or 'this machine'}: {why}") from error
    for number, handler in handlers.items():
        signal.signal(number, handler)  # Ray's own would leave files
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing goes to standard error: what Ray says there, its error says, and in fewer lines."""
    sys.stderr.flush()
    before = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nothing)


def _check_reachable(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto":
        return
    if not host or not port.isdigit():
        raise UnbraidError(f"address {address!r}: give auto, HOST:PORT or ray://HOST:PORT")
    try:
        with (
            suppress(UnicodeError),
            socket.create_connection((host, int(port)), _REACH) as connection,
        ):
            if os.environ.get("RAY_USE_TLS") in (None, "0"):
                connection.sendall(_GREETING)
                kind = connection.makefile("rb").read(4)[3:]  # after three bytes of length
                if kind != _SETTINGS:  # Ray would ask for minutes
                    raise OSError("it is no Ray that does")
    except (OSError, OverflowError) as error:
        raise UnbraidError(
            f"no Ray cluster answers at {address} ({error}): start one with `ray start --head`"
        ) from error


def size(device: str, jobs: int | None) -> Size:
    """How many workers there should be, and what each may use.

    Args:
        device: `auto` takes the GPUs of a cluster that has any.
        jobs: number of workers; None for as many as the cluster has room for.

    Raises:
        UnbraidError: the cluster has no GPU, but one was asked for.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    if device == "cuda" and not gpus:
        raise UnbraidError("the cluster has no GPU: use --device cpu")
    if device == "cuda" or (device == "auto" and gpus):
        jobs = jobs or gpus
        nodes = [node for node in nodes if node.get("GPU", 0)]
        return Size(jobs, threads(_cores(nodes), jobs), 1 / -(-jobs // gpus))
    cores = _cores(nodes)
    each = threads(cores, jobs) if jobs else max(1, min(_THREADS, min(cores, default=1)))
    return Size(jobs or max(1, sum(core // each for core in cores)), each)


def _cores(nodes: list[dict[str, float]]) -> list[int]:
    return [int(cores) for node in nodes if (cores := node.get("CPU", 0))]


def threads(cores: Sequence[int], jobs: int) -> int:
    """Most cores that each of some workers can have, none of them on two machines.

    Args:
        cores: of each machine.
        jobs: number of workers.
    """
    for each in range(max(cores, default=1), 1, -1):
        if sum(core // each for core in cores) >= jobs:
            return each
    return 1
