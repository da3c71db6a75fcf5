"""Correlations: service interactions, metrics, logs, spans and audit events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from ciris_store_core.models.base import (
    Count,
    Finite,
    Id,
    Int64,
    JsonObject,
    Parsed,
    Record,
    Text,
    UtcDateTime,
    _plain,
    default,
    utc_now,
)
from ciris_store_core.models.enums import CorrelationStatus, CorrelationType, GraphScope, Resolution, RetentionPolicy
from ciris_store_core.models.ids import uuid7
from ciris_store_core.models.paging import PageRequest
from ciris_store_core.models.tasks import DEFAULT_OCCURRENCE

AnyCorrelationType = Annotated[CorrelationType | str, _plain(CorrelationType.parse, CorrelationType.json_schema())]
"""A ``CorrelationType`` or a well-formed name of one's own."""


def _to_tags(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
        raise ValueError("expected a dict of text to text")
    return dict(value)


Tags = Annotated[dict[str, str], _plain(_to_tags, {"type": "object", "additionalProperties": {"type": "string"}})]
"""Tags of a record: text to text; keys of 1 to 255 bytes of UTF-8, which the store checks when it is written."""


class ServiceRequest(Record):
    """Request to a service."""

    service_type: Text
    method_name: Text
    thought_id: Id | None = None
    task_id: Id | None = None
    channel_id: Id | None = None
    parameters: Tags = Field(default_factory=dict)
    request_timestamp: UtcDateTime = Field(default_factory=utc_now)
    timeout_seconds: Finite | None = None
    metadata: JsonObject = Field(default_factory=dict)


class ServiceResponse(Record):
    """Response of a service."""

    success: bool
    result_summary: Text | None = None
    result_type: Text | None = None
    result_size: Count | None = None
    error_type: Text | None = None
    error_message: Text | None = None
    error_traceback: Text | None = None
    execution_time_ms: Finite
    response_timestamp: UtcDateTime = Field(default_factory=utc_now)
    tokens_used: Count | None = None
    memory_bytes: Count | None = None
    metadata: JsonObject = Field(default_factory=dict)


class MetricData(Record):
    """A measured value; a rolled up row also says how many samples it stands for."""

    metric_name: Id
    metric_value: Finite
    metric_unit: Text | None = None
    metric_type: Text = "gauge"
    labels: Tags = Field(default_factory=dict)
    min_value: Finite | None = None
    max_value: Finite | None = None
    mean_value: Finite | None = None
    percentiles: dict[str, Finite] = Field(default_factory=dict)
    sample_count: Count | None = None
    sample_sum: Finite | None = None
    last_timestamp: UtcDateTime | None = None
    """Rolled up rows: when the newest sample (whose value is ``metric_value``) was taken."""
    metadata: JsonObject = Field(default_factory=dict)


class LogData(Record):
    """A log message."""

    log_level: Id
    log_message: Text
    logger_name: Text = ""
    module_name: Text = ""
    function_name: Text = ""
    line_number: Int64 = 0
    extra_fields: JsonObject = Field(default_factory=dict)
    metadata: JsonObject = Field(default_factory=dict)


class TraceContext(Record):
    """A span's place in its trace."""

    trace_id: Id
    span_id: Id
    span_name: Text
    parent_span_id: Id | None = None
    span_kind: Text = "internal"
    baggage: Tags = Field(default_factory=dict)
    metadata: JsonObject = Field(default_factory=dict)


class Correlation(Record):
    """One recorded event. ``ServiceCorrelation`` is another name for it.

    On input the flat names metric_name, metric_value, log_level and log_message are accepted in place of
    ``metric_data`` and ``log_data``, and they can be read as properties.
    """

    correlation_id: Id = Field(default_factory=uuid7)
    correlation_type: AnyCorrelationType = CorrelationType.SERVICE_INTERACTION
    service_type: Id
    handler_name: Id
    action_type: Id
    request_data: ServiceRequest | None = None
    response_data: ServiceResponse | None = None
    status: Parsed[CorrelationStatus] = default(CorrelationStatus.PENDING)
    agent_occurrence_id: Id = DEFAULT_OCCURRENCE
    scope: Parsed[GraphScope] = default(GraphScope.LOCAL)
    created_at: UtcDateTime = Field(default_factory=utc_now)
    updated_at: UtcDateTime = Field(default_factory=utc_now)
    timestamp: UtcDateTime = Field(default_factory=utc_now)
    metric_data: MetricData | None = None
    log_data: LogData | None = None
    trace_context: TraceContext | None = None
    tags: Tags = Field(default_factory=dict)
    retention_policy: Parsed[RetentionPolicy] = default(RetentionPolicy.RAW)
    resolution: Resolution = Resolution.RAW
    """How fine the stored row is now; set by rollup."""
    ttl_seconds: Annotated[int, Field(ge=1, le=2**40)] | None = None
    parent_correlation_id: Id | None = None
    child_correlation_ids: list[Id] = Field(default_factory=list)
    metadata: JsonObject = Field(default_factory=dict)

    def __init__(self, **data: Any) -> None:
        """Validate the fields, flat names included; raises ``InvalidArgument``."""
        _nest(data, "metric_data", ("metric_name", "metric_value"))
        _nest(data, "log_data", ("log_level", "log_message"))
        super().__init__(**data)

    @property
    def metric_name(self) -> str | None:
        """The metric's name, if there is a metric."""
        return self.metric_data.metric_name if self.metric_data else None

    @property
    def metric_value(self) -> float | None:
        """The metric's value, if there is a metric."""
        return self.metric_data.metric_value if self.metric_data else None

    @property
    def log_level(self) -> str | None:
        """The log level, if there is a log message."""
        return self.log_data.log_level if self.log_data else None

    @property
    def log_message(self) -> str | None:
        """The log message, if there is one."""
        return self.log_data.log_message if self.log_data else None

    @property
    def expires_at(self) -> datetime | None:
        """When ``ttl_seconds`` is over, counted from ``timestamp``; None without one or past the year 9999."""
        return None if self.ttl_seconds is None else expiry(self.timestamp, self.ttl_seconds)


ServiceCorrelation = Correlation


def expiry(timestamp: datetime | None, ttl_seconds: int) -> datetime | None:
    """When a time to live is over; None past the year 9999."""
    try:
        return None if timestamp is None else timestamp + timedelta(seconds=ttl_seconds)
    except OverflowError:
        return None


class Metric(NamedTuple):
    """One measurement, the light form of a correlation with a metric: for many at a high rate."""

    name: str
    value: float
    tags: Mapping[str, str] = MappingProxyType({})
    timestamp: datetime | None = None
    """Aware; by default the store's time."""
    unit: str | None = None
    metric_id: str | None = None
    """Becomes the correlation_id; by default a new UUID version 7."""

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickling and copying, which read-only tags refuse."""
        return type(self), (self.name, self.value, dict(self.tags), *self[3:])


def _nest(data: dict[str, Any], group: str, names: tuple[str, ...]) -> None:
    flat = {name: data.pop(name) for name in names if name in data}
    if any(value is not None for value in flat.values()) and data.get(group) is None:
        data[group] = flat


class TimeSeriesDataPoint(Record):
    """One point of a series, as recalled."""

    timestamp: UtcDateTime
    metric_name: Text
    value: Finite
    correlation_type: AnyCorrelationType = CorrelationType.METRIC_DATAPOINT
    tags: Tags = Field(default_factory=dict)
    source: Text | None = None
    resolution: Resolution = Resolution.RAW
    metadata: JsonObject = Field(default_factory=dict)


UPDATABLE_CORRELATION_FIELDS = frozenset(Correlation.model_fields) - {
    "correlation_id", "correlation_type", "agent_occurrence_id", "created_at", "resolution",
}  # fmt: skip
"""The fields that an update may change."""

CorrelationChanges = dict[str, Any]


@dataclass(slots=True)  # never changed, but a frozen one of so many fields takes long to make
class CorrelationFilter:
    """Which correlations are meant. All conditions must hold."""

    types: tuple[str, ...] = ()
    occurrence_id: str | None = None
    scope: GraphScope | None = None
    time_from: datetime | None = None
    time_to: datetime | None = None
    """Bounds of ``timestamp``; the lower is inclusive, the upper too unless ``time_to_exclusive``."""
    time_to_exclusive: bool = False
    metric_names: tuple[str, ...] = ()
    log_levels: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    """Tags that must be there with exactly these values."""
    task_id: str | None = None
    thought_id: str | None = None
    action_type: str | None = None
    service_type: str | None = None
    status: CorrelationStatus | None = None
    channel_id: str | None = None
    trace_id: str | None = None
    parent_correlation_id: str | None = None
    resolutions: tuple[Resolution, ...] = ()
    retention_policies: tuple[RetentionPolicy, ...] = ()
    now: datetime | None = None
    """Leave out what expired by then; None means expired ones too."""


@dataclass(frozen=True, slots=True)
class CorrelationQuery(PageRequest):
    """Which correlations to list: by timestamp, then correlation_id, both ascending or both descending."""

    where: CorrelationFilter = field(default_factory=CorrelationFilter)
    descending: bool = False


Aggregate = Literal["avg", "sum", "min", "max", "count", "last"]


@dataclass(frozen=True, slots=True)
class AggregateQuery:
    """Values of metrics per bucket of time and group of tags."""

    where: CorrelationFilter
    function: Aggregate
    bucket: timedelta
    """Buckets are half-open, [start, start + bucket), and aligned to the UTC epoch."""
    group_by: tuple[str, ...] = ()
    """Tag keys; a series without the tag is in the group None."""


@dataclass(slots=True)
class AggregatePoint:
    """One bucket of one group."""

    start: datetime
    group: tuple[str | None, ...]
    value: float
    count: int
    """How many samples it stands for."""
    resolution: Resolution
    """The coarsest of the rows that it was made of."""


@dataclass(frozen=True, slots=True)
class PercentileQuery:
    """Percentiles of metrics per bucket of time and group of tags."""

    where: CorrelationFilter
    fractions: tuple[float, ...]
    """Each from 0 (the least value) to 1 (the greatest)."""
    bucket: timedelta
    """Buckets are half-open, [start, start + bucket), and aligned to the UTC epoch."""
    group_by: tuple[str, ...] = ()
    """Tag keys; a series without the tag is in the group None."""


@dataclass(frozen=True, slots=True)
class PercentilePoint:
    """One bucket of one group."""

    start: datetime
    group: tuple[str | None, ...]
    values: tuple[float, ...]
    """In the order of the fractions asked for."""
    count: int
    """How many samples it was made of."""
