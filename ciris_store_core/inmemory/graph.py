"""The graph memory, in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime

from ciris_store_core.contract.filters import (
    edge_matches,
    edge_sort_key,
    has_expired,
    node_matches,
    node_sort_key,
)
from ciris_store_core.contract.graph import GraphStore
from ciris_store_core.contract.merging import written
from ciris_store_core.errors import InvalidArgument, NotFound
from ciris_store_core.inmemory.tables import Tables, copied, ordered, page
from ciris_store_core.models.enums import Direction, GraphScope
from ciris_store_core.models.graph import (
    EdgeKey,
    EdgeQuery,
    GraphEdge,
    GraphNode,
    NodeKey,
    NodeQuery,
    NodeWrite,
    SearchHit,
    SearchQuery,
)
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.words import matches, node_words, rank

MAX_ATTRIBUTE_BYTES = 16 * 1024 * 1024


class MemoryGraph(GraphStore):
    """Nodes and edges in memory."""

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._nodes, self._edges = tables.nodes, tables.edges

    def put_nodes(self, writes: Sequence[NodeWrite], now: datetime) -> list[GraphNode]:
        results = [written(write, self._nodes.rows.get(write.node.key), now) for write in writes]
        for node in results:
            _check_size(node)
        stored = (self._nodes.rows.get(node.key) for node in results)
        self._delete_edges_of({node.key for node in stored if node is not None and has_expired(node, now)})
        for node in results:
            self._nodes.put(node.key, node)
        return self._nodes.pick(node.key for node in results)

    def get_nodes(self, keys: Sequence[NodeKey], now: datetime | None) -> list[GraphNode]:
        return [node for node in self._nodes.pick(keys) if not has_expired(node, now)]

    def lock_nodes(self, keys: Sequence[NodeKey]) -> list[GraphNode]:
        """The nodes of these keys: only this transaction writes."""
        self._nodes.require_write()
        return self._nodes.pick(keys)

    def list_nodes(self, query: NodeQuery) -> ResultPage[GraphNode]:
        return page(self._matching(query), query, node_sort_key, (True, False, False))

    def count_nodes(self, query: NodeQuery) -> int:
        return sum(1 for _ in self._matching(query))

    def delete_nodes(self, keys: Sequence[NodeKey], now: datetime | None = None) -> int:
        gone = set(keys)
        expired = sum(has_expired(node, now) for node in self._nodes.pick(gone))
        self._delete_edges_of(gone)
        return self._nodes.delete(gone) - expired

    def _delete_edges_of(self, nodes: set[NodeKey]) -> None:
        if nodes:
            self._edges.delete([key for key in self._edges.rows if not nodes.isdisjoint(_ends(key))])

    def delete_expired_nodes(self, now: datetime, limit: int) -> int:
        expired = [node for node in self._nodes.rows.values() if has_expired(node, now)]
        oldest_first = ordered(expired, lambda node: (node.expires_at, *node.key), (False, False, False))
        return self.delete_nodes([node.key for node in oldest_first[:limit]])

    def put_edges(self, edges: Sequence[GraphEdge], now: datetime | None = None) -> list[GraphEdge]:
        for edge in edges:
            for end in _ends(edge.key):
                if end not in self._nodes.rows or has_expired(self._nodes.rows[end], now):
                    raise NotFound(
                        f"an edge needs both of its nodes; there is no {end.id!r} in scope {end.scope}",
                        kind="node",
                        key=end,
                        hint="Write the nodes first.",
                    )
        for edge in edges:
            stored = self._edges.rows.get(edge.key)
            self._edges.put(edge.key, edge.replaced(revision=stored.revision + 1 if stored else edge.revision or 1))
        return self._edges.pick(edge.key for edge in edges)

    def get_edges(self, keys: Sequence[EdgeKey], now: datetime | None = None) -> list[GraphEdge]:
        return [edge for edge in self._edges.pick(keys) if self._lives(edge, now)]

    def _lives(self, edge: GraphEdge, now: datetime | None) -> bool:
        return now is None or not any(has_expired(self._nodes.rows[end], now) for end in _ends(edge.key))

    def lock_edges(self, keys: Sequence[EdgeKey]) -> list[GraphEdge]:
        """The edges of these keys: only this transaction writes."""
        self._edges.require_write()
        return self._edges.pick(keys)

    def delete_edges(self, keys: Sequence[EdgeKey], now: datetime | None = None) -> int:
        return self._edges.delete([edge.key for edge in self.get_edges(keys, now)])

    def list_edges(self, query: EdgeQuery) -> ResultPage[GraphEdge]:
        edges = self._edges.rows.values()
        found = (edge for edge in edges if edge_matches(edge, query) and self._lives(edge, query.now))
        return page(found, query, edge_sort_key, (False, False, False, False))

    def neighbours(
        self,
        ids: Sequence[str],
        scope: GraphScope,
        direction: Direction,
        relationships: Sequence[str],
        now: datetime | None = None,
    ) -> list[GraphEdge]:
        wanted = set(ids)
        return [
            copied(edge)
            for edge in self._edges.rows.values()
            if edge.scope == scope
            and (not relationships or edge.relationship in relationships)
            and (
                (direction != Direction.IN and edge.source in wanted)
                or (direction != Direction.OUT and edge.target in wanted)
            )
            and self._lives(edge, now)
        ]

    def search(self, query: SearchQuery) -> list[SearchHit]:
        if not query.words:
            return []
        listing = NodeQuery(scope=query.scope, type=query.type, now=query.now)
        found = ((set(node_words(node.id, node.attributes)), node) for node in self._matching(listing))
        hits = [(len(words), node) for words, node in found if matches(query.words, words)]
        best = sorted(hits, key=lambda hit: (hit[0], *hit[1].key))
        return [SearchHit(copied(node), rank(query.words, size)) for size, node in best[: query.limit]]

    def _matching(self, query: NodeQuery) -> Iterator[GraphNode]:
        return (node for node in self._nodes.rows.values() if node_matches(node, query))


def _check_size(node: GraphNode) -> None:
    size = len(json.dumps(node.attributes, ensure_ascii=False, separators=(",", ":")).encode())
    if size > MAX_ATTRIBUTE_BYTES:
        raise InvalidArgument(
            f"the attributes of node {node.id!r} would grow to {size} bytes of JSON, and {MAX_ATTRIBUTE_BYTES} is the "
            "most. Remove some, or spread them over several nodes."
        )


def _ends(key: EdgeKey) -> tuple[NodeKey, NodeKey]:
    return NodeKey(key.source, key.scope), NodeKey(key.target, key.scope)
