"""The store for asyncio: begin with ``open_store_async``.

Every class whose methods wait for the database has a twin here, made from the class itself.
"""

# What type checkers and editors see stands in __init__.pyi, which ``make stubs`` makes.

from __future__ import annotations

from ciris_store_core.aio.facade import twin_of
from ciris_store_core.aio.services import service
from ciris_store_core.aio.store import AsyncStore, Opening, open_store_async
from ciris_store_core.services.configuration import AdaptiveConfiguration
from ciris_store_core.services.maintenance import DatabaseMaintenanceService
from ciris_store_core.services.memory import SyncMemoryService
from ciris_store_core.services.retention import RetentionService
from ciris_store_core.store import ClaimedTask, OccurrenceHandle, Transaction
from ciris_store_core.store.access.authorities import Authorities
from ciris_store_core.store.access.secrets import Secrets
from ciris_store_core.store.audit.trail import AuditTrail
from ciris_store_core.store.graph.graph import Graph
from ciris_store_core.store.telemetry.buffered_writer import BufferedWriter
from ciris_store_core.store.telemetry.correlations import Correlations
from ciris_store_core.store.work.coordination import Leases, Occurrences
from ciris_store_core.store.work.shared_tasks import SharedTasks
from ciris_store_core.store.work.tasks import Tasks
from ciris_store_core.store.work.thoughts import Thoughts

AsyncAdaptiveConfiguration = service(AdaptiveConfiguration)
AsyncAuditTrail = twin_of(AuditTrail)
AsyncAuthorities = twin_of(Authorities)
AsyncBufferedWriter = twin_of(BufferedWriter)
AsyncClaimedTask = twin_of(ClaimedTask)
AsyncCorrelations = twin_of(Correlations)
AsyncDatabaseMaintenanceService = service(DatabaseMaintenanceService)
AsyncGraph = twin_of(Graph)
AsyncLeases = twin_of(Leases)
AsyncOccurrenceHandle = twin_of(OccurrenceHandle)
AsyncOccurrences = twin_of(Occurrences)
AsyncRetentionService = service(RetentionService)
AsyncSecrets = twin_of(Secrets)
AsyncSharedTasks = twin_of(SharedTasks)
AsyncTasks = twin_of(Tasks)
AsyncThoughts = twin_of(Thoughts)
AsyncTransaction = twin_of(Transaction)
MemoryService = service(SyncMemoryService)

__all__ = [
    "AsyncAdaptiveConfiguration",
    "AsyncAuditTrail",
    "AsyncAuthorities",
    "AsyncBufferedWriter",
    "AsyncClaimedTask",
    "AsyncCorrelations",
    "AsyncDatabaseMaintenanceService",
    "AsyncGraph",
    "AsyncLeases",
    "AsyncOccurrenceHandle",
    "AsyncOccurrences",
    "AsyncRetentionService",
    "AsyncSecrets",
    "AsyncSharedTasks",
    "AsyncStore",
    "AsyncTasks",
    "AsyncThoughts",
    "AsyncTransaction",
    "MemoryService",
    "Opening",
    "open_store_async",
]
