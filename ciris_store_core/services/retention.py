"""Retention: hourly and daily summaries of measurements, and hourly counts of log entries."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from ciris_store_core.clock import before
from ciris_store_core.contract.aggregation import bucket_start
from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import Conflict, InvalidArgument
from ciris_store_core.models.correlations import Correlation, CorrelationFilter, CorrelationQuery
from ciris_store_core.models.enums import CorrelationType, GraphScope, NodeType, Resolution, RetentionPolicy
from ciris_store_core.models.graph import NodeKey
from ciris_store_core.models.paging import ResultPage, SortKey
from ciris_store_core.services.periodic import Background, Keep, Scheduled
from ciris_store_core.services.retention_plans import (
    LOG,
    METRIC,
    PRESETS,
    SUMMARIES,
    RetentionPlan,
    RetentionRule,
    name_of,
)
from ciris_store_core.services.rollups import DAILY, HOURLY, LOGS, Level, may_be_rolled_up, merged, summaries_of
from ciris_store_core.store import Store
from ciris_store_core.store.context import StoreContext
from ciris_store_core.store.execution import Executor
from ciris_store_core.store.resource import Resource

ATTEMPTS = 3
"""Number of attempts at a batch whose summary another process wrote at the same time."""

_AGGREGATED, _DOWNSAMPLED = RetentionPolicy.AGGREGATED, RetentionPolicy.DOWNSAMPLED

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class RolledUp:
    """Result of one step of a pass, or, of a dry run, the result that the step would have."""

    rows: int = 0
    """Deleted rows."""
    summaries: int = 0
    """New summaries of these rows."""
    merged: int = 0
    """Existing summaries to which rows were added."""
    nodes: int = 0
    """Graph nodes that ``memorize_metric`` had written beside the rows, deleted with them."""

    def add(self, other: RolledUp) -> None:
        """Add the counts of another result."""
        self.rows += other.rows
        self.summaries += other.summaries
        self.merged += other.merged
        self.nodes += other.nodes


@dataclass(slots=True)
class RetentionReport:
    """Result of one pass, or, of a dry run, the result that a pass would have."""

    started_at: datetime
    finished_at: datetime
    """Both by the store's clock."""
    dry_run: bool = False
    skipped: bool = False
    """Another process held the lease, and nothing was done."""
    hourly: RolledUp = field(default_factory=RolledUp)
    """Measurements that became hourly."""
    daily: RolledUp = field(default_factory=RolledUp)
    """Measurements and hourly summaries that became daily. A dry run does not see summaries that the pass makes."""
    logs: RolledUp = field(default_factory=RolledUp)
    """Log entries that became hourly counts."""
    deleted: RolledUp = field(default_factory=RolledUp)
    """Records past ``delete_after``."""
    expired: int = 0
    """Deleted records past their ``ttl_seconds``. A dry run counts them under the rules that match them instead."""
    kept: int = 0
    """Records that are old enough and were kept: in IDENTITY scope, or with values too large to add up."""
    corrupt: int = 0
    """Corrupt rows that are old enough; they are kept."""

    @property
    def rows(self) -> int:
        """Total number of deleted rows."""
        return self.hourly.rows + self.daily.rows + self.logs.rows + self.deleted.rows + self.expired


class RetentionService(Scheduled[RetentionReport]):
    """Retention of a store's telemetry by a plan, which limits its growth.

    ``run`` does one pass. ``start`` begins a daemon thread that does one at once and then one every
    ``interval_seconds``; ``stop`` ends it; as a context manager, the service does both. Of all processes on one
    database, one at a time runs a pass, under the lease ``retention``. Nothing runs before ``run`` or ``start``.

    - Count, min and max of the samples stay exact, and sums within 1e-12; the newest value is kept.
    - Rows are deleted in the transaction that writes their summaries, in small batches.
    - Rows that arrive late are added to the summary of their period.
    - Only whole hours and days are rolled up: rows younger than the age in their rule are not touched.
    """

    def __init__(
        self,
        store: Store,
        plan: RetentionPlan | str = "standard",
        *,
        interval_seconds: float = 3600,
        lease_seconds: float = 120,
    ) -> None:
        """Prepare the service; the database is not touched.

        Args:
            store: The store to clean. Stop the service before you close the store.
            plan: One of your own, or the name of one of ``PRESETS``.
            interval_seconds: Time between passes of the background thread.
            lease_seconds: Time for which a process that died keeps others from running a pass.
        """
        self.plan = _plan(plan)
        """Ages, by type and name."""
        # Services that work on rows use the same executor as the resources of the store.
        self._x, self._ctx = store._x, store._ctx
        times = {"interval_seconds": interval_seconds, "ttl_seconds": lease_seconds}
        super().__init__(Background(store, "retention", self._pass, **times))

    def run(self, *, dry_run: bool = False) -> RetentionReport:
        """Run one pass now, in this thread; running it again changes nothing more.

        Args:
            dry_run: Change nothing, and report the result that a pass would have now.

        Raises:
            StaleFence: The lease was lost, for example because the computer slept; finished batches stay.
        """
        if dry_run:
            return self._pass(_nothing, dry_run=True)
        now = self._ctx.server_now()
        return self._background.run_once() or RetentionReport(now, now, skipped=True)

    def _pass(self, keep: Keep, dry_run: bool = False) -> RetentionReport:
        now = self._ctx.server_now()
        report = RetentionReport(now, now, dry_run=dry_run)
        work = _RetentionPass(self._x, self._ctx, self.plan, keep, report)
        if not dry_run:
            work.expire()
        work.metrics()
        for rule in self.plan.rules:
            if rule.type == LOG:
                work.logs(rule)
            if rule.type != METRIC:
                work.delete(rule)
        report.finished_at = self._ctx.server_now()
        logger.info("retention: %s", report)
        return report


def start_retention(
    store: Store, plan: RetentionPlan | str = "standard", *, interval_seconds: float = 3600
) -> RetentionService:
    """Start retention in the background and return the service; stop it before you close the store."""
    service = RetentionService(store, plan, interval_seconds=interval_seconds)
    service.start()
    return service


class _RetentionPass(Resource):
    """One pass of retention."""

    __slots__ = ("_keep", "_now", "_plan", "_report", "_seen")

    def __init__(
        self, executor: Executor, ctx: StoreContext, plan: RetentionPlan, keep: Keep, report: RetentionReport
    ) -> None:
        """``keep`` is called before every batch."""
        super().__init__(executor, ctx)
        self._plan = plan
        self._keep = keep
        self._report = report
        self._now = report.started_at
        # Ids of the summaries that a dry run would have written.
        self._seen: set[str] = set()

    # --- steps ----------------------------------------------------------------------------------------

    def metrics(self) -> None:
        """Roll up, downsample and delete measurements, one name at a time, as the indexes hold them."""
        for name in self._x.read("retention.find_metrics", lambda session: session.correlations.metric_names()):
            rule = self._plan.rule_for(METRIC, name)
            if rule is not None:
                self._metric(rule, (name,))

    def _metric(self, rule: RetentionRule, names: tuple[str, ...]) -> None:
        report, days = self._report, self._end(rule.daily_after, DAILY)
        hours = self._end(rule.hourly_after, HOURLY)
        if days is not None:  # Rows that came very late, or were never rolled up, become daily at once.
            self._batches(_of(METRIC, Resolution.RAW, _DOWNSAMPLED, names, before=days), report.daily, DAILY)
        if hours is not None:
            self._batches(_of(METRIC, Resolution.RAW, _AGGREGATED, names, before=hours), report.hourly, HOURLY)
            self._batches(_of(METRIC, Resolution.RAW, _DOWNSAMPLED, names, days, hours), report.hourly, HOURLY)
        if days is not None:
            where = _of(HOURLY.type, HOURLY.resolution, _DOWNSAMPLED, names, before=days)
            self._batches(where, report.daily, DAILY)
        self.delete(rule, names)

    def _end(self, age: timedelta | None, level: Level) -> datetime | None:
        """Return the end of the last period that is old enough as a whole."""
        return None if age is None else bucket_start(before(self._now, age), level.period)

    def logs(self, rule: RetentionRule) -> None:
        """Roll up log entries into hourly counts."""
        end = self._end(rule.hourly_after, LOGS)
        if end is not None:
            for policy in (_AGGREGATED, _DOWNSAMPLED):
                self._batches(_of(LOG, Resolution.RAW, policy, before=end), self._report.logs, LOGS, rule)

    def delete(self, rule: RetentionRule, names: tuple[str, ...] = ()) -> None:
        """Delete rows older than the rule's ``delete_after``, of these metrics or of the whole type."""
        if rule.delete_after is None:
            return
        end = before(self._now, rule.delete_after)
        for kind in (rule.type, *SUMMARIES.get(rule.type, ())):
            where = CorrelationFilter(types=(kind,), metric_names=names, time_to=end, time_to_exclusive=True)
            self._batches(where, self._report.deleted, None, rule)

    def expire(self) -> None:
        """Delete records past their ``ttl_seconds``."""
        limit = self._plan.batch_size
        count = limit
        while count == limit:
            self._keep()
            count = self._x.write(
                "retention.expire", lambda session: session.correlations.delete_expired(self._now, limit)
            )
            self._report.expired += count

    # --- batches --------------------------------------------------------------------------------------

    def _batches(
        self, where: CorrelationFilter, total: RolledUp, level: Level | None, rule: RetentionRule | None = None
    ) -> None:
        """Roll up or delete rows page by page, each page in a transaction of its own.

        ``rule``: only rows to which it applies; the query does not compare their names.
        """
        query: CorrelationQuery | None = CorrelationQuery(limit=self._plan.batch_size, where=where)
        while query is not None:
            self._keep()
            after = self._settle(query, total, level, rule)
            query = None if after is None else CorrelationQuery(limit=query.limit, where=where, after=after)

    def _settle(
        self, query: CorrelationQuery, total: RolledUp, level: Level | None, rule: RetentionRule | None
    ) -> SortKey | None:
        run = self._x.read if self._report.dry_run else self._x.write
        for attempt in range(1, ATTEMPTS + 1):
            try:
                done, found, kept = run(
                    "retention.roll_up", partial(self._batch, query=query, level=level, rule=rule), single=False
                )
            except Conflict:  # Another process wrote a summary just now: its lease or ours expired.
                if attempt == ATTEMPTS:
                    raise
                continue
            break
        total.add(done)
        self._report.kept += kept
        self._report.corrupt += len(found.corrupt)
        return found.next_after

    def _batch(
        self, session: Session, query: CorrelationQuery, level: Level | None, rule: RetentionRule | None
    ) -> tuple[RolledUp, ResultPage[Correlation], int]:
        find = session.correlations.find if self._report.dry_run else session.correlations.find_locked
        found = find(query)
        meant = [row for row in found.items if rule is None or self._plan.rule_for(rule.type, name_of(row)) is rule]
        rows = [row for row in meant if row.scope != GraphScope.IDENTITY and (level is None or may_be_rolled_up(row))]
        done = RolledUp(rows=len(rows))
        summaries = [] if level is None or not rows else summaries_of(rows, level, self._now)
        if self._report.dry_run:
            self._foresee(session, summaries, done)
        elif rows:
            # One transaction deletes the rows and writes their summary: a crash in between would lose samples, or count
            # them twice.
            session.correlations.delete([row.correlation_id for row in rows])
            done.nodes = _delete_counterparts(session, rows)
            self._write(session, summaries, done)
        return done, found, len(meant) - len(rows)

    def _foresee(self, session: Session, summaries: list[Correlation], done: RolledUp) -> None:
        ids = [summary.correlation_id for summary in summaries]
        stored = {row.correlation_id for row in session.correlations.get(ids)} if ids else set()
        new = set(ids) - stored - self._seen
        self._seen |= set(ids)
        done.summaries, done.merged = len(new), len(stored)

    def _write(self, session: Session, summaries: list[Correlation], done: RolledUp) -> None:
        """Add to the stored summaries, which are locked until the transaction ends, and write the others."""
        if not summaries:
            return
        stored = {row.correlation_id: row for row in session.correlations.lock([s.correlation_id for s in summaries])}
        for summary in summaries:
            known = stored.get(summary.correlation_id)
            if known is not None:
                session.correlations.update(known.correlation_id, merged(known, summary, self._now))
        new = [summary for summary in summaries if summary.correlation_id not in stored]
        if new:
            session.correlations.add(new)
        done.summaries, done.merged = len(new), len(stored)


def _delete_counterparts(session: Session, rows: list[Correlation]) -> int:
    """Delete the nodes of the same measurements, and return their number."""
    keys = [NodeKey(row.correlation_id, row.scope) for row in rows]
    counterparts = [node for node in session.graph.get_nodes(keys, None) if node.type == NodeType.TSDB_DATA]
    return session.graph.delete_nodes([NodeKey(node.id, node.scope) for node in counterparts]) if counterparts else 0


def _of(
    kind: CorrelationType,
    resolution: Resolution,
    policy: RetentionPolicy,
    names: tuple[str, ...] = (),
    start: datetime | None = None,
    before: datetime | None = None,
) -> CorrelationFilter:
    """Return the filter of rows that may be rolled up, in the form that the partial indexes have."""
    return CorrelationFilter(
        types=(kind,),
        metric_names=names,
        time_from=start,
        time_to=before,
        time_to_exclusive=True,
        resolutions=(resolution,),
        retention_policies=(policy,),
    )


def _plan(plan: RetentionPlan | str) -> RetentionPlan:
    if isinstance(plan, str):
        if plan not in PRESETS:
            raise InvalidArgument(f"there is no plan {plan!r}. Choose {', '.join(PRESETS)}, or make a RetentionPlan.")
        return PRESETS[plan]
    return plan


def _nothing() -> None:
    """Do nothing: a dry run holds no lease."""
