"""Correlations and time series, for authors of backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from ciris_store_core.contract.aggregation import aggregate_rows, measured, percentiles_of_rows, to_point
from ciris_store_core.errors import NotSupported
from ciris_store_core.models.correlations import (
    AggregatePoint,
    AggregateQuery,
    Correlation,
    CorrelationChanges,
    CorrelationFilter,
    CorrelationQuery,
    Metric,
    PercentilePoint,
    PercentileQuery,
    TimeSeriesDataPoint,
)
from ciris_store_core.models.enums import Resolution
from ciris_store_core.models.paging import ResultPage


class CorrelationStore(ABC):
    """Correlations by correlation_id."""

    @abstractmethod
    def add(self, correlations: Sequence[Correlation]) -> None:
        """Store new correlations; no id occurs twice. Required; round trips do not grow with the number.

        - An id that exists: AlreadyExists, and nothing of the call is written.
        """

    def add_metrics(self, metrics: Sequence[Metric], like: Correlation) -> None:
        """Store measurements as correlations, each ``like`` the given one but for id, timestamp, metric and tags.

        Default: over ``add``; round trips do not grow with the number.

        - Ids, timestamps and float values are always given, and no id occurs twice.
        - An id that exists: AlreadyExists, and nothing of the call is written.
        """
        self.add([measured(metric, like) for metric in metrics])

    @abstractmethod
    def get(self, correlation_ids: Sequence[str]) -> list[Correlation]:
        """The correlations of these ids that exist, in no order. Required; one round trip."""

    @abstractmethod
    def update(self, correlation_id: str, changes: CorrelationChanges, now: datetime | None = None) -> bool:
        """Change the given fields, ``updated_at`` among them; False if there is no such correlation. Required.

        - One that expired by ``now`` counts as absent; None: not even an expired one does.
        - No concurrent update of other fields is lost.
        """

    def lock(self, correlation_ids: Sequence[str]) -> list[Correlation]:
        """The correlations of these ids that exist, as they stay until the transaction ends. Default: an update each.

        - In no order. No other transaction changes or deletes them before this one is over.
        """
        for correlation_id in sorted(correlation_ids):  # in one order, so that two callers do not wait for each other
            self.update(correlation_id, {"correlation_id": correlation_id})
        return self.get(correlation_ids)

    @abstractmethod
    def find(self, query: CorrelationQuery) -> ResultPage[Correlation]:
        """Correlations by filter, by (timestamp, correlation_id). Required; cost grows with the answer.

        - Sort key for ``after``: (timestamp, correlation_id).
        - A row that cannot be read is in ``corrupt``, and the others are returned.
        - Those that expired by the filter's ``now`` do not match it, here and in every other question.
        """

    def find_locked(self, query: CorrelationQuery) -> ResultPage[Correlation]:
        """A page as of ``find``, of correlations as they stay until the transaction ends. Default: find, then lock.

        - No other transaction changes or deletes them before this one is over.
        - One that was changed or deleted meanwhile may be left out.
        """
        page = self.find(query)
        if page.items:
            locked = {row.correlation_id: row for row in self.lock([row.correlation_id for row in page.items])}
            page.items[:] = [row for row in page.items if row == locked.get(row.correlation_id)]
        return page

    @abstractmethod
    def count(self, where: CorrelationFilter) -> int:
        """Return the number of correlations that the filter matches. Required; loads no row."""

    @abstractmethod
    def delete(self, correlation_ids: Sequence[str], now: datetime | None = None) -> int:
        """Delete correlations; returns the number of deleted ones. Required; constant round trips.

        - Those that expired by ``now`` are deleted as well, and do not count.
        """

    @abstractmethod
    def delete_expired(self, now: datetime, limit: int) -> int:
        """Delete up to ``limit`` correlations whose ``expires_at`` is not after ``now``; returns how many. Required."""

    def points(self, query: CorrelationQuery) -> ResultPage[TimeSeriesDataPoint]:
        """The points of the metrics that the filter matches, in the order of ``find``. Default: over ``find``.

        - Correlations without a metric are left out.
        """
        page = self.find(query)
        points = [point for point in map(to_point, page.items) if point is not None]
        return ResultPage(points, page.next_after, page.corrupt)

    def aggregate(self, query: AggregateQuery) -> list[AggregatePoint]:
        """Values per bucket and group, by start, then group (None first). Default: over a scan.

        - Rolled up rows count as the samples they stand for. A raw row is one sample, whatever its ``sample_count`` and
          the other fields about samples say. count, min and max are exact, sum and avg within
          1e-12 relative; ``last`` is the value of the newest sample, ties by correlation_id.
        - A sum beyond the greatest float is inf, or -inf; an average never is, whatever its samples.
        - A bucket that would begin before the year 1 begins there.
        - Buckets without samples are left out.
        """
        return aggregate_rows(self._scan(query.where), query)

    def percentiles(self, query: PercentileQuery) -> list[PercentilePoint]:
        """Percentiles per bucket and group, by start, then group (None first). Default: over a scan.

        - Between two samples they are interpolated linearly, as ``percentile_cont`` does.
        - A rolled up row among those that match: NotSupported, as its samples are no longer stored.
        - Buckets without samples are left out.
        """
        self._refuse_rolled_up(query.where)
        return percentiles_of_rows(self._scan(query.where), query)

    def metric_names(self, now: datetime | None = None) -> list[str]:
        """The names of all stored metrics, ascending by their UTF-8 bytes. Default: over a scan.

        - Those of which every correlation expired by ``now`` are left out.
        """
        rows = self._scan(CorrelationFilter(now=now))
        return sorted({row.metric_name for row in rows if row.metric_name is not None})

    def _refuse_rolled_up(self, where: CorrelationFilter) -> None:
        """Raise ``NotSupported`` if a rolled up row matches."""
        coarse = tuple(each for each in where.resolutions or tuple(Resolution) if each != Resolution.RAW)
        query = CorrelationQuery(limit=100, where=replace(where, resolutions=coarse))
        while coarse:
            page = self.points(query)
            if page.items:
                raise NotSupported(
                    "percentiles need every sample, and some of this time were rolled up. "
                    "Ask for a later time, or leave the rolled up ones out with resolution='raw'."
                )
            if page.next_after is None:  # a page may hold no point at all, and yet have a next one
                return
            query = replace(query, after=page.next_after)

    def _scan(self, where: CorrelationFilter) -> Iterator[Correlation]:
        query = CorrelationQuery(limit=1000, where=where)
        while True:
            page = self.find(query)
            yield from page.items
            if page.next_after is None:
                return
            query = replace(query, after=page.next_after)
