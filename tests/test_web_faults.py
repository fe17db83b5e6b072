"""What goes wrong around a server: full disks, lost clients, its own end."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from unittest.mock import AsyncMock

import httpx2
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from unbraid.errors import ModelError
from unbraid.models import find
from unbraid.web.app import create_app
from unbraid.web.process import Child
from unbraid.web.server import bind, serve
from unbraid.web.service import Service
from unbraid.web.settings import Settings
from unbraid.web.storage import Storage
from unbraid.web.worker import UNEXPECTED
from web_server import ONE_THREAD, finished, free_port, make_song

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no full device")


@pytest.fixture(scope="module")
def song(tmp_path_factory) -> bytes:
    return make_song(tmp_path_factory.mktemp("song") / "song.wav").read_bytes()


@pytest.fixture(scope="module")
def long_song(tmp_path_factory) -> bytes:
    return make_song(tmp_path_factory.mktemp("song") / "long.flac", 200).read_bytes()


@pytest.fixture(scope="module")
def box(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("faults") / "box"


@pytest.fixture(scope="module")
def client(box, model):
    """Of one server for all: what goes wrong in it spoils nothing for the next."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ONE_THREAD.items():
            patch.setenv(name, value)
        app = create_app(Settings(box, model=str(model), device="cpu"))
        with TestClient(app, base_url="http://localhost") as client:
            yield client


def upload(client, song: bytes) -> dict:
    answer = client.post("/api/jobs", content=song)
    assert answer.status_code == 202, answer.text
    return answer.json()


def no_room(*args: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_for_a_moment_is_logged_and_stops_nothing(
    client, song, monkeypatch, caplog
):
    with monkeypatch.context() as patch:
        patch.setattr(Storage, "save", no_room)
        assert finished(client, upload(client, song))["status"] == "done"

    assert "No space left" in caplog.text
    assert client.get("/api/health").json() == {"status": "ok"}
    assert finished(client, upload(client, song))["status"] == "done"


@pytest.mark.parametrize("where", [(Storage, "settle"), (Child, "greet")])
def test_an_error_that_nobody_expects_costs_one_song_at_most(
    client, song, monkeypatch, caplog, where
):
    with monkeypatch.context() as patch:
        patch.setattr(*where, no_room)
        first = finished(client, upload(client, song))
        time.sleep(0.2)

    if where == (Storage, "settle"):
        assert (first["status"], first["error"]) == ("failed", UNEXPECTED)
        assert "Traceback" in caplog.text
    assert client.get("/api/health").json() == {"status": "ok"}
    assert finished(client, upload(client, song))["status"] == "done"


@needs_full
@pytest.mark.parametrize("size", [10, 1 << 20])
def test_an_upload_to_a_full_disk_is_refused_as_such_and_leaves_nothing(
    client, box, monkeypatch, size
):
    before = set((box / "jobs").iterdir())
    monkeypatch.setattr(Storage, "song", lambda self, job_id: FULL)

    refused = client.post("/api/jobs", content=b"\x00" * size)

    assert refused.status_code == 507
    assert "full" in refused.json()["detail"]
    assert set((box / "jobs").iterdir()) == before


def test_a_refused_song_is_read_to_its_end_and_no_further_than_the_limit(tmp_path, monkeypatch):
    """Firefox and Safari look for an answer only when all is sent."""
    monkeypatch.setattr("unbraid.web.service._PAUSE_SECONDS", 0.3)
    service = Service(Settings(tmp_path / "box", max_upload=22_000))
    read: list[int] = []

    async def body(chunks: Iterable[int]) -> AsyncIterator[bytes]:
        read.clear()
        for number in chunks:
            await asyncio.sleep(0.02)
            read.append(number)
            yield b"\x00" * 1000

    def refused(chunks: Iterable[int]) -> int:
        with pytest.raises(ModelError):
            asyncio.run(service.upload(body(chunks), "song", "unknown", 0, AsyncMock()))
        return len(read)

    assert refused(range(20)) == 20
    assert refused(itertools.count()) == 22


def test_the_error_of_a_failed_song_names_no_folder_of_the_server(client, song, long_song, box):
    first, second = upload(client, long_song), upload(client, song)
    (box / "jobs" / second["id"] / "stems").write_text("in the way", encoding="utf-8")
    client.delete(f"/api/jobs/{first['id']}")

    error = finished(client, second)["error"]

    assert error.startswith("vocals.wav: cannot be written")
    assert str(box) not in error


def test_files_that_are_there_do_not_wait_for_one_that_is_encoded(client, song, monkeypatch):
    job = finished(client, upload(client, song))
    stems = f"/api/jobs/{job['id']}/stems"
    assert client.get(f"{stems}/vocals.flac").status_code == 200
    begun, go_on = threading.Event(), threading.Event()
    ask = Child.ask

    async def slow(self: Child, request: dict, *args: object) -> dict:
        begun.set()
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        return await ask(self, request, *args)

    monkeypatch.setattr(Child, "ask", slow)
    with ThreadPoolExecutor() as pool:
        encoded = pool.submit(client.get, f"{stems}/vocals.mp3")
        assert begun.wait(20)
        try:
            for name in ("vocals.wav", "vocals.flac"):
                there = pool.submit(client.get, f"{stems}/{name}")
                assert there.result(20).status_code == 200
            assert not encoded.done()
        finally:
            go_on.set()
        assert encoded.result(20).status_code == 200


def test_modules_in_the_folder_one_is_in_are_left_alone(tmp_path, monkeypatch):
    (tmp_path / "soundfile.py").write_text("raise SystemExit('not the one')")
    monkeypatch.chdir(tmp_path)

    async def ask() -> dict:
        child = Child()
        try:
            return await child.ask({"task": "models", "own": str(find("unet"))})
        finally:
            await child.close()

    assert asyncio.run(ask())["damaged"] == []


def test_a_service_without_standard_output_serves(monkeypatch):
    app = FastAPI()
    app.state.ending = asyncio.Event()

    @app.get("/")
    async def end() -> str:
        signal.raise_signal(signal.SIGINT)
        return "served"

    monkeypatch.setattr(sys, "stdout", None)
    with ThreadPoolExecutor() as pool, bind("127.0.0.1", free_port()) as bound:
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        answer = pool.submit(httpx2.get, url)
        serve(app, bound, url)
        assert answer.result(20).json() == "served"


class Running(NamedTuple):
    """A server whose end is looked at."""

    process: subprocess.Popen[str]
    folder: Path
    port: int

    def send(self, song: bytes, kept: int = 0) -> socket.socket:
        """A connection on which a song is uploaded, but for its last bytes, as far as it is now."""
        sender = socket.create_connection(("127.0.0.1", self.port))
        head = f"POST /api/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(song)}\r\n\r\n"
        sender.sendall(head.encode() + song[: len(song) - kept])
        return sender

    def sizes(self) -> list[int]:
        """Of the songs in its folder."""
        return [path.stat().st_size for path in (self.folder / "jobs").glob("*/song")]


@pytest.fixture(scope="module")
def running(tmp_path_factory, model) -> Iterator[Running]:
    """A process of its own, which the last test ends."""
    port, folder = free_port(), tmp_path_factory.mktemp("running") / "box"
    command = [sys.executable, "-m", "unbraid", "serve", "--port", port, "--folder", folder]
    server = subprocess.Popen(
        [*map(str, command), "--model", str(model), "--device", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **ONE_THREAD},
    )
    try:
        assert "listens at" in server.stdout.readline()
        yield Running(server, folder, port)
    finally:
        server.kill()
        server.wait()


def test_the_song_of_a_client_that_hung_up_is_dropped(running, song):
    with httpx2.Client(base_url=f"http://127.0.0.1:{running.port}", timeout=60) as client:
        with running.send(song):
            until(lambda: running.sizes() == [len(song)])

        until(lambda: not list((running.folder / "jobs").iterdir()))
        assert client.get("/api/jobs").json() == []


def test_streams_and_uploads_end_with_the_server_at_once_and_quietly(running, song, long_song):
    with httpx2.Client(base_url=f"http://127.0.0.1:{running.port}", timeout=20) as client:
        job = upload(client, long_song)
        with (
            client.stream("GET", f"/api/jobs/{job['id']}/events") as events,
            running.send(song, kept=1),
        ):
            lines = events.iter_lines()
            assert next(lines).startswith("data: ")
            until(lambda: len(running.sizes()) == 2)
            running.process.send_signal(signal.SIGINT)
            for _ in lines:  # raises if it is cut off, as it is after the time of grace
                pass
            said = running.process.communicate(timeout=20)[1]

    assert said == ""
    assert running.process.returncode == 0
    assert [path.name for path in (running.folder / "jobs").iterdir()] == [job["id"]]


def until(so: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < deadline
        time.sleep(0.005)
