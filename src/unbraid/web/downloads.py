"""Stems on their way out: formats, names for people, and ZIP archives never whole in memory."""

from __future__ import annotations

import io
import re
import time
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from unbraid.audio.encoders import CODECS, check_layout
from unbraid.errors import AudioError
from unbraid.web.schemas import FORMATS, Format

_CHUNK = 1 << 20  # bytes


def formats_of(sample_rate: int, channels: int, loud: bool) -> list[Format]:
    """Formats that can hold a stem, as `unbraid.audio` writes them.

    Args:
        sample_rate: in Hz.
        channels: their number.
        loud: whether it exceeds full scale.
    """

    def holds(format: Format) -> bool:
        if format == "wav":
            return True
        suffix = f".{format}"
        try:
            check_layout(PurePath("stem").with_suffix(suffix), sample_rate, channels)
        except AudioError:
            return False
        return not (loud and CODECS[suffix].subtype is None)  # without subtype: integers

    return [format for format in FORMATS if holds(format)]


def clean_name(given: str) -> str:
    """A file's name as a person may see it: without folders and control characters."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", given))[-1]
    visible = "".join(char for char in last if unicodedata.category(char)[0] != "C")
    return visible.strip()[:200] or "song"


def track_of(name: str, model: str | None = None) -> str:
    """A song's name without suffix, and a model's, as a folder of any system may be called."""
    shown = re.sub(r"\.\w{1,5}$", "", name) + (f" ({model})" if model else "")
    return re.sub(r'[<>:"/\\|?*]', "_", shown).strip(" .") or "song"


class _Pipe(io.RawIOBase):
    """What is written to it is taken out as bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]
        self._parts.append(part)
        return len(part)

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def zipped(files: Iterable[tuple[str, Path]], when: float) -> Iterator[bytes]:
    """An archive of files, chunk by chunk; audio is stored as it is.

    Args:
        files: name in the archive, and file.
        when: Unix time that the files get, in seconds.
    """
    pipe = _Pipe()
    date = time.localtime(max(when, 315619200.0))[:6]  # ZIP knows no time before 1980
    with zipfile.ZipFile(pipe, "w") as archive:
        for name, path in files:
            entry = zipfile.ZipInfo(name, date)
            entry.file_size = path.stat().st_size  # lets it choose ZIP64 where it must
            with path.open("rb") as source, archive.open(entry, "w") as target:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
                    yield pipe.take()
    yield pipe.take()
