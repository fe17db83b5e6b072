"""What a file's header promises, where it can be trusted: a file that holds less was cut off."""

from __future__ import annotations

import math
import os
import re
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

_PIPED = 2**31 - 2**16  # bytes: who writes to a pipe states 0, or nearly 2 or 4 GiB
_PIPED_64 = 2**62  # bytes, where the size has 64 bits
_LONGEST_MP3_FRAME = 2881  # bytes
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # of a WMA or WMV file
_ASF_FACTS = struct.Struct("<40xQ16xQ8xQI")  # size, duration, silence before it, flags
_ASF_HEADER = 2**16  # bytes in which they stand
_TIME = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


class _Layout(NamedTuple):
    """How a kind of file is made of chunks."""

    first: int  # bytes before the first chunk
    header: struct.Struct  # of a chunk: name and size
    counted: int  # bytes of that header which the size includes
    step: int  # bytes; a chunk is filled up to a multiple of it
    limit: int  # bytes; larger sizes are none


_RIFF = _Layout(12, struct.Struct("<4sI"), 0, 2, _PIPED)
_AIFF = _Layout(12, struct.Struct(">4sI"), 0, 2, _PIPED)
_W64 = _Layout(40, struct.Struct("<16sQ"), 24, 8, _PIPED_64)
_LAYOUTS = {
    (b"RIFF", b"WAVE"): _RIFF,
    (b"RF64", b"WAVE"): _RIFF,
    (b"FORM", b"AIFF"): _AIFF,
    (b"FORM", b"AIFC"): _AIFF,
}
_AU = {b".snd": struct.Struct(">II"), b"dns.": struct.Struct("<II")}  # start and size of the sound


def held_part(path: Path) -> float | None:
    """How much of the sound that a WAV, RF64, W64, AIFF or AU file promises it holds.

    Returns:
        From 0 to 1; None for other files, and where the header does not know.
    """
    with path.open("rb") as file:
        sound = _sound(file)
        if sound is None:
            return None
        start, promised = sound
        held = os.fstat(file.fileno()).st_size - start
        return min(max(held / promised, 0.0), 1.0)


def _sound(file: BinaryIO) -> tuple[int, int] | None:
    """Where the sound begins, and the size that it is said to have, in bytes."""
    head = file.read(40)
    if head[:4] in _AU and len(head) >= 12:
        start, size = _AU[head[:4]].unpack(head[4:12])
        return (start, size) if 0 < size < _PIPED else None
    is_w64 = head[:4] == b"riff" and head[24:28] == b"wave"
    layout = _W64 if is_w64 else _LAYOUTS.get((head[:4], head[8:12]))
    if layout is None:
        return None
    file.seek(layout.first)
    promised, limit = None, layout.limit
    while len(header := file.read(layout.header.size)) == layout.header.size:
        name, size = layout.header.unpack(header)
        size -= layout.counted
        if name == b"ds64":  # EBU Tech 3306: the size of `data` in 64 bits
            promised, limit = int.from_bytes(file.read(16)[8:], "little"), _PIPED_64
            size -= 16
        elif name[:4] in (b"data", b"SSND"):
            promised = size if promised is None else promised
            return (file.tell(), promised) if 0 < promised < limit else None
        if not 0 <= size < limit:
            return None
        file.seek(size + -size % layout.step, os.SEEK_CUR)
    return None


def counts_frames(path: Path) -> bool:
    """Whether an mp3 file says in its first frame how many there are (Xing, Info)."""
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":  # its size has seven bits a byte
            a, b, c, d = head[6:]
            file.seek(10 + (a << 21 | b << 14 | c << 7 | d))
        else:
            file.seek(0)
        frame = file.read(_LONGEST_MP3_FRAME)
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    return at >= 0 and bool(flags & 1)


def cut_asf(path: Path) -> float | None:
    """The duration that a WMA file states, if it is also shorter in bytes than it states.

    See the File Properties Object in Microsoft's specification of ASF. A broadcast knows neither.
    """
    with path.open("rb") as file:
        head = file.read(_ASF_HEADER)
        held = os.fstat(file.fileno()).st_size
    facts = head[max(head.find(_ASF_PROPERTIES), 0) :][: _ASF_FACTS.size]
    if not facts.startswith(_ASF_PROPERTIES) or len(facts) < _ASF_FACTS.size:
        return None
    size, ticks, milliseconds, flags = _ASF_FACTS.unpack(facts)
    return None if flags & 1 or held >= size else ticks / 1e7 - milliseconds / 1e3


def seconds(tag: str) -> float:
    """The duration that a tag of a Matroska track states as h:mm:ss.fraction; else infinity."""
    match = _TIME.fullmatch(tag)
    if match is None:
        return math.inf
    hours, minutes, rest = map(float, match.groups())
    return 3600 * hours + 60 * minutes + rest
