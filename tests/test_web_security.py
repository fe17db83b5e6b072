"""What the server lets in, without a model."""

from __future__ import annotations

import sys

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from unbraid.cli import main
from unbraid.web.app import create_app
from unbraid.web.downloads import clean_name, track_of
from unbraid.web.security import Guard, cookie_name
from unbraid.web.settings import LOOPBACK, Access, Settings
from web_server import free_port


def client(**access) -> TestClient:
    async def answer(request):
        return PlainTextResponse("in")

    methods = ["GET", "POST", "DELETE"]
    paths = ("/", "/api/jobs", "/api/health")
    inner = Starlette(routes=[Route(path, answer, methods=methods) for path in paths])
    guard = Guard(inner, Access(**access))
    return TestClient(guard, base_url="http://localhost:8765")


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_known_hosts_are_served(host):
    assert client().get("/", headers={"host": host}).text == "in"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "", "[", "10.0.0.1", "a b"]
)
def test_other_hosts_are_refused(host):
    answer = client().get("/api/jobs", headers={"host": host})

    assert answer.status_code == 400
    assert "host" in answer.json()["detail"]


def test_beyond_this_machine_addresses_are_served_and_strange_names_are_not():
    open_client = client(any_address=True, hosts=frozenset((*LOOPBACK, "studio")), token="secret")
    bearer = {"authorization": "Bearer secret"}

    for host, status in {"192.168.1.7:8765": 200, "studio": 200, "evil.example": 400}.items():
        assert open_client.get("/", headers={"host": host, **bearer}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://localhost:8765", "sec-fetch-site": "same-origin"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:9999", "sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
    ],
)
def test_other_sites_cannot_use_the_api(headers, status):
    for method in ("POST", "DELETE"):
        assert client().request(method, "/api/jobs", headers=headers).status_code == status


def test_other_sites_cannot_look_and_links_to_the_page_work():
    cross = {"sec-fetch-site": "cross-site"}

    assert client().get("/api/jobs", headers=cross).status_code == 403
    assert client().get("/", headers=cross).status_code == 200


def test_no_answer_allows_other_origins_and_each_is_hardened():
    for answer in (client().get("/"), client().get("/", headers={"host": "evil.example"})):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_token_is_asked_for_and_taken_as_header_cookie_or_in_the_page_address():
    guarded = client(token="secret")

    assert guarded.get("/").status_code == 401
    assert guarded.get("/api/jobs").status_code == 401
    assert guarded.get("/api/jobs?token=secret").status_code == 401
    assert guarded.get("/api/health").status_code == 200
    assert guarded.get("/?token=wrong").status_code == 401
    assert guarded.get("/?token=secret").status_code == 200
    for token, status in {"secret": 200, "wrong": 401, "sécret": 401, "": 401}.items():
        bearer = {"authorization": f"Bearer {token}".encode()}
        assert guarded.get("/api/jobs", headers=bearer).status_code == status
        cookie = {"cookie": f"other=1; {cookie_name('secret')}={token}".encode()}
        assert guarded.get("/api/jobs", headers=cookie).status_code == status


def test_people_are_told_of_the_token_on_a_page_and_programs_in_json():
    guarded = client(token="secret")

    page = guarded.get("/")

    reason = guarded.get("/api/jobs").json()["detail"]
    assert (page.status_code, page.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert f"<p>{reason}</p>" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_servers_on_one_host_do_not_log_each_other_out(tmp_path):
    jar = httpx2.Cookies()
    for token in ("one", "two"):
        app = create_app(Settings(tmp_path, access=Access(token=token)))
        server = TestClient(app, base_url="http://localhost")
        jar.update(server.get("/", params={"token": token}).cookies)

    for token in ("one", "two"):
        app = create_app(Settings(tmp_path, access=Access(token=token)))
        server = TestClient(app, base_url="http://localhost", cookies=jar)
        assert server.get("/api/openapi.json").status_code == 200


@pytest.mark.parametrize("token", ["a+b", "a&b", "a#b", "50%", 'a b;c"d', "%41"])
def test_the_printed_address_opens_the_page_whatever_the_token(tmp_path, monkeypatch, token):
    served = []
    monkeypatch.setattr("unbraid.web.server.serve", lambda *given: served.append(given))
    command = ["serve", "--token", token, "--port", str(free_port()), "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["unbraid", *command])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    app, _, url, _ = served[0]
    server = TestClient(app, base_url=url.split("/?")[0])

    assert server.get(url).status_code == 200
    assert server.get("/api/openapi.json").status_code == 200  # with the cookie of the page


@pytest.mark.parametrize(
    ("given", "shown", "track"),
    [
        ("song.flac", "song.flac", "song"),
        ("../../etc/passwd", "passwd", "passwd"),
        ("C:\\music\\04 絆.wav", "04 絆.wav", "04 絆"),
        ("a\r\nset-cookie: x=1\x00.mp3", "aset-cookie: x=1.mp3", "aset-cookie_ x=1"),
        ("\u202egpj.exe", "gpj.exe", "gpj"),
        ("..", "..", "song"),
        ("", "song", "song"),
        ("x" * 999, "x" * 200, "x" * 200),
    ],
)
def test_names_are_for_people_and_lead_nowhere(given, shown, track):
    assert clean_name(given) == shown
    assert track_of(shown) == track
