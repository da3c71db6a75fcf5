"""Tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, TypedDict, Unpack

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import Corrupt, InvalidArgument
from ciris_store_core.models.enums import TaskStatus
from ciris_store_core.models.paging import Page
from ciris_store_core.models.tasks import (
    DEFAULT_OCCURRENCE,
    UPDATABLE_TASK_FIELDS,
    Task,
    TaskOrder,
    TaskQuery,
)
from ciris_store_core.secrets.crypto import keep
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.store.access.secret_refs import delete_with_secrets, drop_of, in_batches
from ciris_store_core.store.context import Owner
from ciris_store_core.store.resource import (
    SCAN_SIZE,
    OnCorrupt,
    OneOrMore,
    Resource,
    add_or_same,
    all_pages,
    by_id,
    page_of,
    position,
    prepare,
    prepare_many,
    refuse_unknown,
    several,
)
from ciris_store_core.store.work.claimed_task import ClaimedTask
from ciris_store_core.store.work.ownership import mark_shared, queue_up, record_transfer
from ciris_store_core.validation.validator import limit_of, moment

TaskList = list[Task]
TaskIds = list[str]
ClaimedTasks = list[ClaimedTask]

_SHAPES: dict[str, tuple[type, ...]] = {
    "created": (datetime, str),
    "priority": (int, datetime, str),
    "updated_desc": (datetime, str),
}


class TaskFilters(TypedDict, total=False):
    """Conditions on tasks; all that are given must hold."""

    status: OneOrMore[TaskStatus | str]
    """One status or several."""
    occurrence_id: Owner
    """Exactly this owner; ``ANY_OCCURRENCE`` for all. By default the store's own occurrence, ``"default"``."""
    channel_id: str | None
    parent_task_id: str | None
    correlation_id: str | None
    """The one in the task's context."""
    shared_type: str | None
    """Only shared tasks of exactly this type, of any owner."""
    created_from: datetime | None
    updated_to: datetime | None
    """Both bounds inclusive, and aware."""
    needs_seed_thought: bool
    """Only tasks that no thought belongs to."""


class Tasks(Resource):
    """Units of work. Every task has one owner, its ``agent_occurrence_id``.

    Every method with an ``occurrence_id`` looks only at tasks of that owner; by default at those of the store's own
    occurrence, ``"default"`` unless the store was opened otherwise; ``ANY_OCCURRENCE`` means all.
    """

    __slots__ = ()

    def add(self, task: Task, *, exist_ok: bool = False) -> Task:
        """Store a new task and return it as stored.

        Times that were not given are the store's; an owner that was not given is the store's own occurrence. A task of
        ``__shared__`` with the id of a shared task, such as ``WAKEUP_SHARED_20251028``, is marked as one.

        Args:
            task: The task to store. It is not changed.
            exist_ok: If a stored task has that id, and every given field with the same value, return it.
                This makes it safe to call again after ``OutcomeUnknown``.

        Raises:
            AlreadyExists: The id exists, and ``exist_ok`` is False or the stored task differs.
            InvalidArgument: A field cannot be stored. Nothing was written.
        """
        if exist_ok:
            return self.add_many([task], exist_ok=True)[0]
        extracted = ExtractedSecrets()
        ready = mark_shared(prepare(self._ctx, task, Task, self._ctx.clock.now(), extracted))
        self._x.write("tasks.add", lambda session: session.tasks.add([ready]), extracted=extracted)
        return ready

    def add_many(self, tasks: Iterable[Task], *, exist_ok: bool = False) -> TaskList:
        """Store many tasks, all or none, and return them as stored, in the order given. See ``add``."""
        extracted = ExtractedSecrets()
        given, ready = prepare_many(self._ctx, tasks, Task, "task_id", extracted)
        ready = [*map(mark_shared, ready)]
        if not ready:
            return []
        if exist_ok:
            return add_or_same("tasks.add_many", self._x, self._ctx, given, ready, "task_id", _stored, _add, extracted)
        self._x.write("tasks.add_many", lambda session: session.tasks.add(ready), extracted=extracted)
        return ready

    def add_unique(self, task: Task) -> tuple[Task, bool]:
        """Store a new task unless one with its context's correlation id exists, of any owner and status.

        Of any number of callers with one correlation id, in any number of threads, processes and hosts, one stores
        its task; the others get the stored one. Tasks stored by ``add`` count too, but ``add`` itself does not check.

        Return the stored task, the oldest if there are several, and True if this call stored it.

        Raises:
            InvalidArgument: The task has no context, and so no correlation id.
            AlreadyExists: A task with that ``task_id`` but another correlation id exists.
        """
        extracted = ExtractedSecrets()
        ready = mark_shared(prepare(self._ctx, task, Task, self._ctx.clock.now(), extracted))
        if ready.context is None:
            raise InvalidArgument("the task has no context. Give it one with the correlation id that is to be unique.")
        known = self._x.read("tasks.add_unique", lambda session: _find_correlated(session, ready))
        if known is not None:
            return known, False
        return self._x.write("tasks.add_unique", lambda session: _add_unique(session, ready, extracted), single=False)

    def get(self, task_id: str, *, occurrence_id: Owner = None, for_update: bool = False) -> Task | None:
        """Return the task with that id, or None if that owner has none.

        ``for_update``, in a transaction only, locks the task: no other transaction changes or deletes it until this
        one ends, so a write that depends on what was read overwrites no concurrent change.
        """
        ids, owner = [self._ctx.check.ident(task_id, "task_id")], self._ctx.owner(occurrence_id)
        found = self._stored(ids, owner, for_update)
        return found[0] if found else None

    def get_many(
        self, task_ids: Iterable[str], *, occurrence_id: Owner = None, for_update: bool = False
    ) -> dict[str, Task]:
        """Return the existing tasks among these ids, by id, in the order of the ids; one round trip. See ``get``."""
        ids, owner = self._ctx.check.idents(task_ids, "task_ids"), self._ctx.owner(occurrence_id)
        found = self._stored(ids, owner, for_update) if ids or for_update else []
        return by_id(found, "task_id", ids)

    def _stored(self, ids: TaskIds, owner: str | None, for_update: bool) -> TaskList:
        if for_update:
            return self._x.lock(lambda session: session.tasks.lock(ids, owner))
        return self._x.read("tasks.get", lambda session: session.tasks.get(ids, owner))

    def update(self, task_id: str, *, occurrence_id: Owner = None, **changes: Any) -> bool:
        """Change the given fields and ``updated_at``; return False if that owner has no such task.

        The owner changes by ``transfer`` and ``claim_next`` alone. No concurrent update of other fields is lost.

        Raises:
            InvalidArgument: A field is unknown or cannot be updated, or its value does not fit.
        """
        key, owner = self._ctx.check.ident(task_id, "task_id"), self._ctx.owner(occurrence_id)
        extracted = ExtractedSecrets()
        now = self._ctx.changed_at()
        new = self._ctx.check.changes(Task, key, changes, UPDATABLE_TASK_FIELDS, now, extracted)
        return self._x.write(
            "tasks.update", lambda session: session.tasks.update(key, new, owner, None), extracted=extracted
        )

    def find(
        self,
        *,
        order: TaskOrder = "created",
        limit: int = 100,
        cursor: str | None = None,
        **filters: Unpack[TaskFilters],
    ) -> Page[Task]:
        """Return one page of tasks.

        Args:
            order: ``created``: oldest first; ``priority``: highest first, then oldest; ``updated_desc``: updated last
                first. Ties go by id.
            limit: The longest page, 1 to 10,000 tasks.
            cursor: The ``next_cursor`` of the page before, of the same order and filters.
            filters: See ``TaskFilters``; statuses are accepted as members or text, one or several.
        """
        return self._page(self._query(**filters), order, limit, cursor)

    def scan(
        self, *, order: TaskOrder = "created", on_corrupt: OnCorrupt | None = None, **filters: Unpack[TaskFilters]
    ) -> Iterator[Task]:
        """Yield every task that matches the filters, read page by page. See ``find``.

        A corrupt row raises ``Corrupt``, or is passed to ``on_corrupt``.
        """
        query = self._query(**filters)
        return all_pages(lambda cursor: self._page(query, order, SCAN_SIZE, cursor), on_corrupt)

    def count(self, **filters: Unpack[TaskFilters]) -> int:
        """Return the number of tasks that match the filters, without loading them."""
        query = TaskQuery(**self._query(**filters))
        return self._x.read("tasks.count", lambda session: session.tasks.count(query))

    def count_by_status(self, *, occurrence_id: Owner = None) -> dict[TaskStatus, int]:
        """Return the number of tasks of each status, 0 included; one round trip."""
        owner = self._ctx.owner(occurrence_id)
        counts = self._x.read("tasks.count_by_status", lambda session: session.tasks.count_by_status(owner))
        return {status: counts.get(status, 0) for status in TaskStatus}

    def delete(self, task_id: str) -> int:
        """Delete a task with its descendants and the thoughts of all of them, of any owner.

        Return the number of deleted tasks, descendants included; 0 if there is no such task. A handle that is bound to
        an occurrence deletes only tasks of that occurrence, with their descendants.
        """
        return self.delete_many([task_id])

    def delete_many(self, task_ids: Iterable[str]) -> int:
        """Delete many tasks and return the number of deleted ones. See ``delete``.

        Ids that do not exist are passed over.

        Up to 1,000 ids are deleted in one transaction; more, outside a transaction, in batches, each a transaction of
        its own, so that other writers need not wait for all of them; after an error some batches may be deleted.
        """
        ids = self._ctx.check.idents(task_ids, "task_ids")
        if not ids:
            return 0
        if self._ctx.bound:
            write = self._x.write
            return in_batches(
                self._x,
                ids,
                lambda batch: write("tasks.delete_many", lambda s: self._delete_own(s, batch), single=False),
            )
        return delete_with_secrets(
            "tasks.delete_many",
            self._x,
            self._ctx,
            ids,
            lambda session, batch: session.tasks.get(batch, None),
            lambda session, batch: session.tasks.delete(batch),
        )

    def _delete_own(self, session: Session, ids: Sequence[str]) -> int:
        own = sorted(session.tasks.get(ids, self._ctx.occurrence_id), key=lambda task: task.task_id)
        for task in own:
            session.tasks.lock_claim(
                task.task_id, task.fence
            )  # No other owner may claim it between this check and the delete.
        count = session.tasks.delete([task.task_id for task in own]) if own else 0
        drop_of(session, own)
        return count

    # --- common queries ----------------------------------------------------------

    def pending_for_activation(self, limit: int = 10, *, occurrence_id: Owner = None) -> Page[Task]:
        """Return pending tasks, highest priority first, then oldest."""
        return self.find(status=TaskStatus.PENDING, occurrence_id=occurrence_id, order="priority", limit=limit)

    def top(self, limit: int = 10, *, occurrence_id: Owner = None) -> Page[Task]:
        """Return pending and active tasks, highest priority first, then oldest."""
        unfinished = (TaskStatus.PENDING, TaskStatus.ACTIVE)
        return self.find(status=unfinished, occurrence_id=occurrence_id, order="priority", limit=limit)

    def recent_completed(self, limit: int = 10, *, occurrence_id: Owner = None) -> Page[Task]:
        """Return completed tasks, last updated first."""
        return self.find(status=TaskStatus.COMPLETED, occurrence_id=occurrence_id, order="updated_desc", limit=limit)

    def needing_seed_thought(self, limit: int = 10, *, occurrence_id: Owner = None) -> Page[Task]:
        """Return active tasks that have no thought yet, oldest first."""
        return self.find(status=TaskStatus.ACTIVE, needs_seed_thought=True, occurrence_id=occurrence_id, limit=limit)

    # --- ownership ------------------------------------------------------------------------------

    def transfer(self, task_id: str, *, from_occurrence: str, to_occurrence: str) -> bool:
        """Transfer a task to another owner; return False if ``from_occurrence`` does not own it, or no longer.

        Only owner, ``updated_at`` and ``fence`` change; its thoughts keep their owner. At every moment a reader sees
        exactly one owner. In the same transaction an audit event ``task_ownership_transfer`` is stored, as a
        correlation of type ``audit_event``.
        """
        check, ctx = self._ctx.check, self._ctx
        key, source = check.ident(task_id, "task_id"), ctx.one_owner(from_occurrence, "from_occurrence")
        target, now = check.ident(to_occurrence, "to_occurrence"), ctx.changed_at()

        def fn(session: Session) -> bool:
            moved = session.tasks.transfer([key], source, target, now) == 1
            if moved:
                record_transfer(session, ctx, "task_ownership_transfer", source, target, task_id=key)
            return moved

        return self._x.write("tasks.transfer", fn, single=False)

    def claim_next(self, worker: str, limit: int = 1, *, queue: str = DEFAULT_OCCURRENCE) -> ClaimedTasks:
        """Claim up to ``limit`` pending tasks of the queue: they become active, and the worker their owner.

        Tasks of the highest priority come first, then the oldest; no two workers get the same task. Unfinished
        thoughts of the queue move along. Register the worker first and send heartbeats: ``rescue`` releases the tasks
        of an occurrence that is not alive to their queue, and then every write through the returned handles raises
        ``StaleFence``.

        Raises:
            InvalidArgument: The worker is ``__shared__`` or the queue itself, or the queue is ``__shared__``.
        """
        ctx = self._ctx
        worker, queue = ctx.one_owner(ctx.identity(worker, "worker"), "worker"), ctx.identity(queue, "queue")
        if worker == queue:
            raise InvalidArgument("the worker is the queue itself. Give every worker an id of its own.")
        count, now = limit_of(limit), ctx.changed_at()
        tasks = self._x.write("tasks.claim_next", lambda session: session.tasks.claim_next(worker, queue, count, now))
        return [ClaimedTask(self._x, ctx, task) for task in tasks]

    def claimed(self, task: Task) -> ClaimedTask:
        """Return a handle to a task that was claimed before, as read then.

        Once its fencing token has grown, writes are rejected.
        """
        return ClaimedTask(self._x, self._ctx, self._ctx.check.record(task, Task, self._ctx.clock.now(), None))

    # --- inside ---------------------------------------------------------------------------------

    def _query(
        self,
        *,
        status: OneOrMore[TaskStatus | str] = None,
        occurrence_id: Owner = None,
        channel_id: str | None = None,
        parent_task_id: str | None = None,
        correlation_id: str | None = None,
        shared_type: str | None = None,
        created_from: datetime | None = None,
        updated_to: datetime | None = None,
        needs_seed_thought: bool = False,
        **unknown: object,
    ) -> dict[str, Any]:
        refuse_unknown(unknown, TaskFilters)
        check = self._ctx.check
        return {
            "occurrence_id": self._ctx.owner(occurrence_id),
            "statuses": several(TaskStatus, status, "status"),
            "channel_id": check.optional(channel_id, "channel_id"),
            "parent_task_id": check.optional(parent_task_id, "parent_task_id"),
            "correlation_id": check.optional(correlation_id, "correlation_id"),
            "shared_type": check.optional(shared_type, "shared_type"),
            "created_from": moment(created_from, "created_from"),
            "updated_to": moment(updated_to, "updated_to"),
            "needs_seed_thought": bool(needs_seed_thought),
        }

    def _page(self, query: dict[str, Any], order: TaskOrder, limit: int, cursor: str | None) -> Page[Task]:
        if order not in _SHAPES:
            raise InvalidArgument(f"order must be one of {', '.join(_SHAPES)}, not {order!r}")
        listing = f"tasks:{order}"
        after = position(self._ctx, listing, _SHAPES[order], cursor)
        page = TaskQuery(**query, order=order, limit=limit_of(limit), after=after)
        return page_of(self._x.read("tasks.find", lambda session: session.tasks.find(page)), listing)


def _stored(session: Session, ids: TaskIds) -> TaskList:
    return session.tasks.get(ids, None)


def _add(session: Session, tasks: TaskList) -> None:
    session.tasks.add(tasks)


def _find_correlated(session: Session, task: Task) -> Task | None:
    key = task.context.correlation_id if task.context else None
    found = session.tasks.find(TaskQuery(correlation_id=key, limit=1))
    for row in found.corrupt:
        raise Corrupt(f"task {row.key!r} has that correlation id and cannot be read ({row.error}). Repair it.")
    return found.items[0] if found.items else None


def _add_unique(session: Session, task: Task, extracted: ExtractedSecrets) -> tuple[Task, bool]:
    # Callers with one correlation id must be serialized. 256 names are enough: callers of different ids that share a
    # name wait a moment longer, and the database keeps no row for every correlation id.
    key = task.context.correlation_id if task.context else ""
    queue_up(session, f"task_correlation:{sha256(key.encode()).hexdigest()[:2]}")
    known = _find_correlated(session, task)
    if known is not None:
        return known, False
    session.tasks.add([task])
    if extracted:
        keep(session, extracted)
    return task, True
