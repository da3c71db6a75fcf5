"""Correlations and time series of a store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, TypedDict, TypeVar, Unpack

from ciris_store_core.contract.aggregation import measured
from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import Conflict, TransactionError
from ciris_store_core.models.correlations import (
    UPDATABLE_CORRELATION_FIELDS,
    Correlation,
    CorrelationFilter,
    CorrelationQuery,
    Metric,
)
from ciris_store_core.models.enums import CorrelationStatus, CorrelationType, GraphScope, RetentionPolicy
from ciris_store_core.models.paging import Page
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.store.access.secret_refs import delete_with_secrets, drop_of
from ciris_store_core.store.context import StoreContext
from ciris_store_core.store.execution import Executor, StoreExecutor
from ciris_store_core.store.resource import (
    SCAN_SIZE,
    OnCorrupt,
    add_or_same,
    all_pages,
    by_id,
    living,
    page_of,
    position,
    prepare,
    prepare_many,
    refuse_repeats,
)
from ciris_store_core.store.telemetry.buffered_writer import BufferedWriter, Item, Items, by_kind, id_of
from ciris_store_core.store.telemetry.correlation_filters import CorrelationFilters, where
from ciris_store_core.store.telemetry.interactions import Interactions
from ciris_store_core.store.telemetry.metric_batches import checked_metrics
from ciris_store_core.store.telemetry.series import SHAPE, Series, listing_of
from ciris_store_core.store.telemetry.traces import TraceNode, tree_of
from ciris_store_core.validation.validator import limit_of

T = TypeVar("T")

CorrelationList = list[Correlation]
TraceNodes = list[TraceNode]
Ids = list[str]


class MetricCommon(TypedDict, total=False):
    """Fields that measurements stored together have in common."""

    service_type: str
    handler_name: str
    action_type: str
    agent_occurrence_id: str
    scope: GraphScope | str
    retention_policy: RetentionPolicy | str
    ttl_seconds: int
    metadata: dict[str, Any]


_MOST_LIKES = 100

_METRIC_DEFAULTS: dict[str, Any] = {
    "service_type": "metrics",
    "handler_name": "add_metrics",
    "action_type": "record_metric",
    "status": CorrelationStatus.COMPLETED,
}


class Correlations(Series, Interactions):
    """Recorded events: service interactions, metrics, logs, spans and audit events.

    A correlation past its ``ttl_seconds`` counts as absent in every query and change, deleted or not.
    Unlike tasks, correlations are listed for all occurrences unless ``occurrence_id`` is given.
    """

    __slots__ = ("_likes",)

    def __init__(self, executor: Executor, ctx: StoreContext) -> None:
        """Called by the store."""
        super().__init__(executor, ctx)
        self._likes: dict[Any, Correlation] = {}
        """Checked common fields of earlier measurements: checking them takes longer than the rest of storing one."""

    def add(self, correlation: Correlation, *, exist_ok: bool = False) -> Correlation:
        """Store a new correlation and return it as stored.

        Missing times are set by the store's clock, and a missing occurrence to the store's own.

        Args:
            correlation: The correlation to store. It is not changed.
            exist_ok: If a correlation with that id and the same value in every given field is stored, return it;
                then it is safe to call again after ``OutcomeUnknown``.

        Raises:
            AlreadyExists: The id exists, and ``exist_ok`` is False or the stored correlation differs.
            InvalidArgument: A field cannot be stored. Nothing was written.
        """
        if exist_ok:
            return self.add_many([correlation], exist_ok=True)[0]
        extracted = ExtractedSecrets()
        ready = prepare(self._ctx, correlation, Correlation, self._ctx.clock.now(), extracted)
        ids = [ready.correlation_id]
        self._adding(
            ids,
            lambda: self._x.write(
                "correlations.add", lambda session: session.correlations.add([ready]), extracted=extracted
            ),
        )
        return ready

    def add_many(self, correlations: Iterable[Correlation], *, exist_ok: bool = False) -> CorrelationList:
        """Store many correlations, all or none, and return them as stored, in the order given. See ``add``."""
        extracted = ExtractedSecrets()
        given, ready = prepare_many(self._ctx, correlations, Correlation, "correlation_id", extracted)
        if not ready:
            return []
        ids = [each.correlation_id for each in ready]
        if exist_ok:
            return add_or_same(
                "correlations.add_many",
                self._x,
                self._ctx,
                given,
                ready,
                "correlation_id",
                self._stored,
                _add,
                extracted,
            )
        self._adding(
            ids,
            lambda: self._x.write(
                "correlations.add_many", lambda session: session.correlations.add(ready), extracted=extracted
            ),
        )
        return ready

    def add_metrics(self, metrics: Iterable[Metric], **common: Unpack[MetricCommon]) -> Ids:
        """Store many measurements, all or none, at several times the rate of ``add_many``; return their ids.

        Each becomes a correlation of type ``metric_datapoint``.

        Args:
            metrics: Name and value and, optionally, tags, timestamp, unit and id of each.
            common: Fields that all of them have in common; see ``MetricCommon``.

        Raises:
            AlreadyExists: An id exists. Nothing was written.
            InvalidArgument: A value cannot be stored. Nothing was written.
        """
        now = self._ctx.clock.now()
        like = self._like(common, now)
        ready, series = checked_metrics(self._ctx.check, metrics, now)
        if not self._ctx.check.harmless(like, series):
            return [each.correlation_id for each in self.add_many(measured(metric, like) for metric in ready)]
        ids = [metric.metric_id or "" for metric in ready]
        if ready:
            refuse_repeats(ids, "metric_id")
            self._adding(
                ids,
                lambda: self._x.write(
                    "correlations.add_metrics", lambda session: session.correlations.add_metrics(ready, like)
                ),
            )
        return ids

    def buffered(
        self,
        *,
        batch_size: int = 1000,
        max_delay_seconds: float = 1.0,
        capacity: int = 50_000,
        **common: Unpack[MetricCommon],
    ) -> BufferedWriter:
        """Return a writer for high rates, which accepts items at once and stores batches; see ``BufferedWriter``.

        Args:
            batch_size: Number of items stored at once, 1 to 10,000.
            max_delay_seconds: Approximate longest time that an item waits for others of its batch.
            capacity: Number of items that may wait to be stored; ``add`` waits while there are more.
            common: Fields that measurements have in common; see ``MetricCommon``.
        """
        if not isinstance(self._x, StoreExecutor):
            raise TransactionError("a buffered writer stores by itself. Make it from the store, not in a transaction.")
        self.add_metrics([], **common)  # raises if the common fields cannot be stored
        return BufferedWriter(
            self._checked,
            lambda items: self._store_all(items, common),
            self._stored_as_given,
            batch_size=batch_size,
            max_delay_seconds=max_delay_seconds,
            capacity=capacity,
        )

    def _checked(self, item: Item) -> Item:
        now = self._ctx.clock.now()
        if isinstance(item, Metric):
            return checked_metrics(self._ctx.check, [item], now)[0][0]
        return prepare(self._ctx, item, Correlation, now, None)

    def _store_all(self, items: Items, common: MetricCommon) -> None:
        metrics, others = by_kind(items)
        if not others:
            self.add_metrics(metrics, **common)
        elif not metrics:
            self.add_many(others)
        elif isinstance(self._x, StoreExecutor):
            with self._x.transaction() as executor:
                inside = Correlations(executor, self._ctx)
                inside.add_metrics(metrics, **common)
                inside.add_many(others)

    def _stored_as_given(self, items: Items) -> Items:
        ids = [id_of(item) or "" for item in items]
        found = self._x.read(
            "correlations.get_many", lambda session: session.correlations.get(ids)
        )  # rows that have expired since, too
        times = {row.correlation_id: row.timestamp for row in found}
        return [item for item in items if times.get(id_of(item) or "") == item.timestamp]

    def get(self, correlation_id: str) -> Correlation | None:
        """Return the correlation with that id, or None."""
        ids = [self._ctx.check.ident(correlation_id, "correlation_id")]
        found = living(
            self._x.read("correlations.get", lambda session: session.correlations.get(ids)), self._ctx.server_now
        )
        return found[0] if found else None

    def get_many(self, correlation_ids: Iterable[str]) -> dict[str, Correlation]:
        """Return the correlations of these ids that exist, by id, in the order asked for; one round trip."""
        ids = self._ctx.check.idents(correlation_ids, "correlation_ids")
        found = self._x.read("correlations.get_many", lambda session: session.correlations.get(ids)) if ids else []
        return by_id(living(found, self._ctx.server_now), "correlation_id", ids)

    def update(self, correlation_id: str, **changes: Any) -> bool:
        """Change the given fields and ``updated_at``; False if there is no such correlation.

        Raises:
            InvalidArgument: A field is unknown or cannot be updated, or its value does not fit.
        """
        key = self._ctx.check.ident(correlation_id, "correlation_id")
        extracted = ExtractedSecrets()
        now = self._ctx.clock.now()
        new = self._ctx.check.changes(Correlation, key, changes, UPDATABLE_CORRELATION_FIELDS, now, extracted)
        server_now = self._ctx.server_now()
        return self._x.write(
            "correlations.update",
            lambda session: session.correlations.update(key, new, server_now),
            extracted=extracted,
        )

    def find(
        self,
        *,
        limit: int = 100,
        cursor: str | None = None,
        descending: bool = False,
        **filters: Unpack[CorrelationFilters],
    ) -> Page[Correlation]:
        """Return one page of correlations by ``timestamp``, then id.

        Args:
            limit: Greatest number of correlations, 1 to 10,000.
            cursor: The ``next_cursor`` of the page before, of the same direction and filters.
            descending: Newest first; otherwise oldest first.
            filters: See ``CorrelationFilters``.
        """
        return self._page(where(self._ctx, **filters), limit, cursor, descending)

    def scan(
        self,
        *,
        descending: bool = False,
        on_corrupt: OnCorrupt | None = None,
        **filters: Unpack[CorrelationFilters],
    ) -> Iterator[Correlation]:
        """Yield all correlations that the filters match, read page by page; see ``find``.

        A corrupt row raises ``Corrupt``, or is passed to ``on_corrupt``.
        """
        chosen = where(self._ctx, **filters)
        return all_pages(lambda cursor: self._page(chosen, SCAN_SIZE, cursor, descending), on_corrupt)

    def count(self, **filters: Unpack[CorrelationFilters]) -> int:
        """Return the number of correlations that the filters match, without loading them."""
        chosen = where(self._ctx, **filters)
        return self._x.read("correlations.count", lambda session: session.correlations.count(chosen))

    def delete(self, correlation_id: str) -> int:
        """Delete a correlation; return 1, or 0 if it does not exist or has expired."""
        return self.delete_many([correlation_id])

    def delete_many(self, correlation_ids: Iterable[str]) -> int:
        """Delete many correlations and return the number of deleted ones. Unknown and expired ids do not count.

        Outside a transaction, more than 1,000 are deleted in batches, each a transaction of its own, so that other
        writers wait for one batch at most; after an error, some batches may be deleted. In a transaction, all are
        deleted or none.
        """
        ids = self._ctx.check.idents(correlation_ids, "correlation_ids")
        if not ids:
            return 0
        now = self._ctx.server_now()
        return delete_with_secrets(
            "correlations.delete_many",
            self._x,
            self._ctx,
            ids,
            lambda session, batch: session.correlations.get(batch),
            lambda session, batch: session.correlations.delete(batch, now),
        )

    # --- queries of agents ------------------------------------------------------------------------

    def by_channel(self, channel_id: str, limit: int = 100) -> Page[Correlation]:
        """Return the newest ``limit`` correlations of a channel, oldest first."""
        page = self._page(where(self._ctx, channel_id=channel_id), limit, None, True)
        return Page(page.items[::-1], None, page.corrupt)

    def recent(self, limit: int = 100, **filters: Unpack[CorrelationFilters]) -> Page[Correlation]:
        """Return the newest ``limit`` correlations, newest first."""
        return self._page(where(self._ctx, **filters), limit, None, True)

    def trace(self, trace_id: str) -> TraceNodes:
        """Return the spans of a trace as trees: its roots, oldest first, each with its children, oldest first.

        The parent of a span is the span that ``parent_span_id`` names, else the correlation that
        ``parent_correlation_id`` names; a span whose parent is not stored is a root. The list is empty for an unknown
        trace.
        """
        return tree_of(self.scan(trace_id=trace_id))

    # --- internals --------------------------------------------------------------------------------

    def _adding(self, ids: Ids, add: Callable[[], T]) -> T:
        """Call ``add`` and return its result; if the ids belong to expired correlations, delete them and try again."""
        try:
            return add()
        except Conflict:  # Backends of contract 1 raise no AlreadyExists.
            if not self._x.write(
                "correlations.delete_expired", lambda session: self._remove_expired(session, ids), single=False
            ):
                raise
            return add()

    def _remove_expired(self, session: Session, ids: Ids) -> int:
        locked = session.correlations.lock(ids)
        kept = {each.correlation_id for each in living(locked, self._ctx.server_now)}
        gone = [each for each in locked if each.correlation_id not in kept]
        drop_of(session, gone)
        return session.correlations.delete([each.correlation_id for each in gone]) if gone else 0

    def _stored(self, session: Session, ids: Ids) -> CorrelationList:
        found = session.correlations.get(ids)
        kept = living(found, self._ctx.server_now)
        if len(kept) < len(found):
            self._remove_expired(session, [each.correlation_id for each in found if each not in kept])
        return kept

    def _like(self, common: MetricCommon, now: datetime) -> Correlation:
        """Return the record of a measurement without its own values."""
        key: tuple[Any, ...] | None = (*common.items(), *map(type, common.values()))  # 1 is not True
        try:
            known = self._likes.get(key)
        except TypeError:  # metadata is not hashable, and may change
            key, known = None, None
        if known is None:
            fields = {**_METRIC_DEFAULTS, **common, "correlation_type": CorrelationType.METRIC_DATAPOINT}
            known = prepare(self._ctx, Correlation(**fields), Correlation, now, None)
            if key is not None and len(self._likes) < _MOST_LIKES:
                self._likes[key] = known
        return known.replaced(created_at=now, updated_at=now, timestamp=now)

    def _page(self, chosen: CorrelationFilter, limit: int, cursor: str | None, descending: bool) -> Page[Correlation]:
        listing = listing_of("correlations", descending)
        after = position(self._ctx, listing, SHAPE, cursor)
        query = CorrelationQuery(limit_of(limit), after, chosen, bool(descending))
        return page_of(self._x.read("correlations.find", lambda session: session.correlations.find(query)), listing)


def _add(session: Session, correlations: CorrelationList) -> None:
    session.correlations.add(correlations)
