"""The SQL of documents on PostgreSQL: one statement for one document and for many, and indexes on parts of values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ciris_store_core.errors import AlreadyExists
from ciris_store_core.models.document_filters import ValuePath
from ciris_store_core.models.documents import DocumentWrite, StoredDocument
from ciris_store_core.sql.documents import UPSERT, SqlDocumentStore, as_stored
from ciris_store_core.sql.statements import fill_in
from ciris_store_postgres.citus import require_coordinator
from ciris_store_postgres.document_conditions import index_name, part_of

if TYPE_CHECKING:
    from ciris_store_postgres.executor import PostgresExecutor

# An insert waits for an uncommitted row of the same key, and an update for a changed one. In the order of keys, two
# callers wait for each other in a line, never in a circle.
PUT_MANY = f"""
INSERT INTO {{documents}} AS d (path, key, revision, created_at, updated_at, expires_at, ttl, format, long_name,
    media_type, key_id, secret_refs, metadata, searchable, body, data)
SELECT path, key, revision, created_at, updated_at, expires_at, ttl, format, long_name, media_type, key_id,
    secret_refs, metadata, searchable, body, data
FROM unnest(?::text[], ?::text[], ?::bigint[], ?::timestamptz[], ?::timestamptz[], ?::timestamptz[],
    ?::double precision[], ?::text[], ?::text[], ?::text[], ?::text[], ?::jsonb[], ?::jsonb[], ?::text[], ?::text[],
    ?::bytea[])
    AS v (path, key, revision, created_at, updated_at, expires_at, ttl, format, long_name, media_type, key_id,
        secret_refs, metadata, searchable, body, data)
ORDER BY path COLLATE "C", key COLLATE "C"
{UPSERT}
RETURNING path, key, revision, created_at
"""

OVERWRITE = """
UPDATE {documents} d SET revision = v.revision, created_at = v.created_at, updated_at = v.updated_at,
    expires_at = v.expires_at, ttl = v.ttl, format = v.format, media_type = v.media_type, key_id = v.key_id,
    secret_refs = v.secret_refs, metadata = v.metadata, searchable = v.searchable, body = v.body, data = v.data
FROM unnest(?::text[], ?::text[], ?::bigint[], ?::timestamptz[], ?::timestamptz[], ?::timestamptz[],
    ?::double precision[], ?::text[], ?::text[], ?::text[], ?::text[], ?::jsonb[], ?::jsonb[], ?::text[], ?::text[],
    ?::bytea[])
    AS v (path, key, revision, created_at, updated_at, expires_at, ttl, format, long_name, media_type, key_id,
        secret_refs, metadata, searchable, body, data)
WHERE d.path = v.path AND d.key = v.key
"""

# Asked first: CREATE INDEX would wait for every writer of the table even where the index exists.
INDEX_EXISTS = """
SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = ? AND n.nspname = ? AND c.relkind = 'i'
"""

CREATE_INDEX = "CREATE INDEX IF NOT EXISTS {name} ON {documents} (jsonb_hash_extended({part}, 0), path, key)"

DROP_INDEX = "DROP INDEX IF EXISTS {schema}.{name}"

# Both wait for transactions that use the table, and every later write (of DROP INDEX also every read) queues behind
# them. The timeout bounds their wait. SET LOCAL ends with the transaction.
LIMIT_LOCKS = "SET LOCAL lock_timeout = '2s'"


class PostgresDocumentStore(SqlDocumentStore):
    """Document store that writes many documents in one statement."""

    executor: PostgresExecutor
    upserts = True

    def put(self, writes: Sequence[DocumentWrite], now: datetime) -> list[StoredDocument]:
        """Write documents, in one statement if no write can be refused."""
        if len(writes) < 2 or any(write.mode != "put" or write.expected_revision is not None for write in writes):
            return super().put(writes, now)
        columns = self._columns([write.document for write in writes], [1] * len(writes))
        rows = self.executor.rows(PUT_MANY, (*columns, now))
        stored = {(path, key): (revision, created_at) for path, key, revision, created_at in rows}
        keys = zip(columns[0] or (), columns[1] or (), strict=True)
        return [as_stored(write.document, *stored[key]) for write, key in zip(writes, keys, strict=True)]

    def _columns(self, documents: Sequence[StoredDocument], revisions: Sequence[int]) -> list[list[object] | None]:
        """Return a list of the values of each column; None for one that is NULL in all rows."""
        rows = [self.row_of(document, revision) for document, revision in zip(documents, revisions, strict=True)]
        return [None if column.count(None) == len(rows) else list(column) for column in zip(*rows, strict=True)]

    def _overwrite(self, documents: Sequence[StoredDocument]) -> None:
        if documents:
            self.executor.run(OVERWRITE, self._columns(documents, [document.revision for document in documents]))

    def create_index(self, path: ValuePath) -> None:
        """Index the part that a path leads to. Writers of documents wait until the index is built.

        Raises:
            Unavailable: Another transaction that writes documents did not end within 2 s.
        """
        name, found = index_name(path), part_of(path)
        if found is None or self.executor.row(INDEX_EXISTS, (name, self.executor.dialect.schema)):
            return
        part, bound = found
        try:
            self._change(fill_in(CREATE_INDEX, name=name, part=part), bound)
        except AlreadyExists:
            return  # another caller made it at the same time

    def drop_index(self, path: ValuePath) -> None:
        """Remove the index on the part that a path leads to.

        Raises:
            Unavailable: Another transaction that uses documents did not end within 2 s.
        """
        self._change(fill_in(DROP_INDEX, name=index_name(path)))

    def _change(self, statement: str, bound: Sequence[object] = ()) -> None:
        if self.executor.distributed:
            require_coordinator(self.executor)
        # The limit takes BEGIN or SAVEPOINT along, so that CREATE INDEX is alone in its message: Citus passes the
        # message on as one command.
        with self.executor.atomic():
            self.executor.run(LIMIT_LOCKS)
            self.executor.run(statement, bound)
