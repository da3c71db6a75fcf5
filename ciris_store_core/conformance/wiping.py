"""Deletion of all records between tests that share one store, and damage of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from ciris_store_core.conformance.factories import T0
from ciris_store_core.contract import Backend, Session
from ciris_store_core.errors import NotSupported, StoreError
from ciris_store_core.models.correlations import CorrelationQuery
from ciris_store_core.models.documents import DocumentKey, DocumentQuery
from ciris_store_core.models.graph import NodeQuery
from ciris_store_core.models.paging import PageRequest
from ciris_store_core.models.streams import StreamKey, StreamQuery
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery
from ciris_store_core.sql import TABLES, SqlSession

KEPT = "schema_migrations"
BATCH = 1000

DAMAGES = ("metadata = '{'", "status = 'damaged'", "attributes = '[]'", "format = 'damaged'")
"""Assignments that corrupt a row. Databases refuse some of them."""

KEYS = {
    "graph_nodes": "id",
    "correlations": "correlation_id",
    "tasks": "task_id",
    "thoughts": "thought_id",
    "documents": "key",
    "stream_entries": "position",
}


def wipe(backend: Backend) -> bool:
    """Delete every record, and return True if the store is empty afterwards.

    A store on the SQL toolkit is emptied table by table. Any other is emptied through the contract, which cannot delete
    leases, the access log and the heads of audit chains: a store with any of these is not empty afterwards.
    """
    with backend.session(write=True) as session:
        if isinstance(session, SqlSession):
            # Edges before nodes, and thoughts before tasks: the schema of a backend may have foreign keys.
            for table in sorted(set(TABLES) - {KEPT}, key=lambda name: (name in KEYS, name != "thoughts", name)):
                session.run(f"DELETE FROM {{{table}}}")
        else:
            _delete_records(session)
    return backend.is_empty()


def _delete_records(session: Session) -> None:
    page = PageRequest(limit=BATCH)
    steps: tuple[tuple[Callable[[], Sequence[Any]], Callable[[Any], object]], ...] = (
        (
            lambda: session.graph.list_nodes(NodeQuery(limit=BATCH)).items,
            lambda found: session.graph.delete_nodes([each.key for each in found]),
        ),
        (
            lambda: session.correlations.find(CorrelationQuery(limit=BATCH)).items,
            lambda found: session.correlations.delete([each.correlation_id for each in found]),
        ),
        (
            lambda: session.tasks.find(TaskQuery(limit=BATCH)).items,
            lambda found: session.tasks.delete([each.task_id for each in found]),
        ),
        (
            lambda: session.thoughts.find(ThoughtQuery(limit=BATCH)).items,
            lambda found: session.thoughts.delete([each.thought_id for each in found]),
        ),
        (
            lambda: session.secrets.find(page, None).items,
            lambda found: session.secrets.delete([each.secret_id for each in found]),
        ),
        (
            lambda: session.coordination.list_occurrences(None),
            lambda found: session.coordination.remove_occurrence(found[0].occurrence_id),
        ),
        (
            lambda: session.documents.find(DocumentQuery(limit=BATCH)).items,
            lambda found: session.documents.delete([DocumentKey(each.namespace, each.key) for each in found], None),
        ),
        (
            lambda: session.streams.find(StreamQuery(limit=BATCH)).items,
            lambda found: session.streams.delete([StreamKey(each.namespace, each.name) for each in found]),
        ),
    )
    for find, delete in steps:
        with suppress(NotSupported):  # the method is not written yet, as in a new backend
            while found := find():
                delete(found)


def damage(backend: Backend, table: str, key: str) -> bool:
    """Corrupt a stored row if the store is on the SQL toolkit. Return True if it was done."""
    return any(_damaged(backend, table, key, change) for change in DAMAGES)


def _damaged(backend: Backend, table: str, key: str, change: str) -> bool:
    with suppress(StoreError), backend.session(write=True) as session:
        if isinstance(session, SqlSession):
            bound = int(key) if table == "stream_entries" else key
            return session.run(f"UPDATE {{{table}}} SET {change} WHERE {KEYS[table]} = ?", (bound,)) == 1
    return False


LATEST = f"SELECT max(version) FROM {{{KEPT}}}"

ADD_MIGRATION = f"INSERT INTO {{{KEPT}}} (version, name, applied_at, oldest_program) VALUES (?, ?, ?, ?)"


def add_later_migration(session: SqlSession, *, excluding: bool) -> None:
    """Record a migration of a later program, on the SQL toolkit; ``excluding`` all programs before that."""
    version = session.rows(LATEST)[0][0] + 1
    oldest = version if excluding else 1
    session.run(ADD_MIGRATION, (version, f"of_a_later_program_{version}", session.codec.time_in(T0), oldest))


def drop_schema(backend: Backend, schema: str) -> None:
    """Drop a schema that the suite created, on a database that has schemas."""
    with backend.session(write=True) as session:
        if isinstance(session, SqlSession) and session.dialect.schema == schema:
            session.run(f'DROP SCHEMA "{schema}" CASCADE')
