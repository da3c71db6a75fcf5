"""What users hold: the store, written once over the contract for backends."""

from .claimed import ClaimedTask
from .environment import ANY
from .occurrence import OccurrenceHandle
from .retry import RetryPolicy
from .store import Store, Transaction, open_store
from .traces import TraceNode

__all__ = ["ANY", "ClaimedTask", "OccurrenceHandle", "RetryPolicy", "Store", "TraceNode", "Transaction", "open_store"]
