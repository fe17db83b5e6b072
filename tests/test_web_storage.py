"""Uploads and limits on disk, without a model."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from unbraid.errors import ConfigError
from unbraid.web.settings import cache_folder
from unbraid.web.storage import FullError, StalledError, Storage, TooLargeError, Upload


async def body(*chunks: bytes, then: float = 0):
    for chunk in chunks:
        yield chunk
    await asyncio.sleep(then)


def receive(upload: Upload, chunks) -> None:
    async def run():
        async for _ in upload.receive(chunks):
            pass

    asyncio.run(run())


def test_a_folder_that_takes_nothing_is_told_with_its_option(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file: cannot be written to \(.*\); .* --folder"):
        Storage(tmp_path / "file", 1)

    def refuse(dir):
        raise OSError(errno.EROFS, "Read-only file system", str(dir))

    Storage(tmp_path / "served", 1)
    monkeypatch.setattr("unbraid.web.storage.TemporaryFile", refuse)
    message = r"served: cannot be written to \(Read-only file system\); choose another --folder"
    with pytest.raises(ConfigError, match=message):
        Storage(tmp_path / "served", 1)


def test_a_user_without_a_home_is_told_of_the_option(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ConfigError, match="no home folder: name a --folder"):
        cache_folder(8765)


def test_a_body_is_written_as_it_comes(tmp_path):
    receive(Upload(tmp_path / "song", 10, 1), body(b"ab", b"", b"cd"))

    assert (tmp_path / "song").read_bytes() == b"abcd"


def test_a_body_is_cut_off_at_the_limit(tmp_path):
    with pytest.raises(TooLargeError, match="larger than"):
        receive(Upload(tmp_path / "song", 10, 1), body(*[b"abcd"] * 1000))

    assert (tmp_path / "song").stat().st_size <= 10


def test_a_body_that_stops_coming_is_given_up(tmp_path):
    with pytest.raises(StalledError):
        receive(Upload(tmp_path / "song", 10, 0.05), body(b"a", then=30))


def test_the_oldest_make_room_and_no_more_of_them_than_needed(tmp_path):
    storage = Storage(tmp_path, 100)
    old, middle, new, coming = (storage.create() for _ in range(4))
    for job, size in ((old, 40), (middle, 30), (new, 30)):
        assert storage.reserve(job, size, iter(())) == []

    evicted = storage.reserve(coming, 50, iter((old, middle, new)))
    for job in evicted:
        storage.remove(job)

    assert evicted == [old, middle]
    with pytest.raises(FullError):
        storage.reserve(coming, 80, iter(()))
    assert storage.reserve(coming, 70, iter(())) == []


def test_records_outlive_a_restart_and_halves_of_uploads_do_not(tmp_path):
    storage = Storage(tmp_path, 100)
    kept, half = storage.create(), storage.create()
    storage.song(kept).write_bytes(b"song")
    storage.song(half).write_bytes(b"so")
    storage.save(kept, {"name": "絆"})

    again = Storage(tmp_path, 100)

    assert list(again.load()) == [(kept, {"name": "絆"})]
    assert not storage.song(half).exists()
    assert again.size(kept) > 4


@pytest.mark.parametrize("links", [True, False])
def test_a_song_that_two_jobs_share_stays_with_the_one_that_is_left(tmp_path, monkeypatch, links):
    def no_links(*args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    storage = Storage(tmp_path, 100)
    first, second = storage.create(), storage.create()
    storage.song(first).write_bytes(b"song")

    storage.share_song(first, second)
    storage.remove(first)

    assert storage.song(second).read_bytes() == b"song"
    assert storage.size(second) == 4
