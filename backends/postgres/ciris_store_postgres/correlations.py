"""The SQL of correlations on PostgreSQL: COPY to add many, one statement to update, percentiles in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from operator import attrgetter, itemgetter
from typing import ClassVar

from ciris_store_core.models.correlations import (
    Correlation,
    CorrelationChanges,
    Metric,
    PercentilePoint,
    PercentileQuery,
)
from ciris_store_core.sql.correlations import INSERT, INSERT_METRIC, UPDATE, SqlCorrelationStore, is_plain
from ciris_store_core.sql.percentiles import keys_of, ordered
from ciris_store_core.sql.series import HUGE
from ciris_store_core.sql.statements import fill_in, insert_columns, set_columns
from ciris_store_postgres.bulk_copy import ROWS_TO_COPY, copy_new
from ciris_store_postgres.executor import PostgresExecutor

_COLUMNS = insert_columns(INSERT)

COPY = f"COPY {{correlations}} ({', '.join(_COLUMNS)}) FROM STDIN"

_BY_ID, _ID = attrgetter("correlation_id"), itemgetter(0)

COPY_METRICS = f"COPY {{correlations}} ({', '.join(insert_columns(INSERT_METRIC))}) FROM STDIN"

# One statement, so that the check of the expiry and the write cannot be separated by another transaction.
UPDATE_UNEXPIRED = """
UPDATE {correlations} SET {assignments} WHERE correlation_id = ? AND (expires_at IS NULL OR expires_at > ?)
"""

PERCENTILES = """
SELECT {keys}, percentile_cont(?::double precision[]) WITHIN GROUP (ORDER BY metric_value), count(*)
FROM ({samples}) s GROUP BY {keys} ORDER BY {order}
"""

# Columns of the fields that are not stored in one column of their own name.
_PARTS: Mapping[str, tuple[str, ...]] = {
    "request_data": ("request_data", "task_id", "thought_id", "channel_id"),
    "metric_data": tuple(_COLUMNS[_COLUMNS.index("metric_name") : _COLUMNS.index("log_level")]),
    "log_data": ("log_level", "log_message", "log_data"),
    "trace_context": ("trace_id", "trace_context"),
    "timestamp": ("timestamp", "expires_at"),
    "ttl_seconds": ("ttl_seconds", "expires_at"),
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BLANK = Correlation(
    correlation_id="-", service_type="-", handler_name="-", action_type="-",
    created_at=_EPOCH, updated_at=_EPOCH, timestamp=_EPOCH,
)  # fmt: skip


# Decimals lose nothing, at half a microsecond each; but each is the shortest text of a float, not the float itself.
_SUM = "sum(coalesce(sample_sum, metric_value)::text::numeric)"
# From this value on, a sum rounds to infinity, and the server's cast to float raises an error instead.
_TOO_LARGE = "179769313486231580793e288"


class PostgresCorrelationStore(SqlCorrelationStore):
    """Correlation store that uses COPY, updates in one statement and computes percentiles in the database."""

    executor: PostgresExecutor
    exact_aggregates: ClassVar = {
        "sum": f"CASE WHEN {_SUM} >= {_TOO_LARGE} THEN 'Infinity' WHEN {_SUM} <= -{_TOO_LARGE} THEN '-Infinity' "
        f"ELSE {_SUM}::double precision END",
        "avg": f"({_SUM} / sum(coalesce(sample_count, 1)))::double precision",
    }
    exact_magnitude = f"sum(least(abs(coalesce(sample_sum, metric_value)), {HUGE!r}))"
    bounded_terms: ClassVar = {
        name: f"CASE WHEN abs({name}) >= {HUGE!r} THEN {HUGE!r} ELSE {name} END"
        for name in ("metric_value", "sample_sum")
    }

    def add(self, correlations: Sequence[Correlation]) -> None:
        if len(correlations) < ROWS_TO_COPY:
            super().add(correlations)
        else:
            copy_new(self.executor, COPY, map(self.values, sorted(correlations, key=_BY_ID)), "correlation")

    def add_metrics(self, metrics: Sequence[Metric], like: Correlation) -> None:
        if len(metrics) < ROWS_TO_COPY or not is_plain(like):
            super().add_metrics(metrics, like)
        else:
            copy_new(self.executor, COPY_METRICS, iter(sorted(self.metric_rows(metrics, like), key=_ID)), "correlation")

    def update(self, correlation_id: str, changes: CorrelationChanges, now: datetime | None = None) -> bool:
        if ("timestamp" in changes) != ("ttl_seconds" in changes):
            # The time of expiry is the sum of both fields, so the other one must be read.
            return super().update(correlation_id, changes, now)
        columns = dict.fromkeys(column for field in changes for column in _PARTS.get(field, (field,)))
        values = dict(zip(_COLUMNS, self.values(_BLANK.replaced(**changes)), strict=True))
        statement = set_columns(UPDATE if now is None else UPDATE_UNEXPIRED, tuple(columns))
        params = [*(values[column] for column in columns), correlation_id, *(() if now is None else (now,))]
        return self.executor.run(statement, params) > 0

    def percentiles(self, query: PercentileQuery) -> list[PercentilePoint]:
        self._refuse_rolled_up(query.where)
        source, groups, params = self._samples(query, "metric_value")
        statement = fill_in(PERCENTILES, keys=keys_of(groups), samples=source, order=ordered(groups))
        rows = self.executor.rows(statement, (list(query.fractions), *params))
        if not all(isfinite(value) for *_, found, _ in rows for value in found):
            return super().percentiles(query)  # the server's interpolation overflows between large values
        return [PercentilePoint(start, tuple(group), tuple(found), n) for start, *group, found, n in rows]
