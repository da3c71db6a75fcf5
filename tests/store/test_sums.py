"""Sums of floats that cancel each other out, on every backend."""

from __future__ import annotations

from datetime import timedelta
from math import fsum

import pytest

from ciris_store_core import Correlation, ManualClock, Store


def add_values(store: Store, values: list[float]) -> None:
    store.correlations.add_many(
        Correlation(
            service_type="s", handler_name="h", action_type="a", correlation_type="metric_datapoint",
            metric_name="m", metric_value=value,
        )
        for value in values
    )  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        [1e16, 1.0, -1e16],
        [0.1] * 6000,
        [1e300, 1e-300, -1e300],
        [(-1) ** n * (1 + n / 7) for n in range(999)],
    ],
    ids=["large and small", "many", "extremes", "alternating"],
)
def test_sums_and_averages_are_within_their_promise(store: Store, clock: ManualClock, values: list[float]) -> None:
    add_values(store, values)
    exact = fsum(values)
    for function, wanted in (("sum", exact), ("avg", exact / len(values))):
        (point,) = store.correlations.aggregate(function, timedelta(hours=1), metric_name="m")
        assert abs(point.value - wanted) <= 1e-12 * abs(wanted)
        assert point.count == len(values)
