"""Which model separates a song, and the same song again with another."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx2
import pytest
from safetensors import safe_open
from safetensors.torch import save_file
from starlette.testclient import TestClient

from unbraid import Separator
from unbraid.models import build
from unbraid.models.checkpoint import save
from unbraid.web.app import create_app
from unbraid.web.process import Child
from unbraid.web.settings import Settings
from web_server import ONE_THREAD, RATE, finished, make_song

SHIPPED = ["bandsplit", "dprnn", "unet"]
THREE = ["vocals", "drums", "rest"]


@pytest.fixture(scope="module")
def added(tmp_path_factory, model) -> Path:
    """Folder of a user's models: one of three stems, one whose weights are spoilt, and no model."""
    folder = tmp_path_factory.mktemp("added")
    size = {"features": 4, "hidden": 4, "blocks": 1}
    three = build("bandsplit", targets=THREE[:2], residual=THREE[2], **size)
    save(three, folder / "three.safetensors", architecture="bandsplit", licence="MIT", data="none")
    with safe_open(model, "pt") as file:
        weights = {name: file.get_tensor(name) + 1 for name in file.keys()}  # noqa: SIM118
        save_file(weights, folder / "spoilt.safetensors", file.metadata())
    (folder / "damaged.safetensors").write_bytes(b"no weights")
    return folder


@pytest.fixture(scope="module")
def environment(added) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNBRAID_MODELS", str(added))
        for name, value in ONE_THREAD.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def serve(environment, model) -> Callable[..., TestClient]:
    """A server in a folder, with the tiny model as its own."""

    def make(folder: Path, **limits: Any) -> TestClient:
        settings = Settings(folder, model=str(model), device="cpu", **limits)
        return TestClient(create_app(settings), base_url="http://localhost")

    return make


@pytest.fixture(scope="module")
def song(tmp_path_factory) -> Path:
    return make_song(tmp_path_factory.mktemp("song") / "song.flac")


def leave(folder: Path, number: int, song: Path, **record: Any) -> str:
    """Leave a job in a server's folder, as an earlier server would; returns its id."""
    job_id = f"{number:032x}"
    place = folder / "jobs" / job_id
    place.mkdir(parents=True)
    (place / "song").write_bytes(song.read_bytes())
    audio = {"samples": RATE, "sample_rate": RATE, "channels": 2, "created": time.time()}
    about = {"id": job_id, "number": number, "name": "song.flac"}
    (place / "job.json").write_text(json.dumps({**about, **audio, **record}))
    return job_id


DONE = {"status": "done", "finished": time.time(), "stems": ["vocals", "accompaniment"]}


@pytest.fixture(scope="module")
def left(tmp_path_factory, song) -> tuple[Path, list[str]]:
    """A server's folder, with the songs of earlier ones: of one model, and of one that is gone."""
    folder = tmp_path_factory.mktemp("served")
    records = [DONE, {"status": "queued"}, {"status": "queued", "model": "yesterday"}]
    return folder, [leave(folder, i, song, **record) for i, record in enumerate(records, 1)]


@pytest.fixture(scope="module")
def folder(left) -> Path:
    return left[0]


@pytest.fixture(scope="module")
def log() -> Iterator[list[str]]:
    """What the server logs."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("unbraid.web").addHandler(handler)
    yield lines
    logging.getLogger("unbraid.web").removeHandler(handler)


@pytest.fixture(scope="module")
def client(serve, folder, log) -> Iterator[TestClient]:
    with serve(folder, max_queue=2) as client:
        yield client


def taken(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    return answer.json()


def upload(client: TestClient, song: Path, model: str | None = None) -> dict[str, Any]:
    params = {"name": song.name} | ({"model": model} if model else {})
    return taken(client.post("/api/jobs", params=params, content=song.read_bytes()))


def again(client: TestClient, job: dict[str, Any], **params: str) -> dict[str, Any]:
    return taken(client.post(f"/api/jobs/{job['id']}/again", params=params))


def test_the_server_names_its_own_model_then_the_shipped_and_the_added(client):
    told = client.get("/api/server").json()

    assert told["model"] == "tiny"
    assert [model["name"] for model in told["models"]] == ["tiny", *SHIPPED, "spoilt", "three"]
    assert told["models"][-1] == {"name": "three", "stems": THREE, "licence": "MIT"}


def test_a_damaged_weight_file_is_logged_in_one_line_and_stops_no_server(client, log):
    (line,) = log

    assert "damaged.safetensors: not a readable weight file" in line
    assert "\n" not in line
    assert client.get("/api/health").json() == {"status": "ok"}


def test_songs_of_a_server_that_had_one_model_are_taken_up(client, left):
    done, waiting, _ = left[1]

    for job_id in (done, waiting):
        state = finished(client, {"id": job_id})
        assert (state["status"], state["model"]) == ("done", "tiny")
    assert finished(client, again(client, {"id": done}, model="three"))["stems"] == THREE


def test_a_song_whose_model_is_gone_fails_in_one_line(client, left):
    failed = finished(client, {"id": left[1][2]})

    assert (failed["status"], failed["model"]) == ("failed", "yesterday")
    assert failed["error"].startswith("no model 'yesterday' here; there are: tiny, ")


def test_a_song_gets_the_stems_of_the_model_that_is_named(client, song, added, tmp_path):
    job = upload(client, song, "three")
    assert job["model"] == "three"
    done = finished(client, job)

    assert (done["model"], done["stems"]) == ("three", THREE)
    separator = Separator.from_pretrained(added / "three.safetensors", device="cpu")
    for stem, path in separator.separate_file(song, tmp_path).items():
        served = client.get(f"/api/jobs/{job['id']}/stems/{stem}.wav").content
        assert served == path.read_bytes()


def test_stems_of_one_song_by_two_models_have_names_of_their_own(client, song):
    own = finished(client, upload(client, song))
    other = finished(client, again(client, own, model="three"))

    for job, track in ((own, "song"), (other, "song (three)")):
        stem = client.get(f"/api/jobs/{job['id']}/stems/vocals.wav")
        assert unquote(stem.headers["content-disposition"]).endswith(f"{track} - vocals.wav")
        stems = client.get(f"/api/jobs/{job['id']}/stems.zip")
        assert unquote(stems.headers["content-disposition"]).endswith(f"{track} (wav).zip")
        names = zipfile.ZipFile(io.BytesIO(stems.content)).namelist()
        assert names == [f"{track}/{stem}.wav" for stem in job["stems"]]


def test_without_a_name_it_is_the_servers_own(client, song):
    done = finished(client, upload(client, song))

    assert (done["model"], done["stems"]) == ("tiny", ["vocals", "accompaniment"])


def test_the_example_song_takes_a_model_too(client):
    job = taken(client.post("/api/example", params={"model": "three"}))

    assert job["model"] == "three"
    assert finished(client, job)["stems"] == THREE


def test_models_that_are_not_listed_are_refused_in_one_line_and_leave_nothing(
    client, song, folder, added, model
):
    job = finished(client, upload(client, song))
    before = set((folder / "jobs").iterdir())
    for name in ("four", "", "../three", str(added / "three.safetensors"), str(model)):
        for path in ("/api/jobs", "/api/example", f"/api/jobs/{job['id']}/again"):
            answer = client.post(path, params={"model": name}, content=song.read_bytes())
            assert answer.status_code == 422
            detail = answer.json()["detail"]
            there = "there are: tiny, bandsplit, dprnn, unet, spoilt, three"
            assert detail == f"no model {name!r} here; {there}"
    assert set((folder / "jobs").iterdir()) == before


def test_a_song_again_is_a_job_of_its_own_that_outlives_the_first(client, song, folder):
    first = finished(client, upload(client, song))

    second = again(client, first, model="three")
    third = again(client, second)  # also while it waits

    assert (second["model"], second["name"], third["model"]) == ("three", first["name"], "tiny")
    assert client.delete(f"/api/jobs/{first['id']}").status_code == 204
    assert finished(client, second)["stems"] == THREE
    assert client.delete(f"/api/jobs/{second['id']}").status_code == 204
    done = finished(client, third)
    assert (done["stems"], done["duration"]) == (first["stems"], first["duration"])
    assert (folder / "jobs" / third["id"] / "song").read_bytes() == song.read_bytes()
    gone = client.post(f"/api/jobs/{first['id']}/again")
    assert (gone.status_code, "no such song" in gone.json()["detail"]) == (404, True)


def test_a_model_that_cannot_be_loaded_fails_its_song_alone(client, song, added):
    failed = finished(client, upload(client, song, "spoilt"))

    assert failed["status"] == "failed"
    assert failed["error"].startswith("spoilt: not a readable weight file")
    assert str(added) not in failed["error"]
    assert "\n" not in failed["error"]
    assert finished(client, again(client, failed, model="three"))["status"] == "done"
    assert finished(client, upload(client, song))["status"] == "done"


def test_a_song_again_waits_like_others(client, song, monkeypatch):
    job = finished(client, upload(client, song))
    go_on = threading.Event()
    ask = Child.ask

    async def slow(self: Child, request: dict[str, Any], *args: Any) -> dict[str, Any]:
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        return await ask(self, request, *args)

    monkeypatch.setattr(Child, "ask", slow)
    jobs = [again(client, job)]
    while client.get(f"/api/jobs/{jobs[0]['id']}").json()["status"] == "queued":
        time.sleep(0.01)
    jobs += [again(client, job, model=name) for name in ("tiny", "three")]
    busy = client.post(f"/api/jobs/{job['id']}/again")
    go_on.set()

    assert (busy.status_code, busy.json()["before"]) == (503, 3)
    assert [finished(client, one)["status"] for one in jobs] == ["done"] * 3


def test_room_is_set_aside_for_the_stems_of_the_model(serve, tmp_path, song):
    first = {"id": leave(tmp_path, 1, song, **DONE)}
    stems = 2 * RATE * 4  # bytes of one
    with serve(tmp_path, max_disk=song.stat().st_size + 2 * stems + 1000) as client:
        refused = client.post(f"/api/jobs/{first['id']}/again", params={"model": "three"})
        assert refused.status_code == 507

        second = again(client, first)  # the first makes room, and its song stays
        assert client.get(f"/api/jobs/{first['id']}").status_code == 404
        assert finished(client, second)["status"] == "done"
