"""Time series: points, aggregates and percentiles of metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Unpack, get_args

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.correlations import (
    Aggregate,
    AggregatePoint,
    AggregateQuery,
    CorrelationFilter,
    CorrelationQuery,
    PercentilePoint,
    PercentileQuery,
    TimeSeriesDataPoint,
)
from ciris_store_core.models.enums import CorrelationType
from ciris_store_core.models.paging import Page
from ciris_store_core.store.resource import Resource, page_of, position
from ciris_store_core.store.telemetry.correlation_filters import CorrelationFilters, where
from ciris_store_core.validation.json_values import plain_number
from ciris_store_core.validation.validator import limit_of, span, whole

AggregatePoints = list[AggregatePoint]
PercentilePoints = list[PercentilePoint]
MetricNames = list[str]

SHAPE = (datetime, str)
"""Types of the sort key of correlations."""
MAX_GROUP_BY = 100
LONGEST_BUCKET = timedelta(days=1_000_000)
_FUNCTIONS = get_args(Aggregate)
_SUMMARIES = (CorrelationType.METRIC_HOURLY_SUMMARY.value, CorrelationType.METRIC_DAILY_SUMMARY.value)


class Series(Resource):
    """The part of ``Correlations`` that queries metrics.

    Here, a filter for the type ``metric_datapoint`` also matches the hourly and daily summaries of such rows.
    ``resolution`` selects among them.
    """

    __slots__ = ()

    def points(
        self,
        *,
        limit: int = 1000,
        cursor: str | None = None,
        descending: bool = False,
        **filters: Unpack[CorrelationFilters],
    ) -> Page[TimeSeriesDataPoint]:
        """Return one page of the points of the metrics that the filters match, in the order of ``find``."""
        listing = listing_of("points", descending)
        after = position(self._ctx, listing, SHAPE, cursor)
        query = CorrelationQuery(limit_of(limit), after, _with_summaries(where(self._ctx, **filters)), bool(descending))
        return page_of(self._x.read("correlations.points", lambda session: session.correlations.points(query)), listing)

    def metric_series(
        self,
        metric_name: str,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        limit: int = 1000,
        cursor: str | None = None,
    ) -> Page[TimeSeriesDataPoint]:
        """Return one page of a metric's points, oldest first; both bounds inclusive, tags by equality."""
        return self.points(
            metric_name=metric_name, time_from=start, time_to=end, tags=tags or {}, limit=limit, cursor=cursor
        )

    def _groups(self, keys: Iterable[str]) -> tuple[str, ...]:
        known = tuple(self._ctx.check.idents(keys, "group_by"))
        whole(len(known), "the number of tags in group_by", 0, MAX_GROUP_BY)
        return known

    def aggregate(
        self,
        function: Aggregate,
        bucket: timedelta,
        *,
        group_by: Iterable[str] = (),
        **filters: Unpack[CorrelationFilters],
    ) -> AggregatePoints:
        """Return values of metrics per bucket of time and group of tags, by start, then group (None first).

        Args:
            function: avg, sum, min, max, count or last.
            bucket: Length of the half-open buckets, which are aligned to the UTC epoch.
            group_by: Tag keys, at most 100; a series without the tag is in the group None.
            filters: See ``CorrelationFilters``.

        A rolled-up row counts as the samples that it stands for. Buckets without samples are left out. A sum beyond the
        greatest float is inf, or -inf; an average never is.
        """
        if function not in _FUNCTIONS:
            raise InvalidArgument(f"function must be one of {', '.join(_FUNCTIONS)}, not {function!r}")
        keys = self._groups(group_by)
        query = AggregateQuery(_with_summaries(where(self._ctx, **filters)), function, _bucket(bucket), keys)
        return self._x.read("correlations.aggregate", lambda session: session.correlations.aggregate(query))

    def percentiles(
        self,
        percents: Iterable[float],
        bucket: timedelta,
        *,
        group_by: Iterable[str] = (),
        **filters: Unpack[CorrelationFilters],
    ) -> PercentilePoints:
        """Return percentiles of metrics per bucket of time and group of tags, by start, then group (None first).

        Args:
            percents: For instance ``[50, 95, 99]``; each from 0, the least value, to 100, the greatest. Between two
                samples they are interpolated linearly.
            bucket: Length of the half-open buckets, which are aligned to the UTC epoch.
            group_by: Tag keys, at most 100; a series without the tag is in the group None.
            filters: See ``CorrelationFilters``.

        Raises:
            NotSupported: A matching row was rolled up, and its samples no longer exist.
        """
        fractions = tuple(_fraction(percent) for percent in percents)
        if not fractions:
            raise InvalidArgument("percents: the list is empty. Name at least one, as in [50, 95, 99].")
        keys = self._groups(group_by)
        query = PercentileQuery(_with_summaries(where(self._ctx, **filters)), fractions, _bucket(bucket), keys)
        return self._x.read(
            "correlations.percentiles", lambda session: session.correlations.percentiles(query), single=False
        )

    def metric_names(self) -> MetricNames:
        """Return the names of all stored metrics, ascending. The cost grows with the number of names."""
        now = self._ctx.server_now()
        return self._x.read("correlations.metric_names", lambda session: session.correlations.metric_names(now))


def listing_of(name: str, descending: bool) -> str:
    """Return the name of a listing in cursors."""
    return f"{name}:{'descending' if descending else 'ascending'}"


def _with_summaries(chosen: CorrelationFilter) -> CorrelationFilter:
    if CorrelationType.METRIC_DATAPOINT not in chosen.types:
        return chosen
    return replace(chosen, types=tuple(dict.fromkeys((*chosen.types, *_SUMMARIES))))


def _bucket(bucket: Any) -> timedelta:
    if not isinstance(bucket, timedelta) or not timedelta(0) < bucket:
        raise InvalidArgument("bucket must be a timedelta longer than 0")
    return span(bucket, "bucket", timedelta(0), LONGEST_BUCKET)


def _fraction(percent: float) -> float:
    number = plain_number(percent)
    if number is None or not 0 <= number <= 100:
        raise InvalidArgument(f"a percentile must be a number from 0 to 100, not {ascii(percent)[:80]}")
    return number / 100
