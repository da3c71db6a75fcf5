"""The store for asyncio; ``open_store_async`` opens it.

Every class whose methods wait for the database has an async counterpart here, derived from the class itself.
"""

# Type checkers and editors read __init__.pyi, which `make stubs` generates.

from __future__ import annotations

from ciris_store_core.aio.facade import async_class_of
from ciris_store_core.aio.fleet import AsyncFleet, open_fleet_async
from ciris_store_core.aio.services import service
from ciris_store_core.aio.store import AsyncStore, Opening, open_store_async
from ciris_store_core.services.configuration import AdaptiveConfiguration
from ciris_store_core.services.maintenance import DatabaseMaintenanceService
from ciris_store_core.services.memory import MemoryService
from ciris_store_core.services.retention import RetentionService
from ciris_store_core.store import ClaimedTask, OccurrenceHandle, Transaction
from ciris_store_core.store.access.authorities import Authorities
from ciris_store_core.store.access.secrets import Secrets
from ciris_store_core.store.audit.trail import AuditTrail
from ciris_store_core.store.documents.documents import Documents
from ciris_store_core.store.documents.streams import Streams
from ciris_store_core.store.graph.graph import Graph
from ciris_store_core.store.telemetry.buffered_writer import BufferedWriter
from ciris_store_core.store.telemetry.correlations import Correlations
from ciris_store_core.store.work.coordination import Leases, Occurrences
from ciris_store_core.store.work.shared_tasks import SharedTasks
from ciris_store_core.store.work.tasks import Tasks
from ciris_store_core.store.work.thoughts import Thoughts

AsyncAdaptiveConfiguration = service(AdaptiveConfiguration)
AsyncAuditTrail = async_class_of(AuditTrail)
AsyncAuthorities = async_class_of(Authorities)
AsyncBufferedWriter = async_class_of(BufferedWriter)
AsyncClaimedTask = async_class_of(ClaimedTask)
AsyncCorrelations = async_class_of(Correlations)
AsyncDatabaseMaintenanceService = service(DatabaseMaintenanceService)
AsyncDocuments = async_class_of(Documents)
AsyncGraph = async_class_of(Graph)
AsyncLeases = async_class_of(Leases)
AsyncOccurrenceHandle = async_class_of(OccurrenceHandle)
AsyncOccurrences = async_class_of(Occurrences)
AsyncRetentionService = service(RetentionService)
AsyncSecrets = async_class_of(Secrets)
AsyncSharedTasks = async_class_of(SharedTasks)
AsyncStreams = async_class_of(Streams)
AsyncTasks = async_class_of(Tasks)
AsyncThoughts = async_class_of(Thoughts)
AsyncTransaction = async_class_of(Transaction)
AsyncMemoryService = service(MemoryService)

__all__ = [
    "AsyncAdaptiveConfiguration",
    "AsyncAuditTrail",
    "AsyncAuthorities",
    "AsyncBufferedWriter",
    "AsyncClaimedTask",
    "AsyncCorrelations",
    "AsyncDatabaseMaintenanceService",
    "AsyncDocuments",
    "AsyncFleet",
    "AsyncGraph",
    "AsyncLeases",
    "AsyncMemoryService",
    "AsyncOccurrenceHandle",
    "AsyncOccurrences",
    "AsyncRetentionService",
    "AsyncSecrets",
    "AsyncSharedTasks",
    "AsyncStore",
    "AsyncStreams",
    "AsyncTasks",
    "AsyncThoughts",
    "AsyncTransaction",
    "Opening",
    "open_fleet_async",
    "open_store_async",
]
