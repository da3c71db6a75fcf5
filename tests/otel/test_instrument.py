"""Spans and metrics of the store's own operations."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ciris_store_core import Conflict, Store, Task
from ciris_store_core.integrations.opentelemetry import instrument
from tests.support import factories


def task(name: str) -> Task:
    return factories.task(name, description="hunter2 is the word")


def test_operations_become_spans_and_metrics(store: Store) -> None:
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider([reader])
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    end = instrument(store, tracer_provider=tracers, meter_provider=meters)
    store.tasks.add(task("t"))
    store.tasks.get("t")
    with pytest.raises(Conflict):
        store.tasks.add(task("t"))
    with store.transaction() as tx:
        tx.tasks.add(task("t2"))
        tx.tasks.update("t2", status="active")
    end()
    store.tasks.get("t")

    told = [(span.name, dict(span.attributes or {})) for span in spans.get_finished_spans()]
    assert [name for name, _ in told] == [
        "ciris_store.tasks.add", "ciris_store.tasks.get", "ciris_store.tasks.add", "ciris_store.transaction",
    ]  # fmt: skip
    assert [(each["write"], each.get("error.type")) for _, each in told] == [
        (True, None), (False, None), (True, "AlreadyExists"), (True, None),
    ]  # fmt: skip
    data: Any = reader.get_metrics_data()
    [metric] = data.resource_metrics[0].scope_metrics[0].metrics
    assert metric.name == "ciris_store.operation.duration" and sum(p.count for p in metric.data.data_points) == 4
    everything = f"{told}{data}{[span.to_json() for span in spans.get_finished_spans()]}"
    assert "hunter2" not in everything and "t2" not in everything
    tracers.shutdown()
    meters.shutdown()
