"""Filters and sort orders of listings over records in Python: the reference for the conditions that SQL backends send.

A filter reads the fields of one record. The backend tests conditions on other records, such as a dead owner, a missing
parent or an expired end of an edge.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ciris_store_core.models.audit import AuditEntry, AuditQuery
from ciris_store_core.models.correlations import Correlation, CorrelationFilter
from ciris_store_core.models.document_filters import matches
from ciris_store_core.models.documents import (
    DocumentKey,
    DocumentOrder,
    DocumentQuery,
    Namespace,
    NamespaceQuery,
    StoredDocument,
)
from ciris_store_core.models.graph import EdgeQuery, GraphEdge, GraphNode, NodeQuery
from ciris_store_core.models.paging import SortKey
from ciris_store_core.models.paths import index_key, path_of
from ciris_store_core.models.streams import StreamInfo, StreamKey, StreamQuery
from ciris_store_core.models.tasks import Task, TaskOrder, TaskQuery
from ciris_store_core.models.thoughts import Thought, ThoughtOrder, ThoughtQuery

# --- times ------------------------------------------------------------------------------------


def has_expired(record: GraphNode | Correlation | StoredDocument, now: datetime | None) -> bool:
    """Return whether the record expired by ``now``; False for None."""
    return now is not None and record.expires_at is not None and record.expires_at <= now


def is_within(moment: datetime, low: datetime | None, high: datetime | None) -> bool:
    """Return whether the moment lies between the bounds, both inclusive; None is no bound."""
    return (low is None or low <= moment) and (high is None or moment <= high)


def changed_at(node: GraphNode) -> datetime:
    """Return the time by which nodes are listed: that of the last write, else that of the creation."""
    return node.updated_at or node.created_at


# --- filters ----------------------------------------------------------------------------------


def node_matches(node: GraphNode, query: NodeQuery) -> bool:
    """Return whether a node passes the filter."""
    return (
        query.scope in (None, node.scope)
        and query.type in (None, node.type)
        and node.id.startswith(query.id_prefix or "")
        and is_within(changed_at(node), query.updated_from, query.updated_to)
        and not has_expired(node, query.now)
        and all(
            name in node.attributes and scalars_equal(node.attributes[name], value) for name, value in query.attributes
        )
    )


def scalars_equal(stored: Any, wanted: Any) -> bool:
    """Return whether JSON scalars are equal: 1 equals 1.0, True does not equal 1."""
    return isinstance(stored, bool) == isinstance(wanted, bool) and bool(stored == wanted)


def edge_matches(edge: GraphEdge, query: EdgeQuery) -> bool:
    """Return whether an edge passes the filter, ``query.now`` aside: only its nodes know whether they expired."""
    return (
        query.scope in (None, edge.scope)
        and query.source in (None, edge.source)
        and query.target in (None, edge.target)
        and query.relationship in (None, edge.relationship)
    )


def correlation_matches(row: Correlation, where: CorrelationFilter) -> bool:
    """Return whether a correlation passes the filter."""
    return _kind_matches(row, where) and _time_matches(row, where) and _content_matches(row, where)


def _kind_matches(row: Correlation, where: CorrelationFilter) -> bool:
    return (
        (not where.types or row.correlation_type in where.types)
        and where.occurrence_id in (None, row.agent_occurrence_id)
        and where.scope in (None, row.scope)
        and where.action_type in (None, row.action_type)
        and where.service_type in (None, row.service_type)
        and where.status in (None, row.status)
        and where.parent_correlation_id in (None, row.parent_correlation_id)
        and (not where.resolutions or row.resolution in where.resolutions)
        and (not where.retention_policies or row.retention_policy in where.retention_policies)
    )


def _time_matches(row: Correlation, where: CorrelationFilter) -> bool:
    excluded = where.time_to_exclusive and row.timestamp == where.time_to
    return is_within(row.timestamp, where.time_from, where.time_to) and not excluded and not has_expired(row, where.now)


def _content_matches(row: Correlation, where: CorrelationFilter) -> bool:
    request, trace = row.request_data, row.trace_context
    return (
        (not where.metric_names or row.metric_name in where.metric_names)
        and (not where.log_levels or row.log_level in where.log_levels)
        and all(row.tags.get(name) == value for name, value in where.tags)
        and where.task_id in (None, request and request.task_id)
        and where.thought_id in (None, request and request.thought_id)
        and where.channel_id in (None, request and request.channel_id)
        and where.trace_id in (None, trace and trace.trace_id)
    )


def task_matches(task: Task, query: TaskQuery) -> bool:
    """Return whether a task passes the filter; ``orphaned``, ``owner_dead_at`` and ``needs_seed_thought`` aside."""
    return (
        query.occurrence_id in (None, task.agent_occurrence_id)
        and (not query.statuses or task.status in query.statuses)
        and query.channel_id in (None, task.channel_id)
        and query.parent_task_id in (None, task.parent_task_id)
        and query.shared_type in (None, task.shared_type)
        and (not query.only_shared or task.shared_type is not None)
        and query.correlation_id in (None, task.context and task.context.correlation_id)
        and is_within(task.created_at, query.created_from, None)
        and is_within(task.updated_at, None, query.updated_to)
    )


def thought_matches(thought: Thought, query: ThoughtQuery) -> bool:
    """Return whether a thought passes the filter; ``of_active_tasks``, ``orphaned`` and ``owner_dead_at`` aside."""
    return (
        query.occurrence_id in (None, thought.agent_occurrence_id)
        and (not query.statuses or thought.status in query.statuses)
        and query.source_task_id in (None, thought.source_task_id)
        and query.parent_thought_id in (None, thought.parent_thought_id)
        and (not query.thought_types or thought.thought_type in query.thought_types)
        and is_within(thought.created_at, query.created_from, None)
        and is_within(thought.updated_at, None, query.updated_to)
    )


def audit_entry_matches(entry: AuditEntry, query: AuditQuery) -> bool:
    """Return whether an audit entry passes the filter."""
    return query.chain in (None, entry.chain)


def document_matches(document: StoredDocument, query: DocumentQuery) -> bool:
    """Return whether a document passes the filter."""
    return (
        document.namespace[: len(query.prefix)] == query.prefix
        and document.key.startswith(query.key_prefix or "")
        and not has_expired(document, query.now)
        and (query.updated_from is None or document.updated_at >= query.updated_from)
        and _value_matches(document, query)
    )


def _value_matches(document: StoredDocument, query: DocumentQuery) -> bool:
    if query.filter is None:
        return True
    text = document.payload.filtered_text
    return text is not None and matches(query.filter, json.loads(text))


def namespace_matches(namespace: Namespace, query: NamespaceQuery) -> bool:
    """Return whether a namespace, not shortened yet, begins and ends as the query says."""
    beginning, end = len(query.prefix), len(namespace) - len(query.suffix)
    return (
        end >= 0
        and _segments_match(namespace[:beginning], query.prefix)
        and _segments_match(namespace[end:], query.suffix)
    )


def _segments_match(segments: Namespace, pattern: Sequence[str | None]) -> bool:
    return len(segments) == len(pattern) and all(
        wanted in (None, segment) for segment, wanted in zip(segments, pattern, strict=True)
    )


def stream_matches(info: StreamInfo, query: StreamQuery) -> bool:
    """Return whether a stream passes the filter."""
    return (
        info.namespace[: len(query.prefix)] == query.prefix
        and info.name.startswith(query.name_prefix or "")
        and (query.updated_from is None or info.updated_at >= query.updated_from)
    )


# --- orders -----------------------------------------------------------------------------------

TASK_ORDERS: Mapping[TaskOrder, tuple[Callable[[Task], SortKey], tuple[bool, ...]]] = {
    "created": (lambda task: (task.created_at, task.task_id), (False, False)),
    "priority": (lambda task: (task.priority, task.created_at, task.task_id), (True, False, False)),
    "updated_desc": (lambda task: (task.updated_at, task.task_id), (True, False)),
}
"""The sort key of each order of tasks, and which of its columns descend."""

THOUGHT_ORDERS: Mapping[ThoughtOrder, tuple[Callable[[Thought], SortKey], tuple[bool, ...]]] = {
    "created": (lambda thought: (thought.created_at, thought.thought_id), (False, False)),
    "updated_desc": (lambda thought: (thought.updated_at, thought.thought_id), (True, False)),
}
"""The sort key of each order of thoughts, and which of its columns descend."""


def node_sort_key(node: GraphNode) -> SortKey:
    """Return the sort key of a node, whose first column descends."""
    return (changed_at(node), node.id, str(node.scope))


def edge_sort_key(edge: GraphEdge) -> SortKey:
    """Return the sort key of an edge, which ascends."""
    return (str(edge.scope), edge.source, edge.target, edge.relationship)


def correlation_sort_key(row: Correlation) -> SortKey:
    """Return the sort key of a correlation, which ascends or descends as the query says."""
    return (row.timestamp, row.correlation_id)


def claim_sort_key(task: Task) -> SortKey:
    """Return the ascending sort key of claimed tasks; a task whose claim has no time is as old as the task."""
    return (task.claimed_at or task.created_at, task.task_id)


def path_sort_key(key: DocumentKey | StreamKey) -> tuple[str, str]:
    """Return the sort key of a document or stream, as its key orders it: path and key, or path and name."""
    namespace, name = key
    return index_key(path_of(namespace)), index_key(name)


DOCUMENT_ORDERS: Mapping[DocumentOrder, Callable[[StoredDocument], SortKey]] = {
    "key": lambda document: path_sort_key(document.id),
    "created": lambda document: (document.created_at, *path_sort_key(document.id)),
    "updated": lambda document: (document.updated_at, *path_sort_key(document.id)),
}
"""The sort key of each order of documents, which ascends or descends as the query says."""


def stream_sort_key(info: StreamInfo, query: StreamQuery) -> SortKey:
    """Return the sort key of a stream in the order of the query, which ascends or descends as the query says."""
    key = path_sort_key(StreamKey(info.namespace, info.name))
    return (info.updated_at, *key) if query.order == "updated" else key
