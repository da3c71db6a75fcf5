"""Edges: write, read, list."""

from __future__ import annotations

from typing import Any

import pytest

from ciris_store_core.conformance.factories import LOCAL, at, edge, node, store_edges, store_nodes
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.support import everything, exact, pages, race, reading, transact, writing
from ciris_store_core.contract import Backend
from ciris_store_core.errors import NotFound
from ciris_store_core.models import Direction, GraphEdge, GraphScope
from ciris_store_core.models.graph import EdgeKey, EdgeQuery

NETWORK = GraphScope.NETWORK


def keys(backend: Backend, **fields: Any) -> list[EdgeKey]:
    """The keys of the edges that a query lists."""
    with reading(backend) as session:
        return [each.key for each in everything(session.graph.list_edges, EdgeQuery(**fields))]


def expiring(backend: Backend) -> None:
    """Two nodes that know each other and a third, ``x``, which expires ten seconds after ``T0``."""
    store_edges(backend, *(edge(*ends) for ends in ("ab", "ba", "ax", "xb", "xx")))
    store_nodes(backend, node("x", expires_at=at(10)), node("b", scope=NETWORK, expires_at=at(1)))


class TestEdges:
    """``put_edges``, ``get_edges``, ``delete_edges`` and ``list_edges``."""

    @clause("graph.put_edges.update")
    def test_writing_an_edge_again(self, backend: Backend) -> None:
        """Otherwise a relationship cannot be corrected, or exists twice."""
        store_edges(backend, edge(weight=0.1, attributes={"created_at": at(0), "old": 1}, metadata={"old": 1}))
        given = edge(weight=0.9, attributes={"created_at": at(5), "new": 1, "context": "c"}, metadata={"new": 1})
        store_edges(backend, given)
        with reading(backend) as session:
            found = session.graph.list_edges(EdgeQuery()).items
        assert [exact(each) for each in found] == [exact(given.replaced(revision=2))]

    @clause("graph.put_edges.revision")
    def test_writes_are_counted(self, backend: Backend) -> None:
        """Otherwise a writer cannot tell that an edge changed since it was read."""
        store_nodes(backend, node("a"), node("b"))
        with writing(backend) as session:
            put = session.graph.put_edges
            assert [each.revision for each in put([edge("b", "a"), edge("a", "b", revision=7)])] == [1, 7]
            again = put([edge("a", "b", weight=0.5), edge("a", "a"), edge("b", "a", revision=9)])
            assert [(each.key[:2], each.revision) for each in again] == [
                (("a", "b"), 8),
                (("a", "a"), 1),
                (("b", "a"), 2),
            ]
            assert put([]) == []
            assert session.graph.delete_edges([edge("a", "b").key]) == 1
            assert [each.revision for each in put([edge("a", "b")])] == [1]
        with reading(backend) as session:
            assert [each.revision for each in session.graph.list_edges(EdgeQuery()).items] == [1, 1, 2]

    @clause("graph.put_edges.key")
    def test_what_tells_edges_apart(self, backend: Backend) -> None:
        """Otherwise two relationships of the same two nodes become one."""
        edges = [
            edge("a", "b"), edge("b", "a"), edge("a", "b", "likes"), edge("a", "b", scope=NETWORK), edge("a", "a"),
        ]  # fmt: skip
        store_edges(backend, *edges)
        assert set(keys(backend)) == {each.key for each in edges}

    @pytest.mark.parametrize(
        "loose",
        [
            pytest.param(edge("?", "a"), id="source"),
            pytest.param(edge("a", "?"), id="target"),
            pytest.param(edge("a", "elsewhere"), id="other_scope"),
        ],
    )
    @clause("graph.put_edges.missing_end")
    def test_an_end_that_does_not_exist(self, backend: Backend, loose: GraphEdge) -> None:
        """Otherwise edges lead to nowhere, or half of a batch is stored."""
        store_nodes(backend, node("a"), node("b"), node("elsewhere", scope=NETWORK))
        with pytest.raises(NotFound), writing(backend) as session:
            session.graph.put_edges([edge("a", "b"), loose, edge("b", "a")])
        assert keys(backend) == []

    @pytest.mark.parametrize("ends", ["xa", "ax", "xx"])
    @clause("graph.put_edges.expired_end")
    def test_an_end_that_expired(self, backend: Backend, ends: str) -> None:
        """Otherwise an edge is acknowledged that no reader ever finds."""
        store_nodes(backend, node("a"), node("b"), node("x", expires_at=at(10)))
        with pytest.raises(NotFound, match="'x'"), writing(backend) as session:
            session.graph.put_edges([edge(*ends)], at(10))
        with pytest.raises(NotFound, match="'x'"), writing(backend) as session:
            session.graph.put_edges([edge("a", "b"), edge(*ends), edge("b", "a")], at(10))
        assert keys(backend) == []
        with writing(backend) as session:
            assert len(session.graph.put_edges([edge(*ends)], at(9.999999))) == 1
            assert len(session.graph.put_edges([edge("a", "b"), edge(*ends)])) == 2
        assert len(keys(backend)) == 2

    @clause("graph.put_edges.same_transaction")
    def test_nodes_of_the_same_transaction(self, backend: Backend) -> None:
        """Otherwise a new node and its edges cannot be stored together."""
        store_edges(backend, edge("x", "y"))
        assert keys(backend) == [edge("x", "y").key]

    @clause("graph.get_edges.existing")
    def test_get(self, backend: Backend) -> None:
        """Otherwise asking for an unknown edge fails, or hides the known ones."""
        store_edges(backend, edge("a", "b"), edge("b", "c"), edge("a", "b", "hates"), edge("b", "a", scope=NETWORK))
        asked = [edge("a", "b").key, edge("b", "a").key, edge("a", "b", "likes").key, edge("a", "b", scope=NETWORK).key]
        with reading(backend) as session:
            assert session.graph.get_edges([]) == []
            assert [each.key for each in session.graph.get_edges(asked)] == [edge("a", "b").key]

    @clause("graph.delete_edges.count")
    def test_delete(self, backend: Backend) -> None:
        """Otherwise ending a relationship reports success without ending it."""
        store_edges(backend, edge("a", "b"), edge("b", "a"))
        with writing(backend) as session:
            assert session.graph.delete_edges([]) == 0
            assert session.graph.delete_edges([edge("a", "b").key, edge("a", "c").key]) == 1
            assert session.graph.delete_edges([edge("a", "b").key]) == 0
        assert keys(backend) == [edge("b", "a").key]

    @clause("graph.delete_edges.expired")
    def test_delete_edges_of_what_expired(self, backend: Backend) -> None:
        """Otherwise what is absent for a reader is there for a delete."""
        expiring(backend)
        names = [EdgeKey(a, b, "knows", LOCAL) for a, b in ("ab", "ax", "xb", "xx")]
        with writing(backend) as session:
            assert session.graph.delete_edges([], at(10)) == 0
            assert session.graph.delete_edges(names, at(10)) == 1
            assert session.graph.delete_edges(names[1:], at(10)) == 0
            assert session.graph.get_edges(names, at(10)) == []
        assert [key[:2] for key in keys(backend, now=at(10))] == [("b", "a")]
        expiring(backend)
        with writing(backend) as session:
            assert session.graph.delete_edges(names, at(9.999999)) == 4
        assert [key[:2] for key in keys(backend)] == [("b", "a")]

    @clause("graph.get_edges.expired")
    def test_edges_of_what_expired(self, backend: Backend) -> None:
        """Otherwise what was to be forgotten is still named by those who knew it."""
        expiring(backend)
        names = [EdgeKey(a, b, "knows", LOCAL) for a, b in ("ab", "ax", "xb")]
        with reading(backend) as session:
            found = [session.graph.get_edges(names, now) for now in (at(10), at(9.999999), None)]
            assert session.graph.get_edges(names[1:2], at(10)) == []
        assert [len(each) for each in found] == [1, 3, 3]

    @clause("graph.list_edges.expired")
    def test_a_listing_without_what_expired(self, backend: Backend) -> None:
        """Otherwise a listing names what was to be forgotten."""
        expiring(backend)
        assert [key[:2] for key in keys(backend, now=at(10), limit=1)] == [("a", "b"), ("b", "a")]
        assert keys(backend, now=at(10), source="x") == keys(backend, now=at(10), target="x") == []
        assert len(keys(backend, now=at(9.999999))) == len(keys(backend)) == 5

    @clause("graph.list_edges.order")
    def test_list_in_order_of_the_key(self, backend: Backend) -> None:
        """Otherwise going through the relationships page by page misses some."""
        names = ["B", "a", "\u00e9"]
        edges = [
            edge(source, target, relationship, scope=scope)
            for source in names for target in names for relationship in ("r", "R") for scope in (NETWORK, LOCAL)
        ]  # fmt: skip
        store_edges(backend, *edges)
        expected = sorted((e.key for e in edges), key=lambda k: (k.scope, *map(str.encode, k[:3])))
        assert keys(backend) == expected
        assert keys(backend, limit=5) == expected

    @clause("graph.list_edges.next_after")
    def test_where_the_next_page_begins(self, backend: Backend) -> None:
        """Otherwise a listing never ends, or ends too early."""
        store_edges(backend, edge("a", "b"), edge("b", "c"), edge("c", "d"))
        with reading(backend) as session:
            assert session.graph.list_edges(EdgeQuery(limit=3)).next_after is None
            assert session.graph.list_edges(EdgeQuery(limit=2)).next_after == ("local", "b", "c", "knows")
            assert len(pages(session.graph.list_edges, EdgeQuery(limit=2))) == 2

    @clause("graph.list_edges.filters")
    def test_list_by_each_part_of_the_key(self, backend: Backend) -> None:
        """Otherwise relationships of other nodes or scopes slip in."""
        ab, ba, likes, far = edge("a", "b"), edge("b", "a"), edge("a", "b", "likes"), edge("a", "b", scope=NETWORK)
        store_edges(backend, ab, ba, likes, far)
        assert keys(backend, source="b") == [ba.key]
        assert keys(backend, target="b", scope=LOCAL) == [ab.key, likes.key]
        assert keys(backend, relationship="likes") == [likes.key]
        assert keys(backend, scope=NETWORK) == [far.key]
        assert keys(backend, source="a", target="b", relationship="knows", limit=1) == [ab.key, far.key]

    @clause("graph.put_edges.batch")
    def test_batches_of_any_size(self, backend: Backend) -> None:
        """Otherwise a bulk import fails, or stores a part."""
        edges = [edge("hub", f"n{i}") for i in range(2000)]
        store_edges(backend, *edges)
        with writing(backend) as session:
            session.graph.put_edges([])
            assert len(session.graph.get_edges([each.key for each in edges])) == 2000
            assert len(session.graph.neighbours(["hub"], LOCAL, Direction.OUT, ())) == 2000
            assert session.graph.delete_edges([each.key for each in edges]) == 2000

    @clause("graph.put_edges.race", Level.CONCURRENT)
    def test_the_same_edge_from_many_threads(self, backend: Backend) -> None:
        """Otherwise writers who learn of one relationship at the same time fail, or store it twice."""
        store_nodes(backend, node("a"), node("b"))
        race(8, lambda number: transact(backend, lambda session: session.graph.put_edges([edge(weight=number / 8)])))
        assert keys(backend) == [edge().key]


class TestNeighbours:
    """``GraphStore.neighbours``."""

    @pytest.mark.parametrize(
        ("direction", "found"),
        [
            (Direction.OUT, {("a", "b"), ("a", "a"), ("b", "c")}),
            (Direction.IN, {("a", "b"), ("a", "a"), ("d", "a")}),
            (Direction.BOTH, {("a", "b"), ("a", "a"), ("b", "c"), ("d", "a")}),
        ],
    )
    @clause("graph.neighbours.direction")
    def test_direction(self, backend: Backend, direction: Direction, found: set[tuple[str, str]]) -> None:
        """Otherwise an agent confuses whom it knows with who knows it."""
        store_edges(backend, *(edge(*ends) for ends in ("ab", "aa", "bc", "da", "cd")))
        with reading(backend) as session:
            edges = session.graph.neighbours(["a", "b", "?"], LOCAL, direction, ())
        assert {(each.source, each.target) for each in edges} == found
        assert len(edges) == len(found), "an edge is there twice"

    @clause("graph.neighbours.relationships")
    def test_relationships(self, backend: Backend) -> None:
        """Otherwise a walk along one kind of relationship strays onto others."""
        store_edges(backend, edge("a", "b", "x"), edge("a", "b", "y"), edge("a", "c", "z"))
        with reading(backend) as session:
            some = session.graph.neighbours(["a"], LOCAL, Direction.BOTH, ["y", "z", "?"])
            every = session.graph.neighbours(["a"], LOCAL, Direction.BOTH, [])
        assert sorted(each.relationship for each in some) == ["y", "z"]
        assert sorted(each.relationship for each in every) == ["x", "y", "z"]

    @clause("graph.neighbours.scope")
    def test_scope(self, backend: Backend) -> None:
        """Otherwise private relationships show up in a shared scope."""
        store_edges(backend, edge("a", "b"), edge("a", "c", scope=NETWORK))
        with reading(backend) as session:
            assert [each.target for each in session.graph.neighbours(["a"], NETWORK, Direction.OUT, ())] == ["c"]

    @pytest.mark.parametrize(
        ("direction", "found"), [(Direction.OUT, {"ab"}), (Direction.IN, {"ba"}), (Direction.BOTH, {"ab", "ba"})]
    )
    @clause("graph.neighbours.expired")
    def test_what_expired_is_nobodys_neighbour(self, backend: Backend, direction: Direction, found: set[str]) -> None:
        """Otherwise an expired node is still a neighbour."""
        expiring(backend)
        with reading(backend) as session:
            both: tuple[tuple[str, ...], ...] = ((), ("knows",))
            edges = [session.graph.neighbours(["a", "x"], LOCAL, direction, kinds, at(10)) for kinds in both]
            assert session.graph.neighbours(["x"], LOCAL, direction, (), at(10)) == []
            assert len(session.graph.neighbours(["x"], LOCAL, Direction.BOTH, (), at(9.999999))) == 3
        assert [{each.source + each.target for each in some} for some in edges] == [found, found]

    @clause("graph.neighbours.many")
    def test_of_none_and_of_many(self, backend: Backend) -> None:
        """Otherwise a walk through a large memory fails halfway."""
        store_edges(backend, *(edge(f"n{i}", f"n{i + 1}") for i in range(1000)))
        with reading(backend) as session:
            assert session.graph.neighbours([], LOCAL, Direction.BOTH, ()) == []
            found = session.graph.neighbours([f"n{i}" for i in range(1001)], LOCAL, Direction.BOTH, ())
        assert len(found) == 1000
