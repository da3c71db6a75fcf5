"""Rows that the raw contenders and the ORM write: the columns of the store's own tables, row by row."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from benchmarks import values

TASK_COLUMNS = (
    "task_id", "channel_id", "description", "agent_occurrence_id", "status", "priority", "created_at", "updated_at",
    "created_by", "parent_task_id", "context", "outcome", "signed_by", "signature", "signed_at",
    "updated_info_available", "updated_info_content", "claimed_by", "claimed_at", "claimed_from", "fence",
    "shared_type", "metadata",
)  # fmt: skip
NEW_TASK = (
    "task_id", "channel_id", "description", "agent_occurrence_id", "status", "priority", "created_at", "updated_at",
    "context", "updated_info_available", "fence", "metadata", "correlation_id",
)  # fmt: skip
NODE_COLUMNS = (
    "id", "scope", "type", "attributes", "version", "revision", "created_at", "updated_by", "updated_at",
    "consent_stream", "expires_at", "secret_refs", "metadata",
)  # fmt: skip
NEW_NODE = (
    "id", "scope", "type", "attributes", "version", "revision", "created_at", "updated_at", "consent_stream",
)  # fmt: skip
METRIC_COLUMNS = (
    "correlation_id", "correlation_type", "service_type", "handler_name", "action_type", "request_data",
    "response_data", "status", "agent_occurrence_id", "scope", "created_at", "updated_at", "timestamp", "metric_name",
    "metric_value", "metric_unit", "metric_data", "min_value", "max_value", "sample_count", "sample_sum",
    "last_timestamp", "log_level", "log_message", "log_data", "trace_id", "trace_context", "tags", "retention_policy",
    "resolution", "ttl_seconds", "parent_correlation_id", "child_correlation_ids", "metadata",
)  # fmt: skip
NEW_METRIC = (
    "correlation_id", "correlation_type", "service_type", "handler_name", "action_type", "status",
    "agent_occurrence_id", "scope", "created_at", "updated_at", "timestamp", "metric_name", "metric_value", "tags",
    "retention_policy", "resolution",
)  # fmt: skip
POINT_COLUMNS = (
    "timestamp", "metric_name", "metric_value", "correlation_type", "tags", "service_type", "resolution",
)  # fmt: skip


def insert(table: str, columns: tuple[str, ...], placeholder: str) -> str:
    """An INSERT of one row."""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join([placeholder] * len(columns))})"


def task_row(number: int, now: Any, no: Any) -> tuple[Any, ...]:
    """Values of ``NEW_TASK``. ``now`` and ``no`` (false) are as the database keeps them."""
    context, metadata = json.dumps(values.task_context(number)), json.dumps(values.task_metadata(number))
    return (
        f"new-{number}", "channel-1", values.description(number), "default", "completed", number % 11, now, now,
        context, no, 0, metadata, f"request-{number}",
    )  # fmt: skip


def node_row(key: str, attributes: dict[str, Any], now: Any) -> tuple[Any, ...]:
    """Values of ``NEW_NODE``."""
    return (key, "local", "concept", json.dumps(attributes), 1, 1, now, now, "temporary")


def metric_row(key: str, number: int, now: Any) -> tuple[Any, ...]:
    """Values of ``NEW_METRIC``."""
    return (
        key, "metric_datapoint", "llm", "bench", "record_metric", "pending", "default", "local", now, now, now,
        f"new_{number % values.SERIES}", values.metric_value(number), json.dumps(values.metric_tags(number)),
        "raw", "raw",
    )  # fmt: skip


def update_key(number: int, size: int) -> str:
    """A completed task of a filled store."""
    return values.filled_key("task", values.chosen(number, size // 2) * 2 + 1)


def task_key(number: int, size: int) -> str:
    """Any task of a filled store."""
    return values.filled_key("task", values.chosen(number, size))


def node_key(number: int, size: int) -> str:
    """Any node of a filled store."""
    return values.filled_key("node", values.chosen(number, size))


def point_key(number: int, size: int) -> str:
    """Any metric of a filled store."""
    return values.filled_key("point", values.chosen(number, size))


class StaleType(Exception):
    """A node of another type is stored."""


def as_copy(rows: list[tuple[Any, ...]]) -> str:
    """The text format of COPY; none of the values here needs escaping but the backslashes of JSON."""
    return "".join("\t".join([_copied(value) for value in row]) + "\n" for row in rows)


def _copied(value: Any) -> str:
    if type(value) is str:
        return value.replace("\\", "\\\\") if "\\" in value else value
    if type(value) is datetime:
        return value.isoformat()
    return str(value)
