"""Ratings as CSV: a file a session, a row a rating."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryFile

from unbraid.errors import DataError, reason
from unbraid.replacing import replacing

RATINGS = "ratings"  # folder of the files, in that of the test
SCALES = ("quality", "interference")
REFERENCE, ANCHOR = "reference", "anchor"  # stand in the column of the systems
HIGHEST = 100


@dataclass(frozen=True)
class Rating:
    """What a listener thinks of one sound.

    Attributes:
        listener: name that the listener gave.
        session: id of the listener's run through the test.
        page: place of the page in the session, from 1.
        excerpt: name of the song.
        stem: what was heard of it.
        scale: what was judged, one of `SCALES`.
        order: place of the sound on the page, from 1.
        system: whose sound it is; `reference` is the hidden one, `anchor` the low anchor.
        rating: from 0 to 100, higher is better.
        time: when the page was sent, UTC, ISO 8601.
    """

    listener: str
    session: str
    page: int
    excerpt: str
    stem: str
    scale: str
    order: int
    system: str
    rating: int
    time: str


COLUMNS = tuple(field.name for field in fields(Rating))
_NUMBERS = ("page", "order", "rating")


def file_name(listener: str, session: str, time: str) -> str:
    """Name of a session's file: when it began, who, and which."""
    who = re.sub(r"\W+", "-", listener).strip("-")[:40]
    when = re.sub(r"[-:]", "", time)[:15]
    return f"{when}-{who}-{session[:8]}.csv"


def ratings_folder(test: Path) -> Path:
    """The folder for the files of a test's ratings, made if it is not there.

    Args:
        test: folder of the test.

    Raises:
        DataError: nothing can be written there.
    """
    folder = test / RATINGS
    try:
        folder.mkdir(exist_ok=True)
        with TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise DataError(f"{folder}: ratings cannot be written ({reason(error)})") from None


def append_ratings(path: Path, ratings: Sequence[Rating]) -> None:
    r"""Adds rows to a session's file, all or none of them, and makes it with the first ones.

    Bytes of a song's or a system's name that are not UTF-8 become `\udc..`.

    Args:
        path: the file.
        ratings: one page's.

    Raises:
        DataError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    try:
        there = path.read_bytes() if path.exists() else b""
        if not there:
            writer.writeheader()
        writer.writerows(map(asdict, ratings))
        with replacing(path) as temporary, temporary.open("wb") as file:
            file.write(there + text.getvalue().encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DataError(f"{path}: ratings cannot be written ({reason(error)})") from None


def read_ratings(path: Path) -> list[Rating]:
    """Ratings of a CSV file, or of all in a folder, sorted by file.

    Raises:
        DataError: a column is missing, or a value is not what it should be.
    """
    if path.is_dir():
        return [rating for file in sorted(path.glob("*.csv")) for rating in read_ratings(file)]
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{path}: no ratings of `unbraid serve --listen`: no column {missing[0]!r}"
                )
            return [_rating(row, f"{path}, line {reader.line_num}") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error})") from None


def _rating(row: dict[str, str | None], place: str) -> Rating:
    values = {column: row[column] or "" for column in COLUMNS}
    for column in COLUMNS:
        if not (values[column].isdecimal() if column in _NUMBERS else values[column]):
            raise DataError(f"{place}: {column} cannot be {values[column]!r}")
    rating = Rating(**{**values, **{name: int(values[name]) for name in _NUMBERS}})  # type: ignore[arg-type]
    if rating.scale not in SCALES:
        raise DataError(f"{place}: scale cannot be {rating.scale!r}; there are {', '.join(SCALES)}")
    if rating.rating > HIGHEST:
        raise DataError(f"{place}: rating cannot be {rating.rating}; it ends at {HIGHEST}")
    return rating
