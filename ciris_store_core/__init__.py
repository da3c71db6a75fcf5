"""Storage for AI agents: graph memory, tasks, thoughts and telemetry, on the database that the deployer chooses.

Begin with ``open_store``. Further records are in ``ciris_store_core.models``, further errors in
``ciris_store_core.errors``. Each name here is loaded at its first use, so importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aio import (
        AsyncMemoryService,
        AsyncStore,
        open_store_async,
    )
    from .capabilities import (
        Capability,
    )
    from .clock import (
        ManualClock,
    )
    from .contract.hookspecs import (
        CONTRACT_VERSION,
    )
    from .errors import (
        AccessDenied,
        AlreadyExists,
        Conflict,
        Corrupt,
        InvalidArgument,
        LeaseHeld,
        NotFound,
        NotSupported,
        OutcomeUnknown,
        RevisionMismatch,
        SecretDetected,
        StaleFence,
        StoreError,
        Unavailable,
    )
    from .fleet import (
        Fleet,
        open_fleet,
    )
    from .models import (
        DEFAULT_OCCURRENCE,
        SHARED_OCCURRENCE,
        ConfigNodeType,
        Correlation,
        CorrelationType,
        FinalAction,
        GraphEdge,
        GraphNode,
        GraphScope,
        MemoryQuery,
        Metric,
        NodeType,
        Page,
        Task,
        TaskContext,
        TaskOutcome,
        TaskStatus,
        Thought,
        ThoughtStatus,
        ThoughtType,
    )
    from .models.document_filters import (
        field,
    )
    from .models.documents import (
        Document,
    )
    from .models.streams import (
        StreamEntry,
    )
    from .opening import (
        AccessConfig,
        TestSeams,
        open_store,
    )
    from .secrets import (
        KeyRing,
        SecretPattern,
        SecretsConfig,
    )
    from .services import (
        MemoryService,
    )
    from .signing import (
        SigningKey,
    )
    from .store import (
        ANY_OCCURRENCE,
        AuditEvent,
        ClaimedTask,
        OccurrenceHandle,
        RetryPolicy,
        ScopePolicy,
        Store,
        Transaction,
        Upcasters,
        approved,
    )
    from .store.documents.documents import (
        NewDocument,
    )
    from .store.documents.streams import (
        NewEntry,
    )

__all__ = [
    "ANY_OCCURRENCE",
    "CONTRACT_VERSION",
    "DEFAULT_OCCURRENCE",
    "SHARED_OCCURRENCE",
    "AccessConfig",
    "AccessDenied",
    "AlreadyExists",
    "AsyncMemoryService",
    "AsyncStore",
    "AuditEvent",
    "Capability",
    "ClaimedTask",
    "ConfigNodeType",
    "Conflict",
    "Correlation",
    "CorrelationType",
    "Corrupt",
    "Document",
    "FinalAction",
    "Fleet",
    "GraphEdge",
    "GraphNode",
    "GraphScope",
    "InvalidArgument",
    "KeyRing",
    "LeaseHeld",
    "ManualClock",
    "MemoryQuery",
    "MemoryService",
    "Metric",
    "NewDocument",
    "NewEntry",
    "NodeType",
    "NotFound",
    "NotSupported",
    "OccurrenceHandle",
    "OutcomeUnknown",
    "Page",
    "RetryPolicy",
    "RevisionMismatch",
    "ScopePolicy",
    "SecretDetected",
    "SecretPattern",
    "SecretsConfig",
    "SigningKey",
    "StaleFence",
    "Store",
    "StoreError",
    "StreamEntry",
    "Task",
    "TaskContext",
    "TaskOutcome",
    "TaskStatus",
    "TestSeams",
    "Thought",
    "ThoughtStatus",
    "ThoughtType",
    "Transaction",
    "Unavailable",
    "Upcasters",
    "__version__",
    "approved",
    "field",
    "open_fleet",
    "open_store",
    "open_store_async",
]

_HOMES = {
    "ANY_OCCURRENCE": "store",
    "AccessConfig": "opening",
    "AccessDenied": "errors",
    "AlreadyExists": "errors",
    "AsyncMemoryService": "aio",
    "AsyncStore": "aio",
    "AuditEvent": "store",
    "CONTRACT_VERSION": "contract.hookspecs",
    "Capability": "capabilities",
    "ClaimedTask": "store",
    "ConfigNodeType": "models",
    "Conflict": "errors",
    "Correlation": "models",
    "CorrelationType": "models",
    "Corrupt": "errors",
    "DEFAULT_OCCURRENCE": "models",
    "Document": "models.documents",
    "FinalAction": "models",
    "Fleet": "fleet",
    "GraphEdge": "models",
    "GraphNode": "models",
    "GraphScope": "models",
    "InvalidArgument": "errors",
    "KeyRing": "secrets",
    "LeaseHeld": "errors",
    "ManualClock": "clock",
    "MemoryQuery": "models",
    "MemoryService": "services",
    "Metric": "models",
    "NewDocument": "store.documents.documents",
    "NewEntry": "store.documents.streams",
    "NodeType": "models",
    "NotFound": "errors",
    "NotSupported": "errors",
    "OccurrenceHandle": "store",
    "OutcomeUnknown": "errors",
    "Page": "models",
    "RetryPolicy": "store",
    "RevisionMismatch": "errors",
    "SHARED_OCCURRENCE": "models",
    "ScopePolicy": "store",
    "SecretDetected": "errors",
    "SecretPattern": "secrets",
    "SecretsConfig": "secrets",
    "SigningKey": "signing",
    "StaleFence": "errors",
    "Store": "store",
    "StoreError": "errors",
    "StreamEntry": "models.streams",
    "Task": "models",
    "TaskContext": "models",
    "TaskOutcome": "models",
    "TaskStatus": "models",
    "TestSeams": "opening",
    "Thought": "models",
    "ThoughtStatus": "models",
    "ThoughtType": "models",
    "Transaction": "store",
    "Unavailable": "errors",
    "Upcasters": "store",
    "approved": "store",
    "field": "models.document_filters",
    "open_fleet": "fleet",
    "open_store": "opening",
    "open_store_async": "aio",
}
"""Where each public name is defined."""


def __getattr__(name: str) -> Any:
    """Load a public name at its first use."""
    if name == "__version__":
        value: Any = _version()
    elif name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *__all__})


def _version() -> str:
    # The standard library's, as the backport takes three times as long to import.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ciris-store-core")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0+unknown"
