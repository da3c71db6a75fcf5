"""Correlations and time series, as users hold them (contract section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack, get_args

from ciris_store_core.errors import Conflict, InvalidArgument
from ciris_store_core.models.correlations import (
    UPDATABLE_CORRELATION_FIELDS,
    Aggregate,
    AggregatePoint,
    AggregateQuery,
    Correlation,
    CorrelationFilter,
    CorrelationQuery,
    Metric,
    ServiceRequest,
    ServiceResponse,
    TimeSeriesDataPoint,
    TraceContext,
)
from ciris_store_core.models.enums import CorrelationStatus, CorrelationType, GraphScope, RetentionPolicy
from ciris_store_core.models.paging import Page
from ciris_store_core.secrets.vault import keep
from ciris_store_core.stores.aggregation import measured
from ciris_store_core.stores.backend import Session

from .common import (
    SCAN_SIZE,
    OnUnreadable,
    Part,
    add_or_same,
    all_pages,
    by_id,
    page_of,
    position,
    prepare,
    prepare_many,
    refuse_repeats,
)
from .correlation_filters import CorrelationFilters, where
from .measurements import checked_metrics
from .sealing import Sealed
from .traces import TraceNode, tree_of
from .validate import limit_of

# Inside the class, ``list`` is a method.
CorrelationList = list[Correlation]
AggregatePoints = list[AggregatePoint]
TraceNodes = list[TraceNode]
Ids = list[str]

_SHAPE = (datetime, str)
_FUNCTIONS = get_args(Aggregate)


class InteractionContext(TypedDict, total=False):
    """What else is known when a service is called."""

    tags: dict[str, str]
    scope: GraphScope | str
    trace_context: TraceContext
    parent_correlation_id: str
    agent_occurrence_id: str
    metadata: dict[str, Any]


class InteractionResult(TypedDict, total=False):
    """What a service answered."""

    result_summary: str
    result_type: str
    result_size: int
    error_type: str
    error_message: str
    error_traceback: str
    tokens_used: int
    memory_bytes: int


class MetricCommon(TypedDict, total=False):
    """What measurements that are stored together have in common."""

    service_type: str
    handler_name: str
    action_type: str
    agent_occurrence_id: str
    scope: GraphScope | str
    retention_policy: RetentionPolicy | str
    ttl_seconds: int
    metadata: dict[str, Any]


_METRIC_DEFAULTS: dict[str, Any] = {
    "service_type": "metrics",
    "handler_name": "add_metrics",
    "action_type": "record_metric",
    "status": CorrelationStatus.COMPLETED,
}


class Correlations(Part):
    """Recorded events: service interactions, metrics, logs, spans and audit events.

    Unlike tasks, they are listed for all occurrences unless ``occurrence_id`` is given.
    """

    __slots__ = ()

    def add(self, correlation: Correlation, *, exist_ok: bool = False) -> Correlation:
        """Store a new correlation and return it as stored.

        Times that were not given are the store's; an occurrence that was not given is the store's own.

        Args:
            correlation: What to store. It is not changed.
            exist_ok: A stored correlation with that id is returned, if every field that you gave is stored so;
                this makes it safe to call again after ``OutcomeUnknown``.

        Raises:
            Conflict: The id exists, and ``exist_ok`` is False or the stored correlation differs.
            InvalidArgument: A field cannot be stored. Nothing was written.
        """
        if exist_ok:
            return self.add_many([correlation], exist_ok=True)[0]
        sealed = Sealed()
        ready = prepare(self._env, correlation, Correlation, self._env.clock.now(), sealed)
        self._x.write(lambda session: session.correlations.add([ready]), sealed=sealed)
        return ready

    def add_many(self, correlations: Iterable[Correlation], *, exist_ok: bool = False) -> CorrelationList:
        """Store many correlations, all or none, and return them as stored, in the order given. See ``add``."""
        sealed = Sealed()
        given, ready = prepare_many(self._env, correlations, Correlation, "correlation_id", sealed)
        if not ready:
            return []
        if exist_ok:
            return add_or_same(self._x, self._env, given, ready, "correlation_id", _stored, _add, sealed)
        self._x.write(lambda session: session.correlations.add(ready), sealed=sealed)
        return ready

    def add_metrics(self, metrics: Iterable[Metric], **common: Unpack[MetricCommon]) -> Ids:
        """Store many measurements, all or none, at several times the rate of ``add_many``; returns their ids.

        Each becomes a correlation of type ``metric_datapoint``.

        Args:
            metrics: Name, value and, if you like, tags, timestamp, unit and id of each.
            common: What they have in common; see ``MetricCommon``.

        Raises:
            Conflict: An id exists. Nothing was written.
            InvalidArgument: Something cannot be stored. Nothing was written.
        """
        now = self._env.clock.now()
        fields = {**_METRIC_DEFAULTS, **common, "correlation_type": CorrelationType.METRIC_DATAPOINT}
        like = prepare(self._env, Correlation(**fields), Correlation, now, None)
        ready, series = checked_metrics(self._env.check, metrics, now)
        if not self._env.check.harmless(like, series):
            return [each.correlation_id for each in self.add_many(measured(metric, like) for metric in ready)]
        if ready:
            refuse_repeats([metric.metric_id for metric in ready], "metric_id")
            self._x.write(lambda session: session.correlations.add_metrics(ready, like))
        return [metric.metric_id or "" for metric in ready]

    def get(self, correlation_id: str) -> Correlation | None:
        """The correlation with that id, or None."""
        ids = [self._env.check.ident(correlation_id, "correlation_id")]
        found = self._x.read(lambda session: session.correlations.get(ids))
        return found[0] if found else None

    def get_many(self, correlation_ids: Iterable[str]) -> dict[str, Correlation]:
        """The correlations of these ids that exist, by id, in the order asked for; one round trip."""
        ids = self._env.check.idents(correlation_ids, "correlation_ids")
        found = self._x.read(lambda session: session.correlations.get(ids)) if ids else []
        return by_id(found, "correlation_id", ids)

    def update(self, correlation_id: str, **changes: Any) -> bool:
        """Change the given fields and ``updated_at``; False if there is no such correlation.

        Raises:
            InvalidArgument: A field is unknown or cannot be updated, or its value does not fit.
        """
        key = self._env.check.ident(correlation_id, "correlation_id")
        sealed = Sealed()
        now = self._env.clock.now()
        new = self._env.check.changes(Correlation, key, changes, UPDATABLE_CORRELATION_FIELDS, now, sealed)
        return self._x.write(lambda session: session.correlations.update(key, new), sealed=sealed)

    def list(
        self,
        *,
        limit: int = 100,
        cursor: str | None = None,
        descending: bool = False,
        **filters: Unpack[CorrelationFilters],
    ) -> Page[Correlation]:
        """One page of correlations by ``timestamp``, then id.

        Args:
            limit: At most so many, 1 to 10,000.
            cursor: The ``next_cursor`` of the page before, of the same direction and filters.
            descending: Newest first; otherwise oldest first.
            filters: See ``CorrelationFilters``.
        """
        return self._page(where(self._env, **filters), limit, cursor, descending)

    def scan(
        self,
        *,
        descending: bool = False,
        on_unreadable: OnUnreadable | None = None,
        **filters: Unpack[CorrelationFilters],
    ) -> Iterator[Correlation]:
        """All correlations that the filters match, read page by page; see ``list``.

        A stored row that cannot be read raises ``Corrupt``, or is passed to ``on_unreadable``.
        """
        chosen = where(self._env, **filters)
        return all_pages(lambda cursor: self._page(chosen, SCAN_SIZE, cursor, descending), on_unreadable)

    def count(self, **filters: Unpack[CorrelationFilters]) -> int:
        """How many correlations the filters match; loads none of them."""
        chosen = where(self._env, **filters)
        return self._x.read(lambda session: session.correlations.count(chosen))

    def delete(self, *correlation_ids: str) -> int:
        """Delete correlations; returns how many went. Ids that do not exist are passed over."""
        ids = self._env.check.idents(correlation_ids, "correlation_ids")
        return self._x.write(lambda session: session.correlations.delete(ids)) if ids else 0

    # --- time series ----------------------------------------------------------------------------

    def points(
        self,
        *,
        limit: int = 1000,
        cursor: str | None = None,
        descending: bool = False,
        **filters: Unpack[CorrelationFilters],
    ) -> Page[TimeSeriesDataPoint]:
        """One page of the points of the metrics that the filters match, in the order of ``list``."""
        listing = _listing("points", descending)
        after = position(self._env, listing, _SHAPE, cursor)
        query = CorrelationQuery(limit_of(limit), after, where(self._env, **filters), bool(descending))
        return page_of(self._x.read(lambda session: session.correlations.points(query)), listing)

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
        """One page of a metric's points, oldest first; both bounds inclusive, tags by equality."""
        return self.points(
            metric_name=metric_name, time_from=start, time_to=end, tags=tags or {}, limit=limit, cursor=cursor
        )

    def aggregate(
        self,
        function: Aggregate,
        bucket: timedelta,
        *,
        group_by: Iterable[str] = (),
        **filters: Unpack[CorrelationFilters],
    ) -> AggregatePoints:
        """Values of metrics per bucket of time and group of tags, by start, then group (None first).

        Args:
            function: avg, sum, min, max, count or last.
            bucket: Length of the half-open buckets, which are aligned to the UTC epoch.
            group_by: Tag keys; a series without the tag is in the group None.
            filters: See ``CorrelationFilters``.

        Consolidated rows count as the samples they stand for. Buckets without samples are left out.
        """
        if function not in _FUNCTIONS:
            raise InvalidArgument(f"function must be one of {', '.join(_FUNCTIONS)}, not {function!r}")
        if type(bucket) is not timedelta or bucket <= timedelta(0):
            raise InvalidArgument("bucket must be a timedelta longer than 0")
        keys = tuple(self._env.check.idents(group_by, "group_by"))
        query = AggregateQuery(where(self._env, **filters), function, bucket, keys)
        return self._x.read(lambda session: session.correlations.aggregate(query))

    # --- the questions that agents ask ------------------------------------------------------------

    def by_channel(self, channel_id: str, limit: int = 100) -> Page[Correlation]:
        """The newest ``limit`` correlations of a channel, returned oldest first."""
        page = self._page(where(self._env, channel_id=channel_id), limit, None, True)
        return Page(page.items[::-1], None, page.unreadable)

    def recent(self, limit: int = 100, **filters: Unpack[CorrelationFilters]) -> Page[Correlation]:
        """The newest ``limit`` correlations, newest first."""
        return self._page(where(self._env, **filters), limit, None, True)

    def trace(self, trace_id: str) -> TraceNodes:
        """The spans of a trace as trees: its roots, oldest first, each with its children, oldest first.

        A span hangs on the span that ``parent_span_id`` names, else on the correlation that
        ``parent_correlation_id`` names; one whose parent is not stored is a root. Empty for an unknown trace.
        """
        return tree_of(self.scan(trace_id=trace_id))

    # --- interactions -----------------------------------------------------------------------------

    def start_interaction(
        self,
        service_type: str,
        action_type: str,
        *,
        handler_name: str,
        task_id: str | None = None,
        thought_id: str | None = None,
        channel_id: str | None = None,
        parameters: dict[str, str] | None = None,
        timeout_seconds: float | None = None,
        **context: Unpack[InteractionContext],
    ) -> Correlation:
        """Record that a service is being called, as a pending correlation, and return it.

        Pass its ``correlation_id`` to ``complete_interaction`` when the service has answered.
        """
        now = self._env.clock.now()
        request = ServiceRequest(
            service_type=service_type,
            method_name=action_type,
            task_id=task_id,
            thought_id=thought_id,
            channel_id=channel_id,
            parameters=parameters or {},
            timeout_seconds=timeout_seconds,
            request_timestamp=now,
        )
        names = {"service_type": service_type, "action_type": action_type, "handler_name": handler_name}
        return self.add(Correlation(**names, request_data=request, timestamp=now, **context))

    def complete_interaction(
        self, correlation_id: str, *, success: bool = True, **result: Unpack[InteractionResult]
    ) -> Correlation | None:
        """Record the answer of a service: outcome, duration and status (completed or failed), in the same correlation.

        Returns the correlation as it is now, or None if there is none with that id.

        Raises:
            Conflict: It was completed before.
            InvalidArgument: It records no request, or a value does not fit.
        """
        key = self._env.check.ident(correlation_id, "correlation_id")
        return self._x.write(lambda session: self._complete(session, key, success, result), single=False)

    def _complete(self, session: Session, key: str, success: bool, result: InteractionResult) -> Correlation | None:
        found = session.correlations.get([key])
        if not found:
            return None
        sealed = Sealed()
        changes = self._completion(found[0], success, result, sealed)
        if not session.correlations.update(key, changes):
            return None
        if sealed:
            keep(session, sealed)
        return found[0].replaced(**changes)

    def _completion(
        self, stored: Correlation, success: bool, result: InteractionResult, sealed: Sealed
    ) -> dict[str, Any]:
        if stored.request_data is None:
            raise InvalidArgument(
                f"correlation {stored.correlation_id!r} records no request: begin with start_interaction"
            )
        if stored.status != CorrelationStatus.PENDING:
            raise Conflict(
                f"interaction {stored.correlation_id!r} is {stored.status.value} already: it is recorded once"
            )
        now = self._env.clock.now()
        elapsed = max(now - stored.request_data.request_timestamp, timedelta(0))
        response = ServiceResponse(
            success=success, execution_time_ms=elapsed / timedelta(milliseconds=1), response_timestamp=now, **result
        )
        status = CorrelationStatus.COMPLETED if success else CorrelationStatus.FAILED
        changes = {"response_data": response, "status": status}
        key = stored.correlation_id
        return self._env.check.changes(Correlation, key, changes, UPDATABLE_CORRELATION_FIELDS, now, sealed)

    # --- inside -----------------------------------------------------------------------------------

    def _page(self, chosen: CorrelationFilter, limit: int, cursor: str | None, descending: bool) -> Page[Correlation]:
        listing = _listing("correlations", descending)
        after = position(self._env, listing, _SHAPE, cursor)
        query = CorrelationQuery(limit_of(limit), after, chosen, bool(descending))
        return page_of(self._x.read(lambda session: session.correlations.find(query)), listing)


def _listing(name: str, descending: bool) -> str:
    return f"{name}:{'descending' if descending else 'ascending'}"


def _stored(session: Session, ids: Ids) -> CorrelationList:
    return session.correlations.get(ids)


def _add(session: Session, correlations: CorrelationList) -> None:
    session.correlations.add(correlations)
