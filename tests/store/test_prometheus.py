from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ciris_store_core import ManualClock, Metric, Store
from ciris_store_core.errors import StoreClosed
from ciris_store_core.integrations.prometheus import StoreCollector


def shown(collector: StoreCollector) -> list[str]:
    registry = CollectorRegistry()
    registry.register(collector)
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_the_latest_value_of_each_series(store: Store, clock: ManualClock) -> None:
    now = clock.now()
    store.correlations.add_metrics(
        [
            Metric("cpu.load", 1.0, {"host": "a"}, now - timedelta(seconds=2)),
            Metric("cpu.load", 2.0, {"host": "a"}, now - timedelta(seconds=1)),
            Metric("cpu.load", 3.5, {"host": 'b"\n', "2nd": "x"}, now - timedelta(seconds=3)),
            Metric("cpu.load", 9.0, {"host": "old"}, now - timedelta(hours=1)),
            Metric("other", 7.0),
        ]
    )
    lines = shown(StoreCollector(store, ["cpu.load", "absent"]))
    assert [line for line in lines if not line.startswith("ciris_store_")] == [
        'cpu_load{_2nd="x",host="b\\"\\n"} 3.5',
        'cpu_load{host="a"} 2.0',
    ]


def test_the_counters_of_the_store(store: Store) -> None:
    store.tasks.count()
    numbers = {name for name, value in store.stats().items() if isinstance(value, int | float)}
    assert {line.split()[0] for line in shown(StoreCollector(store))} == {f"ciris_store_{name}" for name in numbers}


def test_a_failed_read_is_no_empty_answer(store: Store) -> None:
    collector = StoreCollector(store, ["cpu.load"])
    store.close()
    with pytest.raises(StoreClosed):
        shown(collector)
