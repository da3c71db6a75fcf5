"""Aggregation over rows in Python: the reference for what SQL backends compute in the database."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from ciris_store_core.models.correlations import (
    AggregatePoint,
    AggregateQuery,
    Correlation,
    Metric,
    MetricData,
    PercentilePoint,
    PercentileQuery,
    TimeSeriesDataPoint,
)
from ciris_store_core.models.enums import Resolution

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST = datetime.min.replace(tzinfo=UTC)
_COARSENESS = {Resolution.RAW: 0, Resolution.HOURLY: 1, Resolution.DAILY: 2}

Group = tuple[str | None, ...]

_PLAIN = {name: field.get_default() for name, field in MetricData.model_fields.items()}


def bucket_start(moment: datetime, bucket: timedelta) -> datetime:
    """The start of the half-open bucket, aligned to the UTC epoch, of a moment; no earlier than the year 1."""
    try:
        return moment - (moment - EPOCH) % bucket
    except OverflowError:
        return FIRST


def to_point(row: Correlation) -> TimeSeriesDataPoint | None:
    """The point that a correlation records; None if it records no metric. ``source`` is its service_type."""
    metric = row.metric_data
    if metric is None:
        return None
    return TimeSeriesDataPoint.trusted(
        {
            "timestamp": row.timestamp,
            "metric_name": metric.metric_name,
            "value": metric.metric_value,
            "correlation_type": row.correlation_type,
            "tags": row.tags,
            "source": row.service_type,
            "resolution": row.resolution,
            "metadata": {},
        }
    )


def measured(metric: Metric, like: Correlation) -> Correlation:
    """The correlation that a measurement stands for."""
    data = dict(_PLAIN, labels={}, percentiles={}, metadata={})
    data.update(metric_name=metric.name, metric_value=metric.value, metric_unit=metric.unit)
    return like.replaced(
        correlation_id=metric.metric_id,
        timestamp=metric.timestamp,
        metric_data=MetricData.trusted(data),
        tags=dict(metric.tags),
    )


def aggregate_rows(rows: Iterable[Correlation], query: AggregateQuery) -> list[AggregatePoint]:
    """The answer of ``CorrelationStore.aggregate`` for these rows."""
    return [_point(key, inside, query) for key, inside in _bucketed(rows, query)]


def percentiles_of_rows(rows: Iterable[Correlation], query: PercentileQuery) -> list[PercentilePoint]:
    """The answer of ``CorrelationStore.percentiles`` for these rows, which are single samples."""
    points = []
    for (start, group), inside in _bucketed(rows, query):
        values = sorted(row.metric_value or 0.0 for row in inside)
        found = tuple(interpolated(fraction, len(values), values.__getitem__) for fraction in query.fractions)
        points.append(PercentilePoint(start, group, found, len(values)))
    return points


def _bucketed(
    rows: Iterable[Correlation], query: AggregateQuery | PercentileQuery
) -> Iterator[tuple[tuple[datetime, Group], list[Correlation]]]:
    """The rows that record a metric by start and group, in that order, None first."""
    buckets: dict[tuple[datetime, Group], list[Correlation]] = {}
    for row in rows:
        if row.metric_data is not None:
            key = (bucket_start(row.timestamp, query.bucket), tuple(row.tags.get(tag) for tag in query.group_by))
            buckets.setdefault(key, []).append(row)
    for key in sorted(buckets, key=lambda key: (key[0], group_order(key[1]))):
        yield key, buckets[key]


def interpolated(fraction: float, count: int, value_at: Callable[[int], float]) -> float:
    """The percentile among ``count`` sorted values, of which the two beside it are asked for."""
    place = fraction * (count - 1)
    below = math.floor(place)
    low = value_at(below)
    high = low if below == place else value_at(below + 1)
    # Not low + (high - low) * ..., which is too large a number between the least and the greatest float.
    return low if low == high else low * (1 - (place - below)) + high * (place - below)


def group_order(group: Group) -> list[tuple[bool, str]]:
    """A sort key for groups that puts None first."""
    return [(value is not None, value or "") for value in group]


def _point(key: tuple[datetime, Group], rows: list[Correlation], query: AggregateQuery) -> AggregatePoint:
    count = sum(count_of(row) for row in rows)
    resolution = max((row.resolution for row in rows), key=_COARSENESS.__getitem__)
    return AggregatePoint(key[0], key[1], _value(rows, count, query), count, resolution)


def _value(rows: list[Correlation], count: int, query: AggregateQuery) -> float:
    match query.function:
        case "count":
            return float(count)
        case "min":
            return min(low_of(row) for row in rows)
        case "max":
            return max(high_of(row) for row in rows)
        case "last":
            return max(rows, key=last_of).metric_value or 0.0
        case "sum":
            return total_over([sum_of(row) for row in rows], 1)
        case "avg":
            return total_over([sum_of(row) for row in rows], count)


def total_over(terms: Sequence[float], count: int) -> float:
    """The sum divided by ``count``, rounded once; inf where that is beyond the greatest float."""
    try:
        return math.fsum(terms) / count
    except OverflowError:  # of what is between; a power of two changes no digit
        return math.fsum(term * 2.0**-64 for term in terms) / count * 2.0**64


def count_of(row: Correlation) -> int:
    """Return the number of samples that a row stands for."""
    metric = row.metric_data
    return (
        1 if metric is None or row.resolution == Resolution.RAW or metric.sample_count is None else metric.sample_count
    )


def sum_of(row: Correlation) -> float:
    """The sum of the samples that a metric's row stands for."""
    metric = row.metric_data
    assert metric is not None
    return metric.metric_value if row.resolution == Resolution.RAW or metric.sample_sum is None else metric.sample_sum


def low_of(row: Correlation) -> float:
    """The least of the samples that a metric's row stands for."""
    metric = row.metric_data
    assert metric is not None
    return metric.metric_value if row.resolution == Resolution.RAW or metric.min_value is None else metric.min_value


def high_of(row: Correlation) -> float:
    """The greatest of the samples that a metric's row stands for."""
    metric = row.metric_data
    assert metric is not None
    return metric.metric_value if row.resolution == Resolution.RAW or metric.max_value is None else metric.max_value


def last_of(row: Correlation) -> tuple[datetime, str]:
    """Sorts metrics' rows by their newest sample."""
    metric = row.metric_data
    assert metric is not None
    newest = None if row.resolution == Resolution.RAW else metric.last_timestamp
    return (newest or row.timestamp, row.correlation_id)
