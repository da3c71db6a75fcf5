"""Arguments and results of the memory service."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Generic

if not TYPE_CHECKING:
    from typing import TypeVar

from pydantic import Field

from ciris_store_core.models.base import Id, JsonObject, Parsed, Record, Text
from ciris_store_core.models.enums import GraphScope, OpStatus
from ciris_store_core.models.graph import AnyNodeType, GraphEdge, GraphNode
from ciris_store_core.models.paging import Page

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    DataT = TypeVar("DataT", default=Any)
else:
    DataT = TypeVar("DataT")


class MemoryOpResult(Record, Generic[DataT]):
    """Outcome of a memory operation. ``MemoryOpResult[GraphNode]`` is one whose ``data`` is a node, or None."""

    status: OpStatus
    reason: Text | None = None
    data: DataT | None = None
    error: Text | None = None
    metadata: JsonObject = Field(default_factory=dict)


class MemoryQuery(Record):
    """Query of the memory service: a node id, a prefix ending in ``*``, or ``*`` alone."""

    node_id: Id
    scope: Parsed[GraphScope]
    type: AnyNodeType | None = None
    include_edges: bool = False
    depth: Annotated[int, Field(ge=1, le=10)] = 1
    metadata: JsonObject = Field(default_factory=dict)


@dataclass(slots=True)
class Recall(Page[GraphNode]):
    """A page of recalled nodes, and the edges that were asked for."""

    edges: list[GraphEdge] = field(default_factory=list)
    truncated: bool = False
    """More nodes are within reach than were taken; the nearest were."""
