"""Records, enums, queries and pages."""

from .audit import AuditAnchor, AuditCheckpoint, AuditEntry, ChainHead
from .coordination import Lease, Occurrence
from .correlations import (
    AggregatePoint,
    Correlation,
    LogData,
    Metric,
    MetricData,
    ServiceCorrelation,
    ServiceRequest,
    ServiceResponse,
    TimeSeriesDataPoint,
    TraceContext,
)
from .enums import (
    ConfigNodeType,
    CorrelationStatus,
    CorrelationType,
    Direction,
    GraphScope,
    NodeType,
    OpStatus,
    Resolution,
    RetentionPolicy,
    TaskStatus,
    ThoughtStatus,
    ThoughtType,
)
from .graph import Degree, EdgeAttributes, EdgeKey, GraphEdge, GraphNode, NodeKey, SearchHit, Subgraph, TraversalResult
from .ids import uuid7
from .memory import MemoryOpResult, MemoryQuery
from .paging import Page, Unreadable
from .secrets import SecretAccess, SecretRecord, Sensitivity
from .tasks import DEFAULT_OCCURRENCE, SHARED_OCCURRENCE, Task, TaskContext, TaskOutcome
from .thoughts import FinalAction, Thought

__all__ = [
    "DEFAULT_OCCURRENCE",
    "SHARED_OCCURRENCE",
    "AggregatePoint",
    "AuditAnchor",
    "AuditCheckpoint",
    "AuditEntry",
    "ChainHead",
    "ConfigNodeType",
    "Correlation",
    "CorrelationStatus",
    "CorrelationType",
    "Degree",
    "Direction",
    "EdgeAttributes",
    "EdgeKey",
    "FinalAction",
    "GraphEdge",
    "GraphNode",
    "GraphScope",
    "Lease",
    "LogData",
    "MemoryOpResult",
    "MemoryQuery",
    "Metric",
    "MetricData",
    "NodeKey",
    "NodeType",
    "Occurrence",
    "OpStatus",
    "Page",
    "Resolution",
    "RetentionPolicy",
    "SearchHit",
    "SecretAccess",
    "SecretRecord",
    "Sensitivity",
    "ServiceCorrelation",
    "ServiceRequest",
    "ServiceResponse",
    "Subgraph",
    "Task",
    "TaskContext",
    "TaskOutcome",
    "TaskStatus",
    "Thought",
    "ThoughtStatus",
    "ThoughtType",
    "TimeSeriesDataPoint",
    "TraceContext",
    "TraversalResult",
    "Unreadable",
    "uuid7",
]
