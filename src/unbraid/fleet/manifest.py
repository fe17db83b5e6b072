"""What became of every song of a catalogue, in Parquet beside the stems."""

from __future__ import annotations

import io
import time
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
_PARTS = f"{HIDDEN}/manifest"
_SONGS = 16  # songs after which what is known is written
_SECONDS = 30.0  # or after this time

Row = dict[str, Any]


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
        number = self._row_of.get(path)
        if number is None:
            return None
        row: Row = self._old.slice(number, 1).to_pylist()[0]
        asked = ("done", model, options)
        return row if (row["status"], row["model"], row["options"]) == asked else None

    def add(self, row: Row) -> None:
        """Note what became of a song; written with every 16th, or the first after 30 seconds."""
        self._waiting.append(row)
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
        try:
            return parquet.read_table(io.BytesIO(self._store.read(name))).cast(SCHEMA)
        except (pa.ArrowException, ValueError) as error:
            why = str(error).splitlines()[0]
            raise DataError(
                f"{name} in the output folder is not a manifest of this version ({why}): remove it"
            ) from error


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
