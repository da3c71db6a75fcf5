"""PostgreSQL session: an executor with a store for each aggregate."""

from __future__ import annotations

from ciris_store_core.sql import SqlSession
from ciris_store_postgres.audit import PostgresAuditStore
from ciris_store_postgres.coordination import PostgresCoordinationStore
from ciris_store_postgres.correlations import PostgresCorrelationStore
from ciris_store_postgres.documents import PostgresDocumentStore
from ciris_store_postgres.executor import PostgresExecutor
from ciris_store_postgres.graph import PostgresGraphStore
from ciris_store_postgres.streams import PostgresStreamStore
from ciris_store_postgres.tasks import PostgresTaskStore
from ciris_store_postgres.thoughts import PostgresThoughtStore


class PostgresSession(PostgresExecutor, SqlSession):
    """Session on one PostgreSQL connection, kept for the life of the connection."""

    graph_class = PostgresGraphStore
    correlations_class = PostgresCorrelationStore
    tasks_class = PostgresTaskStore
    thoughts_class = PostgresThoughtStore
    coordination_class = PostgresCoordinationStore
    audit_class = PostgresAuditStore
    documents_class = PostgresDocumentStore
    streams_class = PostgresStreamStore
