"""Calls on nodes, edges and correlations while another transaction holds a change of them open."""

from __future__ import annotations

from typing import Any

from ciris_store_core.conformance.calls import EDGE, OLD, WRITES, Call, N
from ciris_store_core.conformance.factories import T0, at, correlation, edge, metric, node, put
from ciris_store_core.conformance.scheduling import Interleaving
from ciris_store_core.conformance.suite.interleavings import LATER, together
from ciris_store_core.contract import Session
from ciris_store_core.models import NodeType
from ciris_store_core.models.correlations import CorrelationFilter, CorrelationQuery
from ciris_store_core.models.graph import KEPT_UNLESS_GIVEN


def update_correlation(id: str = "c", **changes: Any) -> Call:
    """Return an update of a correlation."""
    return lambda s: s.correlations.update(id, {**changes, "updated_at": LATER})


def merge(id: str = "n", **attributes: Any) -> Call:
    """Return a merge of attributes into a node."""
    return lambda s: s.graph.put_nodes([put(node(id, attributes=attributes))], LATER)


def insert_node(session: Session) -> Any:
    """Insert a new node."""
    return session.graph.put_nodes([put(node("new", attributes={"a": 1}), "insert")], LATER)


def expected_revision(session: Session) -> Any:
    """Write a node that must have revision 1."""
    return session.graph.put_nodes([put(node("n", attributes={"b": 1}), expected=1)], LATER)


def retype(session: Session) -> Any:
    """Replace a node by one of another type."""
    session.graph.delete_nodes([N])
    return session.graph.put_nodes([put(node("n", type=NodeType.USER))], LATER)


def revive(session: Session) -> Any:
    """Extend the life of the node that expires."""
    write = put(node("old", expires_at=at(99)), given=KEPT_UNLESS_GIVEN)
    return session.graph.put_nodes([write], T0)


def delete_node(session: Session) -> Any:
    """Delete the node ``n``."""
    return session.graph.delete_nodes([N])


def add_solo(session: Session) -> Any:
    """Add the only correlation of its action."""
    return session.correlations.add([correlation("solo", action_type="solo")])


def find_solo(session: Session) -> Any:
    """Lock the page of that correlation."""
    return session.correlations.find_locked(CorrelationQuery(where=CorrelationFilter(action_type="solo")))


def count_node(session: Session) -> Any:
    """Lock the node ``n``, and add to the number in its attributes."""
    found = session.graph.lock_nodes([N])
    for row in found:
        session.graph.put_nodes([put(node("n", attributes={"n": row.attributes["n"] + 1}))], at(20))
    return found


def halve_edge(session: Session) -> Any:
    """Lock an edge, and halve its weight."""
    found = session.graph.lock_edges([EDGE])
    for row in found:
        session.graph.put_edges([row.replaced(weight=row.weight / 2)])
    return found


def count_correlation(session: Session) -> Any:
    """Lock the correlation ``c``, and add to the number in its metadata."""
    found = session.correlations.lock(["c"])
    for row in found:
        session.correlations.update("c", {"metadata": {"n": row.metadata.get("n", 0) + 1}, "updated_at": at(20)})
    return found


class TestGraphInterleavings:
    """``GraphStore``, beside another transaction."""

    test_put_nodes = together(
        "graph.put_nodes",
        "of two that learn about one thing at the same time, one overwrites what the other wrote.",
        (merge(a=1), merge(b=2)),
        (merge(a=1), expected_revision),
        (insert_node, insert_node),
        (insert_node, merge("new", b=2)),
        (delete_node, merge(b=2)),
        (retype, merge(b=2)),
    )
    test_increment = together(
        "graph.increment", "of two that count at the same time one is lost.",
        (WRITES["graph.increment"], WRITES["graph.increment"]), (delete_node, WRITES["graph.increment"]),
        (merge(n=40), WRITES["graph.increment"]),
    )  # fmt: skip
    test_delete_nodes = together(
        "graph.delete_nodes", "an edge stays that leads to a deleted node.",
        (lambda s: s.graph.put_edges([edge("m", "n", "new")]), delete_node), (delete_node, delete_node),
        (merge(a=1), delete_node),
    )  # fmt: skip
    test_delete_expired_nodes = together(
        "graph.delete_expired_nodes", "a node is deleted as expired whose life was extended just before.",
        Interleaving(revive, WRITES["graph.delete_expired_nodes"], skips=0),
        Interleaving(lambda s: s.graph.delete_nodes([OLD]), WRITES["graph.delete_expired_nodes"], skips=0),
    )  # fmt: skip
    test_put_edges = together(
        "graph.put_edges", "an edge leads to a node that was deleted while it was written.",
        (delete_node, lambda s: s.graph.put_edges([edge("m", "n", "new")])),
        (WRITES["graph.put_edges"], lambda s: s.graph.put_edges([edge("n", "m", weight=0.25)])),
        (WRITES["graph.delete_edges"], lambda s: s.graph.put_edges([edge("n", "m", weight=0.25)])),
    )  # fmt: skip
    test_delete_edges = together(
        "graph.delete_edges", "a deletion counts what another one deleted.",
        (WRITES["graph.delete_edges"], WRITES["graph.delete_edges"]),
        (lambda s: s.graph.put_edges([edge("n", "m", weight=0.25)]), WRITES["graph.delete_edges"]),
    )  # fmt: skip
    test_lock_nodes = together(
        "graph.lock_nodes", "a read for an update returns what was there before it waited.",
        (merge(n=40), count_node), (delete_node, count_node),
    )  # fmt: skip
    test_lock_edges = together(
        "graph.lock_edges", "a read for an update returns what was there before it waited.",
        (lambda s: s.graph.put_edges([edge("n", "m", weight=0.25)]), halve_edge),
    )  # fmt: skip


class TestTelemetryInterleavings:
    """``CorrelationStore``, beside another transaction."""

    test_update = together(
        "correlations.update", "an update of one part of a record takes back another one's.",
        (update_correlation(metadata={"a": 1}), update_correlation(action_type="x")),
        (WRITES["correlations.delete"], update_correlation(action_type="x")),
    )  # fmt: skip
    test_add = together(
        "correlations.add", "of two records of one id one is lost.",
        (lambda s: s.correlations.add([correlation("new")]), WRITES["correlations.add"]),
    )  # fmt: skip
    test_add_metrics = together(
        "correlations.add_metrics", "of two measurements of one id one is lost.",
        (lambda s: s.correlations.add([metric("measured", 1.0)]), WRITES["correlations.add_metrics"]),
    )  # fmt: skip
    test_delete = together(
        "correlations.delete", "a deletion counts what another one deleted.",
        (WRITES["correlations.delete"], WRITES["correlations.delete"]),
        (WRITES["correlations.update"], WRITES["correlations.delete"]),
    )  # fmt: skip
    test_delete_expired = together(
        "correlations.delete_expired", "a record is deleted as expired whose life was extended just before.",
        Interleaving(update_correlation("old", ttl_seconds=3600), WRITES["correlations.delete_expired"], skips=0),
        Interleaving(lambda s: s.correlations.delete(["old"]), WRITES["correlations.delete_expired"], skips=0),
    )  # fmt: skip
    test_lock = together(
        "correlations.lock", "a read for an update returns what was there before it waited.",
        (update_correlation(metadata={"n": 40}), count_correlation), (WRITES["correlations.delete"], count_correlation),
    )  # fmt: skip
    test_find_locked = together(
        "correlations.find_locked", "a rollup reduces a record that was changed or reduced meanwhile.",
        Interleaving(update_correlation("solo", metadata={"a": 1}), find_solo, add_solo, skips=[]),
        Interleaving(update_correlation("solo", action_type="x"), find_solo, add_solo, skips=[]),
        Interleaving(lambda s: s.correlations.delete(["solo"]), find_solo, add_solo, skips=[]),
    )  # fmt: skip
