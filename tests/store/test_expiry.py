"""Expired records are absent for all callers at once, cleaned up or not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from ciris_store_core import (
    Correlation,
    GraphEdge,
    GraphNode,
    KeyRing,
    ManualClock,
    MemoryQuery,
    Metric,
    NotFound,
    SecretsConfig,
    Store,
)
from ciris_store_core.models import NodeKey
from ciris_store_core.services import MemoryService

TTL = 60
COMMON: dict[str, Any] = {"service_type": "s", "handler_name": "h", "action_type": "a"}
HOUR = timedelta(hours=1)


def fill(store: Store, clock: ManualClock) -> None:
    """A node ``x`` and its edges, and correlations, all of which expire, beside some that do not."""
    expires = clock.now() + timedelta(seconds=TTL)
    nodes = [GraphNode(id=id, type="concept", scope="local", attributes={"text": "word"}) for id in "ab"]
    nodes.append(GraphNode(id="x", type="concept", scope="local", attributes={"text": "word"}, expires_at=expires))
    store.graph.put_many(nodes)
    ends = ("ab", "ax", "xb", "xx")
    store.graph.put_edge_many([GraphEdge(source=a, target=b, relationship="knows", scope="local") for a, b in ends])
    fields: dict[str, Any] = {**COMMON, "request_data": {"service_type": "s", "method_name": "m", "channel_id": "c"}}
    fields["trace_context"] = {"trace_id": "t", "span_id": "s", "span_name": "n"}
    store.correlations.add_many(
        [
            Correlation(correlation_id="x", ttl_seconds=TTL, **fields),
            Correlation(correlation_id="a", **fields, log_level="ERROR", log_message="m"),
        ]
    )
    store.correlations.add_metrics(
        [Metric("gone", 1.0, metric_id="mx"), Metric("cpu", 4.0, metric_id="mxx")], ttl_seconds=TTL
    )
    store.correlations.add_metrics([Metric("cpu", 2.0, metric_id="ma")])


def names(found: Any) -> list[str]:
    return sorted({getattr(each, "correlation_id", None) or getattr(each, "id", None) or each.source for each in found})


QUESTIONS: dict[str, Callable[[Store], Any]] = {
    "graph.get": lambda store: store.graph.get("x", "local"),
    "graph.get_many": lambda store: (
        [*store.graph.get_many([("x", "local"), ("a", "local")])] == [NodeKey("a", "local")]
    ),  # type: ignore[arg-type]
    "graph.find": lambda store: names(store.graph.find()),
    "graph.scan": lambda store: names(store.graph.scan()),
    "graph.count": lambda store: store.graph.count(),
    "graph.search": lambda store: names(hit.node for hit in store.graph.search("word")),
    "graph.find_edges": lambda store: [edge.key[:2] for edge in store.graph.find_edges()],
    "graph.find_edges of x": lambda store: [*store.graph.find_edges(source="x"), *store.graph.find_edges(target="x")],
    "graph.get_edge": lambda store: store.graph.get_edge("a", "x", "knows", "local"),
    "graph.get_edge_many": lambda store: [*store.graph.get_edge_many([("a", b, "knows", "local") for b in "bx"])],
    "graph.neighbours": lambda store: [edge.target for edge in store.graph.neighbours("a", "local")],
    "graph.neighbours of x": lambda store: store.graph.neighbours("x", "local"),
    "graph.traverse": lambda store: store.graph.traverse("a", "local", depth=5).distances,
    "graph.shortest_path": lambda store: store.graph.shortest_path("a", "x", "local"),
    "graph.subgraph": lambda store: names(store.graph.subgraph("a", "local", depth=5).nodes),
    "graph.degrees": lambda store: [(each.id, each.count) for each in store.graph.degrees("local")],
    "memory.recall": lambda store: names(MemoryService(store).recall(MemoryQuery(node_id="*", scope="local"))),
    "memory.recall with edges": lambda store: [
        edge.key[:2] for edge in MemoryService(store).recall(_with_edges()).edges
    ],
    "correlations.get": lambda store: store.correlations.get("x"),
    "correlations.get_many": lambda store: [*store.correlations.get_many(["x", "mx", "a"])],
    "correlations.find": lambda store: names(store.correlations.find()),
    "correlations.scan": lambda store: names(store.correlations.scan()),
    "correlations.recent": lambda store: names(store.correlations.recent()),
    "correlations.by_channel": lambda store: names(store.correlations.by_channel("c")),
    "correlations.trace": lambda store: len(store.correlations.trace("t")),
    "correlations.count": lambda store: store.correlations.count(),
    "correlations.count of one": lambda store: store.correlations.count(metric_name="cpu"),
    "correlations.points": lambda store: [point.value for point in store.correlations.points()],
    "correlations.metric_series": lambda store: [point.value for point in store.correlations.metric_series("gone")],
    "correlations.metric_names": lambda store: store.correlations.metric_names(),
    "correlations.aggregate": lambda store: [
        (each.value, each.count) for each in store.correlations.aggregate("sum", HOUR)
    ],
    "correlations.percentiles": lambda store: [
        (each.values, each.count) for each in store.correlations.percentiles([50], HOUR)
    ],
    "memory.recall_timeseries": lambda store: [
        each.value for each in MemoryService(store).recall_timeseries(None, correlation_types=["metric_datapoint"])
    ],
}
EXPECTED: dict[str, Any] = {
    "graph.get": None, "graph.get_many": True, "graph.find": ["a", "b"], "graph.scan": ["a", "b"], "graph.count": 2,
    "graph.search": ["a", "b"], "graph.find_edges": [("a", "b")], "graph.find_edges of x": [], "graph.get_edge": None,
    "graph.get_edge_many": [("a", "b", "knows", "local")], "graph.neighbours": ["b"], "graph.neighbours of x": [],
    "graph.traverse": {"a": 0, "b": 1}, "graph.shortest_path": None, "graph.subgraph": ["a", "b"],
    "graph.degrees": [("a", 1), ("b", 1)], "memory.recall": ["a", "b"], "memory.recall with edges": [("a", "b")],
    "correlations.get": None, "correlations.get_many": ["a"], "correlations.find": ["a", "ma"],
    "correlations.scan": ["a", "ma"], "correlations.recent": ["a", "ma"], "correlations.by_channel": ["a"],
    "correlations.trace": 1, "correlations.count": 2, "correlations.count of one": 1, "correlations.points": [2.0],
    "correlations.metric_series": [], "correlations.metric_names": ["cpu"], "correlations.aggregate": [(2.0, 1)],
    "correlations.percentiles": [((2.0,), 1)], "memory.recall_timeseries": [2.0],
}  # fmt: skip


def _with_edges() -> MemoryQuery:
    return MemoryQuery(node_id="a", scope="local", include_edges=True, depth=3)


def test_every_question_leaves_out_what_expired(store: Store, clock: ManualClock) -> None:
    fill(store, clock)
    before = {name: ask(store) for name, ask in QUESTIONS.items()}
    clock.advance(seconds=TTL)
    after = {name: ask(store) for name, ask in QUESTIONS.items()}
    assert after == EXPECTED
    assert [name for name in QUESTIONS if before[name] == after[name]] == []
    with store.transaction() as tx:
        assert {name: ask(tx) for name, ask in QUESTIONS.items()} == EXPECTED  # type: ignore[arg-type]


def test_what_expired_is_neither_joined_nor_deleted(store: Store, clock: ManualClock) -> None:
    fill(store, clock)
    clock.advance(seconds=TTL)
    for ends in ("ax", "xa", "xx"):
        new = GraphEdge(source=ends[0], target=ends[1], relationship="new", scope="local")
        for put in (store.graph.put_edge, partial(store.graph.put_edge, expected_revision=0)):
            with pytest.raises(NotFound, match="'x' in scope local"):
                put(new)
        with pytest.raises(NotFound), store.transaction() as tx:
            tx.graph.put_edge_many([new.replaced(source="a", target="b"), new])
    assert [edge.key[:2] for edge in store.graph.find_edges()] == [("a", "b")]
    assert store.graph.delete_edge_many([("a", "x", "knows", "local"), ("x", "b", "knows", "local")]) == 0
    assert store.graph.delete("x", "local") == store.correlations.delete("x") == 0
    assert store.graph.delete_many([("x", "local"), ("b", "local")]) == 1
    assert store.correlations.delete_many(["mx", "a", "mxx"]) == 1
    assert names(store.graph.find(include_expired=True)) == ["a"]


def test_nothing_changes_what_expired(store: Store, clock: ManualClock) -> None:
    fill(store, clock)
    started = store.correlations.start_interaction(**COMMON, ttl_seconds=TTL)
    clock.advance(seconds=TTL)
    assert store.correlations.update("x", ttl_seconds=10**6) is False
    assert store.correlations.complete_interaction(started.correlation_id) is None
    assert store.correlations.get("x") is None


@pytest.mark.parametrize("exist_ok", [False, True])
def test_an_id_that_expired_is_free(store: Store, clock: ManualClock, exist_ok: bool) -> None:
    fill(store, clock)
    clock.advance(seconds=TTL)
    new = [Correlation(correlation_id=id, **{**COMMON, "action_type": "new"}) for id in ("x", "mx", "y")]
    assert store.correlations.add(new[0], exist_ok=exist_ok).action_type == "new"
    with store.transaction() as tx:
        assert [row.action_type for row in tx.correlations.add_many(new[1:], exist_ok=exist_ok)] == ["new", "new"]
    assert store.correlations.add_metrics([Metric("cpu", 8.0, metric_id="mxx")]) == ["mxx"]
    assert names(store.correlations.find()) == ["a", "ma", "mx", "mxx", "x", "y"]


def test_a_new_node_gets_no_edges_of_one_that_expired(store: Store, clock: ManualClock) -> None:
    fill(store, clock)
    clock.advance(seconds=TTL)
    store.graph.put(GraphNode(id="x", type="concept", scope="local", attributes={}))
    assert store.graph.neighbours("x", "local") == []
    assert [edge.key[:2] for edge in store.graph.find_edges()] == [("a", "b")]


def test_secrets_of_what_expired_are_gone(opened: Callable[..., Store], clock: ManualClock) -> None:
    store = opened(secrets=SecretsConfig(keys=KeyRing([bytes(range(32))])))
    text = "password=hunter2xZ9Qk"
    expires = clock.now() + timedelta(seconds=TTL)
    attributes = {"t": text}
    store.graph.put(GraphNode(id="a", type="concept", scope="local", attributes=attributes))
    store.graph.put(GraphNode(id="x", type="concept", scope="local", attributes=attributes, expires_at=expires))
    edge = GraphEdge(source="a", target="x", relationship="r", scope="local", attributes={"context": text})
    store.graph.put_edge(edge)
    store.correlations.add(Correlation(correlation_id="x", ttl_seconds=TTL, metadata={"t": text}, **COMMON))
    known = store.graph.get("x", "local"), store.graph.get_edge("a", "x", "r", "local"), store.correlations.get("x")
    assert all(text in str(store.secrets.resolve(record, action="tool", accessor="me")) for record in known if record)
    ids = [secret.secret_id for secret in store.secrets.find()]
    assert len(ids) == 4
    clock.advance(seconds=TTL)
    assert [secret.owner[0:3] for secret in store.secrets.find()] == [["node", "local", "a"]]
    assert [store.secrets.get(id) is None for id in ids].count(True) == 3
    assert [store.secrets.disclose(id, accessor="me", reason="r") is None for id in ids].count(True) == 3
    for record in known:
        assert record is not None
        assert text not in str(store.secrets.resolve(record, action="tool", accessor="me"))
