"""Session of an SQL backend: an executor with a store for each aggregate."""

from __future__ import annotations

from typing import Any

from ciris_store_core.contract import Session
from ciris_store_core.sql.audit import SqlAuditStore
from ciris_store_core.sql.coordination import SqlCoordinationStore
from ciris_store_core.sql.correlations import SqlCorrelationStore
from ciris_store_core.sql.dialect import Dialect
from ciris_store_core.sql.documents import SqlDocumentStore
from ciris_store_core.sql.executor import SqlExecutor
from ciris_store_core.sql.graph import SqlGraphStore
from ciris_store_core.sql.secrets import SqlSecretStore
from ciris_store_core.sql.streams import SqlStreamStore
from ciris_store_core.sql.tasks import SqlTaskStore
from ciris_store_core.sql.thoughts import SqlThoughtStore


class SqlSession(SqlExecutor, Session):
    """Executor that gives itself to a store of each aggregate. Backends replace the classes of some stores."""

    graph_class: type[SqlGraphStore] = SqlGraphStore
    correlations_class: type[SqlCorrelationStore] = SqlCorrelationStore
    tasks_class: type[SqlTaskStore] = SqlTaskStore
    thoughts_class: type[SqlThoughtStore] = SqlThoughtStore
    coordination_class: type[SqlCoordinationStore] = SqlCoordinationStore
    secrets_class: type[SqlSecretStore] = SqlSecretStore
    audit_class: type[SqlAuditStore] = SqlAuditStore
    documents_class: type[SqlDocumentStore] = SqlDocumentStore
    streams_class: type[SqlStreamStore] = SqlStreamStore

    def __init__(self, cursor: Any, dialect: Dialect) -> None:
        """On one cursor, whose connection is in autocommit mode."""
        super().__init__(cursor, dialect)
        self.graph = self.graph_class(self)
        self.correlations = self.correlations_class(self)
        self.tasks = self.tasks_class(self)
        self.thoughts = self.thoughts_class(self)
        self.coordination = self.coordination_class(self)
        self.secrets = self.secrets_class(self)
        self.audit = self.audit_class(self)
        self.documents = self.documents_class(self)
        self.streams = self.streams_class(self)
