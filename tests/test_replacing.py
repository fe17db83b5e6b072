"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from unbraid.replacing import replacing


def test_a_file_appears_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "a.txt"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert [*path.parent.iterdir()] == [path]
    assert path.read_text() == "whole"


@pytest.mark.parametrize("place", ["a.txt", "new/deep/a.txt"])
def test_a_full_disk_is_told_with_the_file_and_leaves_nothing(tmp_path: Path, place: str) -> None:
    path = tmp_path / place
    with pytest.raises(OSError, match="No space") as raised, replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert raised.value.filename == str(path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_leaves_none_above_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / ("x" * 300) / "a.txt"
    with pytest.raises(OSError, match="too long"), replacing(path):
        pass
    assert not list(tmp_path.iterdir())
