"""The values that all contenders write and look for, so that every one of them does the same work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

SERIES = 5
"""Metrics that a filled store holds; their points take turns."""
STEP = timedelta(seconds=10)
"""Between two points, whatever their metric."""
POINTS = 1000
"""Number of nodes that a recall returns."""
BULK = 10_000
"""Metrics in one batch."""
OPERATIONS = 20
"""Operations in one transaction."""
END = datetime(2026, 1, 1, tzinfo=UTC)
"""When the newest point of a filled store was taken, so that a window holds the same points at every size."""

RECALL_FROM = END - STEP * SERIES * (POINTS - 1)
AGGREGATE_FROM = END - timedelta(hours=20)


def filled_key(kind: str, number: int) -> str:
    """The id of a row that a filled store holds: scattered over the index, as random ids are."""
    return f"{kind}-{number * 2654435761 % 2**32:08x}"


def chosen(number: int, size: int) -> int:
    """Some row of a filled store: the rows come up in no order, and none soon again."""
    return number * 7919 % size


def task_context(number: int) -> dict[str, Any]:
    """Return the origin of a task."""
    return {
        "correlation_id": f"request-{number}",
        "channel_id": "channel-1",
        "user_id": "user-1",
        "parent_task_id": None,
        "agent_occurrence_id": "default",
        "metadata": {},
    }


def task_metadata(number: int) -> dict[str, Any]:
    """Return the metadata of a task."""
    return {"source": "discord", "attempt": number, "labels": ["urgent", "question"]}


def description(number: int) -> str:
    """Return the description of a task."""
    return f"Answer the question that user 1 asked in channel 1, number {number}"


def node_attributes(number: int) -> dict[str, Any]:
    """Return the attributes of a new node."""
    return {"name": f"concept {number}", "weight": 0.5, "seen": number, "words": ["alpha", "beta"], "active": True}


def merged_attributes(number: int) -> dict[str, Any]:
    """Return the attributes that are merged into a node: one of eight keys, so that nodes do not grow."""
    return {f"key_{number % 8}": number, "seen": number}


def metric_value(number: int) -> float:
    """A measured value."""
    return (number % 1000) / 10


def metric_tags(number: int) -> dict[str, str]:
    """Return the tags of a measurement."""
    return {"model": f"model-{number % 3}", "region": "eu"}
