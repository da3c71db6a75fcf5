"""Nodes, edges, tasks and thoughts that a transaction locks in order to update them, and increments."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ciris_store_core.conformance.factories import (
    LOCAL,
    T0,
    at,
    edge,
    node,
    put,
    store_edges,
    store_nodes,
    task,
    thought,
)
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.support import RETRIES, exact, race, reading, transact, writing
from ciris_store_core.contract import Backend, Session
from ciris_store_core.errors import InvalidArgument, StoreError
from ciris_store_core.models import NodeKey, NodeType

N = NodeKey("n", LOCAL)


def count_node(session: Session) -> object:
    """Count in a node's attributes."""
    [found] = session.graph.lock_nodes([N])
    return session.graph.put_nodes([put(node(attributes={"n": found.attributes["n"] + 1}))], T0)


def count_edge(session: Session) -> object:
    """Count in an edge's metadata."""
    [found] = session.graph.lock_edges([edge("n", "n").key])
    return session.graph.put_edges([found.replaced(metadata={"n": found.metadata["n"] + 1})])


def count_task(session: Session) -> object:
    """Count in a task's metadata."""
    [found] = session.tasks.lock(["t"], None)
    return session.tasks.update("t", {"metadata": {"n": found.metadata["n"] + 1}}, None, None)


def count_thought(session: Session) -> object:
    """Count in a thought's metadata."""
    [found] = session.thoughts.lock(["h"], None)
    return session.thoughts.update("h", {"metadata": {"n": found.metadata["n"] + 1}}, None)


def add_all(backend: Backend) -> None:
    """One record of each kind, which has counted nothing."""
    store_nodes(backend, node(attributes={"n": 0}))
    store_edges(backend, edge("n", "n", metadata={"n": 0}))
    with writing(backend) as session:
        session.tasks.add([task(metadata={"n": 0})])
        session.thoughts.add([thought(metadata={"n": 0})])


def counted(backend: Backend) -> set[int]:
    """Return the numbers that were counted."""
    with reading(backend) as session:
        counts = [each.attributes["n"] for each in session.graph.get_nodes([N], None)]
        counts += [each.metadata["n"] for each in session.graph.get_edges([edge("n", "n").key])]
        counts += [each.metadata["n"] for each in session.tasks.get(["t"], None)]
        return {*counts, *(each.metadata["n"] for each in session.thoughts.get(["h"], None))}


class TestReadsForUpdate:
    """``lock_nodes``, ``lock_edges``, ``tasks.lock`` and ``thoughts.lock``."""

    @clause("graph.lock_nodes.existing")
    def test_what_is_locked_is_returned(self, backend: Backend) -> None:
        """Otherwise a read for an update finds something else than a read."""
        add_all(backend)
        store_nodes(backend, node("old", expires_at=T0), node("other"))
        with writing(backend) as session:
            keys = [NodeKey("old", LOCAL), N, NodeKey("?", LOCAL)]
            assert {each.id: exact(each) for each in session.graph.lock_nodes(keys)} == {
                each.id: exact(each) for each in session.graph.get_nodes(keys, None)
            }
            assert len(session.graph.lock_nodes(keys)) == 2 and session.graph.lock_nodes([]) == []
            known = edge("n", "n").key
            assert session.graph.lock_edges([]) == []
            assert session.graph.lock_edges([known, edge("n", "?").key]) == session.graph.get_edges([known])
            assert session.tasks.lock(["?", "t"], None) == session.tasks.get(["t"], None) != []
            assert session.thoughts.lock(["?", "h"], None) == session.thoughts.get(["h"], None) != []
            assert session.tasks.lock(["t"], "other") == [] == session.thoughts.lock(["h"], "other")
            assert session.tasks.lock(["t"], "default") and session.thoughts.lock(["h"], "default")
            assert session.tasks.lock([], None) == [] == session.thoughts.lock([], None)
        assert counted(backend) == {0}

    @pytest.mark.parametrize("count", [count_node, count_edge, count_task, count_thought])
    @clause("graph.lock_nodes.keeps", Level.CONCURRENT)
    def test_no_update_is_lost(self, backend: Backend, count: Callable[[Session], object]) -> None:
        """Otherwise of two that change what they read, one overwrites what the other wrote."""
        add_all(backend)
        race(4, lambda number: [transact(backend, count) for _ in range(10)])
        assert counted(backend) == {0, 40}


class TestIncrement:
    """``GraphStore.increment``."""

    @clause("graph.increment.sum")
    def test_a_number_is_added(self, backend: Backend) -> None:
        """Otherwise a counter counts wrongly, or another attribute changes with it."""
        store_nodes(backend, node(attributes={"n": 40, "deep": {"x": 0.5, "y": "kept"}, "é.\"'": 1}, secret_refs=["s"]))
        now = at(9)
        with writing(backend) as session:
            add = session.graph.increment
            sums = [add(N, ["n"], 2, now), add(N, ["deep", "x"], -1, now), add(N, ["new", "er"], 7, now)]
            sums += [add(N, ["é.\"'"], 2**62, now), add(N, ["deep", "x"], 0.1, now), add(N, ["n"], -(2**62), now)]
            [found] = session.graph.get_nodes([N], None)
        assert [repr(each) for each in sums] == ["42", "-0.5", "7", repr(2**62 + 1), "-0.4", repr(42 - 2**62)]
        expected = {"n": 42 - 2**62, "deep": {"x": -0.4, "y": "kept"}, "é.\"'": 2**62 + 1, "new": {"er": 7}}
        before = node(attributes=expected, secret_refs=["s"], revision=7, updated_at=now)
        assert exact(found) == exact(before)

    @clause("graph.increment.refused")
    def test_what_is_no_number(self, backend: Backend) -> None:
        """Otherwise a text is destroyed, or a deleted node comes back."""
        attributes = {"text": "1", "flag": True, "list": [1], "big": 2**63 - 1, "low": -(2**63), "float": 1.7e308}
        store_nodes(backend, node(attributes=attributes), node("old", expires_at=T0))
        wrong = [(["text"], 1), (["flag"], 1), (["list"], 1), (["list", "0"], 1), (["text", "x"], 1), (["big"], 1)]
        for path, by in [*wrong, (["low"], -1), (["float"], 1.7e308)]:
            with pytest.raises(InvalidArgument), writing(backend) as session:
                session.graph.increment(N, path, by, at(1))
        with writing(backend) as session:
            assert session.graph.increment(NodeKey("?", LOCAL), ["n"], 1, at(1)) is None
            assert session.graph.increment(NodeKey("old", LOCAL), ["n"], 1, at(1)) is None
            [found] = session.graph.get_nodes([N], None)
        assert (found.attributes, found.revision, found.type) == (attributes, 1, NodeType.CONCEPT)

    @clause("graph.increment.race", Level.CONCURRENT)
    def test_no_increment_is_lost(self, backend: Backend) -> None:
        """Otherwise concurrent counters count too little."""
        store_nodes(backend, node(attributes={"n": 0}))
        race(4, lambda number: [transact(backend, lambda s: s.graph.increment(N, ["n"], 1, T0)) for _ in range(10)])
        with reading(backend) as session:
            assert session.graph.get_nodes([N], None)[0].attributes == {"n": 40}

    @clause("graph.increment.single", Level.CONCURRENT)
    def test_no_increment_by_itself_is_lost(self, backend: Backend) -> None:
        """Otherwise counters that are not in a transaction count too little."""
        store_nodes(backend, node(attributes={"n": 0}))

        def count_alone() -> object:
            for _ in range(100):
                try:
                    with backend.session(write=True, single=True) as session:
                        return session.graph.increment(N, ["n"], 1, T0)
                except StoreError as error:
                    RETRIES.add(error)
            raise AssertionError("100 retries were not enough")

        race(16, lambda number: [count_alone() for _ in range(10)])
        with reading(backend) as session:
            assert session.graph.get_nodes([N], None)[0].attributes == {"n": 160}
