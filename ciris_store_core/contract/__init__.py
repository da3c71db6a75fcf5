"""The contract for authors of backends: what a database must be able to do."""

from ciris_store_core.contract.audit import AuditStore
from ciris_store_core.contract.backend import Backend, Session
from ciris_store_core.contract.coordination import CoordinationStore
from ciris_store_core.contract.correlations import CorrelationStore
from ciris_store_core.contract.documents import DocumentStore
from ciris_store_core.contract.graph import GraphStore
from ciris_store_core.contract.secrets import SecretStore
from ciris_store_core.contract.streams import StreamStore
from ciris_store_core.contract.tasks import TaskStore
from ciris_store_core.contract.thoughts import ThoughtSelector, ThoughtStore

__all__ = [
    "AuditStore",
    "Backend",
    "CoordinationStore",
    "CorrelationStore",
    "DocumentStore",
    "GraphStore",
    "SecretStore",
    "Session",
    "StreamStore",
    "TaskStore",
    "ThoughtSelector",
    "ThoughtStore",
]
