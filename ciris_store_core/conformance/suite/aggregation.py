"""Time series: points and aggregates."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ciris_store_core.conformance.factories import T0, at, correlation, metric
from ciris_store_core.conformance.levels import clause
from ciris_store_core.conformance.suite.correlations import add
from ciris_store_core.conformance.support import everything, exact, reading
from ciris_store_core.contract import Backend
from ciris_store_core.models import AggregatePoint, Correlation, Resolution, TimeSeriesDataPoint
from ciris_store_core.models.correlations import (
    Aggregate,
    AggregateQuery,
    CorrelationFilter,
    CorrelationQuery,
    PercentileQuery,
)

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
FUNCTIONS: tuple[Aggregate, ...] = ("avg", "sum", "min", "max", "count", "last")


def summary(id: str, seconds: float, samples: list[float], last: float, **fields: Any) -> Correlation:
    """A rolled up row, which stands for some samples; ``last`` seconds after ``T0`` the newest was taken."""
    data = {
        "metric_name": "cpu", "metric_value": samples[-1], "min_value": min(samples), "max_value": max(samples),
        "sample_count": len(samples), "sample_sum": math.fsum(samples), "last_timestamp": at(last),
    }  # fmt: skip
    return metric(id, 0, seconds, **{"metric_data": data, "resolution": Resolution.HOURLY, **fields})


def aggregate(
    backend: Backend, function: Aggregate, bucket: timedelta = MINUTE, group_by: tuple[str, ...] = (), **where: Any
) -> list[AggregatePoint]:
    """The answer to an aggregate query."""
    with reading(backend) as session:
        return session.correlations.aggregate(AggregateQuery(CorrelationFilter(**where), function, bucket, group_by))


def values(points: list[AggregatePoint]) -> list[tuple[datetime, float, int]]:
    """Start, value and count of each point."""
    return [(point.start, point.value, point.count) for point in points]


class TestPoints:
    """``CorrelationStore.points``."""

    @clause("correlations.points.fields")
    def test_what_a_point_tells(self, backend: Backend) -> None:
        """Otherwise a series loses its labels, its source or its precision."""
        add(backend, metric("m", 0.1, 5, tags={"host": "a.b"}, service_type="probe", resolution=Resolution.DAILY))
        with reading(backend) as session:
            [point] = session.correlations.points(CorrelationQuery()).items
        expected = TimeSeriesDataPoint(
            timestamp=at(5), metric_name="cpu", value=0.1, correlation_type="metric_datapoint", tags={"host": "a.b"},
            source="probe", resolution=Resolution.DAILY,
        )  # fmt: skip
        assert exact(point) == exact(expected)

    @clause("correlations.aggregate.great")
    def test_values_near_the_greatest_float(self, backend: Backend) -> None:
        """Otherwise one wild measurement keeps a whole chart from being drawn, or draws it wrong."""
        add(backend, *(metric(f"a{i}", value) for i, value in enumerate((1.7e308, 1.7e308, -1.0))))
        add(backend, *(metric(f"b{i}", value, 60) for i, value in enumerate((1.7e308, 1.7e308, -1.7e308))))
        add(backend, *(metric(f"c{i}", -1.7e308, 120) for i in range(2)), metric("d", 1.0, 180))
        expected: dict[Aggregate, list[float]] = {
            "count": [3, 3, 2, 1], "min": [-1, -1.7e308, -1.7e308, 1], "max": [1.7e308, 1.7e308, -1.7e308, 1],
            "sum": [math.inf, 1.7e308, -math.inf, 1], "avg": [1.7e308 / 3 * 2, 1.7e308 / 3, -1.7e308, 1],
        }  # fmt: skip
        for function, values in expected.items():
            points = aggregate(backend, function)
            assert [point.value for point in points] == pytest.approx(values, rel=1e-12), function
            assert [point.count for point in points] == [3, 3, 2, 1]
        with reading(backend) as session:
            query = PercentileQuery(CorrelationFilter(), (0.0, 0.25, 1.0), MINUTE)
            found = [point.values for point in session.correlations.percentiles(query)]
        assert found[1] == pytest.approx((-1.7e308, 0.0, 1.7e308))
        assert found[2] == (-1.7e308,) * 3

    @clause("correlations.aggregate.first_bucket")
    def test_the_first_bucket_begins_with_the_year_1(self, backend: Backend) -> None:
        """Otherwise a measurement with a wild time keeps a whole chart from being drawn."""
        first, last = (moment.replace(tzinfo=UTC) for moment in (datetime.min, datetime.max))
        add(backend, metric("a", 1, timestamp=first), metric("b", 2, timestamp=last), metric("c", 4))
        for days in (1, 1000, 200_000, 1_000_000):
            bucket = timedelta(days=days)
            points = aggregate(backend, "sum", bucket)
            assert points[0].start == first
            assert points[0].value == 1
            assert sum(point.count for point in points) == 3
            with reading(backend) as session:
                found = session.correlations.percentiles(PercentileQuery(CorrelationFilter(), (0.5,), bucket))
            assert [point.start for point in found] == [point.start for point in points]

    @clause("correlations.points.expired")
    def test_what_expired_makes_no_point(self, backend: Backend) -> None:
        """Otherwise a curve, its sums and its names tell of what was to be forgotten."""
        add(backend, metric("a", 1, 0, ttl_seconds=10), metric("b", 2, 1, ttl_seconds=10), metric("c", 4, 2))
        add(
            backend, correlation("d", metric_name="gone", metric_value=8.0, ttl_seconds=10, resolution=Resolution.DAILY)
        )
        living = CorrelationFilter(now=at(10))
        with reading(backend) as session:
            points = session.correlations.points(CorrelationQuery(where=living)).items
            [total] = session.correlations.aggregate(AggregateQuery(living, "sum", MINUTE))
            [median] = session.correlations.percentiles(PercentileQuery(living, (0.5,), MINUTE))
            names = [session.correlations.metric_names(now) for now in (at(10), at(9.999999), None)]
        assert [point.value for point in points] == [2, 4]
        assert (total.value, total.count) == (6, 2)
        assert (median.values, median.count) == ((3.0,), 2)
        assert names == [["cpu"], ["cpu", "gone"], ["cpu", "gone"]]

    @pytest.mark.parametrize("descending", [False, True])
    @clause("correlations.points.paging")
    def test_only_metrics_in_order_on_every_page(self, backend: Backend, descending: bool) -> None:
        """Otherwise a curve has holes or zigzags, or ends at the first page that holds no measurement."""
        add(backend, *(metric(f"m{i}", i, i // 2) for i in range(6)))
        add(backend, *(correlation(f"c{i}", timestamp=at(0.5)) for i in range(5)))
        with reading(backend) as session:
            points = everything(
                session.correlations.points, CorrelationQuery(limit=2, descending=descending), full=False
            )
        assert [point.value for point in points] == sorted(map(float, range(6)), reverse=descending)

    @clause("correlations.points.filters")
    def test_filters(self, backend: Backend) -> None:
        """Otherwise one series is drawn with the points of another."""
        add(backend, metric("a", 1, tags={"h": "x"}), metric("b", 2, 1, tags={"h": "y"}), metric("c", 3, 2))
        where = CorrelationFilter(metric_names=("cpu",), tags=(("h", "y"),), time_to=at(1))
        with reading(backend) as session:
            assert [point.value for point in session.correlations.points(CorrelationQuery(where=where)).items] == [2.0]


class TestAggregate:
    """``CorrelationStore.aggregate``."""

    @pytest.mark.parametrize(("function", "value"), list(zip(FUNCTIONS, (2.5, 10.0, -1.0, 7.0, 4.0, 0.5), strict=True)))
    @clause("correlations.aggregate.functions")
    def test_functions(self, backend: Backend, function: Aggregate, value: float) -> None:
        """Otherwise an agent acts on wrong numbers."""
        add(backend, metric("a", 7, 1), metric("d", 0.5, 40), metric("b", -1, 2), metric("c", 3.5, 3))
        [point] = aggregate(backend, function)
        assert exact(point.value) == exact(value)
        assert (point.start, point.group, point.count, point.resolution) == (T0, (), 4, Resolution.RAW)

    @clause("correlations.aggregate.buckets")
    def test_buckets_are_half_open(self, backend: Backend) -> None:
        """Otherwise a measurement on the hour is in two hours or in none."""
        add(backend, *(metric(f"m{i}", i, second) for i, second in enumerate((0, 59.999999, 60, 180))))
        assert values(aggregate(backend, "sum")) == [(T0, 1.0, 2), (at(60), 2.0, 1), (at(180), 3.0, 1)]

    @clause("correlations.aggregate.epoch")
    def test_buckets_are_aligned_to_the_epoch(self, backend: Backend) -> None:
        """Otherwise the same day begins at another hour from report to report."""
        moments = [datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), datetime(1970, 1, 1, tzinfo=UTC), T0]
        add(backend, *(metric(f"m{i}", i, timestamp=moment) for i, moment in enumerate(moments)))
        week = timedelta(days=7)
        starts = [point.start for point in aggregate(backend, "count", week)]
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        assert starts == [epoch - week, epoch, T0 - (T0 - epoch) % week]

    @clause("correlations.aggregate.microseconds")
    def test_odd_intervals(self, backend: Backend) -> None:
        """Otherwise only round intervals work."""
        bucket = timedelta(microseconds=7)
        add(backend, *(metric(f"m{i:02}", 1, i * 1e-6) for i in range(20)))
        found = aggregate(backend, "count", bucket)
        assert sum(point.count for point in found) == 20
        assert all((point.start - datetime(1970, 1, 1, tzinfo=UTC)) % bucket == timedelta(0) for point in found)
        assert all(point.count == 7 for point in found[1:-1])

    @clause("correlations.aggregate.groups")
    def test_groups(self, backend: Backend) -> None:
        """Otherwise measurements of different hosts are thrown together."""
        tags = [
            {"h": "b", "z.1": "x"},
            {"h": "b"},
            {"h": "B", "z.1": "x"},
            {},
            {"h": ""},
            {"h": "b", "z.1": "x", "o": "1"},
        ]
        add(backend, *(metric(f"m{i}", i, tags=each) for i, each in enumerate(tags)), metric("later", 9, 60))
        found = [(point.start, point.group, point.value) for point in aggregate(backend, "sum", group_by=("h", "z.1"))]
        assert found == [
            (T0, (None, None), 3.0),
            (T0, ("", None), 4.0),
            (T0, ("B", "x"), 2.0),
            (T0, ("b", None), 1.0),
            (T0, ("b", "x"), 5.0),
            (at(60), (None, None), 9.0),
        ]

    @clause("correlations.aggregate.filter")
    def test_filter(self, backend: Backend) -> None:
        """Otherwise other metrics, or events without one, are counted."""
        other = {"metric_name": "ram", "metric_value": 1.0}
        add(backend, metric("a", 1), metric("b", 2, metric_data=other), correlation("c"), metric("d", 5, 9))
        assert values(aggregate(backend, "count", time_to=at(9), time_to_exclusive=True, metric_names=("cpu",))) == [
            (T0, 1.0, 1)
        ]
        assert values(aggregate(backend, "count")) == [(T0, 3.0, 3)]
        assert aggregate(backend, "sum", metric_names=("?",)) == []

    @pytest.mark.parametrize(("function", "value"), list(zip(FUNCTIONS, (4.2, 21.0, 1.0, 9.0, 5.0, 3.0), strict=True)))
    @clause("correlations.aggregate.rolled_up")
    def test_rolled_up_rows(self, backend: Backend, function: Aggregate, value: float) -> None:
        """Otherwise the past changes once it was summarised."""
        add(backend, summary("s", 0, [1.0, 9.0, 2.0], last=100), metric("a", 6, 50), metric("b", 3, 120))
        [point] = aggregate(backend, function, HOUR)
        assert (point.value, point.count, point.resolution) == (value, 5, Resolution.HOURLY)

    @pytest.mark.parametrize(
        ("samples", "expected"),
        [
            ([-3.0, 0.0, -5.0], (-5.0, 0.0, -8.0, -5.0)),
            ([3.0, 0.0, 5.0], (0.0, 5.0, 8.0, 5.0)),
            ([1.0, -1.0, 2.0, -2.0], (-2.0, 2.0, 0.0, -2.0)),
            ([-1.0, 0.0], (-1.0, 0.0, -1.0, 0.0)),
            ([-3.0, -1.0, -5.0], (-5.0, -1.0, -9.0, -5.0)),
        ],
    )
    @clause("correlations.aggregate.zero")
    def test_zero_is_a_value(
        self, backend: Backend, samples: list[float], expected: tuple[float, float, float, float]
    ) -> None:
        """Otherwise an extreme, a sum or a newest value of 0 is taken for one that is missing."""
        add(backend, summary("s", 0, samples, last=100))
        for function, value in zip(("min", "max", "sum", "last"), expected, strict=True):
            [point] = aggregate(backend, function, HOUR)  # type: ignore[arg-type]
            assert (point.value, point.count) == (value, len(samples)), function
        add(backend, *(metric(f"m{i}", value, 3600 + i) for i, value in enumerate(samples)))
        for function, value in zip(("min", "max", "sum", "last"), expected, strict=True):
            assert aggregate(backend, function, HOUR)[1].value == value, function  # type: ignore[arg-type]

    @clause("correlations.aggregate.last")
    def test_last(self, backend: Backend) -> None:
        """Otherwise an old measurement passes for the newest."""
        add(backend, summary("s", 0, [1.0, 2.0], last=100), metric("a", 5, 99))
        assert aggregate(backend, "last", HOUR)[0].value == 2.0
        add(backend, metric("b", 6, 100), metric("t", 7, 100), metric("c", 8, 100))
        assert aggregate(backend, "last", HOUR)[0].value == 7.0

    @clause("correlations.aggregate.resolution")
    def test_the_coarsest_resolution(self, backend: Backend) -> None:
        """Otherwise an estimate passes for a measurement."""
        add(backend, metric("a", 1), summary("b", 0, [1.0], 0), summary("c", 0, [1.0], 0, resolution=Resolution.DAILY))
        add(backend, metric("d", 1, 3600))
        assert [point.resolution for point in aggregate(backend, "max", HOUR)] == [Resolution.DAILY, Resolution.RAW]

    @clause("correlations.aggregate.raw_extremes")
    def test_extremes_of_raw_rows(self, backend: Backend) -> None:
        """Otherwise what a raw row remarks about others is taken for its value."""
        data = {"metric_name": "cpu", "metric_value": 5.0, "min_value": -100.0, "max_value": 100.0}
        add(backend, metric("a", 0, metric_data=data))
        assert (aggregate(backend, "min")[0].value, aggregate(backend, "max")[0].value) == (5.0, 5.0)

    @pytest.mark.parametrize(("function", "value"), list(zip(FUNCTIONS, (4.0, 8.0, 3.0, 5.0, 2.0, 3.0), strict=True)))
    @clause("correlations.aggregate.raw_samples")
    def test_a_raw_row_is_one_sample(self, backend: Backend, function: Aggregate, value: float) -> None:
        """Otherwise a measurement counts as many, whose percentiles and extremes do not know of the others."""
        data = {"metric_name": "cpu", "metric_value": 5.0, "sample_count": 9, "sample_sum": 100.0}
        add(backend, metric("a", 0, 1, metric_data={**data, "last_timestamp": at(50)}), metric("b", 3, 2))
        add(backend, metric("c", 0, 61, metric_data={**data, "sample_sum": None}))
        first, second = aggregate(backend, function)
        assert (first.value, first.count, second.count) == (value, 2, 1)
        add(backend, summary("s", 3, [1.0, 2.0], last=4))
        assert aggregate(backend, function)[0].count == 4
        with reading(backend) as session:
            raw = CorrelationFilter(resolutions=(Resolution.RAW,))
            assert [each.count for each in session.correlations.percentiles(PercentileQuery(raw, (0.5,), MINUTE))] == [
                2,
                1,
            ]

    @clause("correlations.aggregate.precision")
    def test_many_rows(self, backend: Backend) -> None:
        """Otherwise long series are summed up from a part of their points, or lose digits."""
        numbers = [i * 0.1 + 1e6 for i in range(2100)]
        add(backend, *(metric(f"m{i:04}", value, i * 1e-3) for i, value in enumerate(numbers)))
        [total] = aggregate(backend, "sum")
        [mean] = aggregate(backend, "avg")
        assert total.count == 2100
        assert math.isclose(total.value, math.fsum(numbers), rel_tol=1e-12)
        assert math.isclose(mean.value, math.fsum(numbers) / 2100, rel_tol=1e-12)
        assert aggregate(backend, "max")[0].value == numbers[-1]

    @pytest.mark.parametrize(
        "numbers",
        [(1e16, 1.0, -1e16), (1.0, 1e16, 1.0, -1e16, 1.0), (1e308, 1.0, -1e308), (0.1,) * 10 + (-1.0,), (1e16, -1e16)],
    )
    @clause("correlations.aggregate.cancellation")
    def test_great_values_that_cancel(self, backend: Backend, numbers: tuple[float, ...]) -> None:
        """Otherwise what is left where great values cancel is lost, though none of them was."""
        add(backend, *(metric(f"m{i:02}", value, i, tags={"k": "v"}) for i, value in enumerate(numbers)))
        add(backend, *(metric(f"n{i:02}", 2.0, i) for i in range(3)))
        exact_sum = math.fsum(numbers)
        for function, value in (("sum", exact_sum), ("avg", exact_sum / len(numbers))):
            [point] = aggregate(backend, function, tags=(("k", "v"),))  # type: ignore[arg-type]
            assert math.isclose(point.value, value, rel_tol=1e-12, abs_tol=0.0), function
            untagged, tagged = aggregate(backend, function, group_by=("k",))  # type: ignore[arg-type]
            assert math.isclose(tagged.value, value, rel_tol=1e-12, abs_tol=0.0), function
            assert untagged.value == (6.0 if function == "sum" else 2.0)


class TestMetricNames:
    """``CorrelationStore.metric_names``."""

    @clause("correlations.metric_names")
    def test_each_once_in_order(self, backend: Backend) -> None:
        """Otherwise a metric is there, and no list of metrics shows it; or rollup never looks at it."""
        with reading(backend) as session:
            assert session.correlations.metric_names() == []
        names = ["b", "a.b", "B", "\u00e9", "a", "b", "z'\"", "\uffff", "\U0001f600"]
        add(backend, correlation("none"))
        add(
            backend,
            *(metric(f"m{i}", 1, metric_data={"metric_name": n, "metric_value": 1.0}) for i, n in enumerate(names)),
        )
        with reading(backend) as session:
            assert session.correlations.metric_names() == sorted(set(names), key=str.encode)
