"""Summaries of rows, and their merging. No database is touched here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from ciris_store_core.contract.aggregation import bucket_start, count_of, high_of, last_of, low_of, sum_of
from ciris_store_core.models.correlations import Correlation, LogData, MetricData
from ciris_store_core.models.enums import CorrelationStatus, CorrelationType, GraphScope, Resolution

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

SUM_REST = "sum_rest"
"""Key in the metadata of a summary's metric: the rounding error of its sum, kept so that merging adds no error."""
COUNT = "count"
"""Key in the extra fields of a summary of log entries: their number."""

_NAMESPACE = UUID("0b1c0e5e-7a3c-5d5c-9f57-3a1b6d6f4c11")
_TOO_LARGE = 1e300
"""Rows with values beyond it are not rolled up: their sums may not be finite."""

_SERIES = (
    "agent_occurrence_id",
    "scope",
    "service_type",
    "handler_name",
    "action_type",
    "retention_policy",
    "ttl_seconds",
)
"""Fields that the rows of one series have in common, beside those of the metric or log entry."""


@dataclass(frozen=True, slots=True)
class Level:
    """Step of rolling up: the type, resolution and period of its summaries."""

    type: CorrelationType
    """Type of the summaries."""
    resolution: Resolution
    period: timedelta
    """Time that one summary covers, aligned to the UTC epoch."""


HOURLY = Level(CorrelationType.METRIC_HOURLY_SUMMARY, Resolution.HOURLY, HOUR)
DAILY = Level(CorrelationType.METRIC_DAILY_SUMMARY, Resolution.DAILY, DAY)
LOGS = Level(CorrelationType.LOG_HOURLY_SUMMARY, Resolution.HOURLY, HOUR)


def summaries_of(rows: Iterable[Correlation], level: Level, now: datetime) -> list[Correlation]:
    """Return one summary for each series and period of the rows."""
    groups: dict[str, list[Correlation]] = {}
    known: dict[tuple[Any, ...], str] = {}  # series repeat, and making an id takes longer than looking one up
    for row in rows:
        key = (bucket_start(row.timestamp, level.period), *_series_of(row))
        if key not in known:
            known[key] = _id_of(key, level)
        groups.setdefault(known[key], []).append(row)
    make = _log_summary if level is LOGS else _metric_summary
    return [make(summary_id, inside, level, now) for summary_id, inside in groups.items()]


def merged(stored: Correlation, new: Correlation, now: datetime) -> dict[str, Any]:
    """Return the changes that add another summary of the same series and period to a stored one."""
    if stored.log_data is not None and new.log_data is not None:
        count = log_count(stored) + log_count(new)
        return {"log_data": _counted(stored.log_data, count), "updated_at": now}
    return {"metric_data": _metric([stored, new]), "updated_at": now}


def log_count(row: Correlation) -> int:
    """Return the number of log entries that a row stands for."""
    if row.log_data is None or row.resolution == Resolution.RAW:
        return 1
    return int(row.log_data.extra_fields.get(COUNT, 1))


def may_be_rolled_up(row: Correlation) -> bool:
    """Return True if a row can become part of a summary.

    Rows in IDENTITY scope are never rolled up: their nodes could not be deleted without an approval.
    """
    if row.scope == GraphScope.IDENTITY:
        return False
    if row.metric_data is None:
        return row.log_data is not None
    return abs(sum_of(row)) < _TOO_LARGE and abs(row.metric_data.metric_value) < _TOO_LARGE


# --- series -----------------------------------------------------------------------------------


def _series_of(row: Correlation) -> tuple[Any, ...]:
    fields = row.__dict__
    common = tuple([fields[name] for name in _SERIES])
    metric, log = row.metric_data, row.log_data
    if metric is not None:
        what: tuple[Any, ...] = (metric.metric_name, metric.metric_unit, metric.metric_type)
        return (*common, row.status, *what, _pairs(metric.labels), _pairs(row.tags))
    assert log is not None
    return (*common, log.log_level, log.logger_name)


def _pairs(texts: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(texts.items())) if texts else ()


def _id_of(key: tuple[Any, ...], level: Level) -> str:
    """Return the id of a summary. It is derived from series and period, so that a late row finds its summary."""
    start, *series = key
    return str(uuid5(_NAMESPACE, json.dumps([level.type.value, start.isoformat(), *series])))


# Fields of single events, which a summary does not have.
_BLANK: Mapping[str, Any] = {
    "request_data": None, "response_data": None, "metric_data": None, "log_data": None, "trace_context": None,
    "tags": {}, "parent_correlation_id": None, "child_correlation_ids": [], "metadata": {},
}  # fmt: skip

# --- summaries --------------------------------------------------------------------------------


def _metric_summary(summary_id: str, rows: list[Correlation], level: Level, now: datetime) -> Correlation:
    return _summary(summary_id, rows[0], level, now, metric_data=_metric(rows), tags=dict(rows[0].tags))


def _log_summary(summary_id: str, rows: list[Correlation], level: Level, now: datetime) -> Correlation:
    log = rows[0].log_data
    assert log is not None
    kept = LogData(log_level=log.log_level, log_message="", logger_name=log.logger_name)
    data = _counted(kept, sum(map(log_count, rows)))
    return _summary(summary_id, rows[0], level, now, log_data=data, status=CorrelationStatus.COMPLETED)


def _summary(summary_id: str, like: Correlation, level: Level, now: datetime, **fields: Any) -> Correlation:
    given = {
        "correlation_id": summary_id,
        "correlation_type": level.type,
        "resolution": level.resolution,
        "created_at": now,
        "updated_at": now,
        "timestamp": bucket_start(like.timestamp, level.period),
    }
    common = {name: like.__dict__[name] for name in (*_SERIES, "status")}
    return Correlation.trusted({**_BLANK, **common, **given, **fields})


def _counted(log: LogData, count: int) -> LogData:
    return log.replaced(log_message=f"{count} entries", extra_fields={**log.extra_fields, COUNT: count})


def _metric(rows: list[Correlation]) -> MetricData:
    """Return the metric of a summary. If the newest samples have the same time, the later row counts."""
    newest = max(enumerate(rows), key=lambda each: (last_of(each[1])[0], each[0]))[1]
    like = newest.metric_data
    assert like is not None
    terms = [term for row in rows for term in _terms(row)]
    total = math.fsum(terms)
    rest = math.fsum([*terms, -total])
    count = sum(map(count_of, rows))
    return like.replaced(
        percentiles={},
        min_value=min(map(low_of, rows)),
        max_value=max(map(high_of, rows)),
        mean_value=total / count,
        sample_count=count,
        sample_sum=total,
        last_timestamp=last_of(newest)[0],
        metadata={SUM_REST: rest} if rest else {},
    )


def _terms(row: Correlation) -> tuple[float, ...]:
    """Return the terms to add up for a row: its sum and, of a summary, the rounding error of the sum."""
    metric = row.metric_data
    rest = metric.metadata.get(SUM_REST) if metric is not None and row.resolution != Resolution.RAW else None
    return (sum_of(row), float(rest)) if isinstance(rest, float | int) else (sum_of(row),)
