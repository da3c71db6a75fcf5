from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ciris_store_core import Conflict, Correlation, InvalidArgument, ManualClock, Store
from ciris_store_core.conformance.support import race
from ciris_store_core.models import CorrelationStatus, ServiceRequest, TraceContext

START = datetime(2025, 1, 1, tzinfo=UTC)


def row(correlation_id: str = "x", **fields: Any) -> Correlation:
    return Correlation(
        **{"correlation_id": correlation_id, "service_type": "s", "handler_name": "h", "action_type": "a", **fields}
    )


def metric(correlation_id: str, minutes: int, value: float, **fields: Any) -> Correlation:
    when = START + timedelta(minutes=minutes)
    return row(
        correlation_id,
        correlation_type="metric_datapoint",
        metric_name="cpu",
        metric_value=value,
        timestamp=when,
        **fields,
    )


def ids(rows: Any) -> list[str]:
    return [item.correlation_id for item in rows]


def test_add_get_update_delete(store: Store, clock: ManualClock) -> None:
    stored = store.correlations.add(row(tags={"a.b": 'x"y'}))
    assert stored == store.correlations.get("x") and stored.timestamp == stored.created_at == clock.now()
    with pytest.raises(Conflict):
        store.correlations.add(row())
    clock.advance(seconds=1)
    assert store.correlations.add(row(), exist_ok=True) == stored
    assert store.correlations.update("x", status="completed", tags={"new": "1"})
    after = store.correlations.get("x")
    assert after is not None and after.updated_at == clock.now() and after.tags == {"new": "1"}
    assert not store.correlations.update("nope", status="failed")
    with pytest.raises(InvalidArgument, match="resolution"):
        store.correlations.update("x", resolution="daily")
    assert list(store.correlations.get_many(["z", "x"])) == ["x"]
    assert store.correlations.delete_many(["x", "z"]) == 1 and store.correlations.get("x") is None


def test_a_nested_time_that_was_not_given_is_no_difference(store: Store, clock: ManualClock) -> None:
    given = row(request_data=ServiceRequest(service_type="s", method_name="m"))
    stored = store.correlations.add(given)
    clock.advance(hours=1)
    assert store.correlations.add(given, exist_ok=True) == stored
    other = row(request_data=ServiceRequest(service_type="s", method_name="other"))
    with pytest.raises(Conflict, match=r"request_data\.method_name"):
        store.correlations.add(other, exist_ok=True)


def test_filters(store: Store) -> None:
    store.correlations.add_many(
        [
            metric("m1", 1, 1.0, tags={"host": "a", "k'\"": "1"}),
            metric("m2", 2, 2.0, tags={"host": "b"}, agent_occurrence_id="o"),
            row("log", correlation_type="log_entry", log_level="ERROR", log_message="m", timestamp=START),
            row("call", request_data=ServiceRequest(service_type="s", method_name="m", task_id="t", channel_id="ch"),
                timestamp=START + timedelta(hours=1), status="failed", scope="network"),
        ]
    )  # fmt: skip
    c = store.correlations
    assert ids(c.find()) == ["log", "m1", "m2", "call"] and ids(c.find(descending=True, limit=1)) == ["call"]
    assert ids(c.scan(type="METRIC_DATAPOINT")) == ["m1", "m2"]
    assert ids(c.find(type=["log_entry", "service_interaction"])) == ["log", "call"]
    assert ids(c.find(occurrence_id="o")) == ["m2"] and ids(c.find(tags={"host": "a", "k'\"": "1"})) == ["m1"]
    assert ids(c.find(task_id="t", channel_id="ch", status="failed", scope="NETWORK")) == ["call"]
    assert ids(c.find(log_level="ERROR")) == ["log"] and c.count(metric_name=["cpu"]) == 2
    bounds = {"time_from": START + timedelta(minutes=1), "time_to": START + timedelta(minutes=2)}
    assert ids(c.find(**bounds)) == ["m1", "m2"] and ids(c.find(**bounds, time_to_exclusive=True)) == ["m1"]
    assert ids(c.recent(2)) == ["call", "m2"] and ids(c.by_channel("ch")) == ["call"]
    assert [point.value for point in c.metric_series("cpu", tags={"host": "b"})] == [2.0]


def test_bad_questions_are_refused(store: Store) -> None:
    store.correlations.add_many([metric("a", 1, 1.0), metric("b", 2, 2.0)])
    cursor = store.correlations.find(limit=1).next_cursor
    for bad in (
        {"type": "No Type"}, {"tags": {"": "x"}}, {"time_from": datetime(2025, 1, 1)},
        {"status": "x"}, {"metric_name": []}, {"cursor": cursor, "descending": True}, {"limit": 0}, {"task_id": ""},
        {"resolution": "weekly"},
    ):  # fmt: skip
        with pytest.raises(InvalidArgument):
            store.correlations.find(**bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="another listing"):
        store.correlations.points(cursor=cursor)
    with pytest.raises(InvalidArgument, match="'nonsense' is not a filter here"):
        store.correlations.find(nonsense="x")  # type: ignore[call-arg]


def test_by_channel_is_the_newest_oldest_first(store: Store) -> None:
    request = ServiceRequest(service_type="s", method_name="m", channel_id="ch")
    store.correlations.add_many([row(f"r{n}", request_data=request, timestamp=START + timedelta(n)) for n in range(5)])
    assert ids(store.correlations.by_channel("ch", 2)) == ["r3", "r4"]


def test_points_and_aggregates(store: Store) -> None:
    store.correlations.add_many([metric(f"m{n}", n * 20, float(n), tags={"host": "ab"[n % 2]}) for n in range(6)])
    first = store.correlations.points(limit=4)
    assert [p.value for p in (*first, *store.correlations.points(limit=4, cursor=first.next_cursor))] == [
        0,
        1,
        2,
        3,
        4,
        5,
    ]
    hours = store.correlations.aggregate("avg", timedelta(hours=1), metric_name="cpu")
    assert [(point.start, point.value, point.count) for point in hours] == [
        (START, 1.0, 3), (START + timedelta(hours=1), 4.0, 3),
    ]  # fmt: skip
    grouped = store.correlations.aggregate("max", timedelta(days=1), group_by=["host"])
    assert [(point.group, point.value) for point in grouped] == [(("a",), 4.0), (("b",), 5.0)]
    for function, bucket in (("median", timedelta(1)), ("avg", timedelta(0)), ("avg", 60)):
        with pytest.raises(InvalidArgument):
            store.correlations.aggregate(function, bucket)  # type: ignore[arg-type]


def span(name: str, parent: str | None, **fields: Any) -> Correlation:
    context = TraceContext(trace_id="trace", span_id=name, span_name=name, parent_span_id=parent)
    return row(name, trace_context=context, timestamp=START + timedelta(seconds=ord(name)), **fields)


def shape(nodes: Any) -> Any:
    return {node.correlation.correlation_id: shape(node.children) for node in nodes}


def test_a_trace_is_a_tree_without_losing_a_span(store: Store) -> None:
    store.correlations.add_many(
        [span("a", None), span("c", "a"), span("b", "a"), span("d", "b"), span("e", "gone"), span("f", "g"),
         span("g", "f"), span("h", "h"), span("i", None, parent_correlation_id="d")]
    )  # fmt: skip
    assert shape(store.correlations.trace("trace")) == {
        "a": {"b": {"d": {"i": {}}}, "c": {}}, "e": {}, "g": {"f": {}}, "h": {},
    }  # fmt: skip
    assert store.correlations.trace("unknown") == []


def test_an_interaction_is_one_correlation_with_duration_and_outcome(store: Store, clock: ManualClock) -> None:
    begun = store.correlations.start_interaction(
        "llm", "generate", handler_name="h", task_id="t", parameters={"a": "b"}
    )
    assert begun.status == CorrelationStatus.PENDING and store.correlations.get(begun.correlation_id) == begun
    clock.advance(seconds=1.5)
    done = store.correlations.complete_interaction(begun.correlation_id, success=False, error_type="Timeout")
    assert (
        done is not None
        and done.status == CorrelationStatus.FAILED
        and done == store.correlations.get(begun.correlation_id)
    )
    assert done.response_data is not None
    assert (done.response_data.execution_time_ms, done.response_data.error_type) == (1500.0, "Timeout")
    with pytest.raises(Conflict, match="failed already"):
        store.correlations.complete_interaction(begun.correlation_id)
    assert store.correlations.complete_interaction("nope") is None
    store.correlations.add(row("plain"))
    with pytest.raises(InvalidArgument, match="records no request"):
        store.correlations.complete_interaction("plain")


def test_of_two_that_complete_an_interaction_one_does(store: Store) -> None:
    begun = [store.correlations.start_interaction("llm", "generate", handler_name="h") for _ in range(10)]

    def complete(number: int) -> list[bool]:
        return [_completed(store, each.correlation_id, number) for each in begun]

    outcomes = race(4, complete)
    assert [sum(each) for each in zip(*outcomes, strict=True)] == [1] * len(begun)
    for index, each in enumerate(begun):
        [winner] = [number for number, done in enumerate(outcomes) if done[index]]
        stored = store.correlations.get(each.correlation_id)
        assert stored is not None and stored.response_data is not None
        assert stored.response_data.result_summary == str(winner)


def _completed(store: Store, correlation_id: str, number: int) -> bool:
    try:
        store.correlations.complete_interaction(correlation_id, result_summary=str(number))
    except Conflict:
        return False
    return True


def test_percentiles_of_nonsense_are_refused(store: Store) -> None:
    for bad in ([], [101], [-1], [float("nan")], ["50"], [True]):
        with pytest.raises(InvalidArgument, match="percent"):
            store.correlations.percentiles(bad, timedelta(hours=1))
    with pytest.raises(InvalidArgument, match="bucket"):
        store.correlations.percentiles([50], timedelta(0))


def test_logs_at_least_as_severe(store: Store) -> None:
    for number, level in enumerate(("DEBUG", "info", "WARNING", "warn", "ERROR", "fatal", "other")):
        store.correlations.add(row(f"l{number}", log_level=level, log_message="m", timestamp=START))
    assert ids(store.correlations.find(min_log_level="warning")) == ["l2", "l3", "l4", "l5"]
    assert ids(store.correlations.find(min_log_level="CRITICAL")) == ["l5"]
    for bad in ({"min_log_level": "other"}, {"min_log_level": "INFO", "log_level": "INFO"}):
        with pytest.raises(InvalidArgument, match="min_log_level"):
            store.correlations.find(**bad)  # type: ignore[arg-type]
