"""The store and its resources, written once over the contract for backends."""

from ciris_store_core.store.access.approvals import Approval, ApprovalRequest, approved
from ciris_store_core.store.access.known_authorities import Authority
from ciris_store_core.store.access.policy import Access, ScopePolicy
from ciris_store_core.store.audit.events import AuditEvent
from ciris_store_core.store.audit.verification import AuditProblem, AuditReport
from ciris_store_core.store.context import ANY_OCCURRENCE
from ciris_store_core.store.documents.documents import Documents, NewDocument
from ciris_store_core.store.documents.streams import NewEntry, Streams
from ciris_store_core.store.graph.edges import EdgeFilters
from ciris_store_core.store.graph.graph import NodeFilters
from ciris_store_core.store.graph.upcasters import Upcasters
from ciris_store_core.store.retry import RetryPolicy
from ciris_store_core.store.store import Store, Transaction
from ciris_store_core.store.telemetry.correlation_filters import CorrelationFilters
from ciris_store_core.store.telemetry.traces import TraceNode
from ciris_store_core.store.work.claimed_task import ClaimedTask
from ciris_store_core.store.work.occurrence_handle import OccurrenceHandle
from ciris_store_core.store.work.tasks import TaskFilters
from ciris_store_core.store.work.thoughts import ThoughtFilters

__all__ = [
    "ANY_OCCURRENCE",
    "Access",
    "Approval",
    "ApprovalRequest",
    "AuditEvent",
    "AuditProblem",
    "AuditReport",
    "Authority",
    "ClaimedTask",
    "CorrelationFilters",
    "Documents",
    "EdgeFilters",
    "NewDocument",
    "NewEntry",
    "NodeFilters",
    "OccurrenceHandle",
    "RetryPolicy",
    "ScopePolicy",
    "Store",
    "Streams",
    "TaskFilters",
    "ThoughtFilters",
    "TraceNode",
    "Transaction",
    "Upcasters",
    "approved",
]
