from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ciris_store_core import (
    Correlation,
    GraphNode,
    InvalidArgument,
    ManualClock,
    Metric,
    NotSupported,
    Store,
)
from ciris_store_core.services import (
    PRESETS,
    RetentionPlan,
    RetentionReport,
    RetentionRule,
    RetentionService,
    start_retention,
)
from ciris_store_core.services.rollups import log_count

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
#: A midnight ten days before the tests' clock begins.
OLD = ManualClock().now() - timedelta(days=10, hours=12)
METRICS = RetentionRule(hourly_after=DAY, daily_after=30 * DAY)
LOGS = RetentionRule("log_entry", hourly_after=DAY)
FUNCTIONS = ("count", "min", "max", "sum", "avg", "last")


def measure(
    store: Store, values: dict[float, float], name: str = "cpu", policy: str = "downsampled", **fields: Any
) -> None:
    """Store values by the minutes after ``OLD``."""
    tags = fields.pop("tags", {"host": "a"})
    metrics = [Metric(name, value, tags, OLD + timedelta(minutes=minutes), "%") for minutes, value in values.items()]
    store.correlations.add_metrics(metrics, retention_policy=policy, **fields)


def log(store: Store, minutes: float, level: str, logger: str = "app", policy: str = "aggregated") -> None:
    data = {"log_level": level, "log_message": "m", "logger_name": logger}
    entry = {"correlation_type": "log_entry", "service_type": "s", "handler_name": "h", "action_type": "log"}
    when = OLD + timedelta(minutes=minutes)
    store.correlations.add(Correlation(**entry, log_data=data, retention_policy=policy, timestamp=when))  # type: ignore[arg-type]


def totals(store: Store, bucket: timedelta = DAY, **filters: Any) -> list[Any]:
    """All aggregates by bucket and host, without the resolution."""
    found = [store.correlations.aggregate(f, bucket, group_by=["host"], **filters) for f in FUNCTIONS]  # type: ignore[arg-type]
    return [[(point.start, point.group, point.count, point.value) for point in points] for points in found]


def assert_same(before: list[Any], after: list[Any]) -> None:
    assert before[:3] == after[:3] and before[5] == after[5]
    for one, other in zip(before[3] + before[4], after[3] + after[4], strict=True):
        assert one[:3] == other[:3] and math.isclose(one[3], other[3], rel_tol=1e-12)


@pytest.fixture
def retain(store: Store) -> Callable[..., RetentionReport]:
    """A dry run and then a pass, which must agree, and a third, which must find nothing to do."""

    def run(*rules: RetentionRule, batch_size: int = 7) -> RetentionReport:
        service = RetentionService(store, RetentionPlan(rules or (METRICS, LOGS), batch_size))
        planned, done, again = service.run(dry_run=True), service.run(), service.run()
        assert (planned.hourly.rows, planned.logs, planned.deleted.rows) == (
            done.hourly.rows,
            done.logs,
            done.deleted.rows,
        )
        assert planned.hourly.summaries == done.hourly.summaries and planned.kept == done.kept
        assert again.rows == 0 and not done.skipped and not done.corrupt
        return done

    return run


def rows(store: Store, **filters: Any) -> list[Correlation]:
    return list(store.correlations.scan(**filters))


# --- what is kept -----------------------------------------------------------------------------


def test_hours_keep_count_extremes_sum_and_the_newest(store: Store, retain: Any) -> None:
    numbers = random.Random(1)
    for host in "ab":
        measure(store, {m: numbers.uniform(-1e6, 1e9) for m in range(0, 300, 7)}, tags={"host": host, "x.y": "1"})
    before, hourly = totals(store), totals(store, HOUR)
    report = retain()
    assert (report.hourly.rows, report.hourly.summaries, report.rows) == (86, 10, 86) and report.hourly.merged > 0
    assert_same(before, totals(store))
    assert_same(hourly, totals(store, HOUR))
    stored = rows(store)
    assert {(str(row.correlation_type), str(row.resolution)) for row in stored} == {("metric_hourly_summary", "hourly")}
    assert all(row.tags["x.y"] == "1" and row.metric_data.metric_unit == "%" for row in stored if row.metric_data)
    assert store.correlations.count(tags={"host": "a"}) == 5


def test_sums_of_any_signs_and_sizes_are_exact_in_any_batches(store: Store, retain: Any) -> None:
    values = [1e16, 1.0, -1e16, 0.1, 1e-9, 3e15, -3e15, 7.25, -0.1]
    measure(store, {float(m): value for m, value in enumerate(values)})
    retain(batch_size=2)
    [summary] = rows(store)
    assert summary.metric_data is not None and summary.metric_data.sample_sum == math.fsum(values)
    assert (summary.metric_data.min_value, summary.metric_data.max_value) == (-1e16, 1e16)


def test_days_are_made_of_hours_and_of_what_is_older(store: Store, clock: ManualClock, retain: Any) -> None:
    measure(store, {m: float(m % 11) for m in range(0, 2880, 15)})
    before = totals(store)
    retain()
    clock.advance(days=40)
    measure(store, {5: 100.0})  # So late that it becomes daily at once.
    report = retain()
    assert (report.daily.rows, report.daily.summaries, report.hourly.rows) == (49, 2, 0)
    after = totals(store)
    assert after[0][0][2] == before[0][0][2] + 1 and after[2][0][3] == 100.0 and before[0][1] == after[0][1]
    assert [point.resolution.value for point in store.correlations.aggregate("avg", DAY)] == ["daily", "daily"]
    assert math.isclose(after[3][0][3], before[3][0][3] + 100.0, rel_tol=1e-12)


def test_a_late_point_is_added_to_its_summary(store: Store, retain: Any) -> None:
    measure(store, {1: 1.0, 2: 9.0, 50: 2.0})
    retain()
    measure(store, {10: 100.0, 11: -5.0})
    report = retain()
    assert (report.hourly.rows, report.hourly.summaries, report.hourly.merged) == (2, 0, 1)
    [summary] = rows(store)
    metric = summary.metric_data
    assert metric is not None and metric.last_timestamp == OLD + timedelta(minutes=50)
    assert (metric.sample_count, metric.sample_sum, metric.min_value, metric.max_value) == (5, 107.0, -5.0, 100.0)
    assert (metric.metric_value, metric.mean_value) == (2.0, 21.4)
    measure(store, {55: 3.0})
    retain()
    assert rows(store)[0].metric_value == 3.0


def test_a_row_is_rolled_up_only_as_far_as_it_allows(store: Store, clock: ManualClock, retain: Any) -> None:
    for policy in ("raw", "aggregated", "downsampled"):
        measure(store, {1: 1.0, 2: 2.0}, policy=policy)
    clock.advance(days=60)
    before = totals(store)
    retain()
    found = [(str(row.retention_policy), str(row.resolution)) for row in rows(store)]
    assert sorted(found) == [("aggregated", "hourly"), ("downsampled", "daily"), ("raw", "raw"), ("raw", "raw")]
    assert_same(before, totals(store))


def test_only_whole_periods_that_are_old_enough(store: Store, clock: ManualClock, retain: Any) -> None:
    measure(store, {59: 1.0, 60: 2.0})
    clock.set(OLD + DAY + HOUR - timedelta(microseconds=1))
    assert retain().rows == 0
    clock.advance(seconds=1e-6)
    assert retain().hourly.rows == 1
    clock.set(OLD + DAY + 2 * HOUR)
    assert retain().hourly.rows == 1


def test_different_series_stay_apart(store: Store, retain: Any) -> None:
    for fields in (
        {"tags": {}}, {"tags": {"host": ""}}, {"name": "ram"}, {"agent_occurrence_id": "o"}, {"scope": "community"},
        {"service_type": "other"}, {"handler_name": "other"}, {"action_type": "other"}, {"policy": "aggregated"}, {},
    ):  # fmt: skip
        measure(store, {1: 1.0, 2: 2.0}, **fields)
    assert retain().hourly.summaries == 10
    counts = {"occurrence_id": "o", "scope": "community", "service_type": "other", "action_type": "other"}
    for name, value in counts.items():
        [point] = store.correlations.aggregate("count", DAY, **{name: value})  # type: ignore[misc]
        assert point.value == 2.0


def test_what_is_no_summary_of_a_measurement_stays(store: Store, retain: Any) -> None:
    measure(store, {1: 1.0, 2: 1e307, 3: 1e307}, policy="aggregated")
    measure(store, {1: 1.0}, name="identity", scope="identity")
    store.correlations.add(
        Correlation(
            correlation_type="torque", metric_name="cpu", metric_value=1.0, service_type="s", handler_name="h",
            action_type="a", timestamp=OLD, retention_policy="downsampled",
        )
    )  # fmt: skip
    report = retain()
    assert (report.hourly.rows, report.kept) == (1, 3) and store.correlations.count() == 5


def test_the_node_of_a_measurement_goes_with_it(store: Store, retain: Any) -> None:
    measure(store, {1: 1.0, 2: 2.0})
    measure(store, {1: 1.0}, name="kept", policy="raw")
    for row in rows(store):
        store.graph.put(GraphNode(id=row.correlation_id, type="tsdb_data", scope="local", attributes={}))
        store.graph.put(GraphNode(id=row.correlation_id, type="concept", scope="community", attributes={}))
    report = retain()
    assert (
        report.hourly.nodes == 2 and store.graph.count(scope="local") == 1 and store.graph.count(scope="community") == 3
    )


# --- logs, deleting, expiry -------------------------------------------------------------------


def test_log_entries_become_counts_by_level_and_logger(store: Store, retain: Any) -> None:
    for minutes, level, logger in (
        (1, "INFO", "a"),
        (2, "INFO", "a"),
        (3, "ERROR", "a"),
        (4, "INFO", "b"),
        (61, "INFO", "a"),
    ):
        log(store, minutes, level, logger)
    log(store, 5, "INFO", policy="raw")
    retain()
    log(store, 6, "INFO", "a", policy="aggregated")
    report = retain()
    assert (report.logs.rows, report.logs.merged) == (1, 1)
    found = [
        (row.timestamp - OLD, row.log_level, row.log_data.logger_name, log_count(row))
        for row in rows(store, type="log_hourly_summary")
        if row.log_data
    ]
    zero = timedelta(0)
    assert sorted(found) == [
        (zero, "ERROR", "a", 1),
        (zero, "INFO", "a", 3),
        (zero, "INFO", "b", 1),
        (HOUR, "INFO", "a", 1),
    ]
    assert [row.log_message for row in rows(store, log_level="ERROR")] == ["1 entries"]


def test_rules_are_chosen_by_type_and_name(store: Store, retain: Any) -> None:
    for name in ("llm.tokens", "llm.cost", "cpu"):
        measure(store, {1: 1.0}, name=name)
    log(store, 1, "INFO", "noisy.db")
    log(store, 1, "INFO", "app")
    rules = (
        RetentionRule(name="llm.cost"),
        RetentionRule(name="llm.*", delete_after=2 * DAY),
        METRICS,
        RetentionRule("log_entry", name="noisy.*", delete_after=DAY),
        LOGS,
    )
    report = retain(*rules)
    assert (report.deleted.rows, report.hourly.rows, report.logs.rows) == (2, 1, 1)
    assert sorted(str(row.correlation_type) for row in rows(store)) == [
        "log_hourly_summary", "metric_datapoint", "metric_hourly_summary",
    ]  # fmt: skip


def test_deleting_takes_everything_of_the_type_and_nothing_else(store: Store, retain: Any) -> None:
    measure(store, {1: 1.0}, policy="raw")
    measure(store, {1: 1.0, 61: 1.0})
    log(store, 1, "INFO")
    event = {
        "service_type": "s",
        "handler_name": "h",
        "action_type": "a",
        "timestamp": OLD,
        "retention_policy": "downsampled",
    }
    for kind in ("audit_event", "trace_span", "service_interaction"):
        store.correlations.add(Correlation(correlation_type=kind, **event))  # type: ignore[arg-type]
    assert retain(METRICS, LOGS).rows == 3
    report = retain(
        RetentionRule(delete_after=2 * DAY), RetentionRule("log_entry", delete_after=2 * DAY),
        RetentionRule("trace_span", delete_after=2 * DAY),
        RetentionRule("service_interaction", "b*", delete_after=2 * DAY),
    )  # fmt: skip
    assert report.deleted.rows == 5
    assert sorted(str(row.correlation_type) for row in rows(store)) == ["audit_event", "service_interaction"]


def test_a_time_to_live_is_honoured_before_and_after(store: Store, clock: ManualClock, retain: Any) -> None:
    ttl = int(20 * DAY / timedelta(seconds=1))
    measure(store, {1: 1.0, 2: 2.0}, ttl_seconds=ttl)
    measure(store, {1: 1.0, 2: 2.0}, ttl_seconds=60)
    measure(store, {1: 1.0})
    report = RetentionService(store, RetentionPlan((METRICS,))).run()
    assert (report.expired, report.hourly.rows) == (2, 3) and store.correlations.count() == 2
    clock.advance(days=11)
    assert retain().expired == 1 and store.correlations.count() == 1


# --- queries over summaries ---------------------------------------------------------------------


def test_percentiles_need_raw_rows(store: Store, retain: Any) -> None:
    measure(store, {float(m): float(m) for m in range(101)})
    [first, second] = store.correlations.percentiles([0, 50, 95.5, 100], HOUR, group_by=["host"], metric_name="cpu")
    assert (first.group, first.values, first.count) == (("a",), (0.0, 29.5, pytest.approx(56.345), 59.0), 60)
    assert second.values[0] == 60.0
    retain()
    measure(store, {0: 5.0}, policy="raw")
    with pytest.raises(NotSupported, match="resolution='raw'"):
        store.correlations.percentiles([50], HOUR)
    [point] = store.correlations.percentiles([50], HOUR, resolution="raw")
    assert point.values == (5.0,)


def test_the_past_does_not_change_for_who_asks_for_measurements(store: Store, retain: Any) -> None:
    measure(store, {m: float(m) for m in range(0, 120, 10)})
    before = totals(store, type="metric_datapoint")
    retain()
    assert_same(before, totals(store, type="metric_datapoint"))
    points = store.correlations.points(type="metric_datapoint").items
    assert [(point.resolution.value, point.value) for point in points] == [("hourly", 50.0), ("hourly", 110.0)]
    assert store.correlations.count(type="metric_datapoint") == 0
    assert store.correlations.metric_names() == ["cpu"]


# --- the service ------------------------------------------------------------------------------


def test_the_lease_keeps_others_out(store: Store) -> None:
    measure(store, {1: 1.0})
    with store.leases.lock("retention", "another"):
        assert RetentionService(store).run().skipped
    assert RetentionService(store).run().hourly.rows == 1


def test_it_runs_in_the_background(store: Store) -> None:
    measure(store, {1: 1.0})
    service = start_retention(store, "lean", interval_seconds=0.001)
    while service.last_report is None and service.last_error is None:
        threading.Event().wait(0.001)
    assert service.running and service.stop() and not service.running and service.last_error is None
    assert [row.resolution.value for row in rows(store)] == ["hourly"]


def test_plans_that_make_no_sense_are_refused(store: Store) -> None:
    for bad, said in (
        ({"hourly_after": timedelta(minutes=59)}, "an hour"),
        ({"hourly_after": 2 * DAY, "daily_after": DAY}, "must grow"),
        ({"type": "audit_event", "delete_after": DAY}, "audit"),
        ({"type": "log_entry", "daily_after": DAY}, "only metric_datapoint"),
        ({"type": "trace_span", "hourly_after": DAY}, "only metric_datapoint"),
        ({"type": "No Type"}, "No Type"),
    ):
        with pytest.raises(InvalidArgument, match=said):
            RetentionRule(**bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="batch_size"):
        RetentionPlan((), batch_size=0)
    with pytest.raises(InvalidArgument, match="archive, standard, lean"):
        RetentionService(store, "everything")
    assert all(plan.rules for plan in PRESETS.values())
