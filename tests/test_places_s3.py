"""Songs and stems behind the API of S3, as a server in this process has it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("s3fs")
server = pytest.importorskip("moto.server")

from unbraid.errors import UnbraidError  # noqa: E402
from unbraid.fleet.manifest import Manifest  # noqa: E402
from unbraid.fleet.places import Store, Url, fetch, list_songs  # noqa: E402

NAMES = ["a.wav", "two words.flac", "x/[live] *?.wav", "x/Träume #1 100%25 + &.ogg", "x/y/絆.wav"]


@pytest.fixture(scope="module", autouse=True)
def music():
    """A file system with the empty bucket `music`; whoever asks for s3:// gets it, too."""
    from s3fs import S3FileSystem

    one = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    one.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*one.get_host_and_port()))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        S3FileSystem.clear_instance_cache()
        system = S3FileSystem(use_listings_cache=False)
        system.mkdir("music")
        yield system
        S3FileSystem.clear_instance_cache()
    one.stop()


def listed(root: str) -> dict[str, str | None]:
    lists = list_songs([Url(root)], Url("s3://music/out"))
    return {str(song.path): song.fault for songs in lists for song in songs}


def test_songs_go_in_and_stems_out_by_the_names_they_have(music, tmp_path):
    for name in NAMES:
        music.pipe_file(f"music/{name}", name.encode())
    music.pipe_file("music/x/", b"")  # as consoles make folders
    store = Store(Url("s3://music/out/"))
    store.check()
    for name in NAMES:
        fetch(Url(f"s3://music/{name}"), tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == name.encode()
        assert not store.exists(name)
        store.put(tmp_path / "copy", name, ".unbraid")
        assert store.exists(name)
        assert store.read(name) == name.encode()

    expected = dict.fromkeys(f"s3://music/{name}" for name in NAMES)
    assert listed("s3://music") == listed("s3://music/") == expected
    assert listed("s3://music/x/y") == dict.fromkeys(["s3://music/x/y/絆.wav"])
    assert listed("s3://music/a.wav") == dict.fromkeys(["s3://music/a.wav"])
    assert sorted(music.find("music/out")) == sorted(f"music/out/{name}" for name in NAMES)


def test_what_others_wrote_is_seen_at_once(music):
    store, other = Store(Url("s3://music/later")), Store(Url("s3://music/later"))
    assert (store.names("x"), store.exists("x/a.wav")) == ([], False)
    other.write("x/a.wav", b"")
    assert (store.names("x"), store.exists("x/a.wav")) == (["x/a.wav"], True)
    other.remove("x")
    assert (store.names("x"), store.exists("x/a.wav")) == ([], False)


def test_a_manifest_of_a_run_that_was_killed_is_gone_on_with(music):
    store = Store(Url("s3://music/stems"))
    killed = Manifest(store)
    for number in range(16):
        row = {"path": f"s3://music/{number}.wav", "status": "done", "model": "m", "options": "{}"}
        killed.add(row)
    assert music.find("music/stems/.unbraid")
    second = Manifest(store)
    assert second.done("s3://music/15.wav", "m", "{}")
    second.close()
    assert music.find("music/stems") == ["music/stems/manifest.parquet"]


def test_a_bucket_that_is_not_there_is_one_line(tmp_path: Path):
    missing = "s3://nothing: no such file or folder"
    assert listed("s3://nothing") == {"s3://nothing": missing}
    with pytest.raises(UnbraidError, match=f"^{missing}$"):
        Store(Url("s3://nothing")).check()
    with pytest.raises(UnbraidError, match=r"^s3://nothing/a.wav: no such file or folder$"):
        fetch(Url("s3://nothing/a.wav"), tmp_path / "copy")
