"""SQL that writes documents and reads them by key. The module ``document_listing`` holds that of lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from operator import itemgetter
from typing import Any

from ciris_store_core.errors import AlreadyExists, RevisionMismatch, Unavailable
from ciris_store_core.models.documents import DocumentKey, DocumentWrite, StoredDocument
from ciris_store_core.models.payloads import Payload
from ciris_store_core.sql.document_listing import SqlDocumentListing
from ciris_store_core.sql.payloads import key_values, payload_values
from ciris_store_core.sql.statements import leave_out_nulls, replace_conflict_clause, spell_nulls

INSERT = """
INSERT INTO {documents} AS d (path, key, revision, created_at, updated_at, expires_at, ttl, format, long_name,
    media_type, key_id, secret_refs, metadata, searchable, body, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (path, key) DO NOTHING
"""

# The revision goes on where an expired document is replaced, which otherwise counts as absent.
UPSERT = """
ON CONFLICT (path, key) DO UPDATE SET revision = d.revision + 1,
    created_at = CASE WHEN d.expires_at <= ? THEN excluded.created_at ELSE d.created_at END,
    updated_at = excluded.updated_at, expires_at = excluded.expires_at, ttl = excluded.ttl, format = excluded.format,
    media_type = excluded.media_type, key_id = excluded.key_id, secret_refs = excluded.secret_refs,
    metadata = excluded.metadata, searchable = excluded.searchable, body = excluded.body, data = excluded.data
"""

PUT = UPSERT + "RETURNING revision, created_at"

PUT_NEW = UPSERT + "WHERE d.expires_at <= ? RETURNING revision, created_at"

REPLACE = """
UPDATE {documents} SET revision = revision + 1, updated_at = ?, expires_at = ?, ttl = ?, format = ?, media_type = ?,
    key_id = ?, secret_refs = ?, metadata = ?, searchable = ?, body = ?, data = ?
WHERE path = ? AND key = ? AND revision = ? AND (expires_at IS NULL OR expires_at > ?)
RETURNING created_at
"""

OVERWRITE = """
UPDATE {documents} SET revision = ?, created_at = ?, updated_at = ?, expires_at = ?, ttl = ?, format = ?,
    media_type = ?, key_id = ?, secret_refs = ?, metadata = ?, searchable = ?, body = ?, data = ?
WHERE path = ? AND key = ?
"""

FACTS = "SELECT path, key, revision, created_at, expires_at FROM {documents} d WHERE (path, key) IN {keys2}"

LOCK_FACTS = FACTS + " ORDER BY path, key {for_update}"

LOCK = """
SELECT {document_columns} FROM {documents} d WHERE (path, key) IN {keys2} ORDER BY path, key {for_update}
"""

TOUCH = """
UPDATE {documents} SET expires_at = {ttl_later} WHERE path = ? AND key = ? AND ttl IS NOT NULL
    AND (expires_at IS NULL OR expires_at > ?)
RETURNING {document_columns}
"""

TOUCH_MANY = """
UPDATE {documents} SET expires_at = {ttl_later} WHERE {lock_documents} (path, key) IN {keys2} AND ttl IS NOT NULL
    AND (expires_at IS NULL OR expires_at > ?) {end_lock_documents}
RETURNING {document_columns}
"""

DELETE = "DELETE FROM {documents} WHERE path = ? AND key = ? RETURNING expires_at"

DELETE_MANY = """
DELETE FROM {documents} WHERE {lock_documents} (path, key) IN {keys2} {end_lock_documents} RETURNING expires_at
"""

# Locks rows in the order of expiry, which is not that of the key. SKIP LOCKED passes over rows that another transaction
# has locked, so that no circle of waits can form. Picked once: a subquery with a lock may run again for each row.
DELETE_EXPIRED = """
DELETE FROM {documents} WHERE (path, key) IN (
    WITH picked AS MATERIALIZED (
        SELECT path, key FROM {documents} WHERE expires_at <= ? ORDER BY expires_at LIMIT ? {skip_locked}
    )
    SELECT path, key FROM picked
)
"""

REENCRYPT = """
UPDATE {documents} SET format = ?, media_type = ?, key_id = ?, secret_refs = ?, searchable = ?, body = ?, data = ?
WHERE path = ? AND key = ? AND revision = ?
"""

_KEY = itemgetter(0, 1)

Facts = tuple[int, datetime, datetime | None]
"""Revision, created_at and expires_at of a stored document."""


class SqlDocumentStore(SqlDocumentListing):
    """Store of documents in one table."""

    upserts = False
    """True if one document is written by one statement, INSERT ... ON CONFLICT DO UPDATE ... RETURNING."""

    # --- writing ------------------------------------------------------------------------------

    def put(self, writes: Sequence[DocumentWrite], now: datetime) -> list[StoredDocument]:
        if len(writes) == 1 and self.upserts:
            return [self._put_one(writes[0], now)]
        with self.executor.atomic():
            return self._put_many(writes, now) if writes else []

    def _put_one(self, write: DocumentWrite, now: datetime) -> StoredDocument:
        document = write.document
        if write.mode == "restore":
            if not self.executor.insert_new(INSERT, self.row_of(document, document.revision)):
                raise self._refusal(write, now)
            return replace(document, metadata=document.metadata or None)
        if write.expected_revision:
            return self._replace(write, write.expected_revision, now)
        statement, [values] = leave_out_nulls(INSERT, (self.row_of(document, 1),))
        sure = write.mode == "put" and write.expected_revision is None
        moment = self.codec.time_in(now)
        rows = self.executor.rows(
            replace_conflict_clause(statement, PUT if sure else PUT_NEW),
            (*values, *([moment] if sure else [moment] * 2)),
        )
        if not rows:
            raise self._refusal(write, now)
        [(revision, created_at)] = rows
        return as_stored(document, revision, document.created_at if revision == 1 else self.codec.time_out(created_at))

    def _replace(self, write: DocumentWrite, expected: int, now: datetime) -> StoredDocument:
        if write.mode == "insert":
            raise self._refusal(write, now)  # the revision is another one, or else the document exists
        row = self.row_of(write.document, 1)
        bound = (*row[4:8], *row[9:], row[0], row[1], expected, self.codec.time_in(now))
        rows = self.executor.rows(*spell_nulls(REPLACE, bound))
        if not rows:
            raise self._refusal(write, now)
        return as_stored(write.document, expected + 1, self.codec.time_out(rows[0][0]))

    def _refusal(self, write: DocumentWrite, now: datetime) -> Exception:
        """Return the error that explains why the statement of a write found no row to change."""
        keys = [self._key(write.document.id)]
        try:
            as_written(write, self._facts(FACTS, keys).get(keys[0]), now)
        except (AlreadyExists, RevisionMismatch) as refusal:
            return refusal
        return Unavailable("another caller changed the same document just now. Run the transaction again.")

    def _put_many(self, writes: Sequence[DocumentWrite], now: datetime) -> list[StoredDocument]:
        keys = [self._key((write.document.namespace, write.document.key)) for write in writes]
        found = self._facts(FACTS, keys)
        documents = [as_written(write, found.get(key), now) for write, key in zip(writes, keys, strict=True)]
        # New rows first, then the locks. An insert waits for an uncommitted row of the same key; a caller that waits
        # there has locked no stored row yet, so that no circle of waits can form. The facts are read once more under
        # the lock, since another transaction may have changed them before it.
        self._insert_all([document for document, key in zip(documents, keys, strict=True) if key not in found])
        if found and self.executor.dialect.locks_rows:
            locked = self._facts(LOCK_FACTS, list(found))
            if len(locked) != len(found):
                raise Unavailable("another caller deleted one of the same documents just now. Run it again.")
            documents = [
                as_written(write, locked[key], now) if key in locked else document
                for write, key, document in zip(writes, keys, documents, strict=True)
            ]
        self._overwrite([document for document, key in zip(documents, keys, strict=True) if key in found])
        return documents

    def _facts(self, statement: str, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Facts]:
        rows = self.executor.rows(statement, (self.codec.json_in(keys),))
        time, maybe_time = self.codec.time_out, self.codec.maybe_time_out
        return {(path, key): (revision, time(made), maybe_time(end)) for path, key, revision, made, end in rows}

    def _insert_all(self, documents: Sequence[StoredDocument]) -> None:
        # An insert waits for an uncommitted row of the same key. In one order, two callers never wait in a circle.
        rows = sorted((self.row_of(document, document.revision) for document in documents), key=_KEY)
        if rows:
            statement, rows = leave_out_nulls(INSERT, rows)
            if self.executor.insert(statement, rows) != len(rows):
                # A row that does not exist cannot be locked, so another transaction may have inserted it since.
                raise Unavailable("another caller added one of the same documents just now. Run it again.")

    def _overwrite(self, documents: Sequence[StoredDocument]) -> None:
        rows = [self.row_of(document, document.revision) for document in documents]
        if rows:
            self.executor.insert(OVERWRITE, [(*row[2:8], *row[9:], row[0], row[1]) for row in rows])

    def row_of(self, document: StoredDocument, revision: int) -> tuple[Any, ...]:
        """Return the values that ``INSERT`` binds, in the order of ``DOCUMENT_COLUMNS``."""
        codec = self.codec
        path, key, long_name = key_values(document.namespace, document.key)
        form, media_type, key_id, refs, searchable, body, data = payload_values(document.payload)
        expires_at, updated_at = document.expires_at, codec.time_in(document.updated_at)
        same = document.created_at is document.updated_at
        return (
            path, key, revision, updated_at if same else codec.time_in(document.created_at), updated_at,
            None if expires_at is None else codec.time_in(expires_at), document.ttl, form, long_name, media_type,
            key_id, refs, codec.object_in(document.metadata), searchable, body, data,
        )  # fmt: skip

    # --- by key -------------------------------------------------------------------------------

    def touch(self, keys: Sequence[DocumentKey], now: datetime) -> list[StoredDocument]:
        moment = self.codec.time_in(now)
        if len(keys) == 1:
            touched = self.read_documents(self.executor.rows(TOUCH, (moment, *self._key(keys[0]), moment)))
            return touched or self.get(keys, now)
        if not keys:
            return []
        with self.executor.atomic():
            texts = self.codec.json_in([self._key(key) for key in keys])
            touched = self.read_documents(self.executor.rows(TOUCH_MANY, (moment, texts, moment)))
            done = {document.id for document in touched}
            return touched + self.get([key for key in keys if key not in done], now)

    def lock(self, keys: Sequence[DocumentKey]) -> list[StoredDocument]:
        if not keys or not self.executor.dialect.locks_rows:
            return self.get(keys, None)  # the transaction excludes every other writer
        texts = self.codec.json_in([self._key(key) for key in keys])
        return self.read_documents(self.executor.rows(LOCK, (texts,)))

    def delete(self, keys: Sequence[DocumentKey], now: datetime | None) -> int:
        if not keys:
            return 0
        if len(keys) == 1:
            gone = self.executor.rows(DELETE, self._key(keys[0]))
        else:
            gone = self.executor.rows(DELETE_MANY, (self.codec.json_in([self._key(key) for key in keys]),))
        return len(gone) if now is None else self.codec.count_living(gone, now)

    def delete_expired(self, now: datetime, limit: int) -> int:
        return self.executor.run(DELETE_EXPIRED, (self.codec.time_in(now), limit))

    def reencrypt(self, document: StoredDocument, payload: Payload) -> bool:
        bound = (*payload_values(payload), *self._key(document.id), document.revision)
        return self.executor.run(REENCRYPT, bound) > 0


def as_stored(document: StoredDocument, revision: int, created_at: datetime) -> StoredDocument:
    """Return a document as a write of it has stored it."""
    if revision == document.revision and created_at is document.created_at and document.metadata != {}:
        return document
    return StoredDocument(
        document.namespace, document.key, document.payload, created_at, document.updated_at, revision,
        document.expires_at, document.ttl, document.metadata or None,
    )  # fmt: skip


def as_written(write: DocumentWrite, stored: Facts | None, now: datetime) -> StoredDocument:
    """Return the document to store; raise ``RevisionMismatch`` or ``AlreadyExists`` if the stored one contradicts."""
    document = write.document
    revision, created_at, expires_at = stored or (0, document.created_at, None)
    live = stored is not None and (expires_at is None or expires_at > now)
    current = revision if live else 0
    if write.expected_revision is not None and write.expected_revision != current:
        raise RevisionMismatch(
            f"document {document.key!r} is at revision {current}, not {write.expected_revision}",
            kind="document",
            key=document.id,
            hint="Read it again, decide, and call again.",
        )
    if (write.mode == "insert" and live) or (write.mode == "restore" and stored is not None):
        raise AlreadyExists(
            f"document {document.key!r} already exists in {document.namespace!r}",
            kind="document",
            key=document.id,
            hint="Read it and decide, or use another key.",
        )
    if write.mode == "restore":
        return replace(document, metadata=document.metadata or None)
    return as_stored(document, revision + 1, created_at if live else document.created_at)
