"""Names that a printed script uses. Such a script begins with ``from ... import *`` of this module."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from ciris_store_core.conformance.backend_pair import Pair, Stop, compare, replay
from ciris_store_core.conformance.factories import (
    T0,
    access,
    anchor,
    at,
    correlation,
    edge,
    entry,
    lease,
    metric,
    node,
    occurrence,
    put,
    secret,
    task,
    thought,
)
from ciris_store_core.conformance.filter_cases import cleaned
from ciris_store_core.conformance.payload_samples import (
    PAYLOADS,
    RESTORED,
    RESTORED_ENTRIES,
    ciphertext,
    document,
    stream_entry,
    write,
)
from ciris_store_core.conformance.support import pages
from ciris_store_core.contract import ThoughtSelector
from ciris_store_core.models import (
    CorrelationStatus,
    Direction,
    GraphScope,
    Resolution,
    RetentionPolicy,
    Sensitivity,
    TaskStatus,
    ThoughtStatus,
    ThoughtType,
)
from ciris_store_core.models.audit import AuditQuery
from ciris_store_core.models.correlations import (
    AggregateQuery,
    CorrelationFilter,
    CorrelationQuery,
    Metric,
    PercentileQuery,
)
from ciris_store_core.models.document_filters import field
from ciris_store_core.models.documents import DocumentKey, DocumentQuery, NamespaceQuery
from ciris_store_core.models.graph import EdgeKey, EdgeQuery, NodeKey, NodeQuery, SearchQuery, Traversal
from ciris_store_core.models.paging import PageRequest
from ciris_store_core.models.streams import EntryQuery, StreamKey, StreamQuery
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery

__all__ = [
    "PAYLOADS",
    "RESTORED",
    "RESTORED_ENTRIES",
    "T0",
    "AggregateQuery",
    "AuditQuery",
    "CorrelationFilter",
    "CorrelationQuery",
    "CorrelationStatus",
    "Direction",
    "DocumentKey",
    "DocumentQuery",
    "EdgeKey",
    "EdgeQuery",
    "EntryQuery",
    "GraphScope",
    "Metric",
    "NamespaceQuery",
    "NodeKey",
    "NodeQuery",
    "PageRequest",
    "Pair",
    "PercentileQuery",
    "Resolution",
    "RetentionPolicy",
    "SearchQuery",
    "Sensitivity",
    "Stop",
    "StreamKey",
    "StreamQuery",
    "TaskQuery",
    "TaskStatus",
    "ThoughtQuery",
    "ThoughtSelector",
    "ThoughtStatus",
    "ThoughtType",
    "Traversal",
    "access",
    "anchor",
    "at",
    "ciphertext",
    "cleaned",
    "compare",
    "correlation",
    "document",
    "edge",
    "entry",
    "field",
    "lease",
    "metric",
    "node",
    "occurrence",
    "pages",
    "put",
    "replace",
    "replay",
    "secret",
    "stream_entry",
    "suppress",
    "task",
    "thought",
    "timedelta",
    "write",
]
