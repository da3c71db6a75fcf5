"""Nodes and edges of the graph memory, and queries about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field

from ciris_store_core.models.base import (
    Count,
    Id,
    Int64,
    JsonObject,
    Parsed,
    Record,
    Share,
    Text,
    UtcDateTime,
    _plain,
    utc_now,
)
from ciris_store_core.models.enums import ConfigNodeType, Direction, GraphScope, NodeType
from ciris_store_core.models.paging import PageRequest

AnyNodeType = Annotated[NodeType | str, _plain(NodeType.parse, NodeType.json_schema())]
"""A ``NodeType`` or a well-formed name of one's own."""


class GraphNode(Record):
    """One thing that the agent remembers. Its key is (id, scope)."""

    id: Id
    type: AnyNodeType
    scope: Parsed[GraphScope]
    attributes: JsonObject = Field(default_factory=dict)
    version: Annotated[Int64, Field(ge=1)] = 1
    """Schema version of the attributes, set by the caller."""
    revision: Count = 0
    """Number of writes of the stored row, from 1; set by the store."""
    created_at: UtcDateTime = Field(default_factory=utc_now)
    updated_by: Id | None = None
    updated_at: UtcDateTime | None = None
    consent_stream: Id | None = "temporary"
    expires_at: UtcDateTime | None = None
    secret_refs: list[Id] = Field(default_factory=list)
    """Ids of the secrets that the attributes refer to; set by the store."""
    metadata: JsonObject = Field(default_factory=dict)

    @property
    def key(self) -> NodeKey:
        """The node's key."""
        return NodeKey(self.id, self.scope)

    def config_type(self) -> ConfigNodeType | None:
        """The kind of configuration of a CONFIG node; None for other nodes and configurations of one's own."""
        value = self.attributes.get("config_type")
        if self.type != NodeType.CONFIG or not isinstance(value, str):
            return None
        return ConfigNodeType._lookup(value)


class GraphNodeAttributes(Record):
    """Common attributes of a node, for ``GraphNode(attributes=...)``. A stored node returns them as a JSON object."""

    model_config = ConfigDict(extra="allow")

    created_at: UtcDateTime = Field(default_factory=utc_now)
    updated_at: UtcDateTime = Field(default_factory=utc_now)
    created_by: Id
    content: Text | None = None
    tags: list[Text] = Field(default_factory=list)


class EdgeAttributes(Record):
    """Attributes of an edge. Further ones are kept as given."""

    model_config = ConfigDict(extra="allow")

    created_at: UtcDateTime = Field(default_factory=utc_now)
    context: Text | None = None


class GraphEdge(Record):
    """A directed, weighted relationship of two nodes of one scope; unique by (scope, source, target, relationship)."""

    source: Id
    target: Id
    relationship: Id
    scope: Parsed[GraphScope]
    weight: Share = 1.0
    revision: Count = 0
    """Number of writes of the stored row, from 1; set by the store."""
    attributes: EdgeAttributes = Field(default_factory=EdgeAttributes)
    metadata: JsonObject = Field(default_factory=dict)

    @property
    def key(self) -> EdgeKey:
        """The edge's key."""
        return EdgeKey(self.source, self.target, self.relationship, self.scope)


class NodeKey(NamedTuple):
    """Key of a node."""

    id: str
    scope: GraphScope


class EdgeKey(NamedTuple):
    """Key of an edge."""

    source: str
    target: str
    relationship: str
    scope: GraphScope


NodeWriteMode = Literal["merge", "replace", "insert", "restore"]


@dataclass(slots=True)  # never changed, but a frozen one takes as long to make as its node to validate
class NodeWrite:
    """One write of a node: the given node, and how it changes the stored one."""

    node: GraphNode
    mode: NodeWriteMode = "merge"
    """merge: new attributes win, others stay; replace: the attributes as given; insert: a stored node raises
    ``AlreadyExists``; restore: likewise, and the revision is as given."""
    remove: tuple[str, ...] = ()
    """Attribute keys to remove, after the merge."""
    expected_revision: int | None = None
    """Write only if the stored revision is this (0: only if there is none), else raise ``RevisionMismatch``."""
    given: frozenset[str] = frozenset()
    """Which of the optional fields the caller gave; the others keep what is stored."""


KEPT_UNLESS_GIVEN = ("version", "updated_by", "consent_stream", "expires_at", "metadata")
"""Optional fields of a node that a write leaves as stored unless they are given."""


@dataclass(frozen=True, slots=True)
class NodeQuery(PageRequest):
    """Which nodes to list: newest ``updated_at`` first, ties by id, then scope."""

    scope: GraphScope | None = None
    type: str | None = None
    id_prefix: str | None = None
    attributes: tuple[tuple[str, Any], ...] = ()
    """Top-level attributes that must equal a scalar: text, number (1 equals 1.0), boolean or None."""
    updated_from: datetime | None = None
    updated_to: datetime | None = None
    """Both bounds inclusive."""
    now: datetime | None = None
    """Leave out what expired by then; None lists expired nodes too."""


@dataclass(frozen=True, slots=True)
class EdgeQuery(PageRequest):
    """Which edges to list: ascending by (scope, source, target, relationship)."""

    scope: GraphScope | None = None
    source: str | None = None
    target: str | None = None
    relationship: str | None = None
    now: datetime | None = None
    """Leave out edges of which an end expired by then; None lists them too."""


@dataclass(frozen=True, slots=True)
class Traversal:
    """A walk along edges from some nodes, never visiting a node twice."""

    start: tuple[str, ...]
    scope: GraphScope
    direction: Direction = Direction.BOTH
    relationships: tuple[str, ...] = ()
    """Only along these; empty: along all."""
    depth: int = 1
    limit: int = 10_000
    """The most nodes that are visited; reaching it sets ``truncated``."""
    now: datetime | None = None
    """Nodes that expired by then are not walked to, from or through."""


@dataclass(frozen=True, slots=True)
class TraversalResult:
    """The nodes that a walk reached, each with its distance, nearest first, then by id."""

    distances: dict[str, int] = field(default_factory=dict)
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Degree:
    """Number of edges that end (or begin) at a node."""

    id: str
    count: int


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A node found by its words; a higher rank is a better match."""

    node: GraphNode
    rank: float


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """Words to look for in ids and attributes; a node must hold all of them."""

    words: tuple[str, ...]
    """As ``words.search_terms`` makes them of a text: one that ends with ``*`` stands for all that begin with it."""
    scope: GraphScope | None = None
    type: str | None = None
    limit: int = 20
    now: datetime | None = None


class Subgraph(Record):
    """Some nodes and the edges among them."""

    nodes: list[GraphNode] = Field(default_factory=list)
    edges: list[GraphEdge] = Field(default_factory=list)
    truncated: bool = False
    """More nodes are within reach than the limit allowed; the nearest were taken."""
