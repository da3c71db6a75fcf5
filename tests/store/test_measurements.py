"""Measurements stored in batches, on every backend."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ciris_store_core import Conflict, InvalidArgument, ManualClock, Metric, Store


def test_a_measurement_becomes_a_correlation(store: Store, clock: ManualClock) -> None:
    earlier = clock.now() - timedelta(hours=1)
    ids = store.correlations.add_metrics(
        [
            Metric("cpu", 1, {"host": "a", 'q".': "é"}, earlier, "%", "m1"),
            Metric("cpu", 2.5, {"host": "a", 'q".': "é"}),
            Metric("idle", -0.0),
        ],
        service_type="sampler", handler_name="h", action_type="sample", ttl_seconds=10**9, metadata={"run": 7},
    )  # fmt: skip
    assert ids[0] == "m1" and len(set(ids)) == 3
    first, second, third = (store.correlations.get(key) for key in ids)
    assert first is not None and second is not None and third is not None
    assert (first.metric_name, first.metric_value, type(first.metric_value)) == ("cpu", 1.0, float)
    assert first.metric_data is not None and first.metric_data.metric_unit == "%"
    assert first.tags == second.tags == {"host": "a", 'q".': "é"}
    assert (first.timestamp, second.timestamp) == (earlier, clock.now())
    assert (first.service_type, first.ttl_seconds, first.metadata) == ("sampler", 10**9, {"run": 7})
    assert first.expires_at == earlier + timedelta(seconds=10**9)
    assert str(third.metric_value) == "0.0"
    assert str(first.correlation_type) == "metric_datapoint"


def test_it_is_the_same_as_adding_the_correlation(store: Store) -> None:
    (key,) = store.correlations.add_metrics([Metric("cpu", 1.0, {"host": "a"})])
    stored = store.correlations.get(key)
    assert stored is not None
    store.correlations.delete(key)
    assert store.correlations.add(stored) == stored == store.correlations.get(key)


def test_many_are_stored_all_or_none(store: Store) -> None:
    store.correlations.add_metrics([Metric("cpu", float(n), metric_id=f"m{n}") for n in range(3000)])
    assert store.correlations.count(metric_name="cpu") == 3000
    with pytest.raises(Conflict):
        store.correlations.add_metrics([Metric("cpu", 1.0, metric_id="new"), Metric("cpu", 1.0, metric_id="m7")])
    with store.transaction() as tx:
        with pytest.raises(Conflict):
            tx.correlations.add_metrics([Metric("cpu", 1.0, metric_id="new"), Metric("cpu", 1.0, metric_id="m7")])
        tx.correlations.add_metrics([Metric("cpu", 1.0, metric_id="kept")])
    assert store.correlations.get("new") is None
    assert store.correlations.get("kept") is not None
    assert store.correlations.add_metrics([]) == []


@pytest.mark.parametrize(
    "metric",
    [
        Metric("", 1.0), Metric("m", float("nan")), Metric("m", True), Metric("m", "1"), Metric("m", 1.0, {"": "x"}),
        Metric("m", 1.0, {"k": 1}), Metric("m", 1.0, unit="\0"), Metric("m", 1.0, metric_id="x" * 256), ("m", 1.0),
        Metric(["m"], 1.0), Metric("m", 1.0, ["k"]), Metric("m", 1.0, {"k": ["v"]}),
    ],
)  # fmt: skip
def test_bad_measurements_are_refused(store: Store, metric: Metric) -> None:
    with pytest.raises(InvalidArgument):
        store.correlations.add_metrics([Metric("fine", 1.0), metric])
    with pytest.raises(InvalidArgument):
        store.correlations.add_metrics([Metric("m", 1.0, metric_id="a"), Metric("m", 2.0, metric_id="a")])
    assert store.correlations.count() == 0
