"""The SQL of documents on SQLite: one statement to write one."""

from __future__ import annotations

from ciris_store_core.sql.documents import SqlDocumentStore


class SqliteDocumentStore(SqlDocumentStore):
    """Document store that writes one document in one statement."""

    upserts = True
