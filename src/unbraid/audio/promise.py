"""What a file's header promises, where it can be trusted: a file that holds less was cut off."""

from __future__ import annotations

import math
import os
import re
import struct
from pathlib import Path

_BYTE_ORDERS = {
    (b"RIFF", b"WAVE"): "<",
    (b"RF64", b"WAVE"): "<",
    (b"FORM", b"AIFF"): ">",
    (b"FORM", b"AIFC"): ">",
}
_PIPED = 2**31 - 2**16  # bytes: who writes to a pipe states 0, or nearly 2 or 4 GiB
_LONGEST_MP3_FRAME = 2881  # bytes
_TIME = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


def held_part(path: Path) -> float | None:
    """How much of the sound that a WAV, RF64 or AIFF file promises it holds.

    Returns:
        From 0 to 1; None for other files, and where the header does not know.
    """
    with path.open("rb") as file:
        head = file.read(12)
        order = _BYTE_ORDERS.get((head[:4], head[8:]))
        if order is None:
            return None
        promised, limit = None, _PIPED
        while len(header := file.read(8)) == 8:
            name, size = struct.unpack(f"{order}4sI", header)
            if name == b"ds64":  # EBU Tech 3306: the size of `data` in 64 bits
                promised, limit = int.from_bytes(file.read(16)[8:], "little"), 2**62
                size -= 16
            elif name in (b"data", b"SSND"):
                promised = size if promised is None else promised
                held = os.fstat(file.fileno()).st_size - file.tell()
                return min(1.0, held / promised) if 0 < promised < limit else None
            file.seek(size + size % 2, os.SEEK_CUR)
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


def seconds(tag: str) -> float:
    """The duration that a tag of a Matroska track states as h:mm:ss.fraction; else infinity."""
    match = _TIME.fullmatch(tag)
    if match is None:
        return math.inf
    hours, minutes, rest = map(float, match.groups())
    return 3600 * hours + 60 * minutes + rest
