"""Correlations and time series, for authors of backends (contract section 4)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from ciris_store_core.models.correlations import (
    AggregatePoint,
    AggregateQuery,
    Correlation,
    CorrelationChanges,
    CorrelationFilter,
    CorrelationQuery,
    Metric,
    TimeSeriesDataPoint,
)
from ciris_store_core.models.paging import Slice

from .aggregation import aggregate_rows, measured, to_point


class CorrelationStore(ABC):
    """Correlations by correlation_id."""

    @abstractmethod
    def add(self, correlations: Sequence[Correlation]) -> None:
        """Store new correlations; no id occurs twice. Required; round trips do not grow with the number.

        - An id that exists: Conflict, and nothing of the call is written.
        """

    def add_metrics(self, metrics: Sequence[Metric], like: Correlation) -> None:
        """Store measurements as correlations, each ``like`` the given one but for id, timestamp, metric and tags.

        Default: over ``add``; round trips do not grow with the number.

        - Ids, timestamps and float values are always given, and no id occurs twice.
        - An id that exists: Conflict, and nothing of the call is written.
        """
        self.add([measured(metric, like) for metric in metrics])

    @abstractmethod
    def get(self, correlation_ids: Sequence[str]) -> list[Correlation]:
        """The correlations of these ids that exist, in no order. Required; one round trip."""

    @abstractmethod
    def update(self, correlation_id: str, changes: CorrelationChanges) -> bool:
        """Change the given fields, ``updated_at`` among them; False if there is no such correlation. Required.

        - No concurrent update of other fields is lost.
        """

    @abstractmethod
    def find(self, query: CorrelationQuery) -> Slice[Correlation]:
        """Correlations by filter, by (timestamp, correlation_id). Required; cost grows with the answer.

        - Sort key for ``after``: (timestamp, correlation_id).
        - A row that cannot be read is in ``unreadable``, and the others are returned.
        """

    @abstractmethod
    def count(self, where: CorrelationFilter) -> int:
        """How many correlations the filter matches. Required; loads no row."""

    @abstractmethod
    def delete(self, correlation_ids: Sequence[str]) -> int:
        """Delete correlations; returns how many went. Required; constant round trips."""

    @abstractmethod
    def delete_expired(self, now: datetime, limit: int) -> int:
        """Delete up to ``limit`` correlations whose ``expires_at`` is not after ``now``; returns how many. Required."""

    def points(self, query: CorrelationQuery) -> Slice[TimeSeriesDataPoint]:
        """The points of the metrics that the filter matches, in the order of ``find``. Default: over ``find``.

        - Correlations without a metric are left out.
        """
        page = self.find(query)
        points = [point for point in map(to_point, page.items) if point is not None]
        return Slice(points, page.next_after, page.unreadable)

    def aggregate(self, query: AggregateQuery) -> list[AggregatePoint]:
        """Values per bucket and group, by start, then group (None first). Default: over a scan.

        - Consolidated rows count as the samples they stand for. count, min and max are exact, sum and avg within
          1e-12 relative; ``last`` is the value of the newest sample, ties by correlation_id.
        - Buckets without samples are left out.
        """
        return aggregate_rows(self._scan(query.where), query)

    def _scan(self, where: CorrelationFilter) -> Iterator[Correlation]:
        query = CorrelationQuery(limit=1000, where=where)
        while True:
            page = self.find(query)
            yield from page.items
            if page.next_after is None:
                return
            query = replace(query, after=page.next_after)
