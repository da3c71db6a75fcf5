"""Correlations, where PostgreSQL can do better than the portable statements: COPY for many, one statement to update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, ClassVar

from ciris_store_core.models.correlations import (
    Correlation,
    CorrelationChanges,
    Metric,
    PercentilePoint,
    PercentileQuery,
)
from ciris_store_core.sql.correlations import ADD_COLUMNS, METRIC_COLUMNS, SqlCorrelationStore, is_plain
from ciris_store_core.sql.percentiles import ordered

from .copying import ROWS_TO_COPY, copy_new

if TYPE_CHECKING:
    from .session import PostgresSession

COPY = f"COPY {{correlations}} ({ADD_COLUMNS}) FROM STDIN"

_BY_ID, _ID = attrgetter("correlation_id"), itemgetter(0)

COPY_METRICS = f"COPY {{correlations}} ({METRIC_COLUMNS}) FROM STDIN"

_COLUMNS = ADD_COLUMNS.split(", ")

# Where the parts of a record are kept, other than in one column of their own name.
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


# As decimals, floats add up exactly, at half a microsecond each.
_SUM = "sum(coalesce(sample_sum, metric_value)::text::numeric)"


class PostgresCorrelationStore(SqlCorrelationStore):
    """Adds many by COPY, updates by one statement, and has a function for percentiles."""

    session: PostgresSession
    exact_aggregates: ClassVar = {
        "sum": f"{_SUM}::double precision",
        "avg": f"({_SUM} / sum(coalesce(sample_count, 1)))::double precision",
    }

    def add(self, correlations: Sequence[Correlation]) -> None:
        """Store new correlations."""
        if len(correlations) < ROWS_TO_COPY:
            super().add(correlations)
        else:
            copy_new(self.session, COPY, map(self.values, sorted(correlations, key=_BY_ID)), "correlation")

    def add_metrics(self, metrics: Sequence[Metric], like: Correlation) -> None:
        """Store measurements."""
        if len(metrics) < ROWS_TO_COPY or not is_plain(like):
            super().add_metrics(metrics, like)
        else:
            copy_new(self.session, COPY_METRICS, iter(sorted(self.metric_rows(metrics, like), key=_ID)), "correlation")

    def update(self, correlation_id: str, changes: CorrelationChanges) -> bool:
        """Change some fields."""
        if ("timestamp" in changes) != ("ttl_seconds" in changes):
            # One of the two that the time of expiry is made of: the other must be read.
            return super().update(correlation_id, changes)
        columns = dict.fromkeys(column for field in changes for column in _PARTS.get(field, (field,)))
        values = dict(zip(_COLUMNS, self.values(_BLANK.replaced(**changes)), strict=True))
        assignments = ", ".join(f"{column} = ?" for column in columns)
        statement = f"UPDATE {{correlations}} SET {assignments} WHERE correlation_id = ?"
        return self.session.run(statement, [*(values[column] for column in columns), correlation_id]) > 0

    def percentiles(self, query: PercentileQuery) -> list[PercentilePoint]:
        """Percentiles per bucket and group."""
        self._refuse_consolidated(query.where)
        source, groups, params = self._samples(query, "metric_value")
        keys = ", ".join(["b", *groups])
        chosen = "percentile_cont(?::double precision[]) WITHIN GROUP (ORDER BY metric_value)"
        statement = f"SELECT {keys}, {chosen}, count(*) FROM ({source}) s GROUP BY {keys} ORDER BY {ordered(groups)}"
        rows = self.session.rows(statement, (list(query.fractions), *params))
        return [PercentilePoint(start, tuple(group), tuple(found), n) for start, *group, found, n in rows]
