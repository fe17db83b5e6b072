"""What is checked before songs are separated, and what becomes of files that are there already."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from song_files import files_in
from song_files import make_song as make_longer_song
from test_batch import make_song, run
from test_cli_interrupted import heeding
from unbraid.audio import save_audio
from unbraid.errors import AudioError
from unbraid.planning import Options, check_options
from unbraid.songs import find_songs


@pytest.mark.parametrize("linked", ["folder", "file"])
def test_a_song_is_not_overwritten_through_a_link(tmp_path, linked):
    song = make_song(tmp_path / "real/a.wav")
    before = song.read_bytes()
    if linked == "folder":
        (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    else:
        (tmp_path / "link").mkdir()
        (tmp_path / "link/a.wav").symlink_to(song)
    given = tmp_path / "link/a.wav"
    results = run([given], tmp_path / "real", stems=("vocals",), name="{track}.{ext}")
    assert "overwritten" in results["a.wav"].error
    assert song.read_bytes() == before


@pytest.mark.parametrize("name", ["{track}/{stem}.{ext}", "{track}_{stem}.{ext}"])
def test_stems_beside_their_songs_are_no_songs_of_the_next_run(tmp_path, name):
    for song in ["a.wav", "x/b.wav"]:
        make_song(tmp_path / song)
    run([tmp_path], tmp_path, name=name)
    before = files_in(tmp_path)
    kept = {tmp_path / name: (tmp_path / name).read_bytes() for name in before}
    assert len(before) == 6
    for more, status in (({}, "failed"), ({"skip_existing": True}, "skipped")):
        results = run([tmp_path], tmp_path, name=name, **more)
        assert {name: result.status for name, result in results.items()} == {
            "a.wav": status,
            "b.wav": status,
        }
        assert files_in(tmp_path) == before
        assert all(path.read_bytes() == kept[path] for path in kept)
    for other in ({"format": "mp3"}, {"stems": ("vocals",), "skip_existing": True}):
        assert run([tmp_path], tmp_path, name=name, **other).keys() == {"a.wav", "b.wav"}


def test_a_song_that_was_named_is_not_taken_for_a_stem(tmp_path):
    song, stem = make_song(tmp_path / "a.wav"), make_song(tmp_path / "a/vocals.wav")
    before = stem.read_bytes()
    assert "overwritten" in run([song, stem], tmp_path)["a.wav"].error
    assert stem.read_bytes() == before


def test_songs_that_write_to_one_place_are_not_taken_for_each_others_stems(tmp_path):
    for name in ["a.mp3", "a.flac"]:
        make_song(tmp_path / name)
    before = (tmp_path / "a.flac").read_bytes()
    options = {"stems": ("vocals",), "name": "{track}.{ext}", "format": "flac"}
    results = run([tmp_path], tmp_path, **options)
    assert {name: result.status for name, result in results.items()} == {
        "a.mp3": "failed",
        "a.flac": "failed",
    }
    assert (tmp_path / "a.flac").read_bytes() == before


def test_what_is_replaced_is_said(tmp_path):
    song = make_song(tmp_path / "a.wav")
    said = [run([song], tmp_path / "out")["a.wav"].warnings for _ in range(2)]
    assert said == [(), ("replaced what was there",)]


def test_a_flac_that_becomes_float_wav_leaves_no_flac_of_an_earlier_run(tmp_path):
    song = tmp_path / "a.wav"
    options = {"stems": ("vocals",), "format": "flac"}
    for level, suffix in ((1.0, "flac"), (4.0, "wav")):
        save_audio(song, np.full((2, 4000), level, np.float32), 8000, "32f")
        results = run([song], tmp_path / "out", **options)
        assert files_in(tmp_path / "out") == {f"a/vocals.{suffix}"}
    assert results["a.wav"].warnings == ("replaced what was there",)


def test_a_wav_beside_a_flac_may_be_of_another_run_and_stays(tmp_path):
    song = make_song(tmp_path / "a.wav")
    for format in ("wav", "flac"):
        run([song], tmp_path / "out", stems=("vocals",), format=format)
    assert files_in(tmp_path / "out") == {"a/vocals.wav", "a/vocals.flac"}


def test_a_name_that_no_stem_can_have_is_reported_and_the_rest_is_done(tmp_path):
    bad = make_song(tmp_path / "a.mp3").rename(tmp_path / "...mp3")
    results = run([bad, make_song(tmp_path / "b.wav")], tmp_path / "out")
    assert results["b.wav"].status == "done"
    assert "leads out of the folder" in results["...mp3"].error


def test_an_output_folder_that_cannot_be_looked_at_is_refused(tmp_path, monkeypatch):
    with pytest.raises(AudioError, match="too long; choose another folder"):
        check_options(Options(tmp_path / ("x" * 300), ("vocals",)))
    stat = Path.stat

    def refuse(path, **more):
        if "locked" in path.parts[:-1]:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **more)

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(AudioError, match="locked/x: Permission denied; choose another folder"):
        check_options(Options(tmp_path / "locked/x", ("vocals",)))


def test_a_title_that_begins_with_dots_is_not_hidden(tmp_path):
    for name in ["...Baby One More Time.mp3", "..and/Justice.wav", ".x.wav", "._x.wav", ".y/z.wav"]:
        make_song(tmp_path / "in" / name)
    songs = find_songs([tmp_path / "in"], tmp_path / "out")
    assert [song.path.name for song in songs] == ["...Baby One More Time.mp3", "Justice.wav"]


def test_what_a_format_cannot_hold_is_said_before_anything_is_separated(tmp_path):
    make_song(tmp_path / "in/a.wav")
    save_audio(tmp_path / "in/fast.wav", np.zeros((2, 4000), np.float32), 96000, "16")
    make_song(tmp_path / "in/wide.wav", channels=6)
    seen = []
    results = run(
        [tmp_path / "in"],
        tmp_path / "out",
        format="mp3",
        on_result=lambda result: seen.append(result.song.path.name),
    )
    assert seen == ["a.wav"]
    assert "mp3 cannot hold 96000 Hz (only 8000, " in results["fast.wav"].error
    assert "mp3 holds 1 to 2 channels, not 6; use .wav" in results["wide.wav"].error


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_interrupting_while_workers_start_says_one_word(tmp_path, model):
    songs = [make_longer_song(tmp_path / name, 60) for name in ("a.wav", "b.wav")]
    flags = ["-o", str(tmp_path / "out"), "--model", str(model), "--jobs", "2"]
    command = [sys.executable, "-m", "unbraid", "separate", *map(str, songs), *flags]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=heeding, start_new_session=True
    )
    while process.poll() is None and len(workers_of(process.pid)) < 2:
        time.sleep(0.01)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert said.split() == ["cancelled"]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks into /proc")
@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(tmp_path, model, long_songs):
    flags = ["-o", str(tmp_path / "out"), "--model", str(model), "--jobs", "2"]
    command = [sys.executable, "-m", "unbraid", "separate", *map(str, long_songs), *flags]
    process = subprocess.Popen(command)
    while process.poll() is None and not list((tmp_path / "out").glob("*/.*")):
        time.sleep(0.05)
    workers = workers_of(process.pid)
    assert len(workers) == 2
    process.kill()
    process.wait()
    until = time.monotonic() + 30
    try:
        while time.monotonic() < until and any(map(is_at_work, workers)):
            time.sleep(0.1)
        assert not any(map(is_at_work, workers))
        assert files_in(tmp_path / "out") == set()
    finally:
        for pid in filter(is_at_work, workers):
            os.kill(pid, signal.SIGKILL)


def workers_of(parent: int) -> list[int]:
    """The processes that it separates songs in."""
    lists = Path(f"/proc/{parent}/task").glob("*/children")
    children = [int(child) for listed in lists for child in listed.read_text().split()]
    return [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def is_at_work(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_output_folder_with_too_long_a_name_is_one_line(tmp_path, model, unbraid):
    song = make_longer_song(tmp_path / "a.wav")
    done = unbraid("separate", song, "-o", tmp_path / ("x" * 300), "--model", model)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")


def test_help_says_what_becomes_of_links_and_of_stems_that_are_there(monkeypatch, unbraid):
    monkeypatch.setenv("COLUMNS", "200")
    said = " ".join(unbraid("separate", "--help").stdout.split())
    assert "links to folders" in said
    assert "already are replaced" in said
