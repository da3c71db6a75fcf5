"""The contract for authors of backends: what a database must be able to do."""

from .audit import AuditStore
from .backend import Backend, Session
from .coordination import CoordinationStore
from .correlations import CorrelationStore
from .graph import GraphStore
from .secrets import SecretStore
from .tasks import TaskStore
from .thoughts import ThoughtSelector, ThoughtStore

__all__ = [
    "AuditStore",
    "Backend",
    "CoordinationStore",
    "CorrelationStore",
    "GraphStore",
    "SecretStore",
    "Session",
    "TaskStore",
    "ThoughtSelector",
    "ThoughtStore",
]
