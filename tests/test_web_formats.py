"""In which formats a stem can be had."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import httpx2
import numpy as np
import pytest
import soundfile

from unbraid.errors import AudioError
from unbraid.web.downloads import formats_of
from unbraid.web.worker import encode
from web_server import RATE, finished, serving


@pytest.fixture(scope="module")
def client(tmp_path_factory, model):
    with (
        serving(tmp_path_factory.mktemp("served"), model) as url,
        httpx2.Client(base_url=url, timeout=60) as client,
    ):
        yield client


def song_of(level: float, rate: int, channels: int) -> bytes:
    """A second of a constant, as floats."""
    file = io.BytesIO()
    audio = np.full((rate, channels), level, np.float32)
    soundfile.write(file, audio, rate, "FLOAT", format="WAV")
    return file.getvalue()


@pytest.mark.parametrize("level", [0.5, 1.5])
@pytest.mark.parametrize("rate", [44100, 48000, 96000, 700_000])
@pytest.mark.parametrize("channels", [1, 2, 3, 8, 9])
def test_formats_are_those_that_can_be_encoded(tmp_path, level, rate, channels):
    source = tmp_path / "stem.wav"
    source.write_bytes(song_of(level, rate, channels))

    able = ["wav"]
    for format in ("flac", "mp3"):
        try:
            encode(lambda fraction: None, str(source), str(tmp_path / "encoded" / f"stem.{format}"))
        except AudioError:
            continue
        able.append(format)

    assert formats_of(rate, channels, level > 1) == able


@pytest.mark.parametrize(
    ("level", "rate", "channels"),
    [(0.5, RATE, 2), (1.5, RATE, 2), (0.5, 96000, 1), (0.5, RATE, 6)],
    ids=["quiet floats", "above full scale", "96 kHz", "six channels"],
)
def test_offered_formats_are_served_others_refused_and_archives_hold_every_stem(
    client, level, rate, channels
):
    job = client.post("/api/jobs", content=song_of(level, rate, channels)).json()
    assert job["formats"] == {}

    job = finished(client, job)

    assert list(job["formats"]) == job["stems"]
    url = f"/api/jobs/{job['id']}"
    for format in ("wav", "flac", "mp3"):
        names = []
        for stem, formats in job["formats"].items():
            answer = client.get(f"{url}/stems/{stem}.{format}")
            assert answer.status_code == (200 if format in formats else 409)
            names.append(f"song/{stem}.{format if format in formats else 'wav'}")
        archive = client.get(f"{url}/stems.zip", params={"format": format})
        assert zipfile.ZipFile(io.BytesIO(archive.content)).namelist() == names
    offered = {format for formats in job["formats"].values() for format in formats}
    left_out = {"flac", "mp3"} - set.intersection(*map(set, job["formats"].values()))
    assert "wav" in offered
    assert left_out == {(1.5, RATE): {"flac"}, (0.5, RATE): set()}.get(
        (level, rate) if channels == 2 else None, {"mp3"}
    )


def test_a_refused_format_is_told_with_advice(client):
    job = finished(client, client.post("/api/jobs", content=song_of(1.5, RATE, 2)).json())
    loud = next(stem for stem, formats in job["formats"].items() if "flac" not in formats)

    detail = client.get(f"/api/jobs/{job['id']}/stems/{loud}.flac").json()["detail"]

    assert "take wav" in detail
    assert str(Path.cwd().anchor) not in detail
