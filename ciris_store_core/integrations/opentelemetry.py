"""OpenTelemetry exporters that keep metrics, logs and spans in a store (extra ``otel``).

Register the exporters with the SDK's providers; the instrumented program needs no other code::

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(StoreSpanExporter(store)))

If the store raises an error, the export fails, and the SDK reports it. The error never reaches the program.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import TracerProvider

from ciris_store_core.errors import StoreError
from ciris_store_core.models.correlations import Correlation, LogData, MetricData, TraceContext
from ciris_store_core.models.enums import CorrelationStatus, CorrelationType, RetentionPolicy
from ciris_store_core.printable import printable
from ciris_store_core.store import Store

logger = logging.getLogger(__name__)

_SERVICE = "service.name"
_UNKNOWN = "unknown_service"


class _ToStore:
    """The common base of the exporters."""

    def __init__(
        self,
        store: Store,
        *,
        retention_policy: RetentionPolicy | str = RetentionPolicy.RAW,
        ttl_seconds: int | None = None,
    ) -> None:
        """Export to ``store``, which outlives the exporter, with that retention policy and lifetime."""
        super().__init__()
        self._store = store
        self._common: dict[str, Any] = {
            "retention_policy": RetentionPolicy.parse(retention_policy),
            "ttl_seconds": ttl_seconds,
            "status": CorrelationStatus.COMPLETED,
        }

    def _add(self, correlations: Iterator[Correlation]) -> bool:
        try:
            self._store.correlations.add_many(correlations)
        except StoreError as error:
            logger.warning("telemetry could not be stored: %s", printable(str(error)))
            return False
        return True


class StoreSpanExporter(_ToStore, SpanExporter):
    """An exporter that stores spans as correlations of type ``trace_span``, which ``correlations.trace`` assembles.

    Attributes become text tags; status, duration and events are in ``metadata``.
    """

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Store ended spans."""
        done = self._add(self._span(span) for span in spans)
        return SpanExportResult.SUCCESS if done else SpanExportResult.FAILURE

    def _span(self, span: ReadableSpan) -> Correlation:
        context, start, end = span.get_span_context(), span.start_time or 0, span.end_time or 0
        assert context is not None
        place = TraceContext(
            trace_id=f"{context.trace_id:032x}",
            span_id=f"{context.span_id:016x}",
            span_name=span.name,
            parent_span_id=f"{span.parent.span_id:016x}" if span.parent else None,
            span_kind=span.kind.name.lower(),
        )
        failed = not span.status.is_ok
        events = [
            {"name": event.name, "time": _time(event.timestamp).isoformat(), **_plain(event.attributes)}
            for event in span.events
        ]
        return Correlation(
            correlation_type=CorrelationType.TRACE_SPAN,
            service_type=_service(span.resource.attributes),
            handler_name=_scope(span.instrumentation_scope),
            action_type=span.name or "span",
            timestamp=_time(start),
            trace_context=place,
            tags=_tags(span.attributes),
            metadata={
                "duration_ms": (end - start) / 1e6,
                **({"error": span.status.description or "error"} if failed else {}),
                **({"events": events} if events else {}),
            },
            **{**self._common, "status": CorrelationStatus.FAILED if failed else CorrelationStatus.COMPLETED},
        )

    def shutdown(self) -> None:
        """Do nothing: exported spans are stored, and the owner of the store closes it."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True: no span is buffered."""
        return True


class StoreLogExporter(_ToStore, LogRecordExporter):
    """An exporter that stores log records as correlations of type ``log_entry``, attributes as text tags."""

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Store log records."""
        done = self._add(self._entry(each) for each in batch)
        return LogRecordExportResult.SUCCESS if done else LogRecordExportResult.FAILURE

    def _entry(self, readable: ReadableLogRecord) -> Correlation:
        record, attributes = readable.log_record, dict(readable.log_record.attributes or {})
        # The log record's span goes into the metadata: as trace_context the record would look like a span of the trace.
        span = {"trace_id": f"{record.trace_id:032x}", "span_id": f"{record.span_id:016x}"} if record.span_id else {}
        data = LogData(
            log_level=record.severity_text or "INFO",
            log_message=str(record.body),
            logger_name=_scope(readable.instrumentation_scope),
            module_name=str(attributes.pop("code.file.path", "")),
            function_name=str(attributes.pop("code.function.name", "")),
            line_number=int(attributes.pop("code.line.number", 0)),  # type: ignore[arg-type]  # the SDK's own
        )
        return Correlation(
            correlation_type=CorrelationType.LOG_ENTRY,
            service_type=_service(readable.resource.attributes),
            handler_name="opentelemetry",
            action_type="log",
            timestamp=_time(record.timestamp or record.observed_timestamp or 0),
            log_data=data,
            metadata=span,
            tags=_tags(attributes),
            **self._common,
        )

    def shutdown(self) -> None:
        """Do nothing: exported records are stored, and the owner of the store closes it."""

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        """Return True: no record is buffered."""
        return True


class StoreMetricExporter(_ToStore, MetricExporter):
    """An exporter that stores data points as correlations of type ``metric_datapoint``, attributes as text tags.

    The value of a sum or gauge is stored as it is. The value of a histogram is its mean; count, sum, min and max are
    stored beside it.
    """

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Store data points."""
        done = self._add(self._points(metrics_data))
        return MetricExportResult.SUCCESS if done else MetricExportResult.FAILURE

    def _points(self, data: MetricsData) -> Iterator[Correlation]:
        for resource in data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    kind = type(metric.data).__name__.lower()
                    for point in metric.data.data_points:
                        measured = _measured(metric.name, metric.unit, kind, point)
                        if measured is not None:
                            yield Correlation(
                                correlation_type=CorrelationType.METRIC_DATAPOINT,
                                service_type=_service(resource.resource.attributes),
                                handler_name=_scope(scope.scope),
                                action_type="record_metric",
                                timestamp=_time(point.time_unix_nano),
                                metric_data=measured,
                                tags=_tags(point.attributes),
                                **self._common,
                            )

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Return True: no data point is buffered."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Do nothing: exported points are stored, and the owner of the store closes it."""


def instrument(
    store: Store, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
) -> Callable[[], None]:
    """Record spans and metrics of the store's own operations; return a function that stops it.

    Each call of the store becomes a span such as ``ciris_store.tasks.add`` (a whole transaction is one span), and a
    measurement of the histogram ``ciris_store.operation.duration``, in seconds, by operation, write or read, and error
    class. They contain no record, id or value. They go to the global providers by default. Never export them into the
    same store, since each export would be recorded again.
    """
    tracer = trace.get_tracer("ciris_store_core", tracer_provider=tracer_provider)
    meter = metrics.get_meter("ciris_store_core", meter_provider=meter_provider)
    duration = meter.create_histogram("ciris_store.operation.duration", unit="s", description="Of calls of the store")
    backend = str(store.info()["backend"])

    @contextmanager
    def observe(operation: str, write: bool) -> Iterator[None]:
        attributes: dict[str, str | bool] = {"db.system": backend, "operation": operation, "write": write}
        began = perf_counter()
        try:
            # Only the error's class is recorded: its message may hold data of records.
            with tracer.start_as_current_span(
                f"ciris_store.{operation}", kind=trace.SpanKind.CLIENT, attributes=attributes,
                record_exception=False, set_status_on_exception=False,
            ) as span:  # fmt: skip
                try:
                    yield
                except Exception as error:
                    attributes["error.type"] = type(error).__name__
                    span.set_attribute("error.type", type(error).__name__)
                    span.set_status(trace.Status(trace.StatusCode.ERROR))
                    raise
        finally:
            duration.record(perf_counter() - began, attributes)

    store._executor.observe = observe

    def end() -> None:
        store._executor.observe = None

    return end


def _measured(name: str, unit: str | None, kind: str, point: Any) -> MetricData | None:
    given: dict[str, Any] = {"metric_name": name, "metric_unit": unit or None, "metric_type": kind}
    if hasattr(point, "value"):
        return MetricData(**given, metric_value=float(point.value))
    if not point.count:
        return None
    mean = point.sum / point.count
    return MetricData(
        **given, metric_value=mean, mean_value=mean, min_value=point.min, max_value=point.max,
        metadata={"count": point.count, "sum": point.sum},
    )  # fmt: skip


def _time(nanoseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)


def _tags(attributes: Mapping[str, Any] | None) -> dict[str, str]:
    return {key: _text(value) for key, value in (attributes or {}).items() if key}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)


def _plain(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in (attributes or {}).items()}


def _service(attributes: Mapping[str, Any]) -> str:
    return str(attributes.get(_SERVICE) or _UNKNOWN)


def _scope(scope: Any) -> str:
    return str(getattr(scope, "name", "") or "opentelemetry")
