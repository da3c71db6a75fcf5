"""Conversion of graph rows to nodes and edges."""

from __future__ import annotations

from typing import Any

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.importer.engine_row import EngineRow, open_name, parse_time
from ciris_store_core.models.enums import GraphScope, NodeType
from ciris_store_core.models.graph import EdgeAttributes, GraphEdge, GraphNode


def node(row: EngineRow) -> GraphNode:
    """Return a node. The engine counts writes in ``version``, which here is the schema version and starts at 1."""
    if row.get("version") not in (None, 1, "1"):
        row.keep("version", row.get("version"))
    times = row.times("created_at", "updated_at")
    fields: dict[str, Any] = {
        "id": row.required("node_id"),
        "type": open_name(row, "node_type", NodeType.CONCEPT.value),
        "scope": _scope(row),
        "attributes": row.json_object("attributes_json") or {},
        "created_at": times["created_at"],
        "updated_at": times["updated_at"],
        "updated_by": row.text("updated_by") or None,
    }
    return GraphNode(**fields, metadata=row.metadata())


def edge(row: EngineRow) -> GraphEdge:
    """Return an edge. Both its ends must exist when it is stored."""
    attributes = row.json_object("attributes_json") or {}
    created = parse_time(attributes.pop("created_at", None)) or row.times("created_at")["created_at"]
    context = attributes.pop("context", None)
    weight = row.number("weight")
    if weight is not None and not 0 <= weight <= 1:
        row.fixed("weight", "out of bounds, brought into them", weight)
        weight = min(max(weight, 0.0), 1.0)
    fields: dict[str, Any] = {
        "source": row.required("source_node_id"),
        "target": row.required("target_node_id"),
        "relationship": row.required("relationship", "related"),
        "scope": _scope(row),
        "weight": 1.0 if weight is None else weight,
        "attributes": EdgeAttributes(
            **attributes, created_at=created, context=None if context is None else str(context)
        ),
    }
    return GraphEdge(**fields, metadata=row.metadata())


def _scope(row: EngineRow) -> GraphScope:
    # An unknown scope is refused: protected records must not become public, nor the other way round.
    try:
        return GraphScope.parse(row.required("scope").lower())
    except InvalidArgument as error:
        raise InvalidArgument(f"scope: {error}") from None
