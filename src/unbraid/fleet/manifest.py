"""What became of every song of a catalogue, in Parquet beside the stems."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from unbraid.errors import DataError
from unbraid.fleet.places import HIDDEN, Store

NAME = "manifest.parquet"
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("status", pa.string()),
        ("sha256", pa.string()),
        ("model", pa.string()),
        ("options", pa.string()),
        ("outputs", pa.map_(pa.string(), pa.string())),
        ("duration", pa.float64()),
        ("elapsed", pa.float64()),
        ("attempts", pa.int32()),
        ("node", pa.string()),
        ("worker", pa.string()),
        ("warnings", pa.list_(pa.string())),
        ("error", pa.string()),
        ("finished", pa.timestamp("ms", tz="UTC")),
    ]
)
_NAMING = ("path", "outputs", "warnings", "error")  # columns that name files
_PARTS = f"{HIDDEN}/manifest"
_SONGS = 16  # songs after which what is known is written
_SECONDS = 30.0  # or after this time

_ESCAPE = re.compile(r"\\(u+d[89a-f][0-9a-f]{2})")

Row = dict[str, Any]


def escape(text: str) -> str:
    r"""A path, or a text with paths in it, as the manifest has it.

    Bytes of a file name that are not UTF-8, which Python has as surrogates, become `\udc..`. Where
    a name holds those very letters, they get one more `u`. Any other text stays as it is.
    """
    return _ESCAPE.sub(r"\\u\1", text).encode("utf-8", "backslashreplace").decode()


def unescape(text: str) -> str:
    """The text of which `escape` made this one."""

    def meant(found: re.Match[str]) -> str:
        letters = found[1]
        return "\\" + letters[1:] if letters[1] == "u" else chr(int(letters[1:], 16))

    return _ESCAPE.sub(meant, text)


class Manifest:
    """One row a song, the newest; a run adds parts, which end up in one file.

    Args:
        store: the output folder; an earlier manifest in it is gone on with.

    Raises:
        DataError: the earlier manifest cannot be read.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[Row] = []
        self._written = time.monotonic()
        parts = store.names(_PARTS)  # of a run that was killed
        files = [NAME] * store.exists(NAME) + parts
        self._tables = [self._read(name) for name in files]
        self._parts = 0
        if parts:
            self.close()
        self._old = _newest(self._tables)
        self._row_of = {path: row for row, path in enumerate(self._old["path"].to_pylist())}

    def done(self, path: str, model: str, options: str) -> Row | None:
        """The row of a song that was separated, with the same model and options, before this run.

        Args:
            path: the song's.
            model: SHA-256 of the weights.
            options: as JSON.
        """
        number = self._row_of.get(escape(path))
        if number is None:
            return None
        row: Row = self._old.slice(number, 1).to_pylist()[0]
        asked = ("done", model, options)
        if (row["status"], row["model"], row["options"]) != asked:
            return None
        return _in_texts(unescape, row)

    def add(self, row: Row) -> None:
        """Note what became of a song; written with every 16th, or the first after 30 seconds."""
        self._waiting.append(_in_texts(escape, row))
        if len(self._waiting) >= _SONGS or time.monotonic() - self._written > _SECONDS:
            self._flush()

    def close(self) -> None:
        """Write everything into one file."""
        self._flush()
        if self._tables:
            table = _newest(self._tables)
            self._store.write(NAME, _to_bytes(table))
            self._store.remove(_PARTS)
            self._tables = [table]

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_pylist(self._waiting, SCHEMA)
            self._store.write(f"{_PARTS}/{self._parts:08}.parquet", _to_bytes(table))
            self._tables.append(table)
            self._parts += 1
            self._waiting = []
        self._written = time.monotonic()

    def _read(self, name: str) -> pa.Table:
        content = self._store.read(name)
        try:
            return parquet.read_table(io.BytesIO(content)).cast(SCHEMA)
        except (pa.ArrowException, ValueError) as error:
            why = str(error).splitlines()[0]
            raise DataError(
                f"{name} in the output folder is not a manifest of this version ({why}): remove it"
            ) from error


def _in_texts(change: Callable[[str], str], row: Row) -> Row:
    """The row with the texts changed that may name files."""

    def changed(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(map(changed, value))
        return change(value) if isinstance(value, str) else value

    return {name: changed(value) if name in _NAMING else value for name, value in row.items()}


def _newest(tables: list[pa.Table]) -> pa.Table:
    """The last row of each path, sorted by path."""
    table = pa.concat_tables([SCHEMA.empty_table(), *tables])
    last = {path: row for row, path in enumerate(table["path"].to_pylist())}
    table = table.take(pa.array(last.values(), pa.int64()))
    return table.take(pc.sort_indices(table, [("path", "ascending")]))


def _to_bytes(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
