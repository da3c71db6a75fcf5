"""Nodes: read and delete."""

from __future__ import annotations

from contextlib import suppress

from ciris_store_core.conformance.factories import LOCAL, at, edge, node, put, store_edges, store_nodes
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.suite.graph_nodes import NOW, get
from ciris_store_core.conformance.support import race, reading, transact, writing
from ciris_store_core.contract import Backend, Session
from ciris_store_core.errors import NotFound
from ciris_store_core.models import GraphScope
from ciris_store_core.models.graph import EdgeQuery, NodeKey, NodeQuery


class TestGetAndDeleteNodes:
    """``get_nodes``, ``delete_nodes`` and ``delete_expired_nodes``."""

    @clause("graph.get_nodes.existing")
    def test_get(self, backend: Backend) -> None:
        """Otherwise asking for something unknown fails, or hides what is known."""
        store_nodes(backend, node("a"), node("b"), node("a", scope=GraphScope.NETWORK))
        with reading(backend) as session:
            assert session.graph.get_nodes([], NOW) == []
            found = session.graph.get_nodes([NodeKey("b", LOCAL), NodeKey("?", LOCAL), NodeKey("a", LOCAL)], NOW)
        assert sorted(each.id for each in found) == ["a", "b"]
        assert {each.scope for each in found} == {LOCAL}

    @clause("graph.get_nodes.expired")
    def test_get_leaves_out_the_expired(self, backend: Backend) -> None:
        """Otherwise an agent uses what it had no consent to keep."""
        store_nodes(backend, node("a", expires_at=NOW), node("b", expires_at=at(100.000001)), node("c"))
        keys = [NodeKey(id, LOCAL) for id in "abc"]
        with reading(backend) as session:
            assert {each.id for each in session.graph.get_nodes(keys, NOW)} == {"b", "c"}
            assert {each.id for each in session.graph.get_nodes(keys, None)} == {"a", "b", "c"}

    @clause("graph.delete_nodes.count")
    def test_delete(self, backend: Backend) -> None:
        """Otherwise forgetting reports success without forgetting."""
        store_nodes(backend, node("a"), node("b"), node("a", scope=GraphScope.NETWORK))
        with writing(backend) as session:
            assert session.graph.delete_nodes([]) == 0
            assert session.graph.delete_nodes([NodeKey("a", LOCAL), NodeKey("?", LOCAL)]) == 1
            assert session.graph.delete_nodes([NodeKey("a", LOCAL)]) == 0
        assert get(backend, "a") is None
        assert get(backend, "b") is not None
        assert get(backend, "a", GraphScope.NETWORK) is not None

    @clause("graph.delete_nodes.expired")
    def test_delete_of_what_expired(self, backend: Backend) -> None:
        """Otherwise what is absent for a reader is there for a delete."""
        store_nodes(backend, node("a"), *(node(id, expires_at=NOW) for id in "xyz"), node("b"), node("c"))
        store_nodes(backend, node("late", expires_at=at(100.000001)))
        with writing(backend) as session:
            delete = session.graph.delete_nodes
            assert delete([NodeKey("x", LOCAL)], NOW) == 0
            assert delete([NodeKey(id, LOCAL) for id in ("a", "y", "late", "?")], NOW) == 2
            assert delete([NodeKey("z", LOCAL), NodeKey("b", LOCAL)]) == 2
        with reading(backend) as session:
            assert [each.id for each in session.graph.list_nodes(NodeQuery()).items] == ["c"]

    @clause("graph.delete_nodes.edges")
    def test_delete_takes_the_edges_along(self, backend: Backend) -> None:
        """Otherwise edges lead to nowhere, and a node with edges cannot be forgotten."""
        other = edge("a", "b", scope=GraphScope.NETWORK)
        store_edges(backend, edge("a", "b"), edge("b", "a"), edge("a", "a"), edge("b", "c"), other)
        with writing(backend) as session:
            assert session.graph.delete_nodes([NodeKey("a", LOCAL)]) == 1
        with reading(backend) as session:
            left = session.graph.list_edges(EdgeQuery()).items
        assert {each.key for each in left} == {edge("b", "c").key, other.key}

    @clause("graph.delete_nodes.new_start")
    def test_a_deleted_node_starts_anew(self, backend: Backend) -> None:
        """Otherwise something forgotten shines through when the id is used again."""
        store_nodes(backend, node(type="user", attributes={"old": 1}))
        with writing(backend) as session:
            session.graph.delete_nodes([NodeKey("n", LOCAL)])
            [found] = session.graph.put_nodes([put(node(attributes={"new": 1}))], NOW)
        assert (found.attributes, found.revision) == ({"new": 1}, 1)

    @clause("graph.delete_nodes.batch")
    def test_delete_many(self, backend: Backend) -> None:
        """Otherwise cleaning up a large memory fails."""
        store_nodes(backend, *(node(f"n{i}") for i in range(2000)))
        with writing(backend) as session:
            assert session.graph.delete_nodes([NodeKey(f"n{i}", LOCAL) for i in range(2000)]) == 2000
            assert session.graph.count_nodes(NodeQuery()) == 0

    @clause("graph.delete_expired_nodes")
    def test_delete_expired(self, backend: Backend) -> None:
        """Otherwise what had to be forgotten is kept, or what had to be kept is forgotten."""
        store_edges(backend, edge("a", "d"), edge("d", "e"))
        store_nodes(
            backend, *(node(id, expires_at=at(seconds)) for id, seconds in zip("abc", (1, 100, 100), strict=True))
        )
        store_nodes(backend, node("later", expires_at=at(100.000001)))
        with writing(backend) as session:
            assert session.graph.delete_expired_nodes(NOW, 2) == 2
            assert session.graph.delete_expired_nodes(NOW, 2) == 1
            assert session.graph.delete_expired_nodes(NOW, 2) == 0
        with reading(backend) as session:
            assert {each.id for each in session.graph.list_nodes(NodeQuery()).items} == {"d", "e", "later"}
            assert [each.key for each in session.graph.list_edges(EdgeQuery()).items] == [edge("d", "e").key]

    @clause("graph.delete_nodes.race", Level.CONCURRENT)
    def test_no_edge_outlives_its_node(self, backend: Backend) -> None:
        """Otherwise an edge written while its node is deleted leads to nowhere for ever."""
        store_nodes(backend, node("hub"), *(node(f"n{i}") for i in range(8)))

        def work(number: int) -> None:
            def step(session: Session) -> object:
                if number % 2:
                    return session.graph.delete_nodes([NodeKey(f"n{number - 1}", LOCAL)])
                return session.graph.put_edges([edge(f"n{number}", "hub")])

            with suppress(NotFound):
                transact(backend, step)

        race(8, work)
        with reading(backend) as session:
            nodes = {each.id for each in session.graph.list_nodes(NodeQuery()).items}
            edges = session.graph.list_edges(EdgeQuery()).items
        assert {end for each in edges for end in (each.source, each.target)} <= nodes
