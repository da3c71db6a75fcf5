"""Keeping a database tidy that many occurrences share."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from ciris_store_core.clock import before
from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.enums import TaskStatus, ThoughtStatus
from ciris_store_core.models.ids import uuid7
from ciris_store_core.models.tasks import SHARED_OCCURRENCE, Task, TaskQuery
from ciris_store_core.models.thoughts import Thought
from ciris_store_core.services.archive import Archive
from ciris_store_core.services.periodic import Background, Keep, Scheduled
from ciris_store_core.services.sweeps import Rule, Sweeper, Swept
from ciris_store_core.store import Store

DEFAULT_ARCHIVE = Path("data/archive")
"""Beside the database of the default URL."""

_FINISHED = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.REJECTED, TaskStatus.CANCELLED)
_FINISHED_THOUGHTS = (ThoughtStatus.COMPLETED, ThoughtStatus.FAILED, ThoughtStatus.REJECTED)
_COUNTED_AT_MOST = 10_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MaintenancePolicy:
    """Ages, by ``Store.server_now()``, from which records are cleaned, and the way to clean them."""

    stale_shared_after: timedelta = timedelta(minutes=5)
    """Pending shared tasks that no occurrence took over or updated for so long are removed."""
    orphan_guard: timedelta = timedelta(minutes=2)
    """Orphans that were not updated for so long are removed."""
    completed_after: timedelta | None = timedelta(days=30)
    """Completed tasks that were not updated for so long are removed; None: never."""
    rescue: bool = True
    """Whether work claimed by occurrences whose heartbeat ran out is released to its queue."""
    expire: bool = True
    """Whether nodes and correlations whose time is over are removed."""
    batch_size: int = 100
    """How many rows one transaction removes at most, not counting what hangs on them; 1 to 10,000."""

    def __post_init__(self) -> None:
        """Refuse ages that would clean what is at work."""
        ages = (self.stale_shared_after, self.orphan_guard, self.completed_after)
        if any(age is not None and age <= timedelta(0) for age in ages):
            raise InvalidArgument("a MaintenancePolicy needs ages of more than 0")
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
    """Another process was at it, and nothing was done."""
    rescued_tasks: int = 0
    """Released to their queues."""
    recovered_thoughts: int = 0
    """Moved from processing back to pending."""
    stale_shared_tasks: int = 0
    orphaned_tasks: int = 0
    old_tasks: int = 0
    """Removed, with all that hangs on them: descendants are counted here, thoughts in ``thoughts``."""
    thoughts: int = 0
    orphaned_thoughts: int = 0
    """Removed, whose task was gone."""
    expired_nodes: int = 0
    expired_correlations: int = 0
    """Removed; a dry run counts up to 10,000 of each."""
    unused_secrets: int = 0
    """Removed, as no record refers to them any more; a dry run does not look for them."""
    kept: int = 0
    """Tasks that matched a rule and stayed, as something that hangs on them is at work or unfinished."""
    corrupt: int = 0
    """Rows that matched a rule and cannot be read; they stay."""
    archive: Path | None = field(default=None)
    """The file with what was removed; None if nothing was."""

    @property
    def removed(self) -> int:
        """Number of removed records in all."""
        tasks = self.stale_shared_tasks + self.orphaned_tasks + self.old_tasks
        return tasks + self.thoughts + self.orphaned_thoughts + self.expired_nodes + self.expired_correlations


class DatabaseMaintenanceService(Scheduled[MaintenanceReport]):
    """Cleanup of expired, orphaned and old records, without touching live work of any occurrence.

    ``run`` does one pass. ``start`` begins a daemon thread that does one at once and then one every
    ``interval_seconds``; ``stop`` ends it; as a context manager it does both. Of all processes on one database one at a
    time is at it, under the lease ``maintenance``. Nothing runs before it is asked for.

    One pass, in this order:

    - Stale shared tasks: marked as shared, still owned by ``__shared__``, pending, and not updated for five minutes.
    - Orphans of all occurrences but those that are alive: tasks whose parent is gone or failed, thoughts whose task is
      gone, not updated for two minutes.
    - Completed tasks not updated for 30 days: those of this store's own occurrence, and of occurrences that are not
      alive. Other occurrences clean theirs.
    - Of occurrences whose heartbeat ran out: thoughts left in processing become pending, and claimed work goes back to
      its queue. An occurrence that never registered is left alone in this.
    - Nodes and correlations past their expiry.
    - Secrets that no record refers to any more; see ``store.secrets.sweep``.

    A task goes with its descendants and thoughts, or not at all: it stays where any of these belongs to a living
    occurrence, was updated lately, or (completed tasks) is unfinished. What is removed is archived first, except for
    what expired, which was written with the wish to be forgotten.
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
        """Prepare it; touches nothing.

        Args:
            store: What to clean. Stop the service before you close it.
            archive_dir: Where every pass that removes tasks or thoughts leaves one file of JSON Lines, readable by its
                owner alone; made where it is missing. None: what is removed is gone for good.
            policy: Ages and limits.
            interval_seconds: Between passes of the background thread.
            occurrence_id: Whose completed tasks may be cleaned although it is alive: by default the store's own.
        """
        self.policy = policy or MaintenancePolicy()
        """Ages and limits."""
        self._store = store
        # Layers above the API that work on rows go through the same executor as its parts.
        self._x, self._ctx = store._x, store._ctx
        self._own = self._ctx.identity(occurrence_id or self._ctx.occurrence_id, "occurrence_id")
        self._folder = None if archive_dir is None else Path(archive_dir)
        super().__init__(Background(store, "maintenance", self._pass, interval_seconds=interval_seconds))

    # --- one pass -----------------------------------------------------------------------------------

    def run(self, *, dry_run: bool = False) -> MaintenanceReport:
        """Do one pass now, in this thread; running it again changes nothing more.

        Args:
            dry_run: Change nothing, and report what a pass would do now.

        Raises:
            StorageFull, ReadOnly: The archive cannot be written; nothing of that batch was deleted.
            StaleFence: The lease was lost, as by a computer that slept; what was done stands.
        """
        if dry_run:
            return self._pass(_nothing, dry_run=True)
        now = self._ctx.server_now()
        return self._background.run_once() or MaintenanceReport(now, now, skipped=True)

    def rescue(self) -> MaintenanceReport:
        """Rescue the work of dead occurrences only: release their claims, and free thoughts in processing.

        Needs no lease: whatever number of processes do it at once, each piece of work is released once.
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
        orphaned = _orphaned(now, before(now, self.policy.orphan_guard))
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

    def _delete_expired(self, delete: _Delete, keep: Keep) -> int:
        now, limit = self._ctx.server_now(), self.policy.batch_size
        total, count = 0, limit
        while count == limit:
            keep()
            count = self._x.write("maintenance.delete_expired", lambda session: delete(session, now, limit))
            total += count
        return total

    def _count_expired(self, delete: _Delete, keep: Keep) -> int:
        """Deleting and taking it back: no query lists what has expired."""
        now = self._ctx.server_now()

        def fn(session: Session) -> int:
            raise _TakenBack(delete(session, now, _COUNTED_AT_MOST))

        try:
            return self._x.write("maintenance.count_expired", fn, single=False)
        except _TakenBack as taken_back:
            return taken_back.count


_Delete = Callable[[Session, datetime, int], int]


class _TakenBack(Exception):
    def __init__(self, count: int) -> None:
        self.count = count


def _nothing() -> None:
    """Return a dry run holds no lease."""


def _tasks(report: MaintenanceReport, swept: Swept) -> int:
    """Return the number of deleted tasks; add the rest to the report."""
    report.thoughts += swept.thoughts
    report.kept += swept.kept
    report.corrupt += swept.corrupt
    return swept.tasks


# --- the rules ------------------------------------------------------------------------------------


def _stale_shared(older_than: datetime) -> Rule:
    query = TaskQuery(occurrence_id=SHARED_OCCURRENCE, only_shared=True, statuses=(TaskStatus.PENDING,))
    return Rule("stale_shared_tasks", query, older_than, lambda item: item.agent_occurrence_id == SHARED_OCCURRENCE)


def _orphaned(now: datetime, older_than: datetime) -> Rule:
    return Rule("orphaned_tasks", TaskQuery(orphaned=True, owner_dead_at=now), older_than, lambda item: True)


def _completed(now: datetime, older_than: datetime, own: str) -> tuple[Rule, Rule]:
    mine = TaskQuery(occurrence_id=own, statuses=(TaskStatus.COMPLETED,))
    of_the_dead = TaskQuery(owner_dead_at=now, statuses=(TaskStatus.COMPLETED,))
    return (
        Rule("old_tasks", mine, older_than, _is_finished, own=own),
        Rule("old_tasks", of_the_dead, older_than, _is_finished, not_of=own),
    )


def _is_finished(item: Task | Thought) -> bool:
    return item.status in (_FINISHED if isinstance(item, Task) else _FINISHED_THOUGHTS)
