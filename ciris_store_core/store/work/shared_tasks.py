"""Shared tasks: work that exactly one occurrence does each day."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from ciris_store_core.contract.backend import Session
from ciris_store_core.contract.thoughts import ThoughtSelector
from ciris_store_core.models.enums import TaskStatus
from ciris_store_core.models.paging import Page
from ciris_store_core.models.tasks import SHARED_OCCURRENCE, Task, TaskQuery
from ciris_store_core.secrets.crypto import keep
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.store.context import StoreContext
from ciris_store_core.store.resource import SCAN_SIZE, Resource, all_pages, page_of, position, raise_corrupt
from ciris_store_core.store.work.ownership import queue_up, record_transfer

_FRESH = timedelta(minutes=5)
_DAY = timedelta(days=1)
UNFINISHED_SHARED = (TaskStatus.PENDING, TaskStatus.ACTIVE, TaskStatus.DEFERRED)
"""The statuses of a shared task that is still to be done."""


class SharedTasks(Resource):
    """Tasks that belong to all occurrences until one takes them over. Dates and ages are judged by server time."""

    __slots__ = ()

    def try_claim(
        self, task_type: str, channel_id: str, description: str, priority: int = 0, *, occurrence_id: str | None = None
    ) -> tuple[Task, bool]:
        """Claim today's task of that type; return the stored task, and True if this call created it.

        Of all concurrent callers, in any number of threads, processes and hosts, exactly one gets True. The others get
        the stored task, finished or not. An unfinished task of the day before that is younger than five minutes counts
        as today's. The task is owned by ``__shared__``; ``claim_and_transfer`` claims it and takes it over at once.

        Args:
            task_type: Upper-cased; with the UTC date it makes the id, such as ``WAKEUP_SHARED_20251028``.
            channel_id: The channel of the task.
            description: The work to do.
            priority: 0 to 10.
            occurrence_id: The claimant, recorded in ``created_by``; by default the store's own occurrence.
        """
        claimant = self._claimant(occurrence_id)
        extracted = ExtractedSecrets()
        wanted = self._wanted(task_type, channel_id, description, priority, claimant, extracted)
        known = self._x.read("shared_tasks.try_claim", lambda session: _find_existing(session, wanted))
        if known is not None:
            return known, False
        return self._x.write("shared_tasks.try_claim", lambda session: _claim(session, wanted, extracted), single=False)

    def claim_and_transfer(
        self, task_type: str, channel_id: str, description: str, priority: int = 0, *, occurrence_id: str | None = None
    ) -> tuple[Task, bool]:
        """Claim today's task as ``try_claim`` does; if this call creates it, transfer it to the occurrence.

        Return the task as it is now, and True if this call created it. Its thoughts move along, all in one
        transaction. The transfers are recorded in that transaction as audit events ``task_ownership_transfer`` and
        ``thought_ownership_transfer``, which are stored as correlations of type ``audit_event``.
        """
        owner, extracted = self._claimant(occurrence_id), ExtractedSecrets()
        wanted = self._wanted(task_type, channel_id, description, priority, owner, extracted)

        def fn(session: Session) -> tuple[Task, bool]:
            task, created = _claim(session, wanted, extracted)
            return (_take(session, self._ctx, task, owner), True) if created else (task, False)

        known = self._x.read("shared_tasks.claim_and_transfer", lambda session: _find_existing(session, wanted))
        return (
            (known, False) if known is not None else self._x.write("shared_tasks.claim_and_transfer", fn, single=False)
        )

    def latest(self, task_type: str, within_hours: float = 24) -> Task | None:
        """Return the newest shared task of exactly that type created within ``within_hours``, of any owner, or None."""
        kind, since = self._type(task_type), self._ctx.server_now() - self._ctx.hours(within_hours, "within_hours")
        # The listing is oldest first and holds at most one task a day.
        newest = deque(all_pages(lambda cursor: self._page(kind, since, cursor), raise_corrupt), maxlen=1)
        return newest[0] if newest else None

    def status(self, task_type: str, within_hours: float = 24) -> TaskStatus | None:
        """Return the status of the ``latest`` task, or None if there is none."""
        task = self.latest(task_type, within_hours)
        return None if task is None else task.status

    def is_completed(self, task_type: str, within_hours: float = 24) -> bool:
        """Return True if the ``latest`` task is completed; False if there is none."""
        return self.status(task_type, within_hours) == TaskStatus.COMPLETED

    # --- inside -----------------------------------------------------------------------------------

    def _claimant(self, occurrence_id: str | None) -> str:
        if occurrence_id is None:
            return self._ctx.occurrence_id
        return self._ctx.one_owner(self._ctx.identity(occurrence_id, "occurrence_id"), "occurrence_id")

    def _type(self, task_type: str) -> str:
        return self._ctx.check.ident(task_type, "task_type").upper()

    def _wanted(
        self,
        task_type: str,
        channel_id: str,
        description: str,
        priority: int,
        claimant: str,
        extracted: ExtractedSecrets,
    ) -> Task:
        kind, now = self._type(task_type), self._ctx.server_now()
        task = Task(
            task_id=_shared_id(kind, now),
            channel_id=channel_id,
            description=description,
            priority=priority,
            agent_occurrence_id=SHARED_OCCURRENCE,
            created_at=now,
            updated_at=now,
            created_by=claimant,
            shared_type=kind,
        )
        return self._ctx.check.record(task, Task, now, extracted)

    def _page(self, kind: str, since: datetime, cursor: str | None) -> Page[Task]:
        after = position(self._ctx, "shared", (datetime, str), cursor)
        query = TaskQuery(limit=SCAN_SIZE, after=after, shared_type=kind, only_shared=True, created_from=since)
        return page_of(self._x.read("shared_tasks.latest", lambda session: session.tasks.find(query)), "shared")


def _shared_id(kind: str, day: datetime) -> str:
    return f"{kind}_SHARED_{day:%Y%m%d}"


def _claim(session: Session, wanted: Task, extracted: ExtractedSecrets) -> tuple[Task, bool]:
    """Return the stored task, and True if this call stored it."""
    # Within one day the id settles races: it is unique. Around midnight there are two ids, and a caller that looks for
    # yesterday's task must not miss one whose insert is not committed yet. So claims of a type are serialized here.
    queue_up(session, f"shared_task:{wanted.shared_type}")
    existing = _find_existing(session, wanted)
    if existing is not None:
        return existing, False
    task, created = session.tasks.add_or_get(wanted)
    if created and extracted:
        keep(session, extracted)
    return task, created


def _find_existing(session: Session, wanted: Task) -> Task | None:
    """Return the stored task that counts as the wanted one."""
    kind, now = wanted.shared_type or "", wanted.created_at
    today, tomorrow, yesterday = (_shared_id(kind, day) for day in (now, now + _DAY, now - _DAY))
    found = {task.task_id: task for task in session.tasks.get([today, tomorrow, yesterday], None)}
    # A task of tomorrow exists if midnight passed since this caller read the clock.
    for task in (found.get(tomorrow), found.get(today)):
        if task is not None:
            return task
    late = found.get(yesterday)
    counts = late is not None and late.status in UNFINISHED_SHARED and now - late.created_at < _FRESH
    return late if counts else None


def _take(session: Session, ctx: StoreContext, task: Task, owner: str) -> Task:
    key, now = task.task_id, task.updated_at
    session.tasks.transfer([key], SHARED_OCCURRENCE, owner, now)
    record_transfer(session, ctx, "task_ownership_transfer", SHARED_OCCURRENCE, owner, task_id=key)
    moved = session.thoughts.transfer(ThoughtSelector(task_id=key), SHARED_OCCURRENCE, owner, now)
    if moved:
        record_transfer(session, ctx, "thought_ownership_transfer", SHARED_OCCURRENCE, owner, task_id=key, count=moved)
    return session.tasks.get([key], owner)[0]
