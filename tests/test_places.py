"""Songs, stems and manifests of a fleet, in folders and in buckets."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from unbraid.audio import save_audio
from unbraid.errors import AudioError, DataError, UnbraidError
from unbraid.planning import Options, plan

parquet = pytest.importorskip("pyarrow.parquet")

from unbraid.fleet.manifest import Manifest, escape, unescape  # noqa: E402
from unbraid.fleet.places import Store, Url, as_place, fetch, list_songs  # noqa: E402


@pytest.fixture
def memory():
    """An empty file system of fsspec's, in this process, whose URLs are `memory://`."""
    from fsspec.implementations.memory import MemoryFileSystem

    system = MemoryFileSystem(use_listings_cache=False)
    system.store.clear()
    yield system
    system.store.clear()


def test_a_url_keeps_its_scheme_and_a_path_stays_a_path(tmp_path):
    assert str(as_place("s3://bucket/a/b.wav").parent / "c.wav") == "s3://bucket/a/c.wav"
    assert str(as_place("file:///a/b.wav")) == "file:///a/b.wav"
    assert isinstance(as_place("a/b.wav"), Path)
    assert pickle.loads(pickle.dumps(Url("gs://a/b"))) == Url("gs://a/b")


def test_a_folder_is_listed_as_it_is_asked_for(tmp_path):
    for name in ["b.wav", "x/a.flac", "y/c.wav", ".hidden/d.wav", "out/x/vocals.wav"]:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    url = as_place(tmp_path.as_uri())
    for root, out in [(tmp_path, tmp_path / "out"), (url, url / "out")]:
        lists = list_songs([root], out)
        assert [song.path.name for song in next(lists)] == ["b.wav"]
        assert [song.path.name for song in next(lists)] == ["a.flac"]
        assert [[(song.path.name, str(song.folder)) for song in songs] for songs in lists] == [
            [("c.wav", "y")]
        ]


def test_a_folder_that_cannot_be_read_is_reported_and_the_rest_is_listed(
    tmp_path, unreadable_secret
):
    for name in ["a.wav", "secret/b.wav", "z/c.wav"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for root in (tmp_path, as_place(tmp_path.as_uri())):
        songs = [song for songs in list_songs([root], tmp_path / "out") for song in songs]
        assert {song.path.name: song.fault for song in songs} == {
            "a.wav": None,
            "secret": f"{root / 'secret'}: cannot be read: Permission denied",
            "c.wav": None,
        }
        assert [str(song.folder) for song in songs] == [".", "secret", "z"]


def test_a_path_that_cannot_be_looked_at_is_left_to_the_checks(tmp_path):
    long = tmp_path / f"{'x' * 300}.wav"
    assert [[song.path for song in songs] for songs in list_songs([long], tmp_path)] == [[long]]


def test_a_file_in_the_place_of_a_folder_is_no_error_of_the_storage(tmp_path):
    (tmp_path / "a").touch()
    assert not Store(tmp_path).exists("a/vocals.wav")


def test_several_folders_are_one_list_so_that_outputs_cannot_clash(tmp_path):
    for name in ["1/a.wav", "2/a.wav"]:
        path = tmp_path / name
        path.parent.mkdir()
        save_audio(path, np.zeros((2, 4410), np.float32), 44100)
    songs = list(list_songs([tmp_path / "1", tmp_path / "2"], tmp_path / "out"))
    assert len(songs) == 1
    results = plan(songs[0], Options(tmp_path / "out", ("vocals",)))[1]
    assert [result.status for result in results] == ["failed", "failed"]


def test_a_folder_without_songs_is_an_error(tmp_path):
    for root in (tmp_path, as_place(tmp_path.as_uri())):
        with pytest.raises(AudioError, match="no audio or video files"):
            list(list_songs([root], tmp_path / "out"))


@pytest.mark.parametrize("folder", ["memory://b", "memory://b/a :: b"])
def test_a_name_may_have_what_fsspec_takes_for_a_chain_of_urls(memory, tmp_path, folder):
    path = f"{folder.removeprefix('memory:/')}/x/Artist :: Title.wav"
    memory.pipe_file(path, b"content")

    songs = [song for songs in list_songs([as_place(folder)], tmp_path) for song in songs]

    assert [str(song.path) for song in songs] == [f"memory:/{path}"]
    assert str(songs[0].folder) == "x"
    fetch(songs[0].path, tmp_path / "copy.wav")
    assert (tmp_path / "copy.wav").read_bytes() == b"content"
    store = Store(as_place(folder) / "out")
    store.put(tmp_path / "copy.wav", "Artist :: Title/vocals.wav", ".unbraid")
    assert store.names("Artist :: Title") == ["Artist :: Title/vocals.wav"]
    assert store.read("Artist :: Title/vocals.wav") == b"content"


def test_a_folder_in_a_bucket_is_listed_without_output_and_what_stands_for_a_folder(
    memory, tmp_path, monkeypatch
):
    for name in ["b.wav", "x.wav/a.flac", "y/c.wav", ".hidden/d.wav", "out/e.wav"]:
        memory.pipe_file(f"/b/{name}", b"")
    listed = type(memory).ls

    def with_marker(system, path, **settings):
        return [{"name": f"{path}/", "type": "file"}, *listed(system, path, **settings)]

    monkeypatch.setattr(type(memory), "ls", with_marker)
    lists = list(list_songs([Url("memory://b")], Url("memory://b/out")))
    assert [[str(song.path) for song in songs] for songs in lists] == [
        ["memory://b/b.wav"],
        ["memory://b/x.wav/a.flac"],
        ["memory://b/y/c.wav"],
    ]


def test_a_manifest_outlives_a_run_that_was_killed(tmp_path):
    def row(number: int, status: str = "done") -> dict:
        return {"path": f"{number}.wav", "status": status, "model": "m", "options": "{}"}

    killed = Manifest(Store(tmp_path))
    for number in range(40):
        killed.add(row(number))
    assert not (tmp_path / "manifest.parquet").exists()

    second = Manifest(Store(tmp_path))
    kept = [number for number in range(40) if second.done(f"{number}.wav", "m", "{}")]
    assert kept == list(range(32)), "written after every 16 songs"
    assert second.done("0.wav", "other", "{}") is None
    assert second.done("0.wav", "m", "other") is None
    second.add(row(0, "failed"))
    second.close()

    third = Manifest(Store(tmp_path))
    assert third.done("0.wav", "m", "{}") is None
    assert third.done("31.wav", "m", "{}") is not None
    assert parquet.read_table(tmp_path / "manifest.parquet").num_rows == 32


@pytest.mark.parametrize(
    ("path", "escaped"),
    [
        ("/in/Ä 絆 100%25 \\u00e9 \\ud.wav", "/in/Ä 絆 100%25 \\u00e9 \\ud.wav"),
        ("/in/caf\udce9.wav", "/in/caf\\udce9.wav"),
        ("/in/\\\udce9\udce8.wav", "/in/\\\\udce9\\udce8.wav"),
        ("/in/\\udce9.wav", "/in/\\uudce9.wav"),
        ("/in/\\uudce9\udce9.wav", "/in/\\uuudce9\\udce9.wav"),
        ("/in/\\u\udce9dce9.wav", "/in/\\u\\udce9dce9.wav"),
    ],
)
def test_a_path_is_escaped_if_it_must_be_and_comes_back(tmp_path, path, escaped):
    assert escape(path) == escaped
    assert unescape(escaped) == path
    row = {"path": path, "status": "done", "model": "m", "options": '"\\udce9"'}
    texts = {"outputs": [("vocals", path)], "warnings": (path,), "error": f"{path}: bad"}
    first = Manifest(Store(tmp_path))
    first.add({**row, **texts})
    first.close()
    known = Manifest(Store(tmp_path)).done(path, "m", row["options"])
    assert known["path"] == path
    assert known["outputs"] == texts["outputs"]
    assert known["warnings"] == [path]
    assert known["error"] == texts["error"]


def test_storage_that_fails_is_one_line(memory, monkeypatch, tmp_path):
    class Refusal(Exception):
        """An error that only this storage has."""

    def refuse(*arguments, **settings):
        raise Refusal("no credentials\nas nobody signed in")

    store = Store(Url("memory://b/out"))
    store.write("a", b"content")
    reason = "cannot be {}: no credentials$"
    for name, failure, act in [
        ("info", "looked for", lambda: store.exists("a")),
        ("cat_file", "read", lambda: store.read("a")),
        ("pipe_file", "written", lambda: store.write("a", b"")),
        ("put_file", "written", lambda: store.put(tmp_path / "a", "a", "b")),
        ("find", "removed", lambda: store.remove("a")),
        ("get_file", "read", lambda: fetch(Url("memory://b/out/a"), tmp_path / "a")),
        ("isdir", "read", lambda: next(list_songs([Url("memory://b/out/a")], tmp_path))),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(type(memory), name, refuse)
            with pytest.raises(UnbraidError, match="^memory://b/out/a: " + reason.format(failure)):
                act()
    assert store.read("a") == b"content"
    with pytest.raises(UnbraidError, match=r"^memory://nothing: no such file or folder$"):
        fetch(Url("memory://nothing"), tmp_path / "a")
    with pytest.raises(UnbraidError, match=r"^ftp://127.0.0.1:1/out: cannot be opened: .+"):
        Store(Url("ftp://127.0.0.1:1/out"))


def test_a_folder_that_nothing_can_be_written_to_is_seen_before_anything_is_done(
    memory, monkeypatch, tmp_path
):
    Store(Url("memory://b/out")).check()
    Store(tmp_path / "out").check()
    assert not memory.find("/b")
    assert not list(tmp_path.iterdir())

    def refuse(*arguments, **settings):
        raise PermissionError("Access Denied")

    monkeypatch.setattr(type(memory), "pipe_file", refuse)
    with pytest.raises(UnbraidError, match=r"^memory://b/out: cannot be written: Access Denied$"):
        Store(Url("memory://b/out")).check()
    (tmp_path / "file").touch()
    with pytest.raises(AudioError, match="is a file, not a folder"):
        Store(as_place((tmp_path / "file").as_uri())).check()


def test_what_is_not_there_is_said_without_fetching_it(memory, tmp_path):
    memory.pipe_file("/b/a.wav", b"")
    songs = next(list_songs([Url("memory://b/a.wav"), Url("memory://nothing")], tmp_path))
    assert [song.fault for song in songs] == [None, "memory://nothing: no such file or folder"]


def test_object_storage_is_written_to_without_copies(memory, monkeypatch, tmp_path):
    monkeypatch.setattr(type(memory), "protocol", ("s3", "s3a"))
    monkeypatch.setattr(type(memory), "cp_file", None)
    (tmp_path / "a").write_bytes(b"content")
    store = Store(Url("memory://b/out"))
    store.put(tmp_path / "a", "x/vocals.wav", ".unbraid")
    store.write("manifest.parquet", b"rows")
    assert memory.find("/b") == ["/b/out/manifest.parquet", "/b/out/x/vocals.wav"]


def test_a_manifest_that_storage_does_not_give_is_not_called_damaged(memory, monkeypatch):
    Manifest(Store(Url("memory://b"))).close()
    memory.pipe_file("/b/manifest.parquet", b"whatever")

    def refuse(*arguments, **settings):
        raise ConnectionRefusedError(111, "Connection refused")

    for name, failure in [("info", "looked for"), ("cat_file", "read")]:
        with monkeypatch.context() as patch:
            patch.setattr(type(memory), name, refuse)
            with pytest.raises(UnbraidError, match=f"cannot be {failure}: Connection refused$"):
                Manifest(Store(Url("memory://b")))


def test_a_damaged_manifest_is_one_line(tmp_path):
    (tmp_path / "manifest.parquet").write_text("nothing")
    with pytest.raises(DataError, match="remove it"):
        Manifest(Store(tmp_path))
