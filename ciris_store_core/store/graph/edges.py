"""Edges of the graph memory (contract section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, TypedDict, Unpack

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import InvalidArgument, NotSupported, RevisionMismatch
from ciris_store_core.models.enums import GraphScope
from ciris_store_core.models.graph import EdgeKey, EdgeQuery, GraphEdge
from ciris_store_core.models.paging import Page
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.store.access.secret_refs import delete_with_secrets
from ciris_store_core.store.graph.traversal import Scope, Walks
from ciris_store_core.store.resource import (
    SCAN_SIZE,
    OnCorrupt,
    all_pages,
    page_of,
    position,
    refuse_repeats,
    refuse_unknown,
)
from ciris_store_core.validation.validator import limit_of, whole

Edges = list[GraphEdge]
EdgeKeys = list[EdgeKey]
AnyEdgeKey = EdgeKey | tuple[str, str, str, Scope]

_EDGE_KEY = "an edge's key is (source, target, relationship, scope)"

_EDGE_SHAPE = (str, str, str, str)


class EdgeFilters(TypedDict, total=False):
    """Conditions on edges, by equality; all that are given must hold."""

    scope: Scope | None
    source: str | None
    target: str | None
    relationship: str | None


class GraphEdges(Walks):
    """Weighted edges between the nodes of a scope."""

    __slots__ = ()

    def put_edge(self, edge: GraphEdge, *, expected_revision: int | None = None) -> GraphEdge:
        """Write an edge and return it as stored. An existing one takes the given weight, attributes and metadata.

        Args:
            edge: The edge to write. It is not changed.
            expected_revision: Write only if the stored edge has this revision; 0: only if there is none.

        Raises:
            RevisionMismatch: The revision moved on. Nothing was written.
            NotFound: An end does not exist in the edge's scope, or expired. Nothing was written.
        """
        if expected_revision is None:
            return self.put_edge_many([edge])[0]
        expected = whole(expected_revision, "expected_revision", 0, 2**63 - 1)
        extracted = ExtractedSecrets()
        ready, now = self._ready([edge], extracted), self._ctx.server_now()
        return self._x.write(
            "graph.put_edge",
            lambda session: _put_expected(session, ready, expected, now),
            single=False,
            extracted=extracted,
        )[0]

    def put_edge_many(self, edges: Iterable[GraphEdge]) -> Edges:
        """Write many edges, all or none, in a constant number of round trips. See ``put_edge``.

        A batch that names an edge twice is refused.
        """
        extracted = ExtractedSecrets()
        ready = self._ready(edges, extracted)
        if not ready:
            return []
        now = self._ctx.server_now()
        stored = self._x.write(
            "graph.put_edge_many", lambda session: session.graph.put_edges(ready, now), extracted=extracted
        )
        return stored or ready

    def _ready(self, edges: Iterable[GraphEdge], extracted: ExtractedSecrets) -> Edges:
        now = self._ctx.clock.now()
        ready = [self._ctx.check.record(edge, GraphEdge, now, extracted) for edge in edges]
        for edge in ready:
            edge.__dict__["revision"] = 1  # that of a new edge
        refuse_repeats([edge.key for edge in ready], "edge")
        return ready

    def get_edge(
        self, source: str, target: str, relationship: str, scope: Scope, *, for_update: bool = False
    ) -> GraphEdge | None:
        """Return the edge with that key, or None. ``for_update`` locks it, as in ``get``."""
        key = self._edge_key(source, target, relationship, scope)
        return self.get_edge_many([key], for_update=for_update).get(key)

    def get_edge_many(self, keys: Iterable[AnyEdgeKey], *, for_update: bool = False) -> dict[EdgeKey, GraphEdge]:
        """Return the existing edges among these (source, target, relationship, scope), by key; one round trip.

        ``for_update`` locks them, as in ``get``.
        """
        wanted = self._edge_keys(keys)
        if for_update:
            self._x.lock(lambda session: session.graph.lock_edges(wanted))
        now = self._ctx.server_now()  # the edges of expired nodes are absent
        edges = (
            self._x.read("graph.get_edge_many", lambda session: session.graph.get_edges(wanted, now)) if wanted else []
        )
        found = {edge.key: edge for edge in edges}
        return {key: found[key] for key in wanted if key in found}

    def delete_edge(self, source: str, target: str, relationship: str, scope: Scope) -> int:
        """Delete an edge; return the number of deleted ones (0 or 1)."""
        return self.delete_edge_many([(source, target, relationship, scope)])

    def delete_edge_many(self, keys: Iterable[AnyEdgeKey]) -> int:
        """Delete the edges of these (source, target, relationship, scope); return the number of deleted ones.

        Many are deleted in batches, as ``delete_many`` does.
        """
        gone = self._edge_keys(keys)
        if not gone:
            return 0
        now = self._ctx.server_now()
        return delete_with_secrets(
            "graph.delete_edge_many",
            self._x,
            self._ctx,
            gone,
            lambda session, batch: session.graph.get_edges(batch, now),
            lambda session, batch: session.graph.delete_edges(batch, now),
        )

    def find_edges(
        self, *, limit: int = 100, cursor: str | None = None, **filters: Unpack[EdgeFilters]
    ) -> Page[GraphEdge]:
        """Return one page of edges, ascending by scope, source, target and relationship.

        Args:
            limit: The longest page, 1 to 10,000 edges.
            cursor: The ``next_cursor`` of the page before, of the same filters.
            filters: See ``EdgeFilters``.
        """
        return self._edge_page(self._edge_query(**filters), limit, cursor)

    def scan_edges(self, *, on_corrupt: OnCorrupt | None = None, **filters: Unpack[EdgeFilters]) -> Iterator[GraphEdge]:
        """Yield every edge that matches the filters, read page by page. See ``find_edges``.

        A corrupt row raises ``Corrupt``, or is passed to ``on_corrupt``.
        """
        query = self._edge_query(**filters)
        return all_pages(lambda cursor: self._edge_page(query, SCAN_SIZE, cursor), on_corrupt)

    # --- inside -----------------------------------------------------------------------------------

    def _edge_query(
        self,
        *,
        scope: Scope | None = None,
        source: str | None = None,
        target: str | None = None,
        relationship: str | None = None,
        **unknown: object,
    ) -> dict[str, Any]:
        refuse_unknown(unknown, EdgeFilters)
        check = self._ctx.check
        return {
            "scope": None if scope is None else GraphScope.parse(scope),
            "source": check.optional(source, "source"),
            "target": check.optional(target, "target"),
            "relationship": check.optional(relationship, "relationship"),
            "now": self._ctx.server_now(),
        }

    def _edge_page(self, query: dict[str, Any], limit: int, cursor: str | None) -> Page[GraphEdge]:
        page = EdgeQuery(**query, limit=limit_of(limit), after=position(self._ctx, "edges", _EDGE_SHAPE, cursor))
        return page_of(self._x.read("graph.find_edges", lambda session: session.graph.list_edges(page)), "edges")

    def _edge_keys(self, keys: Iterable[AnyEdgeKey]) -> EdgeKeys:
        return [*dict.fromkeys(self._edge_key(*key) for key in tuples_of(keys, 4, _EDGE_KEY))]

    def _edge_key(self, source: str, target: str, relationship: str, scope: Scope) -> EdgeKey:
        ident = self._ctx.check.ident
        return EdgeKey(
            ident(source, "source"),
            ident(target, "target"),
            ident(relationship, "relationship"),
            GraphScope.parse(scope),
        )


def _put_expected(session: Session, edges: Edges, expected: int, now: datetime) -> Edges:
    # The write increments the revision under the row lock, so the result tells which one was stored before. The error
    # below rolls the write back.
    stored = session.graph.put_edges(edges, now)
    if not stored:
        raise NotSupported("this backend counts no revisions of edges. Leave out expected_revision.")
    if stored[0].revision != expected + 1:
        found = stored[0].revision - 1
        raise RevisionMismatch(
            f"edge {edges[0].key[:3]!r} is at revision {found}, not {expected}",
            kind="edge",
            key=edges[0].key,
            hint="Read it again, decide, and call again.",
        )
    return stored


def tuples_of(keys: Iterable[Any], size: int, expected: str) -> Iterator[Any]:
    """Yield the keys; raise ``InvalidArgument`` for one that is no tuple of that size."""
    for key in keys:
        if not isinstance(key, tuple) or len(key) != size:
            raise InvalidArgument(f"{expected}, not {ascii(key)[:80]}")
        yield key
