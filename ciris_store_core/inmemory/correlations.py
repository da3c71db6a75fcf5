"""Correlations, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from ciris_store_core.contract.correlations import CorrelationStore
from ciris_store_core.contract.filters import correlation_matches, correlation_sort_key, has_expired
from ciris_store_core.inmemory.tables import Tables, ordered, page
from ciris_store_core.models.correlations import Correlation, CorrelationChanges, CorrelationFilter, CorrelationQuery
from ciris_store_core.models.paging import ResultPage


class MemoryCorrelations(CorrelationStore):
    """Correlations in memory."""

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._table = tables.correlations

    def add(self, correlations: Sequence[Correlation]) -> None:
        self._table.add({row.correlation_id: row for row in correlations})

    def get(self, correlation_ids: Sequence[str]) -> list[Correlation]:
        return self._table.pick(correlation_ids)

    def update(self, correlation_id: str, changes: CorrelationChanges, now: datetime | None = None) -> bool:
        stored = self._table.rows.get(correlation_id)
        if stored is None or has_expired(stored, now):
            return False
        self._table.change(correlation_id, **changes)
        return True

    def find(self, query: CorrelationQuery) -> ResultPage[Correlation]:
        return page(self._matching(query.where), query, correlation_sort_key, (query.descending, query.descending))

    def count(self, where: CorrelationFilter) -> int:
        return sum(1 for _ in self._matching(where))

    def delete(self, correlation_ids: Sequence[str], now: datetime | None = None) -> int:
        expired = sum(has_expired(row, now) for row in self._table.pick(correlation_ids))
        return self._table.delete(correlation_ids) - expired

    def delete_expired(self, now: datetime, limit: int) -> int:
        expired = [row for row in self._table.rows.values() if has_expired(row, now)]
        oldest_first = ordered(expired, lambda row: (row.expires_at, row.correlation_id), (False, False))
        return self._table.delete(row.correlation_id for row in oldest_first[:limit])

    def _matching(self, where: CorrelationFilter) -> Iterator[Correlation]:
        return (row for row in self._table.rows.values() if correlation_matches(row, where))
