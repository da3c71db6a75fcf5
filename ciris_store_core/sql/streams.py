"""SQL of streams and their entries.

The row of a stream holds the positions of its first and last entry. A call that appends or removes entries locks that
row first, so that positions have no gaps and are committed in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ciris_store_core.contract.streams import StreamStore
from ciris_store_core.errors import AlreadyExists, NotFound, RevisionMismatch, Unavailable
from ciris_store_core.models.paging import ResultPage, SortKey
from ciris_store_core.models.paths import index_key
from ciris_store_core.models.payloads import Payload
from ciris_store_core.models.streams import EntryQuery, StoredEntry, StreamInfo, StreamKey
from ciris_store_core.sql.payloads import FORMATS, key_values, payload_values, read_refs, short_path
from ciris_store_core.sql.rows import Row, read_all, read_page
from ciris_store_core.sql.statements import fill_in, leave_out_nulls
from ciris_store_core.sql.stream_listing import SqlStreamListing

if TYPE_CHECKING:
    from ciris_store_core.sql.executor import SqlExecutor

LOCK = """
SELECT number, first_position, last_position, created_at FROM {streams} WHERE path = ? AND name = ? {for_update}
"""

MAKE = """
INSERT INTO {streams} (path, name, long_name, first_position, last_position, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (path, name) DO NOTHING
RETURNING number
"""

MOVE = "UPDATE {streams} SET first_position = ?, last_position = ?, updated_at = ? WHERE number = ?"

RESTORE = """
INSERT INTO {streams} (path, name, long_name, first_position, last_position, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (path, name) DO UPDATE SET first_position = excluded.first_position,
    last_position = excluded.last_position, created_at = excluded.created_at, updated_at = excluded.updated_at
RETURNING number
"""

INSERT_ENTRY = """
INSERT INTO {stream_entries} (stream_number, position, entry_id, kind, created_at, format, media_type, key_id,
    secret_refs, searchable, body, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (stream_number, position) DO NOTHING
"""

NUMBER = "(SELECT number FROM {streams} WHERE path = ? AND name = ?)"

READ = f"""
SELECT {{stream_entry_columns}} FROM {{stream_entries}} WHERE stream_number = {NUMBER} {{behind}}
ORDER BY position {{direction}} LIMIT ?
"""

GET = f"""
SELECT {{stream_entry_columns}} FROM {{stream_entries}} WHERE stream_number = {NUMBER} AND entry_id {{in_texts}}
"""

KNOWN = "SELECT {stream_entry_columns} FROM {stream_entries} WHERE stream_number = ? AND entry_id {in_texts}"

POP = "DELETE FROM {stream_entries} WHERE stream_number = ? AND position = ? RETURNING {stream_entry_columns}"

DELETE_RANGE = "DELETE FROM {stream_entries} WHERE stream_number = ? AND position >= ? AND position <= ?"

# The source's row is locked, so no append is in the middle of its entries.
LOCK_SOURCE = """
SELECT number, first_position, last_position FROM {streams} WHERE path = ? AND name = ? {share_lock}
"""

FORK = """
INSERT INTO {stream_entries} (stream_number, position, entry_id, kind, created_at, format, media_type, key_id,
    secret_refs, searchable, body, data)
SELECT ?, position, entry_id, kind, created_at, format, media_type, key_id, secret_refs, searchable, body, data
FROM {stream_entries} WHERE stream_number = ? AND position <= ?
"""

DELETE_ENTRIES_OF_ONE = f"DELETE FROM {{stream_entries}} WHERE stream_number = {NUMBER}"

DELETE_ONE = "DELETE FROM {streams} WHERE path = ? AND name = ?"

LOCK_MANY = "SELECT number FROM {streams} WHERE (path, name) IN {keys2} ORDER BY path, name {for_update}"

DELETE_ENTRIES = """
DELETE FROM {stream_entries} WHERE stream_number IN (SELECT number FROM {streams} WHERE (path, name) IN {keys2})
"""

DELETE = "DELETE FROM {streams} WHERE (path, name) IN {keys2}"

REENCRYPT = f"""
UPDATE {{stream_entries}} SET format = ?, media_type = ?, key_id = ?, secret_refs = ?, searchable = ?, body = ?,
    data = ?
WHERE stream_number = {NUMBER} AND position = ? AND {{stored}} = ?
"""


class SqlStreamStore(SqlStreamListing, StreamStore):
    """Store of streams and entries in two tables."""

    def __init__(self, executor: SqlExecutor) -> None:
        """Run the statements on that executor."""
        self.executor = executor
        self.codec = executor.codec
        self._read = self._mapper()

    def _mapper(self) -> Callable[[Row], StoredEntry]:
        time = self.codec.time_out

        def read(row: Row) -> StoredEntry:
            position, entry_id, kind, created_at, form, media_type, key_id, refs, searchable, body, data = row
            value = body if body is not None else bytes(data)
            payload = Payload(FORMATS[form], value, searchable, media_type, key_id, read_refs(refs))
            return StoredEntry(payload, time(created_at), entry_id, kind, position)

        return read

    def _read_all(self, rows: Sequence[Row]) -> list[StoredEntry]:
        return read_all(rows, self._read, "entry of a stream at position")

    def _key(self, stream: StreamKey) -> tuple[str, str]:
        return short_path(stream[0]), index_key(stream[1])

    def _keys(self, streams: Sequence[StreamKey]) -> str:
        return self.codec.json_in([self._key(stream) for stream in streams])

    def _values(self, number: int, entry: StoredEntry, position: int) -> tuple[Any, ...]:
        made = self.codec.time_in(entry.created_at)
        return (number, position, entry.id, entry.kind, made, *payload_values(entry.payload))

    # --- appending ----------------------------------------------------------------------------

    def append(
        self, stream: StreamKey, entries: Sequence[StoredEntry], now: datetime, expected_position: int | None
    ) -> list[StoredEntry]:
        if not entries:
            return []
        with self.executor.atomic():
            return self._append(stream, entries, now, expected_position)

    def _append(
        self, stream: StreamKey, entries: Sequence[StoredEntry], now: datetime, expected: int | None
    ) -> list[StoredEntry]:
        number, first, last = self._locked_or_made(stream, now)
        ids = [entry.id for entry in entries if entry.id is not None] if last else []
        known: dict[str | None, StoredEntry] = {}
        if ids:
            found = self.executor.rows(KNOWN, (number, self.codec.texts_in(ids)))
            known = {entry.id: entry for entry in self._read_all(found)}
        new = [entry for entry in entries if entry.id is None or entry.id not in known]
        if new:
            check_position(stream, last, expected)
            self.executor.run(MOVE, (first, last + len(new), self.codec.time_in(now), number))
            self._insert(number, new, last + 1)
        placed = iter(range(last + 1, last + 1 + len(new)))
        return [
            known[entry.id] if entry.id is not None and entry.id in known else placed_at(entry, next(placed))
            for entry in entries
        ]

    def _locked_or_made(self, stream: StreamKey, now: datetime) -> tuple[int, int, int]:
        """Return number, first and last position of a stream whose row is locked."""
        key = self._key(stream)
        row = self.executor.row(LOCK, key)
        if row is not None:
            return row[0], row[1], row[2]
        made = self._make(stream, 1, 0, now)
        if made is not None:
            return made, 1, 0
        row = self.executor.row(LOCK, key)  # another caller made it just now, and committed
        if row is None:
            raise Unavailable("another caller made and deleted the same stream just now. Run the transaction again.")
        return row[0], row[1], row[2]

    def _make(self, stream: StreamKey, first: int, last: int, now: datetime) -> int | None:
        moment = self.codec.time_in(now)
        rows = self.executor.rows(MAKE, (*key_values(*stream), first, last, moment, moment))
        return rows[0][0] if rows else None

    def _insert(self, number: int, entries: Sequence[StoredEntry], first: int) -> None:
        rows = [self._values(number, entry, first + place) for place, entry in enumerate(entries)]
        statement, rows = leave_out_nulls(INSERT_ENTRY, rows)
        self.executor.insert(statement, rows)

    # --- reading ------------------------------------------------------------------------------

    def read(self, stream: StreamKey, query: EntryQuery) -> ResultPage[StoredEntry]:
        direction, behind = "DESC" if query.reverse else "ASC", ""
        bound: tuple[int, ...] = ()
        if query.after is not None:
            behind, bound = f"AND position {'<' if query.reverse else '>'} ?", (query.after,)
        statement = fill_in(READ, behind=behind, direction=direction)
        rows = self.executor.rows(statement, (*self._key(stream), *bound, query.limit + 1))
        return read_page(rows, self._read, query.limit, _position)

    def get(self, stream: StreamKey, ids: Sequence[str]) -> list[StoredEntry]:
        return self._read_all(self.executor.rows(GET, (*self._key(stream), self.codec.texts_in(ids))))

    # --- removing -----------------------------------------------------------------------------

    def pop(self, stream: StreamKey, now: datetime) -> StoredEntry | None:
        with self.executor.atomic():
            row = self.executor.row(LOCK, self._key(stream))
            if row is None or row[2] < row[1]:
                return None
            number, first, last, _ = row
            [newest] = self._read_all(self.executor.rows(POP, (number, last)))
            self.executor.run(MOVE, (first, last - 1, self.codec.time_in(now), number))
            return newest

    def truncate(self, stream: StreamKey, before: int | None, after: int | None, now: datetime, limit: int) -> int:
        with self.executor.atomic():
            row = self.executor.row(LOCK, self._key(stream))
            if row is None:
                return 0
            number, first, last, _ = row
            new_first, new_last = first, last
            if before is not None:
                new_first = max(first, min(before, last + 1, first + limit))
                start, end = first, new_first - 1
            else:
                assert after is not None
                new_last = min(last, max(after, first - 1, last - limit))
                start, end = new_last + 1, last
            if end < start:
                return 0
            deleted = self.executor.run(DELETE_RANGE, (number, start, end))
            self.executor.run(MOVE, (new_first, new_last, self.codec.time_in(now), number))
            return deleted

    def delete(self, streams: Sequence[StreamKey]) -> int:
        if not streams:
            return 0
        if len(streams) == 1:
            keys: tuple[str, ...] = self._key(streams[0])
            lock, delete_entries, delete = LOCK, DELETE_ENTRIES_OF_ONE, DELETE_ONE
        else:
            keys = (self._keys(streams),)
            lock, delete_entries, delete = LOCK_MANY, DELETE_ENTRIES, DELETE
        with self.executor.atomic():
            if self.executor.dialect.locks_rows:
                # Appends that are under way end first. The statement after it sees all their entries.
                self.executor.rows(lock, keys)
            self.executor.run(delete_entries, keys)
            return self.executor.run(delete, keys)

    # --- copies -------------------------------------------------------------------------------

    def fork(self, source: StreamKey, target: StreamKey, up_to: int | None, now: datetime) -> int:
        with self.executor.atomic():
            row = self.executor.row(LOCK_SOURCE, self._key(source))
            if row is None:
                raise NotFound(
                    f"there is no stream {source.name!r} in {source.namespace!r}",
                    kind="stream",
                    key=source,
                    hint="Append to it first.",
                )
            number, first, last = row
            last = last if up_to is None else max(first - 1, min(last, up_to))
            made = self._make(target, first, last, now)
            if made is None:
                raise _exists(target)
            return self.executor.run(FORK, (made, number, last))

    def restore(self, info: StreamInfo, entries: Sequence[StoredEntry]) -> None:
        time = self.codec.time_in
        stream = StreamKey(info.namespace, info.name)
        bound = (info.first_position, info.last_position, time(info.created_at), time(info.updated_at))
        with self.executor.atomic():
            [(number,)] = self.executor.rows(RESTORE, (*key_values(*stream), *bound))
            if entries:
                rows = [self._values(number, entry, entry.position) for entry in entries]
                statement, rows = leave_out_nulls(INSERT_ENTRY, rows)
                if self.executor.insert(statement, rows) != len(rows):
                    raise _exists(stream)

    def reencrypt(self, stream: StreamKey, entry: StoredEntry, payload: Payload) -> bool:
        bound = (*payload_values(payload), *self._key(stream), entry.position, entry.payload.body)
        statement = fill_in(REENCRYPT, stored="body" if isinstance(entry.payload.body, str) else "data")
        return self.executor.run(statement, bound) > 0


def placed_at(entry: StoredEntry, position: int) -> StoredEntry:
    """Return the entry as it is stored at a position."""
    return StoredEntry(entry.payload, entry.created_at, entry.id, entry.kind, position)


def check_position(stream: StreamKey, last: int, expected: int | None) -> None:
    """Raise ``RevisionMismatch`` if the newest entry of a stream has another position than expected."""
    if expected is not None and expected != last:
        raise RevisionMismatch(
            f"stream {stream.name!r} is at position {last}, not {expected}",
            kind="stream",
            key=stream,
            hint="Read the entries behind the expected position, decide, and append again.",
        )


def _exists(stream: StreamKey) -> AlreadyExists:
    return AlreadyExists(
        f"stream {stream.name!r} already exists in {stream.namespace!r}",
        kind="stream",
        key=stream,
        hint="Use another name, or delete it first.",
    )


def _position(row: Row) -> SortKey:
    return (row[0],)
