"""The SQL of streams on PostgreSQL: one statement to append, and one message to remove the newest entry."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import compress
from typing import TYPE_CHECKING, Any

from ciris_store_core.errors import AlreadyExists
from ciris_store_core.models.streams import StoredEntry, StreamKey
from ciris_store_core.sql.statements import fill_in
from ciris_store_core.sql.streams import NUMBER, SqlStreamStore, placed_at

if TYPE_CHECKING:
    from ciris_store_postgres.executor import PostgresExecutor

# The update locks the stream's row and takes the positions, so that appenders wait for one another and commit in the
# order of positions. It finds no row if the stream is new, at another position, or has one of the ids: nothing is
# written then, and the portable statements tell the cases apart.
TAKE = """
WITH s AS (
    UPDATE {streams} SET last_position = last_position + ?, updated_at = ?
    WHERE path = ? AND name = ? {conditions}
    RETURNING number, last_position
)
"""

APPEND_ONE = (
    TAKE
    + """
INSERT INTO {stream_entries} (stream_number, position, {columns})
SELECT number, last_position, {values} FROM s
RETURNING position
"""
)

APPEND_MANY = (
    TAKE
    + """
INSERT INTO {stream_entries} (stream_number, position, {columns})
SELECT s.number, s.last_position - ? + v.place, {selected}
FROM s CROSS JOIN unnest({arrays}) WITH ORDINALITY AS v ({varying}, place)
RETURNING position
"""
)

AT_POSITION = "AND last_position = ?"

# An id that another transaction adds meanwhile is not seen here. The unique index then refuses it.
WITHOUT_IDS = "AND NOT EXISTS (SELECT 1 FROM {stream_entries} WHERE stream_number = number AND entry_id = ANY (?))"

# One message of two statements. Under READ COMMITTED the second has its own snapshot, taken once the stream's row is
# locked, so it sees the entries that earlier holders of the lock have committed.
POP = f"""
UPDATE {{streams}} SET last_position = last_position - 1, updated_at = ?
WHERE path = ? AND name = ? AND last_position >= first_position;
DELETE FROM {{stream_entries}}
WHERE stream_number = {NUMBER} AND position > (SELECT last_position FROM {{streams}} WHERE path = ? AND name = ?)
RETURNING {{stream_entry_columns}}
"""

_COLUMNS = (
    ("entry_id", "text"), ("kind", "text"), ("created_at", "timestamptz"), ("format", "text"), ("media_type", "text"),
    ("key_id", "text"), ("secret_refs", "jsonb"), ("searchable", "text"), ("body", "text"), ("data", "bytea"),
)  # fmt: skip


class PostgresStreamStore(SqlStreamStore):
    """Stream store that takes positions and inserts entries in one statement."""

    executor: PostgresExecutor

    def append(
        self, stream: StreamKey, entries: Sequence[StoredEntry], now: datetime, expected_position: int | None
    ) -> list[StoredEntry]:
        """Append entries, in one statement if the stream exists and has none of the ids."""
        ids = [entry.id for entry in entries if entry.id is not None]
        # Inside a transaction a refused id would abort it.
        if entries and not (ids and self.executor.in_transaction):
            try:
                last = self._append_at_once(stream, entries, now, expected_position, ids)
            except AlreadyExists:
                last = None  # another transaction has just added one of the ids
            if last is not None:
                first = last - len(entries) + 1
                return [placed_at(entry, first + place) for place, entry in enumerate(entries)]
        return super().append(stream, entries, now, expected_position)

    def _append_at_once(
        self, stream: StreamKey, entries: Sequence[StoredEntry], now: datetime, expected: int | None, ids: list[str]
    ) -> int | None:
        """Return the position of the last entry; None if nothing was written."""
        conditions, bound = "", [len(entries), self.codec.time_in(now), *self._key(stream)]
        if expected is not None:
            conditions, bound = AT_POSITION, [*bound, expected]
        if ids:
            conditions, bound = f"{conditions} {WITHOUT_IDS}", [*bound, ids]
        rows = [self._values(0, entry, 0)[2:] for entry in entries]
        columns: list[Any] = [None if c.count(None) == len(rows) else c for c in zip(*rows, strict=True)]
        given = [column is not None for column in columns]
        names = ", ".join(name for name, _ in compress(_COLUMNS, given))
        if len(rows) == 1:
            values = ", ".join("?" * sum(given))
            statement = fill_in(APPEND_ONE, conditions=conditions, columns=names, values=values)
            bound += compress(rows[0], given)
        else:
            insert, more = _insert_many(columns)
            statement = fill_in(insert, conditions=conditions, columns=names)
            bound += [len(rows), *more]
        found = self.executor.rows(statement, bound)
        return max(row[0] for row in found) if found else None

    def pop(self, stream: StreamKey, now: datetime) -> StoredEntry | None:
        key = self._key(stream)
        entries = self._read_all(self.executor.rows(POP, (self.codec.time_in(now), *key * 3)))
        return entries[0] if entries else None


def _insert_many(columns: Sequence[Sequence[Any] | None]) -> tuple[str, list[Any]]:
    """Return the statement for several entries, and what it binds for their columns.

    Most entries of a batch are alike but for their values: what they share is sent and read once, not for each.
    """
    selected, shared, varying, arrays = [], [], [], []
    for (name, kind), values in zip(_COLUMNS, columns, strict=True):
        if values is None:
            continue
        if name not in ("body", "data") and values.count(values[0]) == len(values):
            selected.append(f"?::{kind}")
            shared.append(values[0])
        else:
            selected.append(f"v.{name}")
            varying.append((name, kind))
            arrays.append(list(values))
    statement = fill_in(
        APPEND_MANY,
        selected=", ".join(selected),
        arrays=", ".join(f"?::{kind}[]" for _, kind in varying),
        varying=", ".join(name for name, _ in varying),
    )
    return statement, [*shared, *arrays]
