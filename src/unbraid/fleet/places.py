"""Where songs lie and stems go: folders, and object storage through fsspec."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from unbraid.errors import AudioError, UnbraidError
from unbraid.planning import Song, find_songs, is_song, walk


class Url(PurePosixPath):
    """The path of a file or folder that fsspec opens, such as s3://bucket/song.wav."""

    def __str__(self) -> str:
        scheme, _, rest = super().__str__().partition(":/")
        return f"{scheme}://{'/' if scheme in _ON_DISK else ''}{rest}"


HIDDEN = ".unbraid"  # folder in the output folder for what is gone after the run
_ON_DISK = ("file", "local")


def as_place(text: str) -> Path | Url:
    """A path or URL as the command line gets it."""
    return Url(text) if re.match(r"[A-Za-z][\w+.-]*://", text) else Path(text)


def absolute(place: PurePath) -> PurePath:
    """The place as another machine or process finds it."""
    return place if isinstance(place, Url) else Path(os.path.abspath(place))


def open_place(place: PurePath) -> tuple[Any, str]:
    """The fsspec file system of a place, and the place's path in it.

    Raises:
        UnbraidError: the URL's scheme is unknown, or its package is not installed.
    """
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    if not isinstance(place, Url):
        return LocalFileSystem(auto_mkdir=True), str(absolute(place))
    if place.parts[0][:-1] in _ON_DISK:
        return LocalFileSystem(auto_mkdir=True), str(Path("/", *place.parts[1:]))
    try:  # without a cache, as what other workers write must be seen at once
        system, path = url_to_fs(str(place), use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise UnbraidError(f"{place}: {str(error).splitlines()[0]}") from error
    return system, path


def list_songs(inputs: Sequence[PurePath], out_dir: PurePath) -> Iterator[list[Song]]:
    """Songs among files and folders, in lists outside of which no song has the same output.

    One folder is listed a subfolder at a time, as the lists are asked for; several inputs, or a
    folder that output goes into, are listed whole, as `find_songs` does.

    Args:
        inputs: files and folders, as Path or Url.
        out_dir: folder that output goes to, which is left out.

    Raises:
        AudioError: a folder holds no song.
    """
    if len(inputs) == 1 and not _within(inputs[0], out_dir):
        yield from _folders(inputs[0], out_dir)
        return
    songs: dict[str, Song] = {}
    for given in inputs:
        if isinstance(given, Path):
            found = find_songs([given], Path(out_dir))
        else:
            found = [song for folder in _folders(given, out_dir) for song in folder]
        for song in found:
            songs.setdefault(str(absolute(song.path)), song)
    yield list(songs.values())


def _within(place: PurePath, folder: PurePath) -> bool:
    inner, outer = absolute(place), absolute(folder)
    return inner == outer or outer in inner.parents


def _folders(given: PurePath, out_dir: PurePath) -> Iterator[list[Song]]:
    if isinstance(given, Path):
        is_folder = given.is_dir()
        found = walk(given, out_dir) if is_folder else iter(())
    else:
        system, root = open_place(given)
        is_folder = system.isdir(root)
        found = _walk_url(system, root, out_dir) if is_folder else iter(())
    if not is_folder:
        yield [Song(given)]
        return
    empty = True
    for songs in found:
        empty = False
        yield songs
    if empty:
        raise AudioError(f"{given}: no audio or video files in this folder")


def _walk_url(system: Any, root: str, out_dir: PurePath) -> Iterator[list[Song]]:
    root = root.rstrip("/")
    for folder, subfolders, files in system.walk(root):
        subfolders[:] = [
            name
            for name in sorted(subfolders)
            if not name.startswith(".") and _url(system, f"{folder}/{name}") != out_dir
        ]
        below = PurePosixPath(folder.rstrip("/")[len(root) :].lstrip("/"))
        songs = [
            Song(_url(system, f"{folder}/{name}"), below) for name in sorted(files) if is_song(name)
        ]
        if songs:
            yield songs


def _url(system: Any, path: str) -> Url:
    return Url(system.unstrip_protocol(path))


class Store:
    """A folder that output goes to, on disk or in object storage; files appear whole or not at all.

    All names are relative to the folder.

    Args:
        root: the folder.
    """

    def __init__(self, root: PurePath) -> None:
        self._system, self._path = open_place(root)

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        return bool(self._system.exists(self._full(name)))

    def read(self, name: str) -> bytes:
        """Content of a file."""
        content: bytes = self._system.cat_file(self._full(name))
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with self._replacing(name, HIDDEN) as temporary:
            self._system.pipe_file(temporary, content)

    def put(self, file: Path, name: str, uploads: str) -> None:
        """Copy a local file.

        Args:
            file: the local file.
            name: where it goes.
            uploads: folder where it lies until it is complete.
        """
        with self._replacing(name, uploads) as temporary:
            self._system.put_file(str(file), temporary)

    def names(self, folder: str) -> list[str]:
        """Files of a folder, sorted; none if it isn't there."""
        if not self._system.exists(self._full(folder)):
            return []
        found = self._system.ls(self._full(folder), detail=False)
        return sorted(f"{folder}/{PurePosixPath(path).name}" for path in found)

    def remove(self, folder: str) -> None:
        """Remove a folder with all that it holds, if it is there."""
        if self._system.exists(self._full(folder)):
            if _on_disk(self._system):
                self._system.rm(self._full(folder), recursive=True)
                return
            for path in self._system.find(self._full(folder)):  # its rm would expand wildcards
                self._system.rm_file(path)

    def _full(self, name: str) -> str:
        return f"{self._path.rstrip('/')}/{name}"

    @contextmanager
    def _replacing(self, name: str, uploads: str) -> Iterator[str]:
        """A path to write to, which goes to its name at a clean exit and vanishes at any other."""
        temporary, target = self._full(f"{uploads}/{uuid.uuid4().hex}"), self._full(name)
        try:
            yield temporary
            if _on_disk(self._system):
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                os.replace(temporary, target)
            else:  # objects appear whole; its mv would expand wildcards
                self._system.cp_file(temporary, target)
                self._system.rm_file(temporary)
        except BaseException:
            with suppress(Exception):
                self._system.rm_file(temporary)
            raise


def _on_disk(system: Any) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(system, LocalFileSystem)
