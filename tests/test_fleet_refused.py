"""What the user of a catalogue can mend, said in one line; and the cores of workers."""

from __future__ import annotations

import os
from socketserver import StreamRequestHandler, TCPServer
from threading import Thread

import pytest

from song_files import make_song

ray = pytest.importorskip("ray")
pytest.importorskip("pyarrow.parquet")

from unbraid.fleet.cluster import threads  # noqa: E402

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Ray's clusters in one machine need POSIX")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["s3://bucket/a.wav"], "s3://bucket/a.wav: a URL needs --engine ray"),
        (["a.wav", "-o", "s3://bucket/out"], "s3://bucket/out: a URL needs --engine ray"),
        (["a.wav", "--address", "auto"], "--address needs --engine ray"),
        (["a.wav", "--engine", "ray", "--address", "127.0.0.1:9"], "127.0.0.1:9"),
        (["a.wav", "--engine", "ray", "--address", "nowhere"], "give auto, HOST:PORT"),
        (["empty", "--engine", "ray"], "no audio or video files"),
        (["none://a.wav", "--engine", "ray"], "none"),
        (["ftp://127.0.0.1:1/in", "--engine", "ray"], "ftp://127.0.0.1:1/in: cannot be opened: "),
        (["http://127.0.0.1:1/in", "--engine", "ray"], "http://127.0.0.1:1/in: cannot be "),
    ],
)
def test_what_the_user_can_mend_is_one_line(
    tmp_path, monkeypatch, model, unbraid, arguments, message
):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # or other tests' cluster would do
    monkeypatch.chdir(tmp_path)
    make_song(tmp_path / "a.wav", 0.1)
    (tmp_path / "empty").mkdir()
    done = unbraid("separate", *arguments, "--model", model)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_address_at_which_something_else_answers_is_one_line(
    tmp_path, monkeypatch, model, unbraid
):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    song = make_song(tmp_path / "a.wav", 0.1)

    class Web(StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with TCPServer(("127.0.0.1", 0), Web) as server:
        Thread(target=server.handle_request).start()
        address = f"127.0.0.1:{server.server_address[1]}"
        flags = ["-o", tmp_path / "out", "--engine", "ray", "--address", address]
        done = unbraid("separate", song, *flags, "--model", model)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: no Ray cluster answers at {address} (it is no Ray")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("raised", "cause", "said"),
    [
        (Exception("The node timed out.\nSo it is."), None, "The node timed out."),
        (ConnectionError("no"), RuntimeError("RPC error: InvalidAuthToken"), "RAY_AUTH_MODE=token"),
    ],
)
def test_a_ray_that_does_not_start_or_let_us_in_is_one_line(
    tmp_path, monkeypatch, model, unbraid, raised, cause, said
):
    def refuse(**settings):
        os.write(2, b"what Ray's own libraries print\n")
        raise raised from cause

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    song = make_song(tmp_path / "a.wav", 0.1)
    flags = ["-o", tmp_path / "out", "--engine", "ray", "--model", model]
    done = unbraid("separate", song, *flags)
    assert done.returncode == 1
    assert done.stderr.startswith("error: Ray at this machine: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_workers_get_the_cores_that_let_all_of_them_fit():
    assert threads([4, 4], 1) == 4
    assert threads([4, 4], 2) == 4
    assert threads([4, 4], 3) == 2
    assert threads([8, 2], 3) == 2
    assert threads([2], 5) == 1
