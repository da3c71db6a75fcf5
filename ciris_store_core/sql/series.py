"""SQL over the time series of correlations: aggregates, percentiles, names of metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar

from ciris_store_core.contract.correlations import CorrelationStore
from ciris_store_core.models.correlations import (
    AggregatePoint,
    AggregateQuery,
    CorrelationFilter,
    PercentilePoint,
    PercentileQuery,
)
from ciris_store_core.models.enums import CorrelationType, Resolution
from ciris_store_core.sql import percentiles
from ciris_store_core.sql.rows import Row
from ciris_store_core.sql.statements import collect_given, fill_in, match_members, where_clause

if TYPE_CHECKING:
    from ciris_store_core.sql.executor import SqlExecutor

# One step of the index for each name, however many rows each has.
METRIC_NAMES = """
WITH RECURSIVE names (name) AS (
    SELECT min(metric_name) FROM {correlations} WHERE metric_name IS NOT NULL
    UNION ALL
    SELECT (SELECT min(metric_name) FROM {correlations} WHERE metric_name > names.name)
    FROM names WHERE names.name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL
"""

# The newest first, as the oldest of a name expire first.
LIVING_NAMES = """
WITH RECURSIVE names (name) AS (
    SELECT min(metric_name) FROM {correlations} WHERE metric_name IS NOT NULL
    UNION ALL
    SELECT (SELECT min(metric_name) FROM {correlations} WHERE metric_name > names.name)
    FROM names WHERE names.name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL AND EXISTS (
    SELECT 1 FROM {correlations} c WHERE c.metric_name = names.name AND (expires_at IS NULL OR expires_at > ?)
    ORDER BY c.timestamp DESC LIMIT 1
)
"""

# ``{keys}`` are the bucket ``b`` and one group ``g0``, ``g1``... for each tag of the query.
SAMPLES = "SELECT {keys}, {columns} FROM {correlations} c {where}"

# The newest row of each group has the number 1.
NUMBERED = """
SELECT {keys}, metric_value, sample_count, sample_sum, min_value, max_value, resolution, last_timestamp, timestamp,
    correlation_id, row_number() OVER (
        PARTITION BY {keys} ORDER BY coalesce(last_timestamp, timestamp) DESC, correlation_id DESC
    ) AS newest
FROM ({samples}) r
"""

AGGREGATE = """
SELECT {keys}, {value}, {count}, {coarseness}, {magnitude}, count(*) FROM ({samples}) s
GROUP BY {keys} ORDER BY {key_order}
"""

# Over rows that are single samples.
PLAIN_AGGREGATES: Mapping[str, str] = {
    "count": "count(*)",
    "sum": "sum(metric_value)",
    "avg": "sum(metric_value) / count(*)",
    "min": "min(metric_value)",
    "max": "max(metric_value)",
    "last": "max(CASE WHEN newest = 1 THEN metric_value END)",
}

# How many rows are not.
NOT_PLAIN = "count(*) FILTER (WHERE resolution <> 'raw')"

PLAIN_MAGNITUDE = "sum(abs(metric_value))"

# Over any rows: what each column of a rolled up row stands for is what its samples would have given. A raw row is one
# sample, whatever it says of others; their columns are read as NULL.
AGGREGATES: Mapping[str, str] = {
    "count": "sum(coalesce(sample_count, 1))",
    "sum": "sum(coalesce(sample_sum, metric_value))",
    "avg": "sum(coalesce(sample_sum, metric_value)) / sum(coalesce(sample_count, 1))",
    "min": "min(coalesce(min_value, metric_value))",
    "max": "max(coalesce(max_value, metric_value))",
    "last": "max(CASE WHEN newest = 1 THEN metric_value END)",
}

COARSENESS = "max(CASE resolution WHEN 'raw' THEN 0 WHEN 'hourly' THEN 1 ELSE 2 END)"

# How much the terms of a plain sum of floats could have lost: what decides whether to add them up exactly.
MAGNITUDE = "sum(abs(coalesce(sample_sum, metric_value)))"

FLOAT_ERROR = 2.0**-53
"""The most that one addition of floats is wrong by, relative to its result."""

HUGE = 1e290
"""A magnitude with which a sum may come near the greatest float, or have gone beyond it in between."""

WANTED_ERROR = 1e-12
"""The most that a sum may be wrong by, relative to itself."""

_AGGREGATED = (
    "metric_value, sample_count, sample_sum, min_value, max_value, resolution, last_timestamp, timestamp, "
    "correlation_id"
)

_OF_SAMPLES = ("sample_count", "sample_sum", "min_value", "max_value", "last_timestamp")
"""Columns of a rolled up row about its samples."""

_RESOLUTIONS = (Resolution.RAW, Resolution.HOURLY, Resolution.DAILY)


class SqlSeries(CorrelationStore):
    """Time series, and the conditions that they share with listings."""

    exact_aggregates: ClassVar[Mapping[str, str] | None] = None
    """``sum`` and ``avg`` as the database adds floats exactly, if it can; without, they are added up here."""

    exact_magnitude: ClassVar[str | None] = None
    """Sum of the sizes of the terms that ``exact_aggregates`` add up, where these are not the floats themselves but
    their shortest decimals, which differ from them by up to ``FLOAT_ERROR``."""

    bounded_terms: ClassVar[Mapping[str, str]] = {}
    """Columns of what is added up, bounded by ``HUGE`` on a database whose sums fail beyond the greatest float."""

    def __init__(self, executor: SqlExecutor) -> None:
        """Run the statements on that executor."""
        self.executor = executor
        self.codec = executor.codec

    def _conditions(self, f: CorrelationFilter) -> tuple[list[str], list[Any]]:
        time = self.codec.maybe_time_in
        before = "timestamp < ?" if f.time_to_exclusive else "timestamp <= ?"
        conditions, params = collect_given((
            ("agent_occurrence_id = ?", f.occurrence_id), ("scope = ?", f.scope and f.scope.value),
            ("timestamp >= ?", time(f.time_from)), (before, time(f.time_to)), ("task_id = ?", f.task_id),
            ("thought_id = ?", f.thought_id), ("action_type = ?", f.action_type),
            ("service_type = ?", f.service_type), ("status = ?", f.status and f.status.value),
            ("channel_id = ?", f.channel_id), ("trace_id = ?", f.trace_id),
            ("parent_correlation_id = ?", f.parent_correlation_id),
            ("(expires_at IS NULL OR expires_at > ?)", time(f.now)),
        ))  # fmt: skip
        names = (("correlation_type", f.types), ("metric_name", f.metric_names), ("log_level", f.log_levels))
        for column, texts in names:
            if len(texts) == 1 and isinstance(texts[0], CorrelationType):
                conditions.append(match_members(column, texts))  # spelled out, so that partial indexes apply
            elif texts:
                conditions.append(f"{column} = ?" if len(texts) == 1 else f"{column} {{in_texts}}")
                params.append(str(texts[0]) if len(texts) == 1 else self.codec.texts_in([str(text) for text in texts]))
        for key, value in f.tags:
            conditions.append("{has_tag}")
            params += self.executor.dialect.tag_params(key, value)
        for column, members in (("resolution", f.resolutions), ("retention_policy", f.retention_policies)):
            if members:
                conditions.append(match_members(column, members))
        return conditions, params

    def aggregate(self, query: AggregateQuery) -> list[AggregatePoint]:
        # Most rows are single samples, for which the question is cheaper; where some are not, it is asked once more.
        adds = query.function in ("sum", "avg")
        columns = _columns(self.bounded_terms if adds else {})
        rows = self._aggregated(query, PLAIN_AGGREGATES, NOT_PLAIN, PLAIN_MAGNITUDE if adds else "0", columns)
        if any(map(itemgetter(-3), rows)):
            rows = self._aggregated(query, AGGREGATES, COARSENESS, MAGNITUDE if adds else "0", columns)
        if adds and _may_be_off(rows, query.function):
            if self.exact_aggregates is None:
                return super().aggregate(query)
            magnitude = self.exact_magnitude or "0"
            rows = self._aggregated(query, {**AGGREGATES, **self.exact_aggregates}, COARSENESS, magnitude, _columns({}))
            if any(_cancels(row, query.function) for row in rows):
                return super().aggregate(query)
        time = self.codec.time_out
        return [
            AggregatePoint(time(row[0]), row[1:-5], float(row[-5]), int(row[-4]), _RESOLUTIONS[row[-3]]) for row in rows
        ]

    def percentiles(self, query: PercentileQuery) -> list[PercentilePoint]:
        self._refuse_rolled_up(query.where)
        source, groups, params = self._samples(query, "metric_value")
        statement = percentiles.statement_of(source, groups, query.fractions)
        rows = self.executor.rows(statement, (*params, *(each for each in query.fractions for _ in "><")))
        return percentiles.points_of(rows, query, self.codec.time_out)

    def metric_names(self, now: datetime | None = None) -> list[str]:
        statement, params = (METRIC_NAMES, ()) if now is None else (LIVING_NAMES, (self.codec.time_in(now),))
        return sorted(row[0] for row in self.executor.rows(statement, params))

    def _samples(self, query: AggregateQuery | PercentileQuery, columns: str) -> tuple[str, list[str], list[Any]]:
        """Return a source of the matching metrics with bucket ``b`` and groups; the groups' names; the parameters."""
        conditions, params = self._conditions(query.where)
        conditions.append("metric_name IS NOT NULL")
        groups = [f"g{i}" for i in range(len(query.group_by))]
        keys = ", ".join(["{bucket} AS b", *(f"{{tag}} AS {group}" for group in groups)])
        dialect = self.executor.dialect
        tags = [param for key in query.group_by for param in dialect.tag_key_params(key)]
        source = fill_in(SAMPLES, keys=keys, columns=columns, where=where_clause(conditions))
        return source, groups, [*dialect.bucket_params(query.bucket), *tags, *params]

    def _aggregated(
        self, query: AggregateQuery, aggregates: Mapping[str, str], coarseness: str, magnitude: str, columns: str
    ) -> list[Row]:
        source, groups, params = self._samples(query, columns)
        keys = percentiles.keys_of(groups)
        if query.function == "last":
            source = fill_in(NUMBERED, keys=keys, samples=source)
        statement = fill_in(
            AGGREGATE, keys=keys, key_order=percentiles.ordered(groups), samples=source,
            value=aggregates[query.function], count=aggregates["count"], coarseness=coarseness, magnitude=magnitude,
        )  # fmt: skip
        return self.executor.rows(statement, params)


def _columns(replaced: Mapping[str, str]) -> str:
    return ", ".join(_column(name, replaced.get(name, name)) for name in _AGGREGATED.split(", "))


def _column(name: str, term: str) -> str:
    if name in _OF_SAMPLES:
        return f"CASE WHEN resolution <> 'raw' THEN {term} END AS {name}"
    return name if term == name else f"{term} AS {name}"


def _may_be_off(rows: Sequence[Row], function: str) -> bool:
    """Return True if the rounding errors of the additions of some sum or average may exceed the allowed error."""
    return any(row[-2] >= HUGE or _cancels(row, function, row[-1]) for row in rows)


def _cancels(row: Row, function: str, errors: int = 1) -> bool:
    """Return True if so many errors, relative to the size of the terms, exceed the one allowed, relative to the sum."""
    *_, value, count, _coarseness, magnitude, _terms = row
    total = value * float(count) if function == "avg" else value
    return bool(errors * FLOAT_ERROR * float(magnitude) > WANTED_ERROR * abs(total))
