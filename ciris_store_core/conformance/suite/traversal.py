"""Traversal of the graph: reach, shortest paths, degrees."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from ciris_store_core.conformance.factories import LOCAL, at, edge, node, store_edges, store_nodes
from ciris_store_core.conformance.levels import clause
from ciris_store_core.conformance.support import reading
from ciris_store_core.contract import Backend
from ciris_store_core.models import Degree, Direction, GraphScope
from ciris_store_core.models.graph import Traversal, TraversalResult

OUT = Direction.OUT


def chain(backend: Backend, *trails: str) -> None:
    """Store an edge from each letter to the next."""
    pairs = {(a, b) for trail in trails for a, b in pairwise(trail)}
    store_edges(backend, *(edge(a, b) for a, b in sorted(pairs)))


def walk(backend: Backend, *start: str, scope: GraphScope = LOCAL, **fields: Any) -> TraversalResult:
    """Walk from the given nodes."""
    with reading(backend) as session:
        return session.graph.traverse(Traversal(start, scope, **fields))


def path(backend: Backend, start: str, target: str, **fields: Any) -> list[str] | None:
    """The shortest path from one node to another."""
    fields = {"scope": LOCAL, "depth": 10, "direction": OUT, **fields}
    with reading(backend) as session:
        return session.graph.shortest_path(Traversal((start,), **fields), target)


class TestTraverse:
    """``GraphStore.traverse``."""

    @clause("graph.traverse.distances")
    def test_distances_nearest_first_then_by_id(self, backend: Backend) -> None:
        """Otherwise what is closest to a topic is not what an agent looks at first."""
        chain(backend, "adx", "abx", "xc")
        reached = walk(backend, "a", direction=OUT, depth=3)
        assert list(reached.distances.items()) == [("a", 0), ("b", 1), ("d", 1), ("x", 2), ("c", 3)]
        assert not reached.truncated

    @clause("graph.traverse.depth")
    def test_depth(self, backend: Backend) -> None:
        """Otherwise a walk goes further than asked, or not as far."""
        chain(backend, "abcde")
        assert walk(backend, "a", direction=OUT, depth=2).distances == {"a": 0, "b": 1, "c": 2}

    @pytest.mark.parametrize(
        ("direction", "found"), [(OUT, {"b", "c"}), (Direction.IN, {"b", "a"}), (Direction.BOTH, {"a", "b", "c"})]
    )
    @clause("graph.traverse.direction")
    def test_direction(self, backend: Backend, direction: Direction, found: set[str]) -> None:
        """Otherwise a walk runs against the arrows."""
        chain(backend, "abc")
        assert walk(backend, "b", direction=direction, depth=5).distances.keys() == found

    @clause("graph.traverse.cycles")
    def test_no_node_is_visited_twice(self, backend: Backend) -> None:
        """Otherwise a walk through a circle never ends."""
        chain(backend, "abca", "aa", "ba")
        assert walk(backend, "a", direction=OUT, depth=10).distances == {"a": 0, "b": 1, "c": 2}

    @clause("graph.traverse.start")
    def test_start(self, backend: Backend) -> None:
        """Otherwise a traversal from several nodes, or from a missing one, fails or counts wrong."""
        chain(backend, "abc", "xc")
        assert walk(backend, "x", "gone", "a", direction=OUT, depth=1).distances == {
            "a": 0, "gone": 0, "x": 0, "b": 1, "c": 1,
        }  # fmt: skip
        assert walk(backend, "gone", depth=3).distances == {"gone": 0}

    @pytest.mark.parametrize("direction", list(Direction))
    @clause("graph.traverse.expired")
    def test_what_expired_is_in_no_walk(self, backend: Backend, direction: Direction) -> None:
        """Otherwise a walk leads to, or through, what was to be forgotten."""
        chain(backend, "axc", "cxa", "ab", "ba", "bd", "db")
        store_nodes(backend, node("x", expires_at=at(10)), node("a", scope=GraphScope.NETWORK, expires_at=at(1)))
        for kinds in ((), ("knows",)):
            fields: dict[str, Any] = {"direction": direction, "depth": 3, "relationships": kinds}
            assert walk(backend, "a", **fields, now=at(10)).distances == {"a": 0, "b": 1, "d": 2}
            assert walk(backend, "x", "b", **fields, now=at(10)).distances == {"b": 0, "x": 0, "a": 1, "d": 1}
            assert walk(backend, "a", **fields, now=at(9.999999)).distances == walk(backend, "a", **fields).distances
            assert walk(backend, "a", **fields, limit=3, now=at(10)).truncated is False

    @clause("graph.traverse.relationships")
    def test_relationships(self, backend: Backend) -> None:
        """Otherwise a walk along one kind of relationship strays onto others."""
        store_edges(backend, edge("a", "b", "x"), edge("b", "c", "y"), edge("a", "c", "z"))
        assert walk(backend, "a", relationships=("x", "y"), depth=5).distances == {"a": 0, "b": 1, "c": 2}

    @clause("graph.traverse.scope")
    def test_scope(self, backend: Backend) -> None:
        """Otherwise a walk crosses into private memories."""
        store_edges(backend, edge("a", "b"), edge("b", "c", scope=GraphScope.NETWORK))
        assert walk(backend, "a", depth=5).distances == {"a": 0, "b": 1}

    @clause("graph.traverse.limit")
    def test_limit(self, backend: Backend) -> None:
        """Otherwise a walk in a large memory runs away, or drops near nodes without saying so."""
        for trail in ("adz", "ac", "abz", "acz"):  # not in the order of their ids
            chain(backend, trail)
        cut = walk(backend, "a", direction=OUT, depth=2, limit=3)
        assert (list(cut.distances.items()), cut.truncated) == ([("a", 0), ("b", 1), ("c", 1)], True)
        whole = walk(backend, "a", direction=OUT, depth=2, limit=5)
        assert (len(whole.distances), whole.truncated) == (5, False)


class TestShortestPath:
    """``GraphStore.shortest_path``."""

    @clause("graph.shortest_path.fewest")
    def test_fewest_edges(self, backend: Backend) -> None:
        """Otherwise an agent explains a connection by a detour."""
        chain(backend, "abcz", "axz")
        assert path(backend, "a", "z") == ["a", "x", "z"]

    @clause("graph.shortest_path.ties")
    def test_among_equals_the_smallest_ids(self, backend: Backend) -> None:
        """Otherwise the same question has another answer on another database."""
        chain(backend, "abyz", "acxz", "abwz", "adwz")
        assert path(backend, "a", "z") == ["a", "b", "w", "z"]

    @clause("graph.shortest_path.smallest")
    def test_the_smallest_path_as_a_whole(self, backend: Backend) -> None:
        """Otherwise a path is smaller at its end, and larger at its beginning, than another."""
        chain(backend, "abyz", "adwz", "acxz")
        assert path(backend, "a", "z") == ["a", "b", "y", "z"]
        assert path(backend, "z", "a", direction=Direction.IN) == ["z", "w", "d", "a"]
        chain(backend, "mnsvu", "moqwu", "mprxu", "mpqxu")  # the smaller way to q is not the way through p
        assert path(backend, "m", "u") == ["m", "n", "s", "v", "u"]
        assert path(backend, "m", "x") == ["m", "o", "q", "x"]

    @clause("graph.shortest_path.unreachable")
    def test_out_of_reach(self, backend: Backend) -> None:
        """Otherwise connections are claimed that do not exist."""
        chain(backend, "abc", "xy")
        assert path(backend, "a", "y") is None
        assert path(backend, "c", "a") is None
        assert path(backend, "a", "gone") is None
        assert path(backend, "a", "c", depth=1) is None
        assert path(backend, "a", "c", depth=2) == ["a", "b", "c"]

    @clause("graph.shortest_path.options")
    def test_direction_relationships_and_scope(self, backend: Backend) -> None:
        """Otherwise a path uses edges that it may not use."""
        store_edges(backend, edge("a", "b", "x"), edge("a", "c", "y"), edge("c", "b", "y"))
        store_edges(backend, edge("a", "d", scope=GraphScope.NETWORK))
        assert path(backend, "b", "a", direction=Direction.IN) == ["b", "a"]
        assert path(backend, "a", "b", relationships=("y",)) == ["a", "c", "b"]
        assert path(backend, "a", "d") is None
        assert path(backend, "b", "c", direction=Direction.BOTH) == ["b", "c"]

    @clause("graph.shortest_path.expired")
    def test_no_path_leads_through_what_expired(self, backend: Backend) -> None:
        """Otherwise a path leads through what was to be forgotten."""
        chain(backend, "axd", "abcd")
        store_nodes(backend, node("x", expires_at=at(10)))
        assert path(backend, "a", "d", now=at(10)) == ["a", "b", "c", "d"]
        assert path(backend, "a", "d", now=at(9.999999)) == path(backend, "a", "d") == ["a", "x", "d"]
        assert path(backend, "a", "x", now=at(10)) is None
        assert path(backend, "x", "d", now=at(10)) is None

    @clause("graph.shortest_path.itself")
    def test_to_itself(self, backend: Backend) -> None:
        """Otherwise asking how something is connected to itself fails."""
        chain(backend, "aba")
        assert path(backend, "a", "a") == ["a"]


class TestDegrees:
    """``GraphStore.degrees``."""

    def degrees(
        self, backend: Backend, direction: Direction, relationships: tuple[str, ...] = (), limit: int = 9, *now: Any
    ) -> Any:
        """The nodes with the most edges."""
        with reading(backend) as session:
            return session.graph.degrees(LOCAL, direction, relationships, limit, *now)

    @clause("graph.degrees.expired")
    def test_edges_of_what_expired_do_not_count(self, backend: Backend) -> None:
        """Otherwise the most connected is one that was to be forgotten, or one that only such know."""
        chain(backend, "xa", "xb", "ax", "cx", "cb", "xx")
        store_nodes(backend, node("x", expires_at=at(10)))
        assert self.degrees(backend, OUT, (), 9, at(10)) == [Degree("c", 1)]
        assert self.degrees(backend, Direction.IN, ("knows",), 9, at(10)) == [Degree("b", 1)]
        assert self.degrees(backend, Direction.BOTH, (), 9, at(10)) == [Degree("b", 1), Degree("c", 1)]
        assert self.degrees(backend, OUT, (), 9, at(9.999999)) == self.degrees(backend, OUT)

    @clause("graph.degrees.direction")
    def test_direction(self, backend: Backend) -> None:
        """Otherwise a node with many outgoing edges is taken for one with many incoming edges."""
        chain(backend, "ab", "ac", "ad", "bd")
        assert self.degrees(backend, OUT) == [Degree("a", 3), Degree("b", 1)]
        assert self.degrees(backend, Direction.IN) == [Degree("d", 2), Degree("b", 1), Degree("c", 1)]
        assert self.degrees(backend, Direction.BOTH) == [
            Degree("a", 3), Degree("b", 2), Degree("d", 2), Degree("c", 1),
        ]  # fmt: skip

    @clause("graph.degrees.loops")
    def test_an_edge_of_a_node_to_itself(self, backend: Backend) -> None:
        """Otherwise the same node is the most connected one on one database, and not on another."""
        chain(backend, "aa", "ab", "bc")
        assert self.degrees(backend, OUT) == [Degree("a", 2), Degree("b", 1)]
        assert self.degrees(backend, Direction.IN) == [Degree("a", 1), Degree("b", 1), Degree("c", 1)]
        assert self.degrees(backend, Direction.BOTH) == [Degree("a", 3), Degree("b", 2), Degree("c", 1)]
        assert self.degrees(backend, Direction.BOTH, ("knows",), 1, at(0)) == [Degree("a", 3)]

    @clause("graph.degrees.limit")
    def test_limit_and_ties(self, backend: Backend) -> None:
        """Otherwise the top of a list changes from look to look."""
        chain(backend, "zy", "by", "ay")
        assert self.degrees(backend, OUT, limit=2) == [Degree("a", 1), Degree("b", 1)]

    @clause("graph.degrees.relationships")
    def test_relationships_and_scope(self, backend: Backend) -> None:
        """Otherwise edges of another kind or scope are counted."""
        store_edges(backend, edge("a", "b", "x"), edge("a", "b", "y"), edge("c", "b", "y"))
        store_edges(backend, edge("a", "b", "x", scope=GraphScope.NETWORK))
        assert self.degrees(backend, OUT, ("x", "?")) == [Degree("a", 1)]
        assert self.degrees(backend, OUT) == [Degree("a", 2), Degree("c", 1)]
