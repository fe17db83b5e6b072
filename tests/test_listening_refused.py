"""What cannot be compared in a listening test is told in one line."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from listening_trees import RATE, SYSTEMS, make_test, stems, write
from unbraid.audio import save_audio
from unbraid.errors import DataError, UnbraidError
from unbraid.listening.material import find_material
from unbraid.listening.sounds import make_trials

pytest.importorskip("scipy")


def missing_stem(folder: Path) -> None:
    (folder / "beta" / "Song 1" / "vocals.wav").unlink()


def missing_song(folder: Path) -> None:
    shutil.rmtree(folder / "reference" / "Song 1")


def no_reference(folder: Path) -> None:
    shutil.rmtree(folder / "reference")


def single_system(folder: Path) -> None:
    shutil.rmtree(folder / "beta")


def other_length(folder: Path) -> None:
    write(folder / "beta" / "Song 1", stems(0, 1))


def other_rate(folder: Path) -> None:
    silence = np.full((2, 16000), 0.1, np.float32)
    save_audio(folder / "beta" / "Song 1" / "vocals.wav", silence, 8000)


def too_short(folder: Path) -> None:
    for system in ("reference", *SYSTEMS):
        write(folder / system / "Song 1", stems(0, 0.9))


def silent_stem(folder: Path) -> None:
    write(folder / "beta" / "Song 1", {"vocals": np.zeros((2, 2 * RATE))})


def reserved_name(folder: Path) -> None:
    (folder / "beta").rename(folder / "anchor")


def two_songs_of_one_name(folder: Path) -> None:
    shutil.copytree(folder / "reference" / "Song 1", folder / "reference" / "old" / "Song 1")


def no_sound(folder: Path) -> None:
    (folder / "beta" / "Song 1" / "vocals.wav").write_bytes(b"RIFF")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (missing_stem, "beta/Song 1: needs vocals.wav"),
        (missing_song, "no true stems of 'Song 1', which alpha has"),
        (no_reference, "no folder 'reference'"),
        (single_system, "needs two systems or more, and there is alpha"),
        (other_length, "1.00 s, but the track's stems have 2.00 s"),
        (other_rate, "8000 Hz, but the track's stems have 16000 Hz"),
        (too_short, "Song 1: 0.90 s are too short to judge"),
        (silent_stem, "Song 1, 0 to 2 s: vocals of beta is silent"),
        (reserved_name, "cannot be named 'anchor'"),
        (two_songs_of_one_name, "two tracks are named 'Song 1'"),
        (no_sound, "vocals.wav"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(tmp_path, spoil, said):
    folder = make_test(tmp_path / "test")
    spoil(folder)

    with pytest.raises(UnbraidError) as told:
        make_trials(find_material(folder), tmp_path / "sounds")

    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_ten_systems_are_compared_and_no_more(tmp_path):
    folder = make_test(tmp_path / "test", songs=1, seconds=1)
    for number in range(8):
        shutil.copytree(folder / "alpha", folder / f"copy {number}")
    assert len(find_material(folder).systems) == 10

    shutil.copytree(folder / "alpha", folder / "one more")
    with pytest.raises(DataError, match="11 systems, but nobody compares more than 10 at once"):
        find_material(folder)


@pytest.mark.parametrize("closed", [".", "alpha"])
def test_a_folder_that_cannot_be_read_is_told_in_one_line(tmp_path, monkeypatch, closed):
    folder = make_test(tmp_path / "test")
    listed = Path.iterdir

    def refuse(path):
        if path == folder / closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)

    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\)"):
        find_material(folder)


def test_sounds_that_have_no_room_are_told_in_one_line(tmp_path, monkeypatch):
    folder = make_test(tmp_path / "test")

    def full(path, audio):
        raise OSError("48000 requested and 24968 written")  # as NumPy tells it

    monkeypatch.setattr(np, "save", full)

    with pytest.raises(DataError, match=r"24968 written.*TMPDIR"):
        make_trials(find_material(folder), tmp_path / "sounds")
