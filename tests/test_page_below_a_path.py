"""The pages below a path, where a reverse proxy puts them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from browser import needs_browser, running_browser, watched
from unbraid.web.base import STATIC
from web_server import make_song, serving

PATH = "/unbraid"


@contextmanager
def below_a_path(url: str) -> Iterator[str]:
    """Address at which a reverse proxy puts a server."""

    class Handler(BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            if not self.path.startswith(f"{PATH}/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            server = HTTPConnection(urlsplit(url).netloc)
            server.request(self.command, self.path.removeprefix(PATH), body, dict(self.headers))
            answer = server.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            while part := answer.read1():
                self.wfile.write(part)

        do_GET = do_POST = pass_on

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_port}{PATH}/"
        proxy.shutdown()


@pytest.mark.slow
@needs_browser
def test_a_song_is_separated_and_offered_below_a_path(tmp_path, model) -> None:
    with (
        serving(tmp_path / "served", model, "--token", "a b") as server,
        below_a_path(server) as url,
        running_browser() as browser,
    ):
        page = watched(browser.new_page())
        page.goto(f"{url}?token=a%20b")
        page.set_input_files("#file", make_song(tmp_path / "song.wav"))
        page.get_by_role("button", name="Play").wait_for(timeout=60_000)
        links = page.locator("a[download]").evaluate_all("links => links.map(link => link.href)")
        assert page.errors == []
        assert links
        assert all(each.startswith((url, "blob:", "data:")) for each in page.requested + links)


@pytest.mark.parametrize("page", ["index.html", "listen.html"])
def test_a_page_asks_for_nothing_from_the_root(page) -> None:
    html = (STATIC / page).read_text(encoding="utf-8")
    asked = re.findall(r'(?:href|src)="([^"]*)"', html)
    assert {each.split("/")[0] for each in asked} <= {"static", "#"}
    assert "static/style.css" in asked
