"""SQL of correlations. The module ``series`` holds that of aggregates over their time series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ciris_store_core.models.correlations import (
    Correlation,
    CorrelationChanges,
    CorrelationFilter,
    CorrelationQuery,
    LogData,
    Metric,
    MetricData,
    ServiceRequest,
    ServiceResponse,
    TimeSeriesDataPoint,
    TraceContext,
    expiry,
)
from ciris_store_core.models.enums import CorrelationStatus, CorrelationType, GraphScope, Resolution, RetentionPolicy
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.sql.codec import list_out, object_out
from ciris_store_core.sql.inserting import insert_new
from ciris_store_core.sql.rows import Row, read_all, read_page
from ciris_store_core.sql.series import SqlSeries
from ciris_store_core.sql.statements import fill_in, insert_columns, set_columns, where_clause

if TYPE_CHECKING:
    from ciris_store_core.sql.executor import SqlExecutor

# Besides the record's own columns, what queries look for inside its parts.
INSERT = """
INSERT INTO {correlations} (correlation_id, correlation_type, service_type, handler_name, action_type, request_data,
    response_data, status, agent_occurrence_id, scope, created_at, updated_at, timestamp, metric_name, metric_value,
    metric_unit, metric_data, min_value, max_value, sample_count, sample_sum, last_timestamp, log_level, log_message,
    log_data, trace_id, trace_context, tags, retention_policy, resolution, ttl_seconds, parent_correlation_id,
    child_correlation_ids, metadata, expires_at, task_id, thought_id, channel_id)
VALUES (
    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
)
ON CONFLICT (correlation_id) DO NOTHING
"""

# The columns that differ from their defaults in a correlation that is a measurement and nothing else.
INSERT_METRIC = """
INSERT INTO {correlations} (correlation_id, correlation_type, service_type, handler_name, action_type, status,
    agent_occurrence_id, scope, created_at, updated_at, timestamp, metric_name, metric_value, metric_unit, tags,
    retention_policy, resolution, ttl_seconds, expires_at, metadata)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (correlation_id) DO NOTHING
"""

EXISTING = """
SELECT correlation_id FROM {correlations} WHERE correlation_id {in_texts} ORDER BY correlation_id LIMIT 3
"""

UPDATE = "UPDATE {correlations} SET {assignments} WHERE correlation_id = ?"

GET = "SELECT {correlation_columns} FROM {correlations} c WHERE correlation_id = ?"

GET_MANY = "SELECT {correlation_columns} FROM {correlations} c WHERE correlation_id {in_texts}"

LOCK_ONE = "SELECT {correlation_columns} FROM {correlations} c WHERE correlation_id = ? {for_update}"

LOCK = """
SELECT {correlation_columns} FROM {correlations} c WHERE correlation_id {in_texts}
ORDER BY correlation_id {for_update}
"""

FIND = "SELECT {correlation_columns} FROM {correlations} c {where} ORDER BY {order} LIMIT ?"

POINTS = """
SELECT correlation_id, timestamp, metric_name, metric_value, correlation_type, tags, service_type, resolution
FROM {correlations} c {where} ORDER BY {order} LIMIT ?
"""

COUNT = "SELECT count(*) FROM {correlations} c {where}"

# Expired rows are counted by their own index and subtracted, so that all rows can be counted by an index alone. The
# first part names every column that a filter can test.
COUNT_LIVING = """
WITH expired AS MATERIALIZED (
    SELECT correlation_type, service_type, action_type, status, agent_occurrence_id, scope, timestamp, metric_name,
        log_level, trace_id, tags, retention_policy, resolution, parent_correlation_id, task_id, thought_id, channel_id
    FROM {correlations} WHERE expires_at <= ?
)
SELECT (SELECT count(*) FROM {correlations} c {where}) - (SELECT count(*) FROM expired c {where})
"""

DELETE = "DELETE FROM {correlations} WHERE {lock_correlations} correlation_id {in_texts} {end_lock_correlations}"

# Locks rows in the order of expiry, which is not that of the key. SKIP LOCKED passes over rows that another transaction
# has locked, so that no circle of waits can form.
EXPIRED = "SELECT correlation_id FROM {correlations} WHERE expires_at <= ? ORDER BY expires_at LIMIT ? {skip_locked}"


class SqlCorrelationStore(SqlSeries):
    """Store of correlations in one table."""

    def __init__(self, executor: SqlExecutor) -> None:
        """Run the statements on that executor."""
        super().__init__(executor)
        self._read = self._mapper()

    # --- rows and records ---------------------------------------------------------------------

    def _mapper(self) -> Any:
        time, maybe_time = self.codec.time_out, self.codec.maybe_time_out
        types, statuses = CorrelationType._value2member_map_, CorrelationStatus._value2member_map_
        scopes = GraphScope._value2member_map_

        def read(row: Row) -> Correlation:
            (correlation_id, correlation_type, service_type, handler_name, action_type, request, response, status,
             owner, scope, created_at, updated_at, timestamp, metric_name, metric_value, metric_unit, metric, low, high,
             sample_count, sample_sum, last_timestamp, log_level, log_message, log, _trace_id, trace, tags, policy,
             resolution, ttl, parent_id, children, metadata) = row  # fmt: skip
            metric_data = log_data = None
            if metric_name is not None:
                rest = {} if metric is None else from_json(metric)
                columns = (low, high, sample_count, sample_sum, maybe_time(last_timestamp))
                metric_data = _read_metric(metric_name, metric_value, metric_unit, columns, rest)
            if log_level is not None:
                rest = {} if log is None else from_json(log)
                log_data = LogData(log_level=log_level, log_message=log_message, **rest)
            return Correlation.trusted(
                {
                    "correlation_id": correlation_id,
                    "correlation_type": types.get(correlation_type, correlation_type),
                    "service_type": service_type,
                    "handler_name": handler_name,
                    "action_type": action_type,
                    "request_data": None if request is None else ServiceRequest.from_json(request),
                    "response_data": None if response is None else ServiceResponse.from_json(response),
                    "status": statuses[status],
                    "agent_occurrence_id": owner,
                    "scope": scopes[scope],
                    "created_at": time(created_at),
                    "updated_at": time(updated_at),
                    "timestamp": time(timestamp),
                    "metric_data": metric_data,
                    "log_data": log_data,
                    "trace_context": None if trace is None else TraceContext.from_json(trace),
                    "tags": object_out(tags),
                    "retention_policy": RetentionPolicy(policy),
                    "resolution": Resolution(resolution),
                    "ttl_seconds": ttl,
                    "parent_correlation_id": parent_id,
                    "child_correlation_ids": list_out(children),
                    "metadata": object_out(metadata),
                }
            )

        return read

    def values(self, c: Correlation) -> tuple[Any, ...]:
        """Return the values of a row, in the order of ``INSERT``."""
        codec = self.codec
        return (
            c.correlation_id, str(c.correlation_type), c.service_type, c.handler_name, c.action_type,
            codec.maybe_json_in(c.request_data), codec.maybe_json_in(c.response_data), c.status.value,
            c.agent_occurrence_id, c.scope.value, codec.time_in(c.created_at), codec.time_in(c.updated_at),
            codec.time_in(c.timestamp), *self._metric_values(c.metric_data), *self._log_values(c.log_data),
            c.trace_context and c.trace_context.trace_id, codec.maybe_json_in(c.trace_context),
            codec.object_in(c.tags), c.retention_policy.value, c.resolution.value, c.ttl_seconds,
            c.parent_correlation_id, codec.object_in(c.child_correlation_ids), codec.object_in(c.metadata),
            codec.maybe_time_in(c.expires_at), *_request_values(c.request_data),
        )  # fmt: skip

    def _metric_values(self, metric: MetricData | None) -> tuple[Any, ...]:
        if metric is None:
            return (None,) * 9
        rest = {name: value for name in _METRIC_REST if (value := getattr(metric, name)) not in _METRIC_DEFAULTS[name]}
        return (
            metric.metric_name, metric.metric_value, metric.metric_unit, self.codec.object_in(rest), metric.min_value,
            metric.max_value, metric.sample_count, metric.sample_sum, self.codec.maybe_time_in(metric.last_timestamp),
        )  # fmt: skip

    def _log_values(self, log: LogData | None) -> tuple[Any, ...]:
        if log is None:
            return (None, None, None)
        rest = {name: value for name in _LOG_REST if (value := getattr(log, name))}
        return (log.log_level, log.log_message, self.codec.object_in(rest))

    # --- the contract -------------------------------------------------------------------------

    def add(self, correlations: Sequence[Correlation]) -> None:
        insert_new(self.executor, INSERT, EXISTING, "correlation", [self.values(c) for c in correlations])

    def add_metrics(self, metrics: Sequence[Metric], like: Correlation) -> None:
        if not is_plain(like):
            super().add_metrics(metrics, like)
            return
        insert_new(self.executor, INSERT_METRIC, EXISTING, "correlation", self.metric_rows(metrics, like))

    def metric_rows(self, metrics: Sequence[Metric], like: Correlation) -> list[tuple[Any, ...]]:
        """Return the rows of measurements, in the order of ``INSERT_METRIC``."""
        codec, time_in, ttl = self.codec, self.codec.time_in, like.ttl_seconds
        before = (
            str(like.correlation_type), like.service_type, like.handler_name, like.action_type, like.status.value,
            like.agent_occurrence_id, like.scope.value, time_in(like.created_at), time_in(like.updated_at),
        )  # fmt: skip
        after = (like.retention_policy.value, like.resolution.value, ttl)
        metadata = codec.object_in(like.metadata)
        texts: dict[tuple[tuple[str, str], ...], str | None] = {}  # series repeat, and so do their tags
        rows = []
        for name, value, tags, timestamp, unit, metric_id in metrics:
            key = tuple(tags.items())
            if key not in texts:
                texts[key] = codec.object_in(dict(tags))
            expires_at = None if ttl is None else codec.maybe_time_in(expiry(timestamp, ttl))
            measured = (time_in(timestamp), name, value, unit, texts[key])  # type: ignore[arg-type]  # always given
            rows.append((metric_id, *before, *measured, *after, expires_at, metadata))
        return rows

    def get(self, correlation_ids: Sequence[str]) -> list[Correlation]:
        if len(correlation_ids) == 1:
            rows = self.executor.rows(GET, (correlation_ids[0],))
        else:
            rows = self.executor.rows(GET_MANY, (self.codec.texts_in(correlation_ids),))
        return read_all(rows, self._read, "correlation")

    def update(self, correlation_id: str, changes: CorrelationChanges, now: datetime | None = None) -> bool:
        with self.executor.atomic():
            rows = self.executor.rows(LOCK_ONE, (correlation_id,))
            if not rows:
                return False
            stored = read_all(rows, self._read, "correlation")[0]
            if now is not None and stored.expires_at is not None and stored.expires_at <= now:
                return False
            columns, old, new = insert_columns(INSERT), self.values(stored), self.values(stored.replaced(**changes))
            moved = [i for i, column in enumerate(columns) if new[i] != old[i] or column == "updated_at"]
            statement = set_columns(UPDATE, tuple(columns[i] for i in moved))
            return self.executor.run(statement, [*(new[i] for i in moved), correlation_id]) > 0

    def lock(self, correlation_ids: Sequence[str]) -> list[Correlation]:
        return read_all(self.executor.rows(LOCK, (self.codec.texts_in(correlation_ids),)), self._read, "correlation")

    def find(self, query: CorrelationQuery) -> ResultPage[Correlation]:
        return self._page(self._select(FIND, query), query)

    def find_locked(self, query: CorrelationQuery) -> ResultPage[Correlation]:
        if self.executor.dialect.locks_rows:
            return super().find_locked(query)  # locks in key order, while a page is in the order of time
        return self.find(query)

    def _page(self, rows: list[Row], query: CorrelationQuery) -> ResultPage[Correlation]:
        return read_page(rows, self._read, query.limit, lambda row: (self.codec.time_out(row[12]), row[0]))

    def points(self, query: CorrelationQuery) -> ResultPage[TimeSeriesDataPoint]:
        rows = self._select(POINTS, query, ("metric_name IS NOT NULL",))
        return read_page(rows, self._read_point, query.limit, lambda row: (self.codec.time_out(row[1]), row[0]))

    def _read_point(self, row: Row) -> TimeSeriesDataPoint:
        _, timestamp, name, value, correlation_type, tags, service_type, resolution = row
        return TimeSeriesDataPoint.trusted(
            {
                "timestamp": self.codec.time_out(timestamp),
                "metric_name": name,
                "value": value,
                "correlation_type": CorrelationType._value2member_map_.get(correlation_type, correlation_type),
                "tags": object_out(tags),
                "source": service_type,
                "resolution": Resolution._value2member_map_[resolution],
                "metadata": {},
            }
        )

    def _select(self, statement: str, query: CorrelationQuery, extra: Sequence[str] = ()) -> list[Row]:
        conditions, params = self._conditions(query.where)
        conditions += extra
        direction, than = ("DESC", "<") if query.descending else ("ASC", ">")
        if query.after is not None:
            conditions.append(f"(timestamp, correlation_id) {than} (?, ?)")
            params += [self.codec.time_in(query.after[0]), query.after[1]]
        order = f"timestamp {direction}, correlation_id {direction}"
        statement = fill_in(statement, where=where_clause(conditions), order=order)
        return self.executor.rows(statement, (*params, query.limit + 1))

    def count(self, where: CorrelationFilter) -> int:
        conditions, params = self._conditions(replace(where, now=None))
        if where.now is None:
            statement = COUNT
        else:
            statement, params = COUNT_LIVING, [self.codec.time_in(where.now), *params, *params]
        row = self.executor.row(fill_in(statement, where=where_clause(conditions)), params)
        return row[0] if row else 0

    def delete(self, correlation_ids: Sequence[str], now: datetime | None = None) -> int:
        ids = (self.codec.texts_in(correlation_ids),)
        if now is None:
            return self.executor.run(DELETE, ids)
        return self.codec.count_living(self.executor.rows(f"{DELETE} RETURNING expires_at", ids), now)

    def delete_expired(self, now: datetime, limit: int) -> int:
        with self.executor.atomic():
            ids = [row[0] for row in self.executor.rows(EXPIRED, (self.codec.time_in(now), limit))]
            return self.delete(ids) if ids else 0


def is_plain(like: Correlation) -> bool:
    """Return True if all columns that ``INSERT_METRIC`` leaves out are NULL."""
    parts = (like.request_data, like.response_data, like.log_data, like.trace_context, like.parent_correlation_id)
    return not any(parts) and not like.child_correlation_ids


_METRIC_REST = ("metric_type", "labels", "mean_value", "percentiles", "metadata")
_METRIC_DEFAULTS: Mapping[str, tuple[Any, ...]] = {
    "metric_type": ("gauge",), "labels": ({},), "mean_value": (None,), "percentiles": ({},), "metadata": ({},),
}  # fmt: skip
_LOG_REST = ("logger_name", "module_name", "function_name", "line_number", "extra_fields", "metadata")


def _read_metric(
    name: str, value: float, unit: str | None, columns: tuple[Any, ...], rest: dict[str, Any]
) -> MetricData:
    low, high, sample_count, sample_sum, last_timestamp = columns
    return MetricData.trusted(
        {
            "metric_name": name,
            "metric_value": value,
            "metric_unit": unit,
            "metric_type": rest.get("metric_type", "gauge"),
            "labels": rest.get("labels") or {},
            "min_value": low,
            "max_value": high,
            "mean_value": rest.get("mean_value"),
            "percentiles": rest.get("percentiles") or {},
            "sample_count": sample_count,
            "sample_sum": sample_sum,
            "last_timestamp": last_timestamp,
            "metadata": rest.get("metadata") or {},
        }
    )


def _request_values(request: ServiceRequest | None) -> tuple[str | None, str | None, str | None]:
    if request is None:
        return (None, None, None)
    return (request.task_id, request.thought_id, request.channel_id)
