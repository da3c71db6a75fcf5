"""Subclasses of plain types are made plain at the door, whatever they would do to a driver."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

import pytest

from ciris_store_core import Correlation, GraphNode, InvalidArgument, ManualClock, Metric, Store, Task
from ciris_store_core.models import MetricData
from ciris_store_core.services import MaintenancePolicy, MemoryService, RetentionPlan, RetentionRule
from ciris_store_core.services.maintenance import DatabaseMaintenanceService
from ciris_store_core.services.retention import RetentionService

numpy = pytest.importorskip("numpy")


class Loud:
    """Shows itself as no driver wants it."""

    def __repr__(self) -> str:
        return "loud('"

    __str__ = __repr__


class LoudFloat(Loud, float):
    pass


class LoudInt(Loud, int):
    pass


class LoudText(Loud, str):
    pass


class LoudTime(Loud, datetime):
    pass


class LoudSpan(Loud, timedelta):
    pass


class LoudDict(Loud, dict[Any, Any]):
    pass


class LoudList(Loud, list[Any]):
    pass


class Level(IntEnum):
    LOW = 2


PLAIN = {str, int, float, bool, datetime, dict, list, type(None)}
FLOATS = [LoudFloat(1.5), numpy.float64(1.5)]
TIME = LoudTime(2025, 1, 1, 11, tzinfo=UTC)
COMMON: dict[str, Any] = {"service_type": LoudText("s"), "handler_name": LoudText("h"), "action_type": LoudText("a")}


def types_in(value: Any) -> set[type]:
    """The types of all that a value is made of."""
    if isinstance(value, dict):
        return {type(value)}.union(*map(types_in, value), *map(types_in, value.values()))
    if isinstance(value, list):
        return {type(value)}.union(*map(types_in, value))
    if hasattr(value, "model_fields_set"):
        return set().union(*map(types_in, value.__dict__.values()))
    return {str} if hasattr(value, "_value_") else {type(value)}


@pytest.mark.parametrize("number", FLOATS, ids=["subclass", "numpy"])
def test_measurements(store: Store, number: float) -> None:
    metrics = [Metric(LoudText("cpu"), number, LoudDict({LoudText("k"): LoudText("v")}), TIME, LoudText("%"))]
    metrics += [Metric("cpu", LoudInt(3)), Metric("cpu", Level.LOW), Metric("cpu", numpy.float64(4))]
    store.correlations.add_metrics(metrics * 30, ttl_seconds=LoudInt(10**6), **COMMON)
    with store.correlations.buffered(**COMMON) as writer:
        writer.add(*metrics)
    assert sorted({point.value for point in store.correlations.points(limit=LoudInt(1000))}) == [1.5, 2.0, 3.0, 4.0]
    assert types_in(store.correlations.find(tags={LoudText("k"): LoudText("v")}).items) <= PLAIN
    assert store.correlations.percentiles([LoudInt(50), number], LoudSpan(days=900), group_by=[LoudText("k")])


def test_records(store: Store) -> None:
    share = {LoudText("p"): LoudFloat(1)}
    data = MetricData(metric_name=LoudText("m"), metric_value=numpy.float64(2), percentiles=share)
    several = LoudList([LoudInt(1), LoudText("t"), numpy.float64(2), Level.LOW])
    content = LoudDict(a=LoudFloat(0.5), b=several, c=OrderedDict(d=1))
    row = Correlation(correlation_id=LoudText("c"), metric_data=data, metadata=content, timestamp=TIME, **COMMON)
    texts = {"task_id": LoudText("t"), "channel_id": LoudText("c"), "description": LoudText("d")}
    task = Task(**texts, priority=LoudInt(2), created_at=TIME)
    node = GraphNode(id=LoudText("n"), type=LoudText("own"), scope=LoudText("local"), attributes=content)
    stored = [store.correlations.add(row), store.tasks.add(task), store.graph.put(node)]
    node_read = store.graph.get(LoudText("n"), "local")
    read = [store.correlations.get(LoudText("c")), store.tasks.get(LoudText("t")), node_read]
    assert set().union(*map(types_in, [*stored, *read])) <= PLAIN
    assert stored[1] == read[1] and node_read is not None
    assert node_read.attributes == {"a": 0.5, "b": [1, "t", 2.0, 2], "c": {"d": 1}}
    assert store.graph.find(attributes={LoudText("a"): LoudFloat(0.5)}, limit=LoudInt(5), updated_from=TIME).items
    assert store.graph.put(node, expected_revision=LoudInt(1)).revision == 2
    assert store.tasks.update(LoudText("t"), priority=LoudInt(7), updated_at=TIME)


@pytest.mark.parametrize("wrong", [numpy.bool_(True), numpy.float32(1), numpy.int64(1), 10**400, -(10**400), True])
def test_what_is_no_subclass_is_refused(store: Store, wrong: Any) -> None:
    with pytest.raises(InvalidArgument):
        store.correlations.add_metrics([Metric("cpu", wrong)])
    if type(wrong) is not bool:
        with pytest.raises(InvalidArgument):
            store.graph.put(GraphNode(id="n", type="concept", scope="local", attributes={"a": wrong}))
    assert store.is_empty()


# --- ages ---------------------------------------------------------------------------------------

LONG = [timedelta(days=800_000), timedelta.max]


@pytest.mark.parametrize("age", LONG, ids=str)
def test_nothing_is_older_than_the_calendar(store: Store, clock: ManualClock, age: timedelta) -> None:
    store.correlations.add_metrics([Metric("cpu", 1.0, timestamp=datetime(2, 1, 1, tzinfo=UTC))])
    store.tasks.add(Task(task_id="t", channel_id="c", description="d", status="completed"))
    policy = MaintenancePolicy(stale_shared_after=age, orphan_guard=age, completed_after=age)
    DatabaseMaintenanceService(store, policy=policy).run()
    plan = RetentionPlan((RetentionRule(hourly_after=age, daily_after=age, delete_after=age),))
    RetentionService(store, plan=plan).run()
    assert store.secrets.sweep(age) == 0
    assert (store.correlations.count(), store.tasks.count()) == (1, 1)
    with pytest.raises(InvalidArgument, match="bucket"):
        store.correlations.aggregate("sum", timedelta.max)


@pytest.mark.parametrize("hours", [1e300, float("inf"), float("nan"), 0, -1, 10**400, timedelta.max, "1", True])
def test_hours_that_are_none(store: Store, hours: Any) -> None:
    for call in (
        lambda: store.shared_tasks.latest("WAKEUP", hours),
        lambda: MemoryService(store).recall_timeseries(hours=hours),
        lambda: store.occurrences.register("me", hours),
        lambda: store.leases.acquire("job", "me", hours),
    ):
        with pytest.raises(InvalidArgument):
            call()


@pytest.mark.parametrize("edge", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)], ids=str)
def test_the_ends_of_the_calendar(store: Store, edge: datetime) -> None:
    MemoryService(store).recall_timeseries(end_time=edge, hours=LoudFloat(24))
    store.correlations.find(time_from=edge, time_to=edge)
    store.graph.find(updated_from=edge, updated_to=edge)
    assert store.is_empty()
