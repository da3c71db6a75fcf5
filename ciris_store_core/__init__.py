"""A pluggable store for AI agents: graph memory, tasks, thoughts and telemetry, on the database you choose.

Begin with ``open_store``. Every name here is loaded when it is first used, so importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ciris_store_core.aio import AsyncMemoryService, AsyncStore, open_store_async
    from ciris_store_core.capabilities import Capability
    from ciris_store_core.clock import Clock, ManualClock, SystemClock
    from ciris_store_core.contract.hookspecs import CONTRACT_VERSION
    from ciris_store_core.contract.registry import Registry
    from ciris_store_core.errors import (
        AccessDenied,
        Conflict,
        Corrupt,
        DatabaseError,
        IncompatibleSchema,
        InvalidArgument,
        InvalidURL,
        MigrationRequired,
        NotADatabase,
        NotFound,
        NotSupported,
        OutcomeUnknown,
        PluginError,
        PoolTimeout,
        ReadOnly,
        SecretDetected,
        SecretKeyError,
        StaleFence,
        StorageFull,
        StoreClosed,
        StoreError,
        TransactionError,
        Unavailable,
        UnknownScheme,
        UpcastError,
    )
    from ciris_store_core.models import (
        DEFAULT_OCCURRENCE,
        SHARED_OCCURRENCE,
        AggregatePoint,
        AuditAnchor,
        AuditCheckpoint,
        AuditEntry,
        ChainHead,
        ChannelConfig,
        ConfigNodeType,
        Configuration,
        Correlation,
        CorrelationStatus,
        CorrelationType,
        CorruptRow,
        Degree,
        Direction,
        EdgeAttributes,
        EdgeKey,
        FilterConfig,
        FinalAction,
        GraphEdge,
        GraphNode,
        GraphScope,
        Lease,
        LogData,
        MemoryOpResult,
        MemoryQuery,
        Metric,
        MetricData,
        NodeKey,
        NodeType,
        Occurrence,
        OldTemplate,
        OpStatus,
        Page,
        Recall,
        Resolution,
        ResponseTemplates,
        RetentionPolicy,
        SearchHit,
        SecretAccess,
        SecretInfo,
        SecretRecord,
        Sensitivity,
        ServiceCorrelation,
        ServiceRequest,
        ServiceResponse,
        Subgraph,
        Task,
        TaskContext,
        TaskOutcome,
        TaskStatus,
        Thought,
        ThoughtStatus,
        ThoughtType,
        TimeSeriesDataPoint,
        ToolPreferences,
        TraceContext,
        TraversalResult,
        TSDBGraphNode,
        UserTracking,
        uuid7,
    )
    from ciris_store_core.secrets import KeyRing, SecretPattern, SecretsConfig
    from ciris_store_core.signing import SigningKey
    from ciris_store_core.store import (
        ANY_OCCURRENCE,
        Access,
        Approval,
        ApprovalRequest,
        AuditEvent,
        AuditProblem,
        AuditReport,
        Authority,
        ClaimedTask,
        OccurrenceHandle,
        RetryPolicy,
        ScopePolicy,
        Store,
        TraceNode,
        Transaction,
        Upcasters,
        approved,
        open_store,
    )

    __version__: str

__all__ = [
    "ANY_OCCURRENCE",
    "CONTRACT_VERSION",
    "DEFAULT_OCCURRENCE",
    "SHARED_OCCURRENCE",
    "Access",
    "AccessDenied",
    "AggregatePoint",
    "Approval",
    "ApprovalRequest",
    "AsyncMemoryService",
    "AsyncStore",
    "AuditAnchor",
    "AuditCheckpoint",
    "AuditEntry",
    "AuditEvent",
    "AuditProblem",
    "AuditReport",
    "Authority",
    "Capability",
    "ChainHead",
    "ChannelConfig",
    "ClaimedTask",
    "Clock",
    "ConfigNodeType",
    "Configuration",
    "Conflict",
    "Correlation",
    "CorrelationStatus",
    "CorrelationType",
    "Corrupt",
    "CorruptRow",
    "DatabaseError",
    "Degree",
    "Direction",
    "EdgeAttributes",
    "EdgeKey",
    "FilterConfig",
    "FinalAction",
    "GraphEdge",
    "GraphNode",
    "GraphScope",
    "IncompatibleSchema",
    "InvalidArgument",
    "InvalidURL",
    "KeyRing",
    "Lease",
    "LogData",
    "ManualClock",
    "MemoryOpResult",
    "MemoryQuery",
    "Metric",
    "MetricData",
    "MigrationRequired",
    "NodeKey",
    "NodeType",
    "NotADatabase",
    "NotFound",
    "NotSupported",
    "Occurrence",
    "OccurrenceHandle",
    "OldTemplate",
    "OpStatus",
    "OutcomeUnknown",
    "Page",
    "PluginError",
    "PoolTimeout",
    "ReadOnly",
    "Recall",
    "Registry",
    "Resolution",
    "ResponseTemplates",
    "RetentionPolicy",
    "RetryPolicy",
    "ScopePolicy",
    "SearchHit",
    "SecretAccess",
    "SecretDetected",
    "SecretInfo",
    "SecretKeyError",
    "SecretPattern",
    "SecretRecord",
    "SecretsConfig",
    "Sensitivity",
    "ServiceCorrelation",
    "ServiceRequest",
    "ServiceResponse",
    "SigningKey",
    "StaleFence",
    "StorageFull",
    "Store",
    "StoreClosed",
    "StoreError",
    "Subgraph",
    "SystemClock",
    "TSDBGraphNode",
    "Task",
    "TaskContext",
    "TaskOutcome",
    "TaskStatus",
    "Thought",
    "ThoughtStatus",
    "ThoughtType",
    "TimeSeriesDataPoint",
    "ToolPreferences",
    "TraceContext",
    "TraceNode",
    "Transaction",
    "TransactionError",
    "TraversalResult",
    "Unavailable",
    "UnknownScheme",
    "UpcastError",
    "Upcasters",
    "UserTracking",
    "__version__",
    "approved",
    "open_store",
    "open_store_async",
    "uuid7",
]

# Where the names come from, the cheapest to load first.
_HOMES = ("errors", "capabilities", "clock", "models", "hookspecs", "signing", "registry", "secrets", "api", "aio")


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = _version() if name == "__version__" else _find(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """All public names, loaded or not."""
    return sorted({*globals(), *__all__})


def _find(name: str) -> Any:
    homes = (vars(import_module(f"{__name__}.{home}")) for home in _HOMES)
    return next(home[name] for home in homes if name in home)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ciris-store-core")
    except PackageNotFoundError:
        return "0+unknown"  # Run from a source tree that was never installed.
