"""The graph memory, for authors of backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from ciris_store_core.capabilities import Capability
from ciris_store_core.contract.locking import cannot_lock
from ciris_store_core.contract.merging import incremented
from ciris_store_core.errors import NotSupported
from ciris_store_core.models.enums import Direction, GraphScope
from ciris_store_core.models.graph import (
    Degree,
    EdgeKey,
    EdgeQuery,
    GraphEdge,
    GraphNode,
    NodeKey,
    NodeQuery,
    NodeWrite,
    SearchHit,
    SearchQuery,
    Traversal,
    TraversalResult,
)
from ciris_store_core.models.paging import ResultPage


class GraphStore(ABC):
    """Nodes by (id, scope), edges by (scope, source, target, relationship)."""

    @abstractmethod
    def put_nodes(self, writes: Sequence[NodeWrite], now: datetime) -> list[GraphNode]:
        """Write nodes; no key occurs twice. Required; a constant number of round trips.

        - A new node is stored as given, with revision 1; ``updated_at`` is always given.
        - ``merge``: given attributes win, others stay; ``replace``: the attributes as given; then ``remove`` is
          applied.
        - Of an existing node ``created_at`` stays and the revision grows by 1; ``updated_at`` and ``secret_refs`` are
          taken from the write; of ``KEPT_UNLESS_GIVEN`` the given ones replace the stored.
        - A merge keeps the stored ``secret_refs`` too: they come first, then the new ones as given, without repeats.
        - An existing node that expired by ``now`` counts as absent, except that its revision goes on; its edges are
          deleted.
        - ``restore``: the node exactly as given, its revision included; one that exists, expired or not: AlreadyExists.
        - Another revision than ``expected_revision``: RevisionMismatch; else ``insert`` of an existing node:
          AlreadyExists; else another type: Conflict. Attributes that grow past 16 MiB by the merge: InvalidArgument.
          After each of them nothing of the call is written.
        - The merge is atomic: no concurrent write is lost.
        - Returns the nodes as stored, in the order given.
        """

    @abstractmethod
    def get_nodes(self, keys: Sequence[NodeKey], now: datetime | None) -> list[GraphNode]:
        """The nodes of these keys that exist, in no order; those expired by ``now`` left out.

        Required; one round trip.
        """

    def lock_nodes(self, keys: Sequence[NodeKey]) -> list[GraphNode]:
        """The nodes of these keys that exist, expired or not, as they stay until the transaction ends.

        Default: NotSupported. One round trip.

        - In no order. No other transaction changes or deletes them before this one is over.
        - Rows are locked in key order. Where one transaction writes at a time, this is ``get_nodes``.
        """
        raise cannot_lock("nodes")

    def increment(self, key: NodeKey, path: Sequence[str], by: int | float, now: datetime) -> int | float | None:
        """Add to a number within a node's attributes; returns the sum, or None if the node is absent or expired.

        Default: ``lock_nodes``, then ``put_nodes``.

        - ``path``: the keys that lead to the number, through objects. Missing ones are created, from 0.
        - The revision grows by 1 and ``updated_at`` = ``now``; nothing else changes.
        - Something else than a number or an object on the way, or a sum outside of 64 bits or of the floats:
          InvalidArgument, and nothing is written.
        - Atomic: no concurrent increment is lost. The default is so in a transaction only; a backend whose ``single``
          sessions have none overrides it.
        """
        found = [node for node in self.lock_nodes([key]) if node.expires_at is None or node.expires_at > now]
        if not found:
            return None
        attributes, value = incremented(found[0].attributes, path, by)
        changed = {path[0]: attributes[path[0]]}
        self.put_nodes([NodeWrite(found[0].replaced(attributes=changed, updated_at=now), "merge")], now)
        return value

    @abstractmethod
    def list_nodes(self, query: NodeQuery) -> ResultPage[GraphNode]:
        """Nodes by filter, as ``NodeQuery`` orders them. Required; cost grows with the answer.

        - Sort key for ``after``: (updated_at, id, scope).
        - A row that cannot be read is in ``corrupt``, and the others are returned.
        """

    @abstractmethod
    def count_nodes(self, query: NodeQuery) -> int:
        """Return the number of nodes that the filter matches, ``limit`` and ``after`` aside. Required; loads no row."""

    @abstractmethod
    def delete_nodes(self, keys: Sequence[NodeKey], now: datetime | None = None) -> int:
        """Delete nodes and every edge that touches them; returns the number of deleted nodes.

        Required; constant round trips.

        - Those that expired by ``now`` are deleted as well, and do not count.
        """

    @abstractmethod
    def delete_expired_nodes(self, now: datetime, limit: int) -> int:
        """Delete up to ``limit`` nodes that expired by ``now``, with their edges; returns how many. Required."""

    @abstractmethod
    def put_edges(self, edges: Sequence[GraphEdge], now: datetime | None = None) -> list[GraphEdge]:
        """Write edges; no key occurs twice. Required; a constant number of round trips.

        - A new edge is stored as given, its revision included; without one it is 1.
        - An existing edge gets the weight, attributes and metadata given, and its revision grows by 1.
        - Returns the edges as stored, in the order given.
        - An end that does not exist in the edge's scope, or expired by ``now``: NotFound, and nothing of the call is
          written.
        """

    @abstractmethod
    def get_edges(self, keys: Sequence[EdgeKey], now: datetime | None = None) -> list[GraphEdge]:
        """The edges of these keys that exist, in no order. Required; one round trip.

        - An edge of which an end expired by ``now`` counts as absent, here and in every other question.
        """

    def lock_edges(self, keys: Sequence[EdgeKey]) -> list[GraphEdge]:
        """The edges of these keys that exist, as they stay until the transaction ends. Default: NotSupported.

        - As ``lock_nodes``.
        """
        raise cannot_lock("edges")

    @abstractmethod
    def delete_edges(self, keys: Sequence[EdgeKey], now: datetime | None = None) -> int:
        """Delete edges; returns the number of deleted edges. Required; constant round trips.

        - An edge of which an end expired by ``now`` does not count; it may stay until that end is deleted.
        """

    @abstractmethod
    def list_edges(self, query: EdgeQuery) -> ResultPage[GraphEdge]:
        """Edges by filter, ascending by key. Required; cost grows with the answer.

        - Sort key for ``after``: (scope, source, target, relationship).
        """

    @abstractmethod
    def neighbours(
        self,
        ids: Sequence[str],
        scope: GraphScope,
        direction: Direction,
        relationships: Sequence[str],
        now: datetime | None = None,
    ) -> list[GraphEdge]:
        """All edges that touch any of the nodes, in no order, each once. Required; one round trip for many ids.

        - ``out``: edges whose source is one of them; ``in``: whose target is; ``both``: either.
        - ``relationships``: only these; empty means all.
        - Edges of which an end expired by ``now`` are left out.
        """

    def degrees(
        self,
        scope: GraphScope,
        direction: Direction,
        relationships: Sequence[str],
        limit: int,
        now: datetime | None = None,
    ) -> list[Degree]:
        """The nodes with the most edges, most first, ties by id. Default: counts over a scan of the scope's edges.

        - ``in`` counts edges that end at the node, ``out`` those that begin there, ``both`` all. An edge from a node to
          itself has two ends there: ``both`` counts it twice.
        - Edges of which an end expired by ``now`` do not count.
        """
        counts: dict[str, int] = {}
        for edge in self._scan_edges(EdgeQuery(limit=1000, scope=scope, now=now)):
            if relationships and edge.relationship not in relationships:
                continue
            for near, _ in _steps(edge, direction):
                counts[near] = counts.get(near, 0) + 1
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return [Degree(*item) for item in ranked[:limit]]

    def _scan_edges(self, query: EdgeQuery) -> Iterable[GraphEdge]:
        while True:
            page = self.list_edges(query)
            yield from page.items
            if page.next_after is None:
                return
            query = replace(query, after=page.next_after)

    def traverse(self, walk: Traversal) -> TraversalResult:
        """The nodes that a walk reaches, with distances, nearest first, then by id.

        Default: one ``neighbours`` a level.

        - The start is at distance 0, existing or not; no node is visited twice.
        - More than ``limit`` nodes: the nearest are kept and ``truncated`` is set.
        - Nodes that expired by the walk's ``now`` are reached by no edge, and no edge begins there.
        """
        distances = dict.fromkeys(sorted(set(walk.start)), 0)
        frontier = list(distances)
        for distance in range(1, walk.depth + 1):
            if not frontier or len(distances) > walk.limit:
                break
            reached = {far for _, far in self._links(frontier, walk)}
            frontier = sorted(reached - distances.keys())
            distances.update(dict.fromkeys(frontier, distance))
        kept = dict(list(distances.items())[: walk.limit])
        return TraversalResult(kept, truncated=len(distances) > walk.limit)

    def shortest_path(self, walk: Traversal, target: str) -> list[str] | None:
        """Ids from the only start to ``target``, fewest edges; None if out of reach.

        Default: one ``neighbours`` a level.

        - Among equally short paths, the one whose ids are smallest, compared from the start.
        """
        start = walk.start[0]
        parents: dict[str, str | None] = {start: None}
        frontier = [start]
        for _ in range(walk.depth):
            if target in parents or not frontier:
                break
            frontier = self._next_level(walk, frontier, parents)
        return _trail(parents, target) if target in parents else None

    def _next_level(self, walk: Traversal, frontier: list[str], parents: dict[str, str | None]) -> list[str]:
        # The frontier is kept in the order of the smallest path to each node: a node found from several parents
        # takes the first of them, which makes the whole path the smallest one.
        found: dict[str, str] = {}
        rank = {node: position for position, node in enumerate(frontier)}
        for near, far in self._links(frontier, walk):
            if near in rank and far not in parents and (far not in found or rank[near] < rank[found[far]]):
                found[far] = near
        parents.update(found)
        return sorted(found, key=lambda node: (rank[found[node]], node))

    def _links(self, ids: Sequence[str], walk: Traversal) -> Iterable[tuple[str, str]]:
        """Both ends of the edges that one step of the walk from these nodes takes. Default: over ``neighbours``.

        - From the end that the step leaves to the one that it reaches, in no order.
        """
        edges = self.neighbours(ids, walk.scope, walk.direction, walk.relationships, walk.now)
        return [step for edge in edges for step in _steps(edge, walk.direction)]

    def search(self, query: SearchQuery) -> list[SearchHit]:
        """Nodes whose id and attributes hold all the words, best first, ties by id and scope [cap: full_text].

        - The words of a node are ``words.node_words``, those of the query come from ``words.search_terms``; the
          database splits and folds no text itself.
        - The rank is ``words.rank``: of two nodes that hold all the words, the one with fewer others comes first.
        - Nodes expired by ``now`` are left out. A query without words finds nothing.
        """
        raise NotSupported(
            f"this backend has no {Capability.FULL_TEXT}. "
            "List nodes by type or attribute, or use a backend that has it."
        )


def _steps(edge: GraphEdge, direction: Direction) -> list[tuple[str, str]]:
    forward, backward = (edge.source, edge.target), (edge.target, edge.source)
    return {Direction.OUT: [forward], Direction.IN: [backward]}.get(direction, [forward, backward])


def _trail(parents: dict[str, str | None], target: str) -> list[str]:
    trail = [target]
    while (parent := parents[trail[-1]]) is not None:
        trail.append(parent)
    return trail[::-1]
