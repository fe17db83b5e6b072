"""A server of the web page for tests: the command, run as a user runs it."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx2
import numpy as np

from unbraid.audio import save_audio

RATE = 44100
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # a tiny network gains nothing by more


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serving(folder: Path, model: Path, *flags: object) -> AbstractContextManager[str]:
    """Address of a server that separates meanwhile."""
    return serving_with("--folder", folder, "--model", model, "--device", "cpu", *flags)


@contextmanager
def serving_with(*flags: object) -> Iterator[str]:
    """Address of a server that runs meanwhile."""
    port = free_port()
    command = [sys.executable, "-m", "unbraid", "serve", "--port", port, *flags]
    server = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, text=True, env={**os.environ, **ONE_THREAD}
    )
    try:
        said = list(itertools.takewhile(lambda line: "listens at" not in line, server.stdout))
        assert server.poll() is None, f"no server: {said}"
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def make_song(path: Path, seconds: float = 1.0, rate: int = RATE) -> Path:
    times = np.arange(round(seconds * rate)) / rate
    tones = [np.sin(2 * np.pi * f * times) * np.sin(7 * times) ** 2 / 4 for f in (220, 331)]
    save_audio(path, np.array(tones, np.float32), rate, "16")
    return path


def finished(client: httpx2.Client, job: dict, seconds: float = 120) -> dict:
    """The job when it is done or failed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = client.get(f"/api/jobs/{job['id']}").json()
        if state["status"] in ("done", "failed"):
            return state
        time.sleep(0.05)
    raise AssertionError(f"not finished in {seconds} s: {state}")
