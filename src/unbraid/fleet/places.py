"""Where songs lie and stems go: folders, and object storage through fsspec."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from unbraid.errors import AudioError, UnbraidError, reason
from unbraid.folders import check_folder
from unbraid.songs import Song, find_songs, is_hidden, is_song, walk


class Url(PurePosixPath):
    """The path of a file or folder that fsspec opens, such as s3://bucket/song.wav."""

    def __str__(self) -> str:
        scheme, _, rest = super().__str__().partition(":/")
        return f"{scheme}://{'/' if scheme in _ON_DISK else ''}{rest}"


HIDDEN = ".unbraid"  # folder in the output folder for what is gone after the run
_ON_DISK = ("file", "local")
_ATOMIC = {"s3", "gs", "abfs"}  # fsspec's names of storage whose files appear when complete


def as_place(text: str) -> Path | Url:
    """A path or URL as the command line gets it."""
    return Url(text) if re.match(r"[A-Za-z][\w+.-]*://", text) else Path(text)


def absolute(place: PurePath) -> PurePath:
    """The place as another machine or process finds it."""
    return place if isinstance(place, Url) else Path(os.path.abspath(place))


def open_place(place: PurePath) -> tuple[Any, str]:
    """The fsspec file system of a place, and the place's path in it.

    Raises:
        UnbraidError: the URL's scheme is unknown, its package is not installed, or the storage
            does not answer.
    """
    from fsspec import get_filesystem_class
    from fsspec.implementations.local import LocalFileSystem

    if not isinstance(place, Url):
        return LocalFileSystem(auto_mkdir=True), str(absolute(place))
    scheme = place.parts[0][:-1]
    if scheme in _ON_DISK:
        return LocalFileSystem(auto_mkdir=True), str(Path("/", *place.parts[1:]))
    with _one_line(place, "cannot be opened"):
        kind = get_filesystem_class(scheme)
        settings = kind._get_kwargs_from_urls(str(place))
        # without a cache, as what other workers write must be seen at once
        system = kind(use_listings_cache=False, **settings)
        if not place.parts[2:]:
            return system, kind._strip_protocol(str(place))
        # a name stands for the rest, in which fsspec would take `::` for the start of another URL
        path = kind._strip_protocol(f"{scheme}://{place.parts[1]}/-")
        return system, path.removesuffix("-") + "/".join(place.parts[2:])


@contextmanager
def _one_line(place: PurePath, failure: str) -> Iterator[None]:
    """Calls of a storage, whose errors become one line.

    Args:
        place: the file or folder that they are about.
        failure: what went wrong if they fail, such as "cannot be read".

    Raises:
        UnbraidError: the storage failed.
    """
    try:
        yield
    except UnbraidError:
        raise
    except FileNotFoundError as error:
        raise UnbraidError(f"{place}: no such file or folder") from error
    except Exception as error:  # every kind of storage has its own
        raise UnbraidError(f"{place}: {failure}: {reason(error)}") from error


def fetch(place: Url, copy: Path) -> None:
    """Copy a file to this machine.

    Args:
        place: the file.
        copy: where it goes.

    Raises:
        UnbraidError: it is not there, or the storage failed.
    """
    system, path = open_place(place)
    with _one_line(place, "cannot be read"):
        system.get_file(path, str(copy))


def list_songs(inputs: Sequence[PurePath], out_dir: PurePath) -> Iterator[list[Song]]:
    """Songs among files and folders, in lists outside of which no song has the same output.

    One folder is listed a subfolder at a time, as the lists are asked for; several inputs, or a
    folder that output goes into, are listed whole, as `find_songs` does. A folder that cannot be
    read is among them, with its fault.

    Args:
        inputs: files and folders, as Path or Url.
        out_dir: folder that output goes to, which is left out.

    Raises:
        AudioError: a folder holds no song.
        UnbraidError: the storage of an input does not answer.
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
    if not _is_folder(given):
        yield [Song(given, fault=_fault(given))]
        return
    empty = True
    for songs in walk(given, out_dir) if isinstance(given, Path) else _walk_url(given, out_dir):
        empty = False
        yield songs
    if empty:
        raise AudioError(f"{given}: no audio or video files in this folder")


def _is_folder(place: PurePath) -> bool:
    if isinstance(place, Path):
        return os.path.isdir(place)
    system, path = open_place(place)
    with _one_line(place, "cannot be read"):
        return bool(system.isdir(path))


def _fault(place: PurePath) -> str | None:
    """That a file in a storage is not there; what a Path is worth the checks will see."""
    if isinstance(place, Path):
        return None
    system, path = open_place(place)
    try:
        with _one_line(place, "cannot be read"):
            system.info(path)
    except UnbraidError as error:
        return str(error)
    return None


def _walk_url(root: PurePath, out_dir: PurePath) -> Iterator[list[Song]]:
    """As `walk`; fsspec's own does not say which folder it could not read."""
    system, top = open_place(root)
    waiting = [(PurePosixPath(), top)]
    while waiting:
        below, path = waiting.pop()
        folder = root / below
        try:
            subfolders, files = _list(system, path, folder)
        except UnbraidError as error:
            yield [Song(folder, below, str(error))]
            continue
        waiting += [
            (below / name, subfolders[name])
            for name in sorted(subfolders, reverse=True)
            if not is_hidden(name) and folder / name != out_dir
        ]
        songs = [Song(folder / name, below, found=True) for name in sorted(files) if is_song(name)]
        if songs:
            yield songs


def _list(system: Any, path: str, folder: PurePath) -> tuple[dict[str, str], set[str]]:
    """Subfolders of a folder, name -> path in the system, and the names of its files."""
    with _one_line(folder, "cannot be read"):
        entries = system.ls(path, detail=True)
    subfolders: dict[str, str] = {}
    files: set[str] = set()
    for entry in entries:
        inner = entry["name"].rstrip("/")
        name = inner.rpartition("/")[2]
        if entry["type"] == "directory" and inner != path:
            subfolders[name] = inner
        elif inner != path:  # object storage may have a file that stands for the folder itself
            files.add(name)
    return subfolders, files


class Store:
    """A folder that output goes to, on disk or in object storage; files appear whole or not at all.

    All names are relative to the folder. Whatever the storage fails at is an UnbraidError.

    Args:
        root: the folder.
    """

    def __init__(self, root: PurePath) -> None:
        self._root = root
        self._system, self._path = open_place(root)

    def check(self) -> None:
        """Look whether files can be written, before songs are separated for nothing."""
        if _on_disk(self._system):
            check_folder(Path(self._path))
            return
        trial = self._full(f"{HIDDEN}/{uuid.uuid4().hex}")
        with _one_line(self._root, "cannot be written"):
            self._system.pipe_file(trial, b"trial")
            self._system.rm_file(trial)

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        with _one_line(self._root / name, "cannot be looked for"):
            try:
                self._system.info(self._full(name))  # its exists says no if the storage is down
            except (FileNotFoundError, NotADirectoryError):
                return False
        return True

    def read(self, name: str) -> bytes:
        """Content of a file."""
        with _one_line(self._root / name, "cannot be read"):
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
            uploads: folder where it lies until it is complete, if the storage shows it before.
        """
        with self._replacing(name, uploads) as temporary:
            self._system.put_file(str(file), temporary)

    def names(self, folder: str) -> list[str]:
        """Files of a folder, sorted; none if it isn't there."""
        if not self.exists(folder):
            return []
        with _one_line(self._root / folder, "cannot be read"):
            found = self._system.ls(self._full(folder), detail=False)
        return sorted(f"{folder}/{PurePosixPath(path).name}" for path in found)

    def remove(self, folder: str) -> None:
        """Remove a folder with all that it holds, if it is there."""
        if not self.exists(folder):
            return
        with _one_line(self._root / folder, "cannot be removed"):
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
        with _one_line(self._root / name, "cannot be written"):
            if _is_atomic(self._system):  # where moving would copy
                yield target
                return
            try:
                yield temporary
                if _on_disk(self._system):
                    Path(target).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(temporary, target)
                else:  # its mv would expand wildcards
                    self._system.cp_file(temporary, target)
                    self._system.rm_file(temporary)
            except BaseException:
                with suppress(Exception):
                    self._system.rm_file(temporary)
                raise


def _on_disk(system: Any) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(system, LocalFileSystem)


def _is_atomic(system: Any) -> bool:
    names = {system.protocol} if isinstance(system.protocol, str) else {*system.protocol}
    return bool(_ATOMIC & names)
