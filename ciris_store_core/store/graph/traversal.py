"""Traversal and full-text search of the graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ciris_store_core.capabilities import Capability
from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import InvalidArgument, NotSupported
from ciris_store_core.models.enums import Direction, GraphScope, NodeType
from ciris_store_core.models.graph import (
    Degree,
    GraphEdge,
    NodeKey,
    SearchHit,
    SearchQuery,
    Subgraph,
    Traversal,
    TraversalResult,
)
from ciris_store_core.store.access.secret_refs import as_read
from ciris_store_core.store.resource import Resource, several_ids
from ciris_store_core.validation.validator import limit_of, whole
from ciris_store_core.words import search_terms

Scope = GraphScope | str
Way = Direction | str
Relationships = str | Iterable[str] | None

MAX_DEPTH = 100


class Walks(Resource):
    """Traversal of edges. ``direction``: out, in or both; ``relationships``: one, several, or None for all."""

    __slots__ = ()

    def neighbours(
        self, id: str, scope: Scope, direction: Way = Direction.BOTH, relationships: Relationships = None
    ) -> list[GraphEdge]:
        """Return all edges that begin (out) or end (in) at the node, or both.

        They are ordered by source, target and relationship. Here and below, an expired node counts as absent, and so
        do its edges.
        """
        ids, where, way = [self._ctx.check.ident(id, "id")], GraphScope.parse(scope), Direction.parse(direction)
        kinds = several_ids(self._ctx, relationships, "relationships")
        now = self._ctx.server_now()
        edges = self._x.read("graph.neighbours", lambda session: session.graph.neighbours(ids, where, way, kinds, now))
        return sorted(edges, key=_edge_order)

    def traverse(
        self,
        start: str | Iterable[str],
        scope: Scope,
        direction: Way = Direction.BOTH,
        relationships: Relationships = None,
        *,
        depth: int = 1,
        limit: int = 10_000,
    ) -> TraversalResult:
        """Return the ids within ``depth`` steps (1 to 100) with their distances, nearest first, then by id.

        The start is at distance 0, existing or not; no node is visited twice. If more than ``limit`` nodes are in
        reach, the nearest are kept and ``truncated`` is set.
        """
        walk = self._walk(start, scope, direction, relationships, depth, limit)
        return self._x.read("graph.traverse", lambda session: session.graph.traverse(walk))

    def shortest_path(
        self,
        start: str,
        target: str,
        scope: Scope,
        direction: Way = Direction.BOTH,
        relationships: Relationships = None,
        *,
        max_depth: int = 10,
    ) -> list[str] | None:
        """Return the ids of a shortest path from ``start`` to ``target``, both included; None if out of reach.

        Of equally short paths it is the one with the smallest ids, compared from the start.
        """
        self._ctx.check.ident(start, "start")
        walk = self._walk(start, scope, direction, relationships, max_depth, 10_000)
        end = self._ctx.check.ident(target, "target")
        return self._x.read("graph.shortest_path", lambda session: session.graph.shortest_path(walk, end))

    def subgraph(
        self,
        start: str | Iterable[str],
        scope: Scope,
        direction: Way = Direction.BOTH,
        relationships: Relationships = None,
        *,
        depth: int = 1,
        limit: int = 1000,
    ) -> Subgraph:
        """Return the nodes within ``depth`` steps, nearest first, then by id, and the edges among them, by key.

        If more than ``limit`` nodes are in reach, the nearest are kept and ``truncated`` is set.
        """
        walk = self._walk(start, scope, direction, relationships, depth, limit)
        return self._x.read("graph.subgraph", lambda session: self._subgraph(session, walk), single=False)

    def _subgraph(self, session: Session, walk: Traversal) -> Subgraph:
        walked = session.graph.traverse(walk)
        reached = walked.distances
        keys = [NodeKey(id, walk.scope) for id in reached]
        found = {node.id: node for node in session.graph.get_nodes(keys, walk.now)}
        nodes = as_read(self._ctx.upcasters.upcast_all([found[id] for id in reached if id in found]))
        ids = list(found)
        edges = session.graph.neighbours(ids, walk.scope, Direction.OUT, walk.relationships) if ids else []
        among = sorted((edge for edge in edges if edge.target in found), key=_edge_order)
        return Subgraph.trusted({"nodes": nodes, "edges": among, "truncated": walked.truncated})

    def degrees(
        self, scope: Scope, direction: Way = Direction.BOTH, relationships: Relationships = None, *, limit: int = 10
    ) -> list[Degree]:
        """Return the nodes of a scope with the most edges, most first, ties by id."""
        where, way = GraphScope.parse(scope), Direction.parse(direction)
        kinds, count = several_ids(self._ctx, relationships, "relationships"), limit_of(limit)
        now = self._ctx.server_now()
        return self._x.read("graph.degrees", lambda session: session.graph.degrees(where, way, kinds, count, now))

    def search(
        self, text: str, *, scope: Scope | None = None, type: NodeType | str | None = None, limit: int = 20
    ) -> list[SearchHit]:
        """Return the nodes whose id and attributes hold all words of ``text``, best first, ties by id and scope.

        Case, accents and punctuation are ignored. ``pre*`` matches all words that begin with ``pre``. Any part of a
        text in a script without spaces matches; the module ``words`` has the rules. Of two nodes the one with fewer
        other words is the better match. A text without words matches nothing.

        Raises:
            InvalidArgument: ``text`` has more than 128 distinct words or 20,000 characters.
            NotSupported: The backend does not declare the capability ``full_text``.
        """
        if Capability.FULL_TEXT not in self._ctx.capabilities:
            raise NotSupported("this backend has no full_text. List nodes by type, prefix or attribute instead.")
        words = search_terms(self._ctx.check.text(text, "text"))
        query = SearchQuery(
            words=words,
            scope=None if scope is None else GraphScope.parse(scope),
            type=None if type is None else str(NodeType.parse(type)),
            limit=limit_of(limit),
            now=self._ctx.server_now(),
        )
        hits = self._x.read("graph.search", lambda session: session.graph.search(query)) if words else []
        nodes = as_read(self._ctx.upcasters.upcast_all([hit.node for hit in hits]))
        return [replace(hit, node=node) for hit, node in zip(hits, nodes, strict=True)]

    def _walk(
        self,
        start: str | Iterable[str],
        scope: Scope,
        direction: Way,
        relationships: Relationships,
        depth: int,
        limit: int,
    ) -> Traversal:
        starts = self._ctx.check.idents([start] if isinstance(start, str) else start, "start")
        if not starts:
            raise InvalidArgument("start: the list is empty. Name at least one node.")
        return Traversal(
            tuple(starts),
            GraphScope.parse(scope),
            Direction.parse(direction),
            several_ids(self._ctx, relationships, "relationships"),
            whole(depth, "depth", 1, MAX_DEPTH),
            limit_of(limit),
            self._ctx.server_now(),
        )


def _edge_order(edge: GraphEdge) -> tuple[str, str, str]:
    return (edge.source, edge.target, edge.relationship)
