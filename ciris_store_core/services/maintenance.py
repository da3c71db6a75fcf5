"""Maintenance of a database that many occurrences share."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import before
from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.enums import TaskStatus, ThoughtStatus
from ciris_store_core.models.ids import uuid7
from ciris_store_core.models.tasks import SHARED_OCCURRENCE, Task, TaskQuery
from ciris_store_core.models.thoughts import Thought
from ciris_store_core.services.archive import Archive
from ciris_store_core.services.periodic import Background, Keep, Scheduled
from ciris_store_core.services.stream_rules import StreamRule, trim
from ciris_store_core.services.sweeps import Rule, Sweeper, Swept
from ciris_store_core.store import Store
from ciris_store_core.store.work.shared_tasks import UNFINISHED_SHARED

DEFAULT_ARCHIVE = Path("data/archive")
"""Beside the database of the default URL."""

_FINISHED = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.REJECTED, TaskStatus.CANCELLED)
_FINISHED_THOUGHTS = (ThoughtStatus.COMPLETED, ThoughtStatus.FAILED, ThoughtStatus.REJECTED)
_COUNTED_AT_MOST = 10_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MaintenancePolicy:
    """Ages, by ``Store.server_now()``, at which records are cleaned, and options of the cleanup."""

    stale_shared_after: timedelta = timedelta(minutes=5)
    """Unfinished shared tasks that no occurrence took over or updated for this long are deleted."""
    orphan_guard: timedelta = timedelta(minutes=2)
    """Orphans that were not updated for this long are deleted."""
    completed_after: timedelta | None = timedelta(days=30)
    """Completed tasks that were not updated for this long are deleted; None: never."""
    rescue: bool = True
    """If True, work claimed by occurrences whose heartbeat expired is released to its queue."""
    expire: bool = True
    """If True, nodes, correlations and documents past their expiry are deleted."""
    streams: tuple[StreamRule, ...] = ()
    """Rules by which the oldest entries of streams are deleted."""
    batch_size: int = 100
    """Greatest number of rows that one transaction deletes, their descendants and thoughts not counted; 1 to 10,000."""

    def __post_init__(self) -> None:
        """Raise ``InvalidArgument`` for ages that would clean live work, and for a batch size out of range."""
        ages = (self.stale_shared_after, self.orphan_guard, self.completed_after)
        if any(age is not None and age <= timedelta(0) for age in ages):
            raise InvalidArgument("the ages of a MaintenancePolicy must be more than 0")
        if type(self.batch_size) is not int or not 1 <= self.batch_size <= 10_000:
            raise InvalidArgument("batch_size must be a whole number from 1 to 10000")


@dataclass(slots=True)
class MaintenanceReport:
    """Result of one pass, or, of a dry run, the result that a pass would have."""

    started_at: datetime
    finished_at: datetime
    """Both by the store's clock."""
    dry_run: bool = False
    skipped: bool = False
    """Another process held the lease, and nothing was done."""
    rescued_tasks: int = 0
    """Released to their queues."""
    recovered_thoughts: int = 0
    """Moved from processing back to pending."""
    stale_shared_tasks: int = 0
    orphaned_tasks: int = 0
    old_tasks: int = 0
    """Deleted, with their descendants, which are counted here, and their thoughts, which ``thoughts`` counts."""
    thoughts: int = 0
    orphaned_thoughts: int = 0
    """Deleted because their task does not exist."""
    expired_nodes: int = 0
    expired_correlations: int = 0
    expired_documents: int = 0
    """Deleted; a dry run counts up to 10,000 of each."""
    trimmed_entries: int = 0
    """Entries of streams that no rule keeps, deleted."""
    unused_secrets: int = 0
    """Deleted because no record refers to them; a dry run does not look for them."""
    kept: int = 0
    """Tasks that matched a rule and were kept, because a descendant or thought is in use or unfinished."""
    corrupt: int = 0
    """Corrupt rows that matched a rule; they are kept."""
    archive: Path | None = field(default=None)
    """The file of the deleted tasks and thoughts; None if there were none, or they are not archived."""

    @property
    def removed(self) -> int:
        """Total number of deleted records."""
        tasks = self.stale_shared_tasks + self.orphaned_tasks + self.old_tasks
        expired = self.expired_nodes + self.expired_correlations + self.expired_documents
        return tasks + self.thoughts + self.orphaned_thoughts + expired + self.trimmed_entries


class DatabaseMaintenanceService(Scheduled[MaintenanceReport]):
    """Cleanup of expired, orphaned and old records, without touching live work of any occurrence.

    ``run`` does one pass. ``start`` begins a daemon thread that does one at once and then one every
    ``interval_seconds``; ``stop`` ends it; as a context manager, the service does both. Of all processes on one
    database, one at a time runs a pass, under the lease ``maintenance``. Nothing runs before ``run`` or ``start``.

    One pass, in this order:

    - Stale shared tasks: marked as shared, still owned by ``__shared__``, unfinished, and not updated for five minutes.
      An active one is kept while its claimant is a registered occurrence that is alive.
    - Orphans, except those of living occurrences: tasks whose parent does not exist or failed, and thoughts whose task
      does not exist, not updated for two minutes.
    - Completed tasks not updated for 30 days: those of this store's own occurrence, and of occurrences that are not
      alive. Other living occurrences clean their own.
    - Work of occurrences whose heartbeat expired: thoughts in processing become pending, and claimed work is released
      to its queue. Work of occurrences that never registered is not touched in this step.
    - Nodes, correlations and documents past their expiry.
    - Entries of streams that no rule of the policy keeps.
    - Secrets that no record refers to any more; see ``store.secrets.sweep``.

    A task is deleted with its descendants and thoughts, or not at all: it is kept if one of these belongs to a living
    occurrence, was updated lately, or (completed tasks) is unfinished. Tasks and thoughts are archived before they are
    deleted. Expired records and entries of streams are not: their writer chose the time to forget them.
    """

    def __init__(
        self,
        store: Store,
        *,
        archive_dir: str | os.PathLike[str] | None = DEFAULT_ARCHIVE,
        policy: MaintenancePolicy | None = None,
        interval_seconds: float = 3600,
        occurrence_id: str | None = None,
    ) -> None:
        """Prepare the service; the database is not touched.

        Args:
            store: The store to clean. Stop the service before you close the store.
            archive_dir: Folder in which every pass that deletes tasks or thoughts leaves one file of JSON Lines,
                readable by its owner alone; created if missing. None: no archive, and deleted records are lost.
            policy: Ages and limits.
            interval_seconds: Time between passes of the background thread.
            occurrence_id: The occurrence whose completed tasks may be cleaned although it is alive; by default the
                store's own.
        """
        self.policy = policy or MaintenancePolicy()
        """Ages and limits."""
        self._store = store
        # Services that work on rows use the same executor as the resources of the store.
        self._x, self._ctx = store._x, store._ctx
        self._own = self._ctx.identity(occurrence_id or self._ctx.occurrence_id, "occurrence_id")
        self._folder = None if archive_dir is None else Path(archive_dir)
        super().__init__(Background(store, "maintenance", self._pass, interval_seconds=interval_seconds))

    # --- one pass -----------------------------------------------------------------------------------

    def run(self, *, dry_run: bool = False) -> MaintenanceReport:
        """Run one pass now, in this thread; running it again changes nothing more.

        Args:
            dry_run: Change nothing, and report the result that a pass would have now.

        Raises:
            StorageFull, ReadOnly: The archive cannot be written; nothing of that batch was deleted.
            StaleFence: The lease was lost, for example because the computer slept; finished batches stay.
        """
        if dry_run:
            return self._pass(_nothing, dry_run=True)
        now = self._ctx.server_now()
        return self._background.run_once() or MaintenanceReport(now, now, skipped=True)

    def rescue(self) -> MaintenanceReport:
        """Rescue only the work of dead occurrences: release their claims, and move thoughts in processing to pending.

        No lease is needed: if several processes do this at once, each piece of work is released once.
        """
        now = self._ctx.server_now()
        sweeper = Sweeper(self._x, self._ctx, Archive(None, ""), _nothing, self.policy.batch_size, dry_run=False)
        recovered, rescued = sweeper.recovered_thoughts(), sweeper.rescued_tasks()
        finished = self._ctx.server_now()
        return MaintenanceReport(now, finished, rescued_tasks=rescued, recovered_thoughts=recovered)

    def _pass(self, keep: Keep, dry_run: bool = False) -> MaintenanceReport:
        now = self._ctx.server_now()
        report = MaintenanceReport(now, now, dry_run=dry_run)
        name = f"maintenance-{now:%Y%m%dT%H%M%S}-{uuid7()[-12:]}.jsonl"
        with Archive(self._folder, name) as archive:
            sweeper = Sweeper(self._x, self._ctx, archive, keep, self.policy.batch_size, dry_run=dry_run)
            self._sweep(sweeper, report, now)
            report.recovered_thoughts = sweeper.recovered_thoughts()
            if self.policy.rescue:
                report.rescued_tasks = sweeper.rescued_tasks()
            if self.policy.expire:
                self._expire(report, keep)
            for rule in self.policy.streams:
                report.trimmed_entries += trim(self._store, rule, now, keep, dry_run=dry_run)
            if not dry_run:
                keep()
                report.unused_secrets = self._store.secrets.sweep()
            report.archive = archive.path
        report.finished_at = self._ctx.server_now()
        logger.info("maintenance: %s", report)
        return report

    def _sweep(self, sweeper: Sweeper, report: MaintenanceReport, now: datetime) -> None:
        stale = _stale_shared(before(now, self.policy.stale_shared_after))
        report.stale_shared_tasks = _tasks(report, sweeper.tasks(stale))
        query = TaskQuery(orphaned=True, owner_dead_at=now)
        orphaned = Rule("orphaned_tasks", query, before(now, self.policy.orphan_guard), lambda item: True)
        report.orphaned_tasks = _tasks(report, sweeper.tasks(orphaned))
        thoughts = sweeper.orphaned_thoughts(orphaned.older_than)
        report.orphaned_thoughts = thoughts.thoughts
        _tasks(report, replace(thoughts, thoughts=0))
        if self.policy.completed_after is not None:
            for rule in _completed(now, before(now, self.policy.completed_after), self._own):
                report.old_tasks += _tasks(report, sweeper.tasks(rule))

    def _expire(self, report: MaintenanceReport, keep: Keep) -> None:
        run = self._count_expired if report.dry_run else self._delete_expired
        report.expired_nodes = run(lambda s, now, limit: s.graph.delete_expired_nodes(now, limit), keep)
        report.expired_correlations = run(lambda s, now, limit: s.correlations.delete_expired(now, limit), keep)
        if Capability.DOCUMENTS in self._ctx.capabilities:
            report.expired_documents = run(lambda s, now, limit: s.documents.delete_expired(now, limit), keep)

    def _delete_expired(self, delete: _Delete, keep: Keep) -> int:
        now, limit = self._ctx.server_now(), self.policy.batch_size
        total, count = 0, limit
        while count == limit:
            keep()
            count = self._x.write("maintenance.delete_expired", lambda session: delete(session, now, limit))
            total += count
        return total

    def _count_expired(self, delete: _Delete, keep: Keep) -> int:
        """Return the number of expired rows. No query lists them: delete them and roll back."""
        now = self._ctx.server_now()

        def fn(session: Session) -> int:
            raise _RolledBack(delete(session, now, _COUNTED_AT_MOST))

        try:
            return self._x.write("maintenance.count_expired", fn, single=False)
        except _RolledBack as rolled_back:
            return rolled_back.count


_Delete = Callable[[Session, datetime, int], int]


class _RolledBack(Exception):
    def __init__(self, count: int) -> None:
        self.count = count


def _nothing() -> None:
    """Do nothing: a dry run holds no lease."""


def _tasks(report: MaintenanceReport, swept: Swept) -> int:
    """Return the number of deleted tasks; add the rest to the report."""
    report.thoughts += swept.thoughts
    report.kept += swept.kept
    report.corrupt += swept.corrupt
    return swept.tasks


# --- the rules ------------------------------------------------------------------------------------


def _stale_shared(older_than: datetime) -> Rule:
    query = TaskQuery(occurrence_id=SHARED_OCCURRENCE, only_shared=True, statuses=UNFINISHED_SHARED)
    return Rule(
        "stale_shared_tasks",
        query,
        older_than,
        lambda item: item.agent_occurrence_id == SHARED_OCCURRENCE,
        worker_of=_claimant,
    )


def _claimant(item: Task | Thought) -> str | None:
    """Return the occurrence that claimed an active shared task and did not transfer it to itself."""
    if isinstance(item, Task) and item.status == TaskStatus.ACTIVE:
        return item.claimed_by or item.created_by
    return None


def _completed(now: datetime, older_than: datetime, own: str) -> tuple[Rule, Rule]:
    mine = TaskQuery(occurrence_id=own, statuses=(TaskStatus.COMPLETED,))
    of_the_dead = TaskQuery(owner_dead_at=now, statuses=(TaskStatus.COMPLETED,))
    return (
        Rule("old_tasks", mine, older_than, _is_finished, own=own),
        Rule("old_tasks", of_the_dead, older_than, _is_finished, not_of=own),
    )


def _is_finished(item: Task | Thought) -> bool:
    return item.status in (_FINISHED if isinstance(item, Task) else _FINISHED_THOUGHTS)
