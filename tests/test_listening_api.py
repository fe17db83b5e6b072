"""The API of `unbraid serve --listen`, which must not tell what is heard."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

import httpx2
import numpy as np
import pytest
import schemathesis
import soundfile
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.testclient import TestClient

from listening_trees import RATE, SYSTEMS, make_test
from unbraid.cli import main
from unbraid.listening.loudness import loudness
from unbraid.listening.material import find_material
from unbraid.listening.ratings import read_ratings
from unbraid.listening.session import Sessions
from unbraid.listening.sounds import make_trials
from unbraid.web.listening import create_listening_app
from unbraid.web.settings import Access
from web_server import free_port, serving_with

schema = schemathesis.openapi.from_dict(
    create_listening_app(Sessions([], Path()), Access()).openapi()
)
SECRETS = (*SYSTEMS, "anchor", "Song 0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_test(tmp_path_factory.mktemp("listened"), songs=1)


@pytest.fixture(scope="module")
def client(folder):
    with serving_with("--listen", folder) as url, httpx2.Client(base_url=url) as client:
        yield client


def begin(client, listener: str = "Ann") -> dict:
    answer = client.post("/api/sessions", json={"listener": listener})
    assert answer.status_code == 201
    return answer.json()


def rate(client, session: dict, value: int = 50) -> httpx2.Response:
    page = session["page"]
    ratings = dict.fromkeys(page["sounds"], value)
    path = f"/api/sessions/{session['id']}/pages/{page['number']}"
    return client.put(path, json={"ratings": ratings})


def test_a_listener_rates_all_pages_and_the_file_has_it(client, folder):
    session = begin(client, " Zoë ")
    values = {}
    while session["page"]:
        number = session["page"]["number"]
        for place, sound in enumerate(session["page"]["sounds"], 1):
            values[number, place] = 10 * number + place
            assert sound not in session["id"]
        page = session["page"]
        ratings = {s: values[number, i] for i, s in enumerate(page["sounds"], 1)}
        answer = client.put(
            f"/api/sessions/{session['id']}/pages/{number}", json={"ratings": ratings}
        )
        assert answer.status_code == 200
        session = answer.json()

    assert client.get(f"/api/sessions/{session['id']}").json() == session
    written = [r for r in read_ratings(folder / "ratings") if r.session == session["id"]]
    assert {r.listener for r in written} == {"Zoë"}
    assert {(r.page, r.order): r.rating for r in written} == values
    assert len(values) == session["pages"] * 4 == 16


def test_no_answer_tells_which_sound_is_which(client):
    session = begin(client)
    answers = [client.get("/"), client.get(f"/api/sessions/{session['id']}"), rate(client, session)]
    page = session["page"]
    sounds = [
        client.get(f"/api/sessions/{session['id']}/sounds/{sound}.wav")
        for sound in (page["reference"], *page["sounds"])
    ]

    for answer in answers:
        assert not [name for name in SECRETS if name in answer.text]
    for answer in sounds:
        assert answer.status_code == 200
        assert not [name for name in SECRETS if name.encode() in answer.content]
    heads = [{k: v for k, v in answer.headers.items() if k != "date"} for answer in sounds]
    assert all(head == heads[0] for head in heads)
    assert heads[0]["cache-control"] == "no-store"
    assert not {"etag", "last-modified", "content-disposition"} & set(heads[0])
    assert len({answer.content for answer in sounds}) == len(sounds)


def test_what_is_served_is_equally_loud(client):
    session = begin(client)
    while session["page"]:
        page, levels = session["page"], []
        for sound in (page["reference"], *page["sounds"]):
            wav = client.get(f"/api/sessions/{session['id']}/sounds/{sound}.wav").content
            audio, rate_of = soundfile.read(io.BytesIO(wav), dtype="float32")
            assert (audio.shape, rate_of) == ((2 * RATE, 2), page["sample_rate"])
            levels.append(loudness(audio.T, RATE))
        assert np.ptp(levels) < 0.1
        session = rate(client, session).json()


def test_pages_come_in_turn_once_and_whole(client):
    session = begin(client)
    path = f"/api/sessions/{session['id']}/pages"
    whole = dict.fromkeys(session["page"]["sounds"], 50)

    assert client.put(f"{path}/2", json={"ratings": whole}).status_code == 409
    assert client.put(f"{path}/1", json={"ratings": {}}).status_code == 400
    for value in (-1, 101, "loud", "50", True, 1.5):
        spoilt = {**whole, session["page"]["sounds"][0]: value}
        assert client.put(f"{path}/1", json={"ratings": spoilt}).status_code == 422
    first = client.put(f"{path}/1", json={"ratings": whole})
    assert first.status_code == 200
    again = client.put(f"{path}/1", json={"ratings": whole})  # as if the first answer was lost
    assert (again.status_code, again.json()) == (200, first.json())
    others = dict.fromkeys(whole, 60)
    assert client.put(f"{path}/1", json={"ratings": others}).status_code == 409


def test_sounds_and_sessions_of_others_are_not_there(client):
    mine, other = begin(client), begin(client)
    sound = other["page"]["sounds"][0]

    assert client.get(f"/api/sessions/{mine['id']}/sounds/{sound}.wav").status_code == 404
    assert client.get(f"/api/sessions/{'0' * 32}").status_code == 404


@pytest.mark.parametrize("name", ["", " ", "=cmd()", "../x", "a\nb", "x" * 61])
def test_names_that_are_none_are_refused_in_one_line(client, name):
    refused = client.post("/api/sessions", json={"listener": name})

    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("body listener: ")
    assert "\n" not in refused.json()["detail"]


@pytest.mark.parametrize("name", ["O'Brien", "Seán O\u2019Brien", "J. Doe-Roe", "絆"])
def test_names_of_people_are_taken(client, name):
    assert begin(client, name)["listener"] == name


def test_what_cannot_be_written_is_not_lost_without_a_word(folder, tmp_path):
    trials = make_trials(find_material(folder), tmp_path / "sounds")
    sessions = Sessions(trials, tmp_path / "ratings")
    client = TestClient(create_listening_app(sessions, Access()), base_url="http://localhost")
    session = begin(client)
    (tmp_path / "ratings").write_text("in the way", encoding="utf-8")

    refused = rate(client, session)
    (tmp_path / "ratings").unlink()

    assert refused.status_code == 507
    assert "cannot be written" in refused.json()["detail"]
    assert rate(client, session).status_code == 200


def test_the_server_is_guarded_as_the_other_one(tmp_path):
    access = Access(token="secret")
    guarded = TestClient(
        create_listening_app(Sessions([], tmp_path / "ratings"), access),
        base_url="http://localhost",
    )

    assert guarded.get("/").status_code == 401
    assert guarded.post("/api/sessions", json={"listener": "Ann"}).status_code == 401
    assert guarded.get("/", headers={"host": "evil.example"}).status_code == 400
    page = guarded.get("/?token=secret")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert guarded.post("/api/sessions", json={"listener": "Ann"}).status_code == 201
    foreign = {"origin": "http://evil.example"}
    assert guarded.post("/api/sessions", json={}, headers=foreign).status_code == 403


def test_a_bad_folder_is_told_in_one_line_and_nothing_is_served(tmp_path, monkeypatch, capsys):
    (tmp_path / "reference").mkdir()
    command = ["unbraid", "serve", "--listen", str(tmp_path), "--port", str(free_port())]
    monkeypatch.setattr(sys, "argv", command)

    with pytest.raises(SystemExit) as ended:
        main()

    said = capsys.readouterr()
    assert ended.value.code == 1
    assert said.out == ""
    assert "needs two systems or more" in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not (tmp_path / "ratings").exists()


def test_ratings_that_cannot_be_written_are_told_before_sounds_are_made(
    folder, tmp_path, monkeypatch, capsys
):
    test = shutil.copytree(folder, tmp_path / "test", ignore=shutil.ignore_patterns("ratings"))
    (test / "ratings").write_text("in the way", encoding="utf-8")
    command = ["unbraid", "serve", "--listen", str(test), "--port", str(free_port())]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr("unbraid.listening.sounds.make_trials", None)  # nothing is computed

    with pytest.raises(SystemExit) as ended:
        main()

    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said == f"error: {test / 'ratings'}: ratings cannot be written (File exists)\n"


@schema.parametrize()
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
def test_made_up_requests_are_answered_as_described(case, client):
    # made-up ids fit their description, but are of no session
    case.call_and_validate(
        base_url=str(client.base_url), excluded_checks=[positive_data_acceptance]
    )
