"""Examination of a store: its faults, the fix for each, and its growth."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import before
from ciris_store_core.contract.backend import Session
from ciris_store_core.models.correlations import CorrelationFilter
from ciris_store_core.models.documents import DocumentQuery
from ciris_store_core.models.enums import TaskStatus, ThoughtStatus
from ciris_store_core.models.graph import NodeQuery
from ciris_store_core.models.operations import Finding, Severity, TableSize
from ciris_store_core.models.streams import StreamQuery
from ciris_store_core.models.tasks import SHARED_OCCURRENCE, TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery
from ciris_store_core.services.maintenance import DatabaseMaintenanceService, MaintenancePolicy
from ciris_store_core.store import Store
from ciris_store_core.transfer.copy_progress import read_progress
from ciris_store_core.transfer.record_kinds import KindSelection
from ciris_store_core.transfer.store_reader import StoreReader

SKEW = timedelta(seconds=5)
"""Greatest tolerated difference between the clocks of host and server; leases and heartbeats last about a minute."""
LONG_LEASE = timedelta(days=1)
"""Longest lease that is no finding. If its holder has died, a lease blocks all other owners until it expires."""
PAGE_SIZE = 1000
"""Number of unfinished thoughts of ``__shared__`` that one page reads."""

_DAY, _WEEK = timedelta(days=1), timedelta(days=7)
_UNFINISHED = (TaskStatus.PENDING, TaskStatus.ACTIVE)
_UNFINISHED_THOUGHTS = (ThoughtStatus.PENDING, ThoughtStatus.PROCESSING)
_WITH_HOST_TIMES = ("tasks", "correlations", "documents", "streams")
_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


@dataclass(frozen=True, slots=True)
class Growth:
    """Number of records of a kind, and of recent ones."""

    records: int
    last_day: int
    last_week: int
    """By the times in the records; for nodes, documents and streams, by the time of the last write."""


@dataclass(slots=True)
class DoctorReport:
    """Findings, sizes and growth of one store."""

    url: str
    checked_at: datetime
    info: dict[str, Any]
    """Versions and settings."""
    findings: list[Finding] = field(default_factory=list)
    """Worst first."""
    tables: list[TableSize] = field(default_factory=list)
    """Largest first, if the database reports sizes."""
    growth: dict[str, Growth] = field(default_factory=dict)

    def worst(self) -> Severity | None:
        """Return the severity of the worst finding; None if there is none."""
        return self.findings[0].severity if self.findings else None


def examine(store: Store, *, thorough: bool = False) -> DoctorReport:
    """Return the findings, sizes and growth of a store; nothing is changed.

    Args:
        store: The store.
        thorough: Read everything: every row, every audit chain, and the database's own full checks.
    """
    doctor = _Doctor(store)
    diagnosis = store._backend.diagnose(thorough=thorough)
    findings = [*diagnosis.findings, *doctor.findings(thorough)]
    findings.sort(key=lambda finding: _ORDER[finding.severity])
    info = dict(store.info())
    return DoctorReport(str(info["url"]), doctor.now, info, findings, diagnosis.tables, doctor.growth())


class _Doctor:
    def __init__(self, store: Store) -> None:
        self._store = store
        # Services that work on rows use the same executor as the resources of the store.
        self._x = store._x
        self.now = store.server_now()
        self._policy = MaintenancePolicy()

    def findings(self, thorough: bool) -> Iterator[Finding]:
        """Yield the findings that are the same for every backend."""
        yield from self._clocks()
        checks: tuple[Callable[[Session], Iterator[Finding]], ...] = (
            self._copies, self._leases, self._abandoned, self._shared_thoughts, self._old, self._future,
        )  # fmt: skip
        for check in checks:
            yield from self._x.read("doctor.examine", lambda session, check=check: list(check(session)), single=False)  # type: ignore[misc]
        yield from self._untidy()
        if thorough:
            yield from self._corrupt()
            yield from self._audit()

    # --- clocks -------------------------------------------------------------------------------

    def _clocks(self) -> Iterator[Finding]:
        before = self._store.clock.now()
        server = self._store.server_now()
        half = (self._store.clock.now() - before) / 2
        skew = server - (before + half)
        if abs(skew) > SKEW + half:
            seconds = round(skew.total_seconds(), 3)
            summary = f"this host's clock is {abs(seconds)} s {'behind' if seconds > 0 else 'ahead of'} the server's"
            fix = "synchronise both by NTP, as with: systemctl enable --now chrony"
            yield Finding("clock_skew", Severity.WARNING, summary, fix, {"seconds": seconds})

    # --- work ---------------------------------------------------------------------------------

    def _copies(self, session: Session) -> Iterator[Finding]:
        progress = read_progress(session)
        if progress is not None:
            summary = f"this store is an unfinished copy of {progress.source}"
            fix = "go on with the same copy, restore or import, or empty the store"
            yield Finding("unfinished_copy", Severity.ERROR, summary, fix, {"source": progress.source})

    def _leases(self, session: Session) -> Iterator[Finding]:
        for lease in session.coordination.list_leases(self.now):
            if lease.expires_at - self.now > LONG_LEASE:
                until = f"{lease.expires_at:%Y-%m-%d %H:%M} UTC"
                summary = f"the lease {lease.name!r} of {lease.owner!r} keeps others out until {until}"
                fix = f"if its holder is gone: ciris-store leases release {shlex.quote(lease.name)}"
                data = {"name": lease.name, "owner": lease.owner, "expires_at": lease.expires_at.isoformat()}
                yield Finding("stuck_lease", Severity.WARNING, summary, fix, data)

    def _abandoned(self, session: Session) -> Iterator[Finding]:
        dead = [each for each in session.coordination.list_occurrences(None) if not each.alive(self.now)]
        active = (TaskStatus.ACTIVE,)
        queries = {each.occurrence_id: TaskQuery(occurrence_id=each.occurrence_id, statuses=active) for each in dead}
        owners = {owner: count for owner, query in queries.items() if (count := session.tasks.count(query))}
        if owners:
            names = ", ".join(list(owners)[:3])
            summary = f"dead occurrences own {sum(owners.values())} active tasks: {names}"
            fix = "ciris-store tasks rescue; for unclaimed ones: ciris-store tasks transfer TASK"
            data = {"tasks": sum(owners.values()), "occurrences": list(owners)[:100]}
            yield Finding("work_of_the_dead", Severity.WARNING, summary, fix, data)

    def _shared_thoughts(self, session: Session) -> Iterator[Finding]:
        stuck = stuck_thoughts(session)
        if stuck:
            summary = f"{sum(stuck.values())} thoughts are stuck in {SHARED_OCCURRENCE}: their tasks have other owners"
            data = {"thoughts": sum(stuck.values()), "tasks": [task_id for task_id, _ in list(stuck)[:20]]}
            yield Finding("stuck_thoughts", Severity.WARNING, summary, "ciris-store thoughts unstick", data)

    def _old(self, session: Session) -> Iterator[Finding]:
        assert self._policy.completed_after is not None
        since = before(self.now, self._policy.completed_after)
        count = session.tasks.count(TaskQuery(statuses=(TaskStatus.COMPLETED,), updated_to=since))
        if count:
            summary = f"{count} tasks were completed more than {self._policy.completed_after.days} days ago"
            yield Finding("old_tasks", Severity.INFO, summary, "ciris-store maintain", {"tasks": count})

    def _future(self, session: Session) -> Iterator[Finding]:
        later = self.now + _DAY
        found = {name: count(later) for name, count in self._counts(session).items() if name in _WITH_HOST_TIMES}
        if any(found.values()):
            counted = ", ".join(f"{count} {name}" for name, count in found.items() if count)
            summary = f"records are of the future, since a host's clock was wrong: {counted}"
            fix = "find the host, and set its clock by NTP"
            yield Finding("future_times", Severity.WARNING, summary, fix, found)

    def _untidy(self) -> Iterator[Finding]:
        policy = replace(self._policy, completed_after=None, expire=False)
        would = DatabaseMaintenanceService(self._store, archive_dir=None, policy=policy).run(dry_run=True)
        for code, count, what in (
            ("stale_shared_tasks", would.stale_shared_tasks, "shared tasks that no occurrence took"),
            (
                "orphans",
                would.orphaned_tasks + would.orphaned_thoughts,
                "orphaned tasks or thoughts",
            ),
            ("stuck_in_processing", would.recovered_thoughts, "thoughts that dead occurrences left in processing"),
        ):
            if count:
                summary = f"there are {what}: {count}"
                yield Finding(code, Severity.WARNING, summary, "ciris-store maintain", {"count": count})

    # --- everything ---------------------------------------------------------------------------

    def _corrupt(self) -> Iterator[Finding]:
        found: list[str] = []
        with StoreReader.of(
            self._store, KindSelection(), lambda kind, row: found.append(f"{kind} {row.key}")
        ) as reader:
            for _ in reader.chunks(None):
                pass
        if found:
            summary = f"{len(found)} rows cannot be read: {', '.join(found[:3])}"
            fix = "restore them from a backup: ciris-store restore BACKUP URL, into another store"
            yield Finding("corrupt_rows", Severity.ERROR, summary, fix, {"rows": found[:100]})

    def _audit(self) -> Iterator[Finding]:
        report = self._store.audit.verify()
        if report.problems:
            summary = "an audit chain was changed, or entries of it are missing"
            yield Finding("audit_chains", Severity.ERROR, summary, "ciris-store audit verify")

    def growth(self) -> dict[str, Growth]:
        """Return the growth of the kinds of records that grow."""
        return self._x.read("doctor.count_growth", self._growth, single=False)

    def _growth(self, session: Session) -> dict[str, Growth]:
        day, week = self.now - _DAY, self.now - _WEEK
        counts = self._counts(session)
        return {name: Growth(count(None), count(day), count(week)) for name, count in counts.items()}

    def _counts(self, session: Session) -> dict[str, Callable[[datetime | None], int]]:
        """Return what counts the records of each kind since a time."""
        counts: dict[str, Callable[[datetime | None], int]] = {
            "nodes": lambda since: session.graph.count_nodes(NodeQuery(updated_from=since)),
            "tasks": lambda since: session.tasks.count(TaskQuery(created_from=since)),
            "thoughts": lambda since: session.thoughts.count(ThoughtQuery(created_from=since)),
            "correlations": lambda since: session.correlations.count(CorrelationFilter(time_from=since)),
        }
        if Capability.DOCUMENTS in self._store.capabilities:
            counts["documents"] = lambda since: session.documents.count(DocumentQuery(updated_from=since))
        if Capability.STREAMS in self._store.capabilities:
            counts["streams"] = lambda since: session.streams.count(StreamQuery(updated_from=since))
        return counts


# --- stuck thoughts ---------------------------------------------------------------------------


def stuck_thoughts(session: Session) -> dict[tuple[str, str], int]:
    """Return the number of unfinished thoughts of ``__shared__`` whose task now has another owner, by (task, owner)."""
    query = ThoughtQuery(PAGE_SIZE, occurrence_id=SHARED_OCCURRENCE, statuses=_UNFINISHED_THOUGHTS)
    found: dict[tuple[str, str], int] = {}
    while True:
        page = session.thoughts.find(query)
        ids = list(dict.fromkeys(thought.source_task_id for thought in page.items))
        owners = {task.task_id: task.agent_occurrence_id for task in session.tasks.get(ids, None)} if ids else {}
        for thought in page.items:
            owner = owners.get(thought.source_task_id, SHARED_OCCURRENCE)
            if owner != SHARED_OCCURRENCE:
                key = (thought.source_task_id, owner)
                found[key] = found.get(key, 0) + 1
        if page.next_after is None:
            return found
        query = replace(query, after=page.next_after)


def unstick(store: Store) -> int:
    """Transfer the thoughts that are stuck in ``__shared__`` to the owners of their tasks; return their number.

    Each transfer is audited, like any other.
    """
    stuck = store._x.read("doctor.unstick", stuck_thoughts, single=False)
    return sum(
        store.thoughts.transfer(task_id=task_id, from_occurrence=SHARED_OCCURRENCE, to_occurrence=owner)
        for task_id, owner in stuck
    )
