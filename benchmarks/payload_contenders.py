"""The work on documents and streams: by the raw drivers on the tables of the store, and by the store."""
# ruff: noqa: D102 - PayloadContender says what each workload is

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg2
from psycopg2.extras import execute_values

from benchmarks import payload_values as content
from benchmarks import values
from benchmarks.contender import Contender
from benchmarks.raw_sqlite import connect, moment
from ciris_store_core import SecretsConfig, open_store
from ciris_store_core.models.paths import below, path_of
from ciris_store_core.sql.columns import DOCUMENT_COLUMNS, STREAM_ENTRY_COLUMNS

WORKLOADS = frozenset({
    "document_put", "document_change", "document_get", "documents_put", "documents_list", "bytes_put", "bytes_get",
    "entry_append", "entries_append", "entries_tail",
})  # fmt: skip
NEW, BLOBS = ("new",), ("blobs",)
PUT = """
INSERT INTO documents AS d (path, key, revision, created_at, updated_at, format, body, data)
VALUES (?, ?, 1, ?, ?, ?, ?, ?)
ON CONFLICT (path, key) DO UPDATE SET revision = d.revision + 1, updated_at = excluded.updated_at,
    format = excluded.format, body = excluded.body, data = excluded.data
"""
RETURN = " RETURNING revision, created_at"
CHANGE = """
UPDATE documents SET revision = revision + 1, updated_at = ?, format = 'json', body = ?, data = NULL
WHERE path = ? AND key = ? AND revision = ? RETURNING created_at
"""
GET = f"SELECT {DOCUMENT_COLUMNS} FROM documents WHERE path = ? AND key = ? AND (expires_at IS NULL OR expires_at > ?)"
LIST = f"""
SELECT {DOCUMENT_COLUMNS} FROM documents WHERE path >= ? AND path < ? AND (expires_at IS NULL OR expires_at > ?)
ORDER BY path, key LIMIT ?
"""
TAKE = """
UPDATE streams SET last_position = last_position + ?, updated_at = ? WHERE path = ? AND name = ?
RETURNING number, last_position
"""
ADD = "INSERT INTO stream_entries (stream_number, position, kind, created_at, format, body) VALUES "
TAIL = f"""
SELECT {STREAM_ENTRY_COLUMNS} FROM stream_entries
WHERE stream_number = (SELECT number FROM streams WHERE path = ? AND name = ?) ORDER BY position DESC LIMIT ?
"""
APPEND_ONE = f"""
WITH s AS ({TAKE}) INSERT INTO stream_entries (stream_number, position, kind, created_at, format, body)
SELECT number, last_position, '', ?, 'json', ? FROM s RETURNING position
"""
APPEND_MANY = f"""
WITH s AS ({TAKE}) INSERT INTO stream_entries (stream_number, position, kind, created_at, format, body)
SELECT s.number, s.last_position - ? + v.place, '', ?, 'json', v.body
FROM s CROSS JOIN unnest(?::text[]) WITH ORDINALITY AS v (body, place) RETURNING position
"""


class PayloadContender(Contender):
    """One way to keep documents and streams, on one database that ``payload_values.fill`` filled."""

    only = WORKLOADS
    size = 0

    def document_put(self, number: int) -> Any:
        """Write a new document of 1 kB."""
        raise NotImplementedError

    def prepare_document_change(self, number: int) -> None:
        """Make sure of the document that ``document_change`` changes, and of its revision."""
        raise NotImplementedError

    def document_change(self, number: int) -> Any:
        """Replace a document of which the revision is known."""
        raise NotImplementedError

    def document_get(self, number: int) -> Any:
        """Read a document by its key."""
        raise NotImplementedError

    def documents_put(self, number: int) -> Any:
        """Write 100 new documents, all or none."""
        raise NotImplementedError

    def documents_list(self, number: int) -> Any:
        """The 100 documents of one user."""
        raise NotImplementedError

    def bytes_put(self, number: int) -> Any:
        """Write 1 MB of bytes over the same."""
        raise NotImplementedError

    def bytes_get(self, number: int) -> Any:
        """Read 1 MB of bytes."""
        raise NotImplementedError

    def prepare_bytes_get(self, number: int) -> None:
        """Make sure of the bytes."""
        raise NotImplementedError

    def entry_append(self, number: int) -> Any:
        """Append an entry; its position."""
        raise NotImplementedError

    def entries_append(self, number: int) -> Any:
        """Append 50 entries; their positions."""
        raise NotImplementedError

    def entries_tail(self, number: int) -> Any:
        """The newest 50 entries of the long stream, oldest first."""
        raise NotImplementedError

    def chosen(self, number: int) -> tuple[tuple[str, ...], str]:
        """Return namespace and key of some document of the filled store."""
        return content.document_key(values.chosen(number, self.size))

    def chosen_user(self, number: int) -> tuple[str, ...]:
        """Return the namespace of some user of the filled store."""
        return content.user(values.chosen(number, self.size // content.LISTED))


class RawPayloads(PayloadContender):
    """Plain SQL on the tables of the store."""

    name = "raw driver"
    _revision = 0
    _has_bytes = False

    def _rows(self, statement: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def _now(self) -> Any:
        raise NotImplementedError

    def _decode(self, columns: tuple[str, ...], row: tuple[Any, ...]) -> dict[str, Any]:
        record = dict(zip(columns, row, strict=True))
        record["value"] = json.loads(record["body"]) if record["format"] == "json" else bytes(record["data"])
        return record

    def document_put(self, number: int) -> Any:
        return self._rows(PUT + RETURN, self._row(NEW, f"n{number}", json.dumps(content.value(number))))

    def _row(self, namespace: tuple[str, ...], key: str, body: str | bytes) -> tuple[Any, ...]:
        now = self._now()
        if isinstance(body, str):
            return (path_of(namespace), key, now, now, "json", body, None)
        return (path_of(namespace), key, now, now, "bytes", None, body)

    def prepare_document_change(self, number: int) -> None:
        if not self._revision:
            self._revision = self._rows(PUT + RETURN, self._row(NEW, "changed", json.dumps(content.value(number))))[0][
                0
            ]

    def document_change(self, number: int) -> Any:
        params = (self._now(), json.dumps(content.value(number)), path_of(NEW), "changed", self._revision)
        [row] = self._rows(CHANGE, params)
        self._revision += 1
        return row

    def document_get(self, number: int) -> Any:
        namespace, key = self.chosen(number)
        [row] = self._rows(GET, (path_of(namespace), key, self._now()))
        return self._decode(_DOCUMENT, row)

    def documents_list(self, number: int) -> Any:
        path = path_of(self.chosen_user(number))
        rows = self._rows(LIST, (path, below(path), self._now(), content.LISTED))
        return [self._decode(_DOCUMENT, row) for row in rows]

    def bytes_put(self, number: int) -> Any:
        self._has_bytes = True
        return self._rows(PUT + RETURN, self._row(BLOBS, "blob", content.MEGABYTE))

    def prepare_bytes_get(self, number: int) -> None:
        if not self._has_bytes:
            self.bytes_put(number)

    def bytes_get(self, number: int) -> Any:
        [row] = self._rows(GET, (path_of(BLOBS), "blob", self._now()))
        return self._decode(_DOCUMENT, row)

    def entries_tail(self, number: int) -> Any:
        rows = self._rows(TAIL, (path_of(content.CHATS), "long", content.TAIL))
        return [self._decode(_ENTRY, row) for row in reversed(rows)]


class RawSqlitePayloads(RawPayloads):
    """One connection in autocommit mode, WAL and FULL."""

    def __init__(self, path: str) -> None:
        self.db: sqlite3.Connection = connect(path)

    def close(self) -> None:
        self.db.close()

    def _rows(self, statement: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self.db.execute(statement, params).fetchall()

    def _now(self) -> Any:
        return time.time_ns() // 1000

    def _decode(self, columns: tuple[str, ...], row: tuple[Any, ...]) -> dict[str, Any]:
        record = super()._decode(columns, row)
        for name in ("created_at", "updated_at"):
            if name in record:
                record[name] = moment(record[name])
        return record

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def documents_put(self, number: int) -> Any:
        rows = [self._row(NEW, f"m{number}-{i}", json.dumps(content.value(i))) for i in range(content.LISTED)]
        with self._transaction():
            self.db.executemany(PUT, rows)

    def entry_append(self, number: int) -> Any:
        return self._append([json.dumps(content.value(number))])

    def entries_append(self, number: int) -> Any:
        return self._append([json.dumps(content.value(number + i)) for i in range(content.TAIL)])

    def _append(self, bodies: list[str]) -> list[int]:
        now = self._now()
        with self._transaction():
            [(stream, last)] = self._rows(TAKE, (len(bodies), now, path_of(content.CHATS), "new"))
            positions = list(range(last - len(bodies) + 1, last + 1))
            rows = [(stream, at, "", now, "json", body) for at, body in zip(positions, bodies, strict=True)]
            self.db.executemany(f"{ADD} (?, ?, ?, ?, ?, ?)", rows)
        return positions


class RawPostgresPayloads(RawPayloads):
    """One connection in autocommit mode, one statement for each operation."""

    def __init__(self, url: str) -> None:
        self.db = psycopg2.connect(url)
        self.db.autocommit = True
        self.cursor = self.db.cursor()

    def close(self) -> None:
        self.db.close()

    def _rows(self, statement: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        self.cursor.execute(statement.replace("?", "%s"), params)
        return self.cursor.fetchall()

    def _now(self) -> Any:
        return datetime.now(UTC)

    def documents_put(self, number: int) -> Any:
        rows = [self._row(NEW, f"m{number}-{i}", json.dumps(content.value(i))) for i in range(content.LISTED)]
        statement = PUT.replace("VALUES (?, ?, 1, ?, ?, ?, ?, ?)", "VALUES %s")
        template = "(%s, %s, 1, %s, %s, %s, %s, %s)"
        execute_values(self.cursor, statement, rows, template, page_size=content.LISTED)

    def entry_append(self, number: int) -> Any:
        now = self._now()
        params = (1, now, path_of(content.CHATS), "new", now, json.dumps(content.value(number)))
        return [row[0] for row in self._rows(APPEND_ONE, params)]

    def entries_append(self, number: int) -> Any:
        now, count = self._now(), content.TAIL
        bodies = [json.dumps(content.value(number + i)) for i in range(count)]
        params = (count, now, path_of(content.CHATS), "new", count, now, bodies)
        return [row[0] for row in self._rows(APPEND_MANY, params)]


class WithPayloads(PayloadContender):
    """``open_store``, as its users call it."""

    name = "store"
    detects_secrets = False

    def __init__(self, url: str) -> None:
        self.store = open_store(url, secrets=SecretsConfig(detect=self.detects_secrets))
        self._revision = 0
        self._has_bytes = False

    def close(self) -> None:
        self.store.close()

    def document_put(self, number: int) -> Any:
        return self.store.documents.put(NEW, f"n{number}", content.value(number))

    def prepare_document_change(self, number: int) -> None:
        if not self._revision:
            self._revision = self.store.documents.put(NEW, "changed", content.value(number)).revision

    def document_change(self, number: int) -> Any:
        value = content.value(number)
        written = self.store.documents.put(NEW, "changed", value, expected_revision=self._revision)
        self._revision = written.revision
        return written

    def document_get(self, number: int) -> Any:
        return self.store.documents.get(*self.chosen(number))

    def documents_put(self, number: int) -> Any:
        return self.store.documents.put_many([(NEW, f"m{number}-{i}", content.value(i)) for i in range(content.LISTED)])

    def documents_list(self, number: int) -> Any:
        return self.store.documents.find(self.chosen_user(number), limit=content.LISTED).items

    def bytes_put(self, number: int) -> Any:
        self._has_bytes = True
        return self.store.documents.put(BLOBS, "blob", content.MEGABYTE)

    def prepare_bytes_get(self, number: int) -> None:
        if not self._has_bytes:
            self.bytes_put(number)

    def bytes_get(self, number: int) -> Any:
        return self.store.documents.get(BLOBS, "blob")

    def entry_append(self, number: int) -> Any:
        return self.store.streams.append(content.CHATS, "new", [content.value(number)])

    def entries_append(self, number: int) -> Any:
        entries = [content.value(number + i) for i in range(content.TAIL)]
        return self.store.streams.append(content.CHATS, "new", entries)

    def entries_tail(self, number: int) -> Any:
        return self.store.streams.tail(content.CHATS, "long", content.TAIL)


class WithDetectingPayloads(WithPayloads):
    """Looking for secrets in all that is written, as a store does unless told otherwise: what that costs."""

    name = "store, detecting secrets"
    detects_secrets = True
    only = frozenset({"document_put", "document_change", "documents_put", "entry_append", "entries_append"})


def _names(columns: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in columns.split(","))


_DOCUMENT, _ENTRY = _names(DOCUMENT_COLUMNS), _names(STREAM_ENTRY_COLUMNS)
