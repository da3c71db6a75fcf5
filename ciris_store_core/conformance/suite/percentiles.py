"""Time series: percentiles."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from ciris_store_core.conformance.factories import T0, at, correlation, metric
from ciris_store_core.conformance.levels import clause
from ciris_store_core.conformance.suite.aggregation import MINUTE, summary
from ciris_store_core.conformance.suite.correlations import add
from ciris_store_core.conformance.support import reading
from ciris_store_core.contract import Backend
from ciris_store_core.errors import NotSupported
from ciris_store_core.models import Resolution
from ciris_store_core.models.correlations import CorrelationFilter, PercentilePoint, PercentileQuery


def percentiles(
    backend: Backend, *fractions: float, bucket: timedelta = MINUTE, group_by: tuple[str, ...] = (), **where: Any
) -> list[PercentilePoint]:
    """The answer to a query for percentiles."""
    with reading(backend) as session:
        return session.correlations.percentiles(
            PercentileQuery(CorrelationFilter(**where), fractions, bucket, group_by)
        )


class TestPercentiles:
    """``CorrelationStore.percentiles``."""

    @clause("correlations.percentiles.values")
    def test_values(self, backend: Backend) -> None:
        """Otherwise an agent promises an answer time that it does not keep."""
        add(backend, *(metric(f"m{i}", value, i) for i, value in enumerate((40, 10, 30, 20))))
        [point] = percentiles(backend, 0.5, 0.0, 1.0, 0.9, 0.25, 1 / 3)
        assert (point.start, point.group, point.count) == (T0, (), 4)
        wanted = (25.0, 10.0, 40.0, 37.0, 17.5, 20.0)
        assert all(math.isclose(got, want, rel_tol=1e-12) for got, want in zip(point.values, wanted, strict=True))
        add(backend, *(metric(f"n{i}", value, 60 + i) for i, value in enumerate((-1.7e308, 1.7e308, 0.0))))
        assert percentiles(backend, 0.5, 1.0)[1].values == (0.0, 1.7e308)
        # Skewed, with repeats, and one more than any fraction divides evenly.
        add(backend, *(metric(f"o{i}", value, 120 + i) for i, value in enumerate((0, 0, 0, 1, 100))))
        assert percentiles(backend, 0.5, 0.75, 0.875, 0.6)[2].values == pytest.approx((0.0, 1.0, 50.5, 0.4), rel=1e-12)
        add(backend, *(metric(f"p{i}", value, 180 + i) for i, value in enumerate((8, 0))))
        assert percentiles(backend, 0.5, 0.25, 0.0, 1.0, 0.125)[3].values == (4.0, 2.0, 0.0, 8.0, 1.0)

    @clause("correlations.percentiles.groups")
    def test_buckets_and_groups(self, backend: Backend) -> None:
        """Otherwise one slow host looks like all of them."""
        hosts = [{"h": "b"}, {}, {"h": "B"}, {"h": "b"}, {"h": "b"}]
        add(backend, *(metric(f"m{i}", i, tags=tags) for i, tags in enumerate(hosts)))
        add(backend, metric("late", 9, 60, tags={"h": "b"}), metric("edge", 8, 59.999999), correlation("c"))
        found = [
            (point.start, point.group, point.values, point.count)
            for point in percentiles(backend, 0.75, 0.5, 0.25, group_by=("h",))
        ]
        assert found == [
            (T0, (None,), (6.25, 4.5, 2.75), 2),
            (T0, ("B",), (2.0, 2.0, 2.0), 1),
            (T0, ("b",), (3.5, 3.0, 1.5), 3),
            (at(60), ("b",), (9.0, 9.0, 9.0), 1),
        ]

    @clause("correlations.percentiles.filter")
    def test_filter(self, backend: Backend) -> None:
        """Otherwise percentiles of one metric are made of another's."""
        add(backend, metric("a", 1), metric("b", 5, metric_data={"metric_name": "ram", "metric_value": 5.0}))
        [point] = percentiles(backend, 1.0, metric_names=("cpu",))
        assert point.values == (1.0,)
        assert percentiles(backend, 0.5, metric_names=("?",)) == []

    @clause("correlations.percentiles.rolled_up")
    def test_rolled_up_rows_have_none(self, backend: Backend) -> None:
        """Otherwise a made-up number passes for a percentile."""
        # Rolled up rows that are no measurements do not count, and hide none.
        logs = (correlation(f"log{i}", resolution=Resolution.HOURLY, timestamp=at(-200 + i)) for i in range(150))
        add(backend, *logs, metric("a", 1.0, 50))
        assert percentiles(backend, 0.5)[0].values == (1.0,)
        add(backend, summary("s", 0, [1.0, 9.0], last=10))
        with pytest.raises(NotSupported):
            percentiles(backend, 0.5)
        [point] = percentiles(backend, 0.5, resolutions=(Resolution.RAW,))
        assert (point.values, point.count) == ((1.0,), 1)
        assert percentiles(backend, 0.5, time_from=at(30))[0].values == (1.0,)
        with pytest.raises(NotSupported):
            percentiles(backend, 0.5, resolutions=(Resolution.HOURLY,))
