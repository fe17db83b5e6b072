"""Recordings: what counts as sounding, where sums end, and which files stay open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sounds import RATE, sine
from unbraid.data.recordings import Recording
from unbraid.data.tracks import StemSource


def recording(folder: Path, **parts: np.ndarray) -> Recording:
    """The sum of parts, named after their files."""
    sources = []
    for name, audio in parts.items():
        path = folder / name.replace("_", ".")
        soundfile.write(path, audio.T, RATE)
        sources.append(StemSource(path))
    return Recording(sources, RATE, folder / "cache")


def test_what_is_40_decibels_softer_does_not_sound(tmp_path: Path) -> None:
    levels = (0, -36, -44)
    audio = np.concatenate([sine(440, 1) * 10 ** (level / 20) for level in levels], 1)
    assert recording(tmp_path, a_wav=audio).sounding.tolist() == [True] * 8 + [False] * 4


def test_a_sum_ends_with_its_shortest_part(tmp_path: Path) -> None:
    made = recording(tmp_path, a_wav=sine(440, 2), b_wav=sine(220, 2)[:, :-1000])
    assert made.samples == 2 * RATE - 1000
    assert not made.read(2 * RATE - 1000, 1000).any()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs a list of open files")
def test_no_file_is_held_open(tmp_path: Path) -> None:
    """There may be thousands of recordings, and 1024 is what a process may open by default."""
    opened = len(list(Path("/proc/self/fd").iterdir()))
    made = [recording(tmp_path, **{name: sine(440, 1)}) for name in ("a_wav", "b_ogg")]
    assert all(each.read(0, RATE).any() for each in made)
    assert len(list(Path("/proc/self/fd").iterdir())) == opened
