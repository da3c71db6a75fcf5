"""What users hold: the store, written once over the contract for backends."""

from .audit import AuditEvent
from .audit_verify import AuditProblem, AuditReport
from .claimed import ClaimedTask
from .environment import ANY
from .occurrence import OccurrenceHandle
from .retry import RetryPolicy
from .store import Store, Transaction, open_store
from .traces import TraceNode
from .upgrades import Upgraders

__all__ = [
    "ANY",
    "AuditEvent",
    "AuditProblem",
    "AuditReport",
    "ClaimedTask",
    "OccurrenceHandle",
    "RetryPolicy",
    "Store",
    "TraceNode",
    "Transaction",
    "Upgraders",
    "open_store",
]
