"""Sample records: with awkward but valid values, and with every field set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ciris_store_core.conformance.factories import (
    T0,
    access,
    correlation,
    edge,
    entry,
    node,
    occurrence,
    put,
    secret,
    task,
    thought,
)
from ciris_store_core.contract import Session
from ciris_store_core.models import (
    AuditEntry,
    Correlation,
    CorrelationStatus,
    GraphEdge,
    GraphNode,
    GraphScope,
    Occurrence,
    Resolution,
    RetentionPolicy,
    SecretAccess,
    SecretRecord,
    Sensitivity,
    Task,
    TaskStatus,
    Thought,
    ThoughtStatus,
    ThoughtType,
)
from ciris_store_core.models.audit import AuditQuery
from ciris_store_core.models.base import Record
from ciris_store_core.models.paging import PageRequest

FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)
BEFORE_EPOCH = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)

AWKWARD_TEXTS = (
    " ",
    "\u00e9",  # one code point
    "e\u0301",  # the same letter in two
    "\u01c5",
    "\u202e\u200b\ufeff",
    "\U0001f600\U0010fffd",
    "\x01\x1f\x7f",
    "a\nb\r\n\tc\u2028d",
    "'; DROP TABLE tasks;--",
    "a') OR 1=1--",
    "100%_\\",
    "%s %(name)s {} ${x} :name ? $1",
    "NULL",
    "null",
    "0",
    "a\\u0000b",
    "../../x",
    "\"quoted\" 'twice' `thrice`",
)
"""Valid as ids, as free text and as values of tags."""

AWKWARD_KEYS = (
    "a.b", 'a"b', "a\\b", "a'b", "$", "$x", "$.a", "[0]", "0", "*", "a\nb", "\u00e9", "e\u0301", "__proto__",
    "a') OR 1=1--", "{SECRET:x}", "%s", "?", "::text", "\U0001f600", "A", "k" * 255,
)  # fmt: skip
"""Valid as keys of JSON objects and of tags."""


def nested(depth: int) -> dict[str, Any]:
    """Return a JSON object of that many levels, itself included."""
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"deeper": value}
    return value


def awkward_json() -> dict[str, Any]:
    """Return a JSON object, 100 levels deep, with values that conversions often change."""
    return {
        "int": [0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)],
        "float": [0.0, 1.0, -1.0, 0.1, 1e22, 1e300, 5e-324, 1.7976931348623157e308, 2.0**53],
        "other": [True, False, None, "", [], {}, [[]], [None]],
        "text": [*AWKWARD_TEXTS, "1", "1.0", "true"],
        "keys": dict.fromkeys(AWKWARD_KEYS, 1),
        "like": {"$date": "2025-01-01", "__type__": "datetime", "created_at": T0.isoformat()},
        "deep": nested(99),
    }


def awkward_tags() -> dict[str, str]:
    """Return tags with every awkward key and value."""
    return {**dict.fromkeys(AWKWARD_KEYS, "v"), **{f"v{i}": text for i, text in enumerate(AWKWARD_TEXTS)}, "empty": ""}


AWKWARD_TEXT = "".join(AWKWARD_TEXTS)
TEXT_LIST = ["", *AWKWARD_TEXTS]


def full_node() -> GraphNode:
    """Return a node with every field set."""
    return node(
        "full", type="my_own_type_1", scope=GraphScope.COMMUNITY, attributes=awkward_json(), version=2**63 - 1,
        revision=1, created_at=FIRST, updated_by="me", updated_at=LAST, consent_stream="partnered", expires_at=LAST,
        secret_refs=["b", "a"], metadata=awkward_json(),
    )  # fmt: skip


def full_edge() -> GraphEdge:
    """Return an edge with every field set, and further attributes."""
    attributes = {**awkward_json(), "created_at": BEFORE_EPOCH, "context": AWKWARD_TEXT}
    return edge(
        "a", "b", "\u00e9", scope=GraphScope.NETWORK, weight=0.1, attributes=attributes, metadata=awkward_json()
    )


def full_correlation() -> Correlation:
    """Return a correlation with every field set."""
    return correlation(
        "full", correlation_type="my_own_type_1", service_type="\u00e9", handler_name="e\u0301", action_type=" ",
        request_data=_request(), response_data=_response(), status=CorrelationStatus.FAILED,
        agent_occurrence_id="occurrence_1", scope=GraphScope.IDENTITY, created_at=FIRST, updated_at=LAST,
        timestamp=BEFORE_EPOCH, metric_data=_metric(), log_data=_log(), trace_context=_trace(), tags=awkward_tags(),
        retention_policy=RetentionPolicy.DOWNSAMPLED, resolution=Resolution.DAILY, ttl_seconds=2**40,
        parent_correlation_id="parent", child_correlation_ids=["b", "a"], metadata=awkward_json(),
    )  # fmt: skip


def _request() -> dict[str, Any]:
    return {
        "service_type": "", "method_name": AWKWARD_TEXT, "thought_id": "h", "task_id": "t", "channel_id": "channel",
        "parameters": awkward_tags(), "request_timestamp": FIRST, "timeout_seconds": 5e-324,
        "metadata": awkward_json(),
    }  # fmt: skip


def _response() -> dict[str, Any]:
    return {
        "success": False, "result_summary": "", "result_type": AWKWARD_TEXT, "result_size": 2**63 - 1,
        "error_type": "E", "error_message": AWKWARD_TEXT, "error_traceback": "a\nb", "execution_time_ms": 1e300,
        "response_timestamp": LAST, "tokens_used": 0, "memory_bytes": 2**63 - 1, "metadata": awkward_json(),
    }  # fmt: skip


def _metric() -> dict[str, Any]:
    return {
        "metric_name": "a.b", "metric_value": 5e-324, "metric_unit": "", "metric_type": "counter",
        "labels": awkward_tags(), "min_value": -1e300, "max_value": 1e300, "mean_value": 0.1,
        "percentiles": {"p50": 1.0, "p99.9": 1e22}, "sample_count": 2**63 - 1, "sample_sum": 1.0,
        "last_timestamp": LAST, "metadata": awkward_json(),
    }  # fmt: skip


def _log() -> dict[str, Any]:
    return {
        "log_level": "WARNING", "log_message": AWKWARD_TEXT, "logger_name": "l", "module_name": "m",
        "function_name": "f", "line_number": -(2**63), "extra_fields": awkward_json(), "metadata": awkward_json(),
    }  # fmt: skip


def _trace() -> dict[str, Any]:
    return {
        "trace_id": "tr", "span_id": "sp", "span_name": "", "parent_span_id": "pa", "span_kind": "server",
        "baggage": awkward_tags(), "metadata": awkward_json(),
    }  # fmt: skip


def full_task() -> Task:
    """Return a task with every field set."""
    context = {
        "correlation_id": "c", "channel_id": "channel", "user_id": "u", "parent_task_id": "p",
        "agent_occurrence_id": "occurrence_1", "metadata": awkward_json(),
    }  # fmt: skip
    outcome = {
        "status": "", "summary": AWKWARD_TEXT, "actions_taken": TEXT_LIST, "memories_created": [],
        "errors": TEXT_LIST, "metadata": awkward_json(),
    }  # fmt: skip
    return task(
        "full", channel_id="\u00e9", description=AWKWARD_TEXT, agent_occurrence_id="occurrence_1",
        status=TaskStatus.CANCELLED, priority=10, created_at=FIRST, updated_at=LAST, created_by="me",
        parent_task_id="p", context=context, outcome=outcome, signed_by="wa", signature="", signed_at=BEFORE_EPOCH,
        updated_info_available=True, updated_info_content=AWKWARD_TEXT, claimed_by="occurrence_1", claimed_at=FIRST,
        claimed_from="default", fence=2**63 - 2, shared_type="WAKEUP", metadata=awkward_json(),
    )  # fmt: skip


def full_thought() -> Thought:
    """Return a thought with every field set."""
    action = {"action_type": "", "action_params": awkward_json(), "reasoning": AWKWARD_TEXT, "metadata": awkward_json()}
    return thought(
        "full", "no such task", content=AWKWARD_TEXT, agent_occurrence_id="occurrence_1", channel_id="channel",
        thought_type=ThoughtType.ETHICAL_REVIEW, status=ThoughtStatus.REJECTED, created_at=FIRST, updated_at=LAST,
        round_number=2**63 - 1, context=awkward_json(), thought_depth=7, escalation_level=1, retry_count=2**31,
        ponder_notes=TEXT_LIST, parent_thought_id="p", final_action=action, metadata=awkward_json(),
    )  # fmt: skip


def full_occurrence() -> Occurrence:
    """Return an occurrence with every field set."""
    return occurrence("\u00e9", started_at=FIRST, heartbeat_at=BEFORE_EPOCH, expires_at=LAST, metadata=awkward_json())


def full_secret() -> SecretRecord:
    """Return a secret with every field set."""
    return secret(
        "full", description=AWKWARD_TEXT, sensitivity=Sensitivity.CRITICAL, ciphertext=bytes(range(256)),
        detected_by="", created_at=LAST, metadata=awkward_json(),
    )  # fmt: skip


def full_access() -> SecretAccess:
    """Return an entry of the access log with every field set."""
    return access("full", "s", accessor="\u00e9", granted=False, at=FIRST, metadata=awkward_json())


def full_entry() -> AuditEntry:
    """Return an entry of the audit trail with every field set."""
    return entry(
        7, "\u00e9", at=LAST, payload=awkward_json(), previous_hash="", entry_hash=AWKWARD_TEXT, signature="",
        signing_key_id="k", metadata=awkward_json(),
    )  # fmt: skip


@dataclass(frozen=True)
class RecordKind:
    """Kind of record: samples, and functions that write and read one in a session."""

    name: str
    samples: tuple[Callable[[], Record], ...]
    """One with the defaults of optional fields, and one with every field set."""
    save: Callable[[Session, Any], object]
    load: Callable[[Session, Any], list[Any]]


def _save_edge(session: Session, record: GraphEdge) -> None:
    session.graph.put_nodes([put(node(id, scope=record.scope)) for id in (record.source, record.target)], T0)
    session.graph.put_edges([record])


RECORD_KINDS = (
    RecordKind(
        "node",
        (lambda: node(revision=1), full_node),
        lambda session, record: session.graph.put_nodes([put(record, "insert")], T0),
        lambda session, record: session.graph.get_nodes([record.key], None),
    ),
    RecordKind("edge", (edge, full_edge), _save_edge, lambda session, record: session.graph.get_edges([record.key])),
    RecordKind(
        "correlation",
        (correlation, full_correlation),
        lambda session, record: session.correlations.add([record]),
        lambda session, record: session.correlations.get([record.correlation_id]),
    ),
    RecordKind(
        "task",
        (task, full_task),
        lambda session, record: session.tasks.add([record]),
        lambda session, record: session.tasks.get([record.task_id], None),
    ),
    RecordKind(
        "thought",
        (thought, full_thought),
        lambda session, record: session.thoughts.add([record]),
        lambda session, record: session.thoughts.get([record.thought_id], None),
    ),
    RecordKind(
        "occurrence",
        (occurrence, full_occurrence),
        lambda session, record: session.coordination.put_occurrence(record),
        lambda session, record: session.coordination.list_occurrences(None),
    ),
    RecordKind(
        "secret",
        (secret, full_secret),
        lambda session, record: session.secrets.add([record]),
        lambda session, record: session.secrets.get([record.secret_id]),
    ),
    RecordKind(
        "access",
        (access, full_access),
        lambda session, record: session.secrets.log_access([record]),
        lambda session, record: session.secrets.list_access(PageRequest(), record.secret_id).items,
    ),
    RecordKind(
        "audit",
        (entry, full_entry),
        lambda session, record: session.audit.append([record]),
        lambda session, record: session.audit.find(AuditQuery(chain=record.chain)).items,
    ),
)

TEXT_FIELDS = frozenset({
    "description", "content", "signature", "updated_info_content", "summary", "status", "actions_taken",
    "memories_created", "errors", "reasoning", "ponder_notes", "action_type", "service_type", "method_name",
    "result_summary", "result_type", "error_type", "error_message", "error_traceback", "metric_unit", "metric_type",
    "log_message", "logger_name", "module_name", "function_name", "span_name", "span_kind", "detected_by",
    "previous_hash", "entry_hash", "context",
})  # fmt: skip
"""Fields of unbounded text, in records of any kind."""
NAME_FIELDS = frozenset({
    "updated_by", "consent_stream", "channel_id", "created_by", "parent_task_id", "signed_by", "claimed_by",
    "claimed_from", "shared_type", "parent_thought_id", "parent_correlation_id", "user_id", "trace_id", "span_id",
    "parent_span_id", "task_id", "thought_id", "correlation_id", "signing_key_id", "event_type", "actor", "accessor",
    "action", "key_id", "handler_name", "service_type", "action_type", "agent_occurrence_id", "metric_name",
    "log_level", "source_task_id",
})  # fmt: skip
"""Fields of ids and names, up to 255 bytes; keys of a record among them."""


def retold(record: Any, text: str, *, names: bool = True) -> Any:
    """Return a copy of a record with the text in all of its texts and JSON, and in its names if it fits into them."""
    changed = {name: _retold(record, name, item, text, names) for name, item in record}
    copy = record.replaced(**{name: changed[name] for name in type(record).model_fields})
    if record.__pydantic_extra__:
        object.__setattr__(copy, "__pydantic_extra__", {**record.__pydantic_extra__, "more": text})
    return copy


def _retold(record: Any, name: str, item: Any, text: str, names: bool) -> Any:
    if isinstance(item, Record):
        return retold(item, text, names=names)
    if isinstance(item, dict) and name != "percentiles":
        return {**item, "more": text}
    # A correlation's own types are names, which those of its request are not.
    bounded = name in NAME_FIELDS and (name not in TEXT_FIELDS or isinstance(record, Correlation))
    if type(item) is str and bounded:
        return text if names and 0 < len(text.encode()) <= 255 else item
    if type(item) is str and name in TEXT_FIELDS:
        return text
    if isinstance(item, list) and name in TEXT_FIELDS:
        return [text, "", text]
    return item
