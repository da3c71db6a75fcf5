"""What users hold: the store, written once over the contract for backends."""

from .approvals import Approval, ApprovalRequest, approved
from .audit_events import AuditEvent
from .audit_verify import AuditProblem, AuditReport
from .claimed import ClaimedTask
from .environment import ANY
from .occurrence import OccurrenceHandle
from .policy import Access, ScopePolicy
from .retry import RetryPolicy
from .store import Store, Transaction, open_store
from .traces import TraceNode
from .upgrades import Upgraders
from .wise import Authority

__all__ = [
    "ANY",
    "Access",
    "Approval",
    "ApprovalRequest",
    "AuditEvent",
    "AuditProblem",
    "AuditReport",
    "Authority",
    "ClaimedTask",
    "OccurrenceHandle",
    "RetryPolicy",
    "ScopePolicy",
    "Store",
    "TraceNode",
    "Transaction",
    "Upgraders",
    "approved",
    "open_store",
]
