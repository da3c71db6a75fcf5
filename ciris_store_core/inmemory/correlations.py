"""Correlations, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from ciris_store_core.contract.correlations import CorrelationStore
from ciris_store_core.inmemory.tables import Tables, ordered, page, within
from ciris_store_core.models.correlations import Correlation, CorrelationChanges, CorrelationFilter, CorrelationQuery
from ciris_store_core.models.paging import ResultPage, SortKey


class MemoryCorrelations(CorrelationStore):
    """Correlations in memory."""

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._table = tables.correlations

    def add(self, correlations: Sequence[Correlation]) -> None:
        """Store new correlations, all or none."""
        self._table.add({row.correlation_id: row for row in correlations})

    def get(self, correlation_ids: Sequence[str]) -> list[Correlation]:
        """The correlations of these ids that exist."""
        return self._table.pick(correlation_ids)

    def update(self, correlation_id: str, changes: CorrelationChanges, now: datetime | None = None) -> bool:
        """Change the given fields; False if there is no such correlation."""
        stored = self._table.rows.get(correlation_id)
        if stored is None or _expired(stored, now):
            return False
        self._table.change(correlation_id, **changes)
        return True

    def find(self, query: CorrelationQuery) -> ResultPage[Correlation]:
        """Correlations by filter, by (timestamp, correlation_id)."""
        return page(self._matching(query.where), query, _order, (query.descending, query.descending))

    def count(self, where: CorrelationFilter) -> int:
        """How many correlations the filter matches."""
        return sum(1 for _ in self._matching(where))

    def delete(self, correlation_ids: Sequence[str], now: datetime | None = None) -> int:
        """Delete correlations."""
        expired = sum(_expired(row, now) for row in self._table.pick(correlation_ids))
        return self._table.delete(correlation_ids) - expired

    def delete_expired(self, now: datetime, limit: int) -> int:
        """Delete up to ``limit`` expired correlations; the longest expired first."""
        expired = [row for row in self._table.rows.values() if _expired(row, now)]
        oldest_first = ordered(expired, lambda row: (row.expires_at, row.correlation_id), (False, False))
        return self._table.delete(row.correlation_id for row in oldest_first[:limit])

    def _matching(self, where: CorrelationFilter) -> Iterator[Correlation]:
        return (row for row in self._table.rows.values() if _matches(row, where))


def _expired(row: Correlation, now: datetime | None) -> bool:
    return now is not None and row.expires_at is not None and row.expires_at <= now


def _order(row: Correlation) -> SortKey:
    return (row.timestamp, row.correlation_id)


def _matches(row: Correlation, where: CorrelationFilter) -> bool:
    return _kind_matches(row, where) and _time_matches(row, where) and _content_matches(row, where)


def _kind_matches(row: Correlation, where: CorrelationFilter) -> bool:
    return (
        (not where.types or row.correlation_type in where.types)
        and where.occurrence_id in (None, row.agent_occurrence_id)
        and where.scope in (None, row.scope)
        and where.action_type in (None, row.action_type)
        and where.service_type in (None, row.service_type)
        and where.status in (None, row.status)
        and where.parent_correlation_id in (None, row.parent_correlation_id)
        and (not where.resolutions or row.resolution in where.resolutions)
        and (not where.retention_policies or row.retention_policy in where.retention_policies)
    )


def _time_matches(row: Correlation, where: CorrelationFilter) -> bool:
    excluded = where.time_to_exclusive and row.timestamp == where.time_to
    return within(row.timestamp, where.time_from, where.time_to) and not excluded and not _expired(row, where.now)


def _content_matches(row: Correlation, where: CorrelationFilter) -> bool:
    request, trace = row.request_data, row.trace_context
    return (
        (not where.metric_names or row.metric_name in where.metric_names)
        and (not where.log_levels or row.log_level in where.log_levels)
        and all(row.tags.get(name) == value for name, value in where.tags)
        and where.task_id in (None, request and request.task_id)
        and where.thought_id in (None, request and request.thought_id)
        and where.channel_id in (None, request and request.channel_id)
        and where.trace_id in (None, trace and trace.trace_id)
    )
