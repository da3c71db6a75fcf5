"""Conversion of correlation and feedback rows to correlations."""

from __future__ import annotations

import json
from typing import Any

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.importer.engine_row import EngineRow, open_name, parse_time
from ciris_store_core.models.correlations import (
    Correlation,
    LogData,
    MetricData,
    ServiceRequest,
    ServiceResponse,
    TraceContext,
)
from ciris_store_core.models.enums import CorrelationStatus, CorrelationType, RetentionPolicy
from ciris_store_core.models.tasks import DEFAULT_OCCURRENCE
from ciris_store_core.persistence.requests import to_response

FEEDBACK = "feedback_mapping"
"""The type of the correlations that feedback mappings become."""

_STATUSES = {
    "success": CorrelationStatus.COMPLETED,
    "ok": CorrelationStatus.COMPLETED,
    "error": CorrelationStatus.FAILED,
    "failure": CorrelationStatus.FAILED,
}
_LINKS = ("thought_id", "task_id", "channel_id")


def correlation(row: EngineRow) -> Correlation:
    """Return a correlation with its metric, log or trace data."""
    names = {name: row.required(name, "unknown") for name in ("service_type", "handler_name", "action_type")}
    times = row.times("created_at", "updated_at")
    status = row.choice("status", CorrelationStatus, CorrelationStatus.PENDING, _STATUSES)
    kind, tags = open_name(row, "correlation_type", CorrelationType.SERVICE_INTERACTION.value), _tags(row)
    fields: dict[str, Any] = {
        "correlation_id": row.required("correlation_id"),
        "correlation_type": kind,
        **names,
        "request_data": _request(row, names, times["created_at"]),
        "response_data": _response(row, status, times["updated_at"]),
        "status": status,
        "agent_occurrence_id": row.text("agent_occurrence_id") or DEFAULT_OCCURRENCE,
        **times,
        "timestamp": row.time("timestamp") or times["created_at"],
        "metric_data": _metric(row),
        "log_data": _log(row, kind, tags),
        "trace_context": _trace(row, names["action_type"]),
        "tags": tags,
        "retention_policy": row.choice("retention_policy", RetentionPolicy, RetentionPolicy.RAW),
    }
    return Correlation(**fields, metadata=row.metadata())


def feedback(row: EngineRow) -> Correlation:
    """Return a feedback mapping: a correlation of type ``feedback_mapping`` about the thought that it rates."""
    created = row.times("created_at")["created_at"]
    facts = {name: row.text(name) for name in ("source_message_id", "feedback_type")}
    request = ServiceRequest(
        service_type="feedback",
        method_name="map_feedback",
        thought_id=row.text("target_thought_id") or None,
        parameters={name: value for name, value in facts.items() if value},
        request_timestamp=created,
    )
    return Correlation(
        correlation_id=f"feedback:{row.required('feedback_id')}",
        correlation_type=FEEDBACK,
        service_type="feedback",
        handler_name="import-ciris",
        action_type="map_feedback",
        request_data=request,
        status=CorrelationStatus.COMPLETED,
        created_at=created,
        updated_at=created,
        timestamp=created,
        metadata=row.metadata(),
    )


# --- parts ------------------------------------------------------------------------------------


def _tags(row: EngineRow) -> dict[str, str]:
    given = row.json_object("tags") or {}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items() if key}


def _request(row: EngineRow, names: dict[str, str], created: Any) -> ServiceRequest | None:
    given = row.json_object("request_data")
    if not given:
        return None
    links = {name: str(given.pop(name)) for name in _LINKS if given.get(name) not in (None, "")}
    parameters = given.pop("parameters", None)
    if not isinstance(parameters, dict):
        parameters = {} if parameters is None else {"value": parameters}
    timeout = given.pop("timeout_seconds", None)
    return ServiceRequest(
        service_type=_named(given.pop("service_type", None)) or names["service_type"],
        method_name=_named(given.pop("method_name", None)) or names["action_type"],
        **links,
        parameters={key: value if isinstance(value, str) else json.dumps(value) for key, value in parameters.items()},
        request_timestamp=parse_time(given.pop("request_timestamp", None)) or created,
        timeout_seconds=float(timeout) if isinstance(timeout, int | float) else None,
        metadata={name: value for name, value in given.items() if name not in _LINKS and value is not None},
    )


def _named(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _response(row: EngineRow, status: CorrelationStatus, updated: Any) -> ServiceResponse | None:
    given = row.json_object("response_data")
    if not given:
        return None
    at = parse_time(given.pop("response_timestamp", None)) or updated
    try:
        response = to_response(given, success=status != CorrelationStatus.FAILED)
    except InvalidArgument as error:
        row.fixed("response_data", f"kept apart ({error})", given)
        return None
    return response.replaced(response_timestamp=at)


def _metric(row: EngineRow) -> MetricData | None:
    name, value = row.text("metric_name"), row.number("metric_value")
    if not name:
        return None
    if value is None:
        row.fixed("metric_name", "a metric without a value, kept apart", name)
        return None
    return MetricData(metric_name=name, metric_value=value)


def _log(row: EngineRow, kind: str, tags: dict[str, str]) -> LogData | None:
    # The engine has no column for the message, but keeps it among the tags.
    level = row.text("log_level")
    if not level and kind != CorrelationType.LOG_ENTRY:
        return None
    if not level:
        level = "INFO"
        row.fixed("log_level", "empty, became INFO")
    return LogData(log_level=level, log_message=tags.get("message", ""))


def _trace(row: EngineRow, action: str) -> TraceContext | None:
    trace = row.text("trace_id")
    if not trace:
        return None
    span = row.text("span_id")
    if not span:
        span = row.required("correlation_id")
        row.fixed("span_id", "empty, became the correlation's id")
    return TraceContext(
        trace_id=trace, span_id=span, span_name=action, parent_span_id=row.text("parent_span_id") or None
    )
