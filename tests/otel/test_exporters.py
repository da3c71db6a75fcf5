"""With the real SDK: an instrumented program, and what the store then holds."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode

from ciris_store_core import Store, open_store
from ciris_store_core.integrations.opentelemetry import StoreLogExporter, StoreMetricExporter, StoreSpanExporter
from ciris_store_core.models import CorrelationStatus

AGENT = Resource.create({"service.name": "agent"})


def test_spans_become_a_tree(store: Store) -> None:
    provider = TracerProvider(resource=AGENT)
    provider.add_span_processor(SimpleSpanProcessor(StoreSpanExporter(store, ttl_seconds=3600)))
    tracer = provider.get_tracer("agent.loop")
    with tracer.start_as_current_span("think", attributes={"round": 3, "urgent": True, "tags": ["a", "b"]}) as outer:
        with tracer.start_as_current_span("recall") as inner:
            inner.add_event("found", {"nodes": 2})
        with tracer.start_as_current_span("speak") as failing:
            failing.set_status(Status(StatusCode.ERROR, "no voice"))
    provider.shutdown()
    [root] = store.correlations.trace(f"{outer.get_span_context().trace_id:032x}")
    assert [child.correlation.action_type for child in root.children] == ["recall", "speak"]
    think, (recall, speak) = root.correlation, [child.correlation for child in root.children]
    assert (think.service_type, think.handler_name, think.ttl_seconds) == ("agent", "agent.loop", 3600)
    assert think.tags == {"round": "3", "urgent": "true", "tags": "a,b"} and think.metadata["duration_ms"] > 0
    assert think.trace_context is not None and think.trace_context.span_kind == "internal"
    assert recall.status == CorrelationStatus.COMPLETED and recall.metadata["events"][0]["nodes"] == 2
    assert speak.status == CorrelationStatus.FAILED and speak.metadata["error"] == "no voice"


def test_metrics_become_measurements(store: Store) -> None:
    reader = PeriodicExportingMetricReader(StoreMetricExporter(store, retention_policy="downsampled"), 3_600_000)
    provider = MeterProvider([reader], resource=AGENT)
    meter = provider.get_meter("agent.llm")
    meter.create_counter("tokens", unit="1").add(42, {"model": "small"})
    meter.create_gauge("load").set(0.5)
    histogram = meter.create_histogram("latency", unit="ms")
    for value in (10.0, 30.0):
        histogram.record(value, {"model": "small"})
    provider.shutdown()
    assert store.correlations.metric_names() == ["latency", "load", "tokens"]
    [tokens] = store.correlations.scan(metric_name="tokens", tags={"model": "small"})
    assert tokens.metric_data is not None and tokens.metric_data.metric_type == "sum"
    assert (tokens.metric_value, tokens.metric_data.metric_unit, str(tokens.retention_policy)) == (
        42.0,
        "1",
        "downsampled",
    )
    [latency] = store.correlations.scan(metric_name="latency")
    data = latency.metric_data
    assert data is not None and (data.metric_value, data.min_value, data.max_value) == (20.0, 10.0, 30.0)
    assert data.metadata == {"count": 2, "sum": 40.0} and latency.service_type == "agent"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_logs_become_entries(store: Store) -> None:
    from opentelemetry.sdk._logs import LoggingHandler

    provider = LoggerProvider(resource=AGENT)
    provider.add_log_record_processor(SimpleLogRecordProcessor(StoreLogExporter(store)))
    log = logging.getLogger("tests.otel.agent")
    log.propagate, handler = False, LoggingHandler(logging.INFO, provider)
    log.addHandler(handler)
    try:
        log.warning("slow answer: %.1f s", 4.2, extra={"model": "small"})
        log.debug("not wanted")
    finally:
        log.removeHandler(handler)
    provider.shutdown()
    [entry] = store.correlations.scan(type="log_entry", min_log_level="WARNING")
    assert entry.log_data is not None and entry.log_data.log_message == "slow answer: 4.2 s"
    assert (entry.log_data.logger_name, entry.tags["model"], entry.service_type) == (
        "tests.otel.agent",
        "small",
        "agent",
    )
    assert entry.log_data.line_number > 0 and entry.log_data.function_name == "test_logs_become_entries"


def test_a_store_that_is_gone_harms_no_program(caplog: pytest.LogCaptureFixture) -> None:
    store = open_store("memory://")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(StoreSpanExporter(store)))
    store.close()
    with provider.get_tracer("t").start_as_current_span("think"):
        pass
    assert "telemetry could not be stored" in caplog.text
