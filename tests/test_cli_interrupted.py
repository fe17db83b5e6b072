"""`unbraid` that is interrupted, or whose output nobody takes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from song_files import files_in, make_song
from unbraid.planning import Task
from unbraid.progress import Display
from unbraid.songs import Song


def heeding() -> None:
    """What runs in a shell's background, this suite too, would pass on that it ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(os.name == "nt", reason="no signals")
@pytest.mark.parametrize(("number", "jobs"), [(signal.SIGINT, 1), (signal.SIGTERM, 2)])
def test_interrupting_leaves_no_partial_file(tmp_path, model, long_songs, number, jobs):
    flags = ["-o", str(tmp_path / "out"), "--model", str(model), "--jobs", str(jobs)]
    command = [sys.executable, "-m", "unbraid", "separate", *map(str, long_songs), *flags]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heeding)
    while process.poll() is None and not list((tmp_path / "out").glob("*/.*")):
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.split() == ["cancelled"]
    assert files_in(tmp_path / "out") == set()


INTERRUPTED_BY_ITSELF = """
import os, signal, sys
within = False
def watch(frame, event, arg):
    global within
    if event.startswith("c_") and getattr(arg, "__name__", "") == "_c10d_init":
        within = event == "c_call"
    elif event == "call" and within:
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGINT)
sys.setprofile(watch)
from unbraid.cli import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="no signals")
@pytest.mark.skipif(not torch.distributed.is_available(), reason="nothing to interrupt in")
@pytest.mark.parametrize(
    ("words", "said"),
    [("separate {a} {b} --jobs 2", "cancelled\n"), ("evaluate --data {folder}", "")],
)
def test_interrupting_where_torch_calls_python_back_ends_like_anywhere_else(
    tmp_path, model, words, said
):
    songs = {name: make_song(tmp_path / f"{name}.wav") for name in ("a", "b")}
    arguments = words.format(folder=tmp_path, **songs).split()
    flags = ["-o", str(tmp_path / "out"), "--model", str(model)]
    command = [sys.executable, "-c", INTERRUPTED_BY_ITSELF, *arguments, *flags]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=heeding)
    assert (done.returncode, done.stderr) == (130, said)


def test_lines_of_progress_count_from_when_the_separation_begins(tmp_path, monkeypatch, capsys):
    clock = SimpleNamespace(now=1.0)
    monkeypatch.setattr("unbraid.progress.time", SimpleNamespace(monotonic=lambda: clock.now))
    with Display(1) as display:
        for clock.now, fraction in [(60.0, 0.0), (69.0, 0.4), (71.0, 0.5)]:
            display.progress(Task(Song(tmp_path / "a.wav"), None, 1.0), fraction)
    assert capsys.readouterr().out == f"{tmp_path / 'a.wav'}: 50%\n"


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
def test_a_standard_output_that_is_closed_or_full_is_no_bug(tmp_path, monkeypatch):
    def info_into(place: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "unbraid", "info", str(make_song(tmp_path / "a.wav"))]
        shell = ["sh", "-c", f'exec "$@" >{place}', "sh"]
        return subprocess.run([*shell, *command], stderr=subprocess.PIPE, text=True)

    closed = info_into("&-")
    assert (closed.returncode, closed.stderr) == (0, "")
    if os.path.exists("/dev/full"):
        full = info_into("/dev/full")
        assert (full.returncode, full.stderr) == (1, "error: No space left on device\n")
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with Display(1):
        pass
