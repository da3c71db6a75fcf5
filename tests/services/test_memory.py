from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ciris_store_core import (
    AccessDenied,
    AsyncMemoryService,
    CorrelationType,
    GraphEdge,
    InvalidArgument,
    ManualClock,
    MemoryQuery,
    NotFound,
    NotSupported,
    Store,
    TestSeams,
    open_store_async,
)
from ciris_store_core.errors import StoreClosed
from ciris_store_core.models import TSDBGraphNode
from ciris_store_core.services import MemoryService
from tests.support.factories import node

TAGS = {"host": "agent-1", "a.b": "prod"}


@pytest.fixture
def memory(store: Store) -> MemoryService:
    return MemoryService(store)


def query(node_id: str, **fields: Any) -> MemoryQuery:
    return MemoryQuery(**{"node_id": node_id, "scope": "local", **fields})


def ids(found: Any) -> list[str]:
    return [each.id for each in found]


# --- nodes and edges --------------------------------------------------------------------------


def test_memorize_merges_and_forget_says_how_many(memory: MemoryService, store: Store) -> None:
    assert memory.memorize(node("n", attributes={"a": 1})).status == "ok"
    result = memory.memorize(node("n", attributes={"b": 2}))
    assert result.data.attributes == {"a": 1, "b": 2} and result.data == store.graph.get("n", "local")
    memory.memorize(node("m"))
    edge = memory.create_edge(GraphEdge(source="n", target="m", relationship="r", scope="local"))
    assert edge.status == "ok" and edge.data.key == store.graph.find_edges()[0].key
    gone = memory.forget(result.data)
    assert (gone.status, gone.data, gone.reason) == ("ok", 1, None) and len(store.graph.find_edges()) == 0
    again = memory.forget(("n", "LOCAL"))
    assert (again.status, again.data) == ("ok", 0) and "no such node" in str(again.reason)
    with pytest.raises(NotFound):
        memory.create_edge(GraphEdge(source="n", target="m", relationship="r", scope="local"))


def test_recall_finds_one_a_prefix_or_all(memory: MemoryService, clock: ManualClock) -> None:
    for name in ("aa", "ab", "b", "a*"):
        memory.memorize(node(name, type="user" if name == "b" else "concept"))
        clock.advance(seconds=1)
    assert ids(memory.recall(query("ab"))) == ["ab"] and memory.recall(query("ab"))[0].id == "ab"
    assert not memory.recall(query("a")) and not memory.recall(query("b", type="concept"))
    assert ids(memory.recall(query("b", type="user"))) == ["b"] and not memory.recall(query("b", scope="network"))
    assert ids(memory.recall(query("a*"))) == ["a*", "ab", "aa"]
    assert ids(memory.recall(query("*", type="user"))) == ["b"]
    page = memory.recall(query("*"), limit=3)
    rest = memory.recall(query("*"), limit=3, cursor=page.next_cursor)
    assert ids(page) + ids(rest) == ["a*", "b", "ab", "aa"] and rest.next_cursor is None


def test_a_percent_sign_at_the_end_is_a_star(memory: MemoryService) -> None:
    for each in (node("user/a"), node("user/b"), node("other"), node("cpu%"), node("cpu%user")):
        memory.memorize(each)
    assert len(memory.recall(query("%"))) == 5 == len(memory.recall(query("*")))
    assert sorted(ids(memory.recall(query("user/%")))) == ["user/a", "user/b"]
    assert ids(memory.recall(query("cpu%"))) == ["cpu%"]
    assert not memory.recall(query("none/%"))


def test_search_lists_what_a_text_without_words_selects(memory: MemoryService, store: Store) -> None:
    for each in (node("a"), node("b", type="user"), node("c", scope="network", attributes={"note": "a train"})):
        memory.memorize(each)
    assert sorted(ids(memory.search(""))) == sorted(ids(memory.search(" ?! "))) == ["a", "b", "c"]
    assert len(memory.search("", limit=2)) == 2
    assert sorted(ids(memory.search("type:concept"))) == ["a", "c"]
    assert ids(memory.search("scope:network type:concept")) == ["c"]
    assert ids(memory.search("", type="user")) == ids(memory.search("type:user", type="user")) == ["b"]
    with pytest.raises(InvalidArgument, match="GraphScope"):
        memory.search("scope:nowhere")
    if "full_text" in store.capabilities:
        assert ids(memory.search("train type:concept scope:network")) == ["c"]
        assert memory.search("train type:user") == []


def test_recall_goes_along_edges(memory: MemoryService, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcd":
        memory.memorize(node(name))
    for source, target in ("ab", "bc", "cd"):
        memory.create_edge(GraphEdge(source=source, target=target, relationship="next", scope="local"))
    assert ids(memory.recall(query("a", depth=3))) == ["a"]  # Edges were not asked for.
    for depth, names in enumerate(["ab", "abc", "abcd"], 1):
        found = memory.recall(query("a", include_edges=True, depth=depth))
        assert "".join(ids(found)) == names and len(found.edges) == depth and not found.truncated
    pattern = memory.recall(query("b*", include_edges=True))
    assert ids(pattern) == ["b"] and [(e.source, e.target) for e in pattern.edges] == [("a", "b"), ("b", "c")]
    monkeypatch.setattr("ciris_store_core.services.memory.MOST_NODES", 2)
    assert memory.recall(query("a", include_edges=True, depth=3)).truncated


def test_search(memory: MemoryService, store: Store) -> None:
    memory.memorize(node("n", attributes={"text": "the train to Leeds"}))
    memory.memorize(node("m", attributes={"text": "the bus to York"}))
    if "full_text" in store.capabilities:
        assert ids(memory.search("train leeds")) == ["n"] and ids(memory.search("the", limit=1, type="concept")) != []
        assert memory.search("the", scope="network") == []
    else:
        with pytest.raises(NotSupported):
            memory.search("train")


def test_only_a_refusal_of_a_policy_is_a_result(
    memory: MemoryService, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AccessDenied("needs an approval")

    with monkeypatch.context() as patch:
        patch.setattr(type(store.graph), "put", refuse)
        for result in (memory.memorize(node("n")), memory.memorize_metric("m", 1.0)):
            assert (result.status, result.reason, result.data) == ("denied", "needs an approval", None)
    assert store.correlations.count() == 0
    store.close()
    calls: list[Callable[[], Any]] = [
        lambda: memory.memorize(node("n")), lambda: memory.recall(query("n")), lambda: memory.forget(("n", "local")),
        lambda: memory.memorize_metric("m", 1.0), memory.recall_timeseries, lambda: memory.recall(query("*")),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(StoreClosed):
            call()


# --- events -----------------------------------------------------------------------------------


def test_a_metric_is_stored_twice_under_one_id_and_counted_once(
    memory: MemoryService, store: Store, clock: ManualClock
) -> None:
    results = [memory.memorize_metric("cpu", value, TAGS, unit="percent") for value in (10.0, 30.0)]
    for result, value in zip(results, (10.0, 30.0), strict=True):
        stored, event = result.data, store.correlations.get(result.data.id)
        assert stored == store.graph.get(stored.id, "local") and stored.type == "tsdb_data"
        assert event is not None and event.metric_data is not None
        assert (event.metric_value, event.metric_data.metric_unit, event.tags) == (value, "percent", TAGS)
        assert stored.created_at == event.timestamp == clock.now() and stored.id[14] == "7"
        assert event.status == "completed" and event.action_type == "memorize_metric"
    [point] = store.correlations.aggregate("sum", timedelta(hours=1), metric_name="cpu", group_by=["a.b"])
    assert (point.value, point.count, point.group) == (40.0, 2, ("prod",))
    assert store.correlations.count() == len(memory.recall_timeseries()) == store.graph.count() == 2
    assert memory.forget(results[0].data).data == 1
    assert store.correlations.count() == store.graph.count() == 1


def test_a_failing_event_leaves_nothing(memory: MemoryService, store: Store) -> None:
    for call in (
        lambda: memory.memorize_metric("cpu", float("nan")), lambda: memory.memorize_metric("", 1.0),
        lambda: memory.memorize_metric("cpu", 1.0, {"k": "\0"}), lambda: memory.memorize_log("x", "\0"),
        lambda: memory.memorize_metric("cpu", 1.0, scope="nowhere"),
        lambda: memory.memorize(TSDBGraphNode(attributes={})),
        lambda: memory.memorize_metric("cpu", 1.0, timestamp=datetime(2025, 1, 1)),
    ):  # fmt: skip
        with pytest.raises(InvalidArgument):
            call()
    assert store.correlations.count() == store.graph.count() == 0


def test_an_event_made_as_a_node_is_memorized_once(memory: MemoryService, store: Store, clock: ManualClock) -> None:
    made = TSDBGraphNode.create_metric_node(
        "cpu", 1, {"a": "b"}, "network", ttl_seconds=60, retention_policy="aggregated"
    )
    for _ in range(2):
        assert memory.memorize(made).status == "ok"
        clock.advance(seconds=1)
    [event], [stored] = store.correlations.find().items, store.graph.find().items
    assert event.correlation_id == stored.id == made.id and event.scope == stored.scope == "network"
    assert event.retention_policy == "aggregated" and event.expires_at == stored.expires_at
    assert event.timestamp == clock.now() - timedelta(seconds=2) and stored.revision == 1
    earlier = clock.now() - timedelta(days=400)
    old = memory.memorize(TSDBGraphNode.create_log_node("started", timestamp=earlier)).data
    assert store.correlations.get(old.id).timestamp == old.created_at == earlier


def test_audit_events_outlive_their_node(memory: MemoryService, store: Store) -> None:
    result = memory.memorize_audit("login", "failure", {"who": "x"}, actor="ada", details={"tries": [1, 2]})
    event = store.correlations.get(result.data.id)
    assert event is not None and (event.correlation_type, event.action_type) == ("audit_event", "login")
    assert event.metadata == {"outcome": "failure", "actor": "ada", "details": {"tries": [1, 2]}}
    assert [entry.entry_id for entry in store.audit.find()] == [result.data.id] and not store.audit.verify().problems
    assert memory.forget(result.data).data == 1 and store.correlations.count() == 1


def test_recall_timeseries_bounds_and_filters(memory: MemoryService, clock: ManualClock) -> None:
    now = clock.now()
    for hours in (30, 24, 2, 0):
        memory.memorize_metric("cpu", float(hours), {"h": str(hours)}, timestamp=now - timedelta(hours=hours))
    memory.memorize_metric("net", 7.0, scope="network", timestamp=now - timedelta(hours=1))
    memory.memorize_metric("later", 1.0, timestamp=now + timedelta(seconds=1))

    def values(**arguments: Any) -> list[float]:
        return [point.value for point in memory.recall_timeseries(**arguments)]

    assert values() == values(scope=None) == values(hours=24, scope="default") == [24.0, 2.0, 7.0, 0.0]
    assert values(scope="network") == [7.0] and values(hours=1.5) == [7.0, 0.0] and values(tags={"h": "2"}) == [2.0]
    assert values(start_time=now - timedelta(hours=30), hours=1) == [30.0, 24.0, 2.0, 7.0, 0.0]
    assert values(end_time=now - timedelta(hours=2), hours=24) == [24.0, 2.0]
    assert values(end_time=now + timedelta(hours=1), metric_name="later") == [1.0]
    with pytest.raises(InvalidArgument):
        values(start_time=datetime(2025, 1, 1))
    with pytest.raises(InvalidArgument):
        values(hours=0)


@pytest.mark.parametrize("kinds", [None, "metric_datapoint"])
def test_recall_timeseries_pages_without_a_cut(
    memory: MemoryService, store: Store, clock: ManualClock, kinds: str | None
) -> None:
    for i in range(25):
        memory.memorize_metric("cpu", float(i), timestamp=clock.now() - timedelta(minutes=100 - i))
    cursor, found, pages = None, list[float](), 0
    while pages == 0 or cursor is not None:
        page = memory.recall_timeseries(limit=10, cursor=cursor, correlation_types=kinds)
        found += [point.value for point in page]
        cursor, pages = page.next_cursor, pages + 1
        clock.advance(seconds=1)
    assert found == [float(i) for i in range(25)] and pages == 3


def test_recall_timeseries_of_other_events(memory: MemoryService, clock: ManualClock) -> None:
    memory.memorize_metric("cpu", 2.0)
    clock.advance(seconds=1)
    memory.memorize_log("it broke", "ERROR", {"where": "x"})
    clock.advance(seconds=1)
    memory.memorize_audit("login")
    points = memory.recall_timeseries().items
    assert [(p.metric_name, p.value) for p in points] == [("cpu", 2.0), ("log.ERROR", 1.0), ("login", 1.0)]
    assert points[1].metadata == {"log_message": "it broke"} and points[1].tags == {"where": "x"}
    for kinds, count in (([CorrelationType.METRIC_DATAPOINT], 1), ("LOG_ENTRY", 1), (["audit_event", "log_entry"], 2)):
        assert len(memory.recall_timeseries(correlation_types=kinds)) == count


# --- within a transaction, and for asyncio -----------------------------------------------------


def test_over_a_transaction_all_of_it_is_part_of_that(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        inside = MemoryService(tx)
        assert inside.memorize_metric("cpu", 1.0).status == "ok" and len(inside.recall_timeseries()) == 1
        raise ZeroDivisionError
    assert store.correlations.count() == store.graph.count() == 0


def test_the_service_for_asyncio(url: str, clock: ManualClock) -> None:
    async def body() -> None:
        async with open_store_async(url, testing=TestSeams(clock=clock, server_clock=clock)) as store:
            memory_service = AsyncMemoryService(store)
            assert (await memory_service.memorize_metric("cpu_usage", 75.5, TAGS)).status == "ok"
            metrics = await memory_service.recall_timeseries(
                hours=24, correlation_types=[CorrelationType.METRIC_DATAPOINT]
            )
            assert [point.value for point in metrics] == [75.5] and metrics[0].tags == TAGS
            async with store.transaction() as tx:
                assert (await AsyncMemoryService(tx).memorize(node("n"))).status == "ok"
                assert len(await AsyncMemoryService(tx).recall(query("n"))) == 1
            assert len(await AsyncMemoryService(store.sync).recall(query("n"))) == 1

    asyncio.run(body())


def test_the_models_are_where_the_specification_imports_them() -> None:
    from ciris_store_core import models
    from ciris_store_core.schemas import correlation_schemas_v1, graph_schemas_v1, memory_schemas_v1

    for module in (correlation_schemas_v1, graph_schemas_v1, memory_schemas_v1):
        assert all(getattr(module, name) is getattr(models, name) for name in module.__all__ if hasattr(models, name))
    assert graph_schemas_v1.TSDBGraphNode.create_metric_node("m", 1.0).created_at <= datetime.now(UTC)


@pytest.mark.parametrize("fields", [{}, {"include_edges": True, "depth": 3}, {"type": "concept"}])
def test_recall_of_a_missing_node_is_an_empty_page(memory: MemoryService, fields: dict[str, Any]) -> None:
    memory.memorize(node("a"))
    for action in (None, "tool"):
        found = memory.recall(query("gone", **fields), action=action)
        assert (found.items, found.edges, found.next_cursor, found.truncated) == ([], [], None, False)
        assert not found


def test_stopping_what_never_started(memory: MemoryService, store: Store) -> None:
    memory.stop()
    MemoryService(store).stop()
    assert memory.recall(query("gone")).items == []
