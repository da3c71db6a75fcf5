"""Records as an application makes them: without times, which the store sets by its clock.

``ciris_store_core.conformance.factories`` has records with times, as a backend gets them.
"""

from __future__ import annotations

from typing import Any

from ciris_store_core.models import GraphEdge, GraphNode, Task, Thought


def node(id: str = "n", **fields: Any) -> GraphNode:
    """Return a concept of the local scope."""
    return GraphNode(**{"id": id, "type": "concept", "scope": "local", **fields})


def concept(id: str = "n", **attributes: Any) -> GraphNode:
    """Return a concept of the local scope with these attributes."""
    return node(id, attributes=attributes)


def edge(source: str = "a", target: str = "b", relationship: str = "r", **fields: Any) -> GraphEdge:
    """Return an edge of the local scope."""
    return GraphEdge(**{"source": source, "target": target, "relationship": relationship, "scope": "local", **fields})


def task(task_id: str = "t", **fields: Any) -> Task:
    """Return a task of the default occurrence."""
    return Task(**{"task_id": task_id, "channel_id": "c", "description": "d", **fields})


def thought(thought_id: str = "th", task_id: str = "t", **fields: Any) -> Thought:
    """Return a thought of the default occurrence."""
    return Thought(**{"thought_id": thought_id, "source_task_id": task_id, "content": "x", **fields})
