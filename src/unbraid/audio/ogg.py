"""Ogg files, page by page: making them reproducible, seeing that one breaks off or is a chain."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

_PAGE_HEADER = 27  # bytes, up to the segment table
_FLAGS, _SERIAL, _CRC = 5, 14, 22  # offsets of fields in the page header
_FIRST = 2  # flag of a stream's first page
_LONGEST_PAGE = _PAGE_HEADER + 255 + 255 * 255
_POLYNOMIAL = 0x04C11DB7


def breaks_off(path: Path) -> bool:
    """Whether an Ogg file ends within a page. One that ends after a page may be whole."""
    with path.open("rb") as file:
        page = _last_page(file)
    if page is None:
        return False
    if len(page) < _PAGE_HEADER:
        return True
    segments = page[_PAGE_HEADER - 1]
    table = page[_PAGE_HEADER:][:segments]
    return len(page) < _PAGE_HEADER + segments + sum(table)


def is_chain(path: Path) -> bool:
    """Whether an Ogg file ends with another stream than it begins with, as recorded radio does.

    Streams are told apart by their serial numbers, which should differ within a file.
    """
    with path.open("rb") as file:
        last = _last_page(file)
        if last is None or len(last) < _PAGE_HEADER:
            return False
        file.seek(0)
        while len(header := file.read(_PAGE_HEADER)) == _PAGE_HEADER and header[_FLAGS] & _FIRST:
            if header[_SERIAL : _CRC - 4] == last[_SERIAL : _CRC - 4]:
                return False
            file.seek(sum(file.read(header[-1])), os.SEEK_CUR)
    return True


def _last_page(file: BinaryIO) -> bytes | None:
    """The last page and what follows it; None if more follows than a page could have."""
    file.seek(max(0, os.fstat(file.fileno()).st_size - _LONGEST_PAGE))
    end = file.read()
    start = end.rfind(b"OggS")
    return None if start < 0 else end[start:]


def set_serial(path: Path, serial: int = 1) -> None:
    """Replace the serial number of an Ogg file's stream, which libsndfile draws from the clock.

    The checksum of a page (RFC 3533) is linear, so that the change of four bytes, followed by
    however many, changes it by a value that depends on nothing but their distance from the end.
    """
    with path.open("r+b") as file:
        changes: list[int] = []
        position = 0
        while len(header := file.read(_PAGE_HEADER)) == _PAGE_HEADER:
            old, crc = (struct.unpack_from("<I", header, at)[0] for at in (_SERIAL, _CRC))
            if not changes:
                changes = _crc_changes(struct.pack("<I", old ^ serial))
            size = _PAGE_HEADER + header[-1] + sum(file.read(header[-1]))
            file.seek(position + _SERIAL)
            file.write(struct.pack("<I", serial))
            file.seek(position + _CRC)
            file.write(struct.pack("<I", crc ^ changes[size - _SERIAL - 4]))
            position += size
            file.seek(position)


def _crc_changes(change: bytes) -> list[int]:
    """Checksum of `change` followed by n zero bytes, for each n of a page."""
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (_POLYNOMIAL if value & 0x80000000 else 0)
            value &= 0xFFFFFFFF
        table.append(value)

    def step(crc: int, byte: int) -> int:
        return ((crc << 8) & 0xFFFFFFFF) ^ table[(crc >> 24) ^ byte]

    crc = 0
    for byte in change:
        crc = step(crc, byte)
    changes = [crc]
    for _ in range(_LONGEST_PAGE):
        changes.append(crc := step(crc, 0))
    return changes
