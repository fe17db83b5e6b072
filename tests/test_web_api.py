"""The API of `unbraid serve`, over HTTP as programs use it."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx2
import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from unbraid.audio import load_audio
from unbraid.web.app import create_app
from unbraid.web.jobs import DIED
from unbraid.web.settings import Settings
from web_server import ONE_THREAD, RATE, finished, make_song, serving

LIMITS = ("--max-upload", 2, "--max-minutes", 0.5, "--max-queue", 24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def client(folder, model):
    with (
        serving(folder, model, *LIMITS) as url,
        httpx2.Client(base_url=url, timeout=60) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def song(tmp_path_factory) -> Path:
    return make_song(tmp_path_factory.mktemp("song") / "Песня [live].flac", 3)


@pytest.fixture(scope="module")
def done(client, song) -> dict:
    """A separated song."""
    answer = client.post("/api/jobs", params={"name": song.name}, content=song.read_bytes())
    assert answer.status_code == 202
    return finished(client, answer.json())


def test_a_song_becomes_the_stems_that_the_command_line_makes(
    client, done, song, model, tmp_path, unbraid, one_thread
):
    for format in ("wav", "flac"):
        flags = ["-o", tmp_path, "--model", model, "--format", format, "--device", "cpu"]
        assert unbraid("separate", song, *flags).returncode == 0

        assert (done["status"], done["stems"]) == ("done", ["vocals", "accompaniment"])
        for stem in done["stems"]:
            answer = client.get(f"/api/jobs/{done['id']}/stems/{stem}.{format}")
            expected = (tmp_path / song.stem / f"{stem}.{format}").read_bytes()
            assert answer.headers["content-type"] == f"audio/{format}"
            assert answer.content == expected


def test_a_stem_as_mp3_is_as_long_as_the_song(client, done, tmp_path):
    answer = client.get(f"/api/jobs/{done['id']}/stems/vocals.mp3")
    (tmp_path / "vocals.mp3").write_bytes(answer.content)

    assert answer.headers["content-type"] == "audio/mpeg"
    audio, rate = load_audio(tmp_path / "vocals.mp3")
    assert audio.shape[1] / rate == pytest.approx(done["duration"], abs=0.1)


def test_ranges_of_a_stem_are_those_bytes(client, done):
    url = f"/api/jobs/{done['id']}/stems/vocals.wav"
    whole = client.get(url).content

    for given, part in {
        "bytes=0-9": whole[:10],
        "bytes=100-": whole[100:],
        "bytes=-7": whole[-7:],
    }.items():
        answer = client.get(url, headers={"range": given})
        assert (answer.status_code, answer.content) == (206, part)
    assert client.get(url, headers={"range": f"bytes={len(whole)}-"}).status_code == 416


def test_all_stems_come_in_one_archive(client, done):
    answer = client.get(f"/api/jobs/{done['id']}/stems.zip", params={"format": "flac"})

    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    names = ["Песня [live]/vocals.flac", "Песня [live]/accompaniment.flac"]
    assert archive.namelist() == names
    single = client.get(f"/api/jobs/{done['id']}/stems/vocals.flac").content
    assert archive.read(names[0]) == single
    assert "filename*=" in answer.headers["content-disposition"]
    assert answer.headers["content-disposition"].endswith("%20%28flac%29.zip")


def test_events_tell_of_progress_until_the_song_is_done(client, song):
    job = client.post("/api/jobs", content=make_long(song)).json()

    states = []
    with client.stream("GET", f"/api/jobs/{job['id']}/events") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        for line in events.iter_lines():
            if line.startswith("data: "):
                states.append(json.loads(line.removeprefix("data: ")))

    progress = [state["progress"] for state in states]
    assert progress == sorted(progress)
    assert any(0 < state["progress"] < 1 and state["seconds_left"] > 0 for state in states)
    assert states[-1]["status"] == "done"


def make_long(song: Path) -> bytes:
    audio, rate = load_audio(song)
    file = io.BytesIO()
    soundfile.write(file, np.tile(audio, 8).T, rate, format="FLAC")
    return file.getvalue()


def test_deleted_songs_are_gone_also_while_they_are_separated(client, song, folder):
    jobs = [client.post("/api/jobs", content=make_long(song)).json() for _ in range(2)]
    for job in reversed(jobs):
        assert client.delete(f"/api/jobs/{job['id']}").status_code == 204

    for job in jobs:
        assert client.get(f"/api/jobs/{job['id']}").status_code == 404
        assert client.delete(f"/api/jobs/{job['id']}").status_code == 404
        assert not (folder / "jobs" / job["id"]).exists()
    after = client.post("/api/jobs", content=song.read_bytes()).json()
    assert finished(client, after)["status"] == "done"


def silence(seconds: float, rate: int) -> bytes:
    """A small file of much silence."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, 1, "PCM_16", format="FLAC") as flac:
        for _ in range(round(seconds / 60)):
            flac.write(np.zeros(60 * rate, np.int16))
    return file.getvalue()


def cut_flac(song: Path) -> bytes:
    return song.read_bytes()[:60]


@pytest.mark.parametrize(
    ("make", "status", "reason"),
    [
        (lambda song: b"", 415, "empty"),
        (lambda song: b"\x00" * 100_000, 415, "audio"),
        (lambda song: b"RIFF\xff\xff\xff\xffWAVEfmt " + b"\xff" * 5000, 415, ""),
        (lambda song: b"OggS" + os.urandom(5000), 415, ""),
        (lambda song: b"PK\x03\x04" + b"\x00" * 5000, 415, ""),
        (cut_flac, 415, ""),
        (lambda song: silence(36_000, 1000), 413, "longer than 0.5 minutes"),
        (lambda song: b"\x00" * (2 << 20) + b"\x00", 413, "larger than 2 MB"),
    ],
    ids=["empty", "zeros", "wav", "ogg", "zip", "cut off", "ten hours", "too many bytes"],
)
def test_hostile_uploads_are_refused_in_one_line_and_leave_nothing(
    client, folder, song, make, status, reason
):
    before = set((folder / "jobs").iterdir())

    answer = client.post("/api/jobs", content=make(song))

    assert answer.status_code == status
    detail = answer.json()["detail"]
    assert reason in detail
    assert "\n" not in detail
    assert str(folder) not in detail
    assert set((folder / "jobs").iterdir()) == before


def test_an_endless_body_is_cut_off(client, folder):
    before = set((folder / "jobs").iterdir())
    endless = itertools.repeat(b"\x00" * (1 << 16))

    with suppress(httpx2.TransportError):  # the server hung up while we still sent
        assert client.post("/api/jobs", content=endless).status_code == 413

    assert set((folder / "jobs").iterdir()) == before
    assert client.get("/api/health").json() == {"status": "ok"}


def test_names_like_paths_stay_names(client, song, folder):
    for name in ("../../../tmp/evil.wav", "/etc/passwd", "..\\..\\evil.wav", "job.json", "\x00"):
        job = client.post("/api/jobs", params={"name": name}, content=song.read_bytes()).json()
        assert "/" not in job["name"]
        assert finished(client, job)["status"] == "done"
        kept = {path.name for path in (folder / "jobs" / job["id"]).iterdir()}
        assert kept == {"song", "job.json", "stems"}
        client.delete(f"/api/jobs/{job['id']}")
    for unknown in ("deadbeef", "..%2f..", "%00"):
        answer = client.get(f"/api/jobs/{unknown}")
        assert answer.status_code == 404, answer.text
    for path in ("..%2f..%2fsong.wav", "....wav", "song.wav", "vocals.exe", "vocals.wav%00"):
        assert client.get(f"/api/jobs/{'0' * 32}/stems/{path}").status_code in (404, 422)


def test_twenty_songs_at_once_are_all_separated_in_order(client, tmp_path):
    songs = [make_song(tmp_path / f"{i}.wav", 0.3).read_bytes() for i in range(20)]

    def upload(i: int) -> dict:
        answer = client.post("/api/jobs", params={"name": f"{i}.wav"}, content=songs[i])
        assert answer.status_code == 202, answer.text
        return answer.json()

    with ThreadPoolExecutor(20) as pool:
        ids = {job["id"] for job in pool.map(upload, range(20))}
    listed = [job["id"] for job in reversed(client.get("/api/jobs").json()) if job["id"] in ids]

    ends = [finished(client, {"id": job_id}) for job_id in listed]
    assert len(listed) == 20
    assert {job["status"] for job in ends} == {"done"}
    assert [job["expires"] for job in ends] == sorted(job["expires"] for job in ends)


@pytest.fixture
def settings(tmp_path, model, monkeypatch) -> Settings:
    for name, value in ONE_THREAD.items():
        monkeypatch.setenv(name, value)
    return Settings(tmp_path / "box", model=str(model), device="cpu", max_queue=2)


def inside(settings: Settings) -> TestClient:
    return TestClient(create_app(settings), base_url="http://localhost")


def test_full_queues_refuse_and_a_killed_worker_fails_one_song_and_is_replaced(settings, song):
    with inside(settings) as client:
        jobs = client.app.state.service.jobs
        answers = [client.post("/api/jobs", content=make_long(song)) for _ in range(5)]

        refused = [answer for answer in answers if answer.status_code == 503]
        assert refused[0].json()["before"] >= 2
        assert "before you" in refused[0].json()["detail"]
        assert int(refused[0].headers["retry-after"]) > 0

        taken = [answer.json() for answer in answers if answer.status_code == 202]
        while client.get(f"/api/jobs/{taken[0]['id']}").json()["status"] == "queued":
            time.sleep(0.01)
        killed = jobs.workers[0].pid
        os.kill(killed, signal.SIGKILL)

        ended = [finished(client, job) for job in taken]
        assert [job["error"] for job in ended if job["status"] == "failed"] == [DIED]
        assert [job["status"] for job in ended].count("done") == len(taken) - 1 > 0
        assert client.get("/api/health").status_code == 200
        assert jobs.workers[0].pid != killed


def test_songs_outlive_a_restart_and_unfinished_ones_are_taken_up(settings, song):
    with inside(settings) as client:
        first = client.post("/api/jobs", content=song.read_bytes()).json()
        finished(client, first)
        stem = client.get(f"/api/jobs/{first['id']}/stems/vocals.wav").content
        second = client.post("/api/jobs", content=make_long(song)).json()

    with inside(settings) as client:
        assert client.get(f"/api/jobs/{first['id']}/stems/vocals.wav").content == stem
        assert finished(client, second)["status"] == "done"


def test_songs_are_removed_after_their_time(settings, song):
    short = Settings(settings.folder, settings.model, "cpu", keep_seconds=0.4)
    with inside(short) as client:
        job = client.post("/api/jobs", content=song.read_bytes()).json()
        deadline = time.monotonic() + 30
        while client.get(f"/api/jobs/{job['id']}").status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert not list((settings.folder / "jobs").iterdir())


def test_the_example_of_the_docs_works(client, song, tmp_path):
    text = (Path(__file__).parents[1] / "docs" / "web.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    (tmp_path / "song.mp3").write_bytes(song.read_bytes())

    at = code.replace("http://localhost:8765", str(client.base_url).rstrip("/"))
    subprocess.run([sys.executable, "-c", at], cwd=tmp_path, check=True)

    stems = {path.name: soundfile.info(path).frames for path in tmp_path.glob("*.flac")}
    assert stems == {"vocals.flac": 3 * RATE, "accompaniment.flac": 3 * RATE}
