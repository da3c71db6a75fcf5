"""Deletion of old and orphaned tasks and thoughts, without touching work in use.

A reading transaction finds each batch. A writing one locks the found records, checks them again, archives and deletes
them. Records that changed in between are kept, until a later query finds them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import StaleFence
from ciris_store_core.models.enums import TaskStatus, ThoughtStatus
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.models.tasks import Task, TaskQuery
from ciris_store_core.models.thoughts import Thought, ThoughtQuery
from ciris_store_core.services.archive import Archive
from ciris_store_core.services.periodic import Keep
from ciris_store_core.store.context import StoreContext
from ciris_store_core.store.execution import Executor
from ciris_store_core.store.resource import Resource
from ciris_store_core.store.work.ownership import lock_thoughts, recover_thoughts

Query = TypeVar("Query", TaskQuery, ThoughtQuery)
R = TypeVar("R", Task, Thought)
T = TypeVar("T")

ATTEMPTS = 3
"""Number of attempts at a batch in which a record changes."""
_PAGE = 1000


@dataclass(slots=True)
class Swept:
    """Numbers of records that a sweep deleted, or would delete."""

    tasks: int = 0
    thoughts: int = 0
    kept: int = 0
    """Records that matched and were kept: they or their children are in use, or they changed in every attempt."""
    corrupt: int = 0

    def add(self, other: Swept) -> None:
        """Add the counts of another sweep."""
        self.tasks += other.tasks
        self.thoughts += other.thoughts
        self.kept += other.kept
        self.corrupt += other.corrupt


@dataclass(frozen=True, slots=True)
class Rule:
    """Rule for tasks that may be deleted with their descendants and thoughts."""

    reason: str
    """Reason that the archive states."""
    query: TaskQuery
    older_than: datetime
    """No record of the tree may have been updated since."""
    may_go: Callable[[Task | Thought], bool]
    """Returns True if an item of the tree may be deleted; if one may not, the whole tree is kept."""
    worker_of: Callable[[Task | Thought], str | None] = lambda item: None
    """Returns the occurrence that works on an item of another owner; the item is kept while it is alive."""
    own: str | None = None
    """An owner whose tasks may be deleted although it is alive."""
    not_of: str | None = None
    """An owner whose tasks this rule passes over."""


@dataclass(slots=True)
class _Trees:
    """Tasks with all descendants and thoughts."""

    tasks: dict[str, Task]
    thoughts: dict[str, Thought]

    def add(self, other: _Trees) -> None:
        self.tasks.update(other.tasks)
        self.thoughts.update(other.thoughts)


class _Stays(Exception):
    """A record of a tree may not be deleted."""


class Sweeper(Resource):
    """One pass over tasks and thoughts."""

    __slots__ = ("_archive", "_batch_size", "_dry_run", "_keep", "_seen")

    def __init__(
        self, executor: Executor, ctx: StoreContext, archive: Archive, keep: Keep, batch_size: int, *, dry_run: bool
    ) -> None:
        """``keep`` is called before every batch."""
        super().__init__(executor, ctx)
        self._archive = archive
        self._keep = keep
        self._batch_size = batch_size
        self._dry_run = dry_run
        # Ids that a dry run counted. It leaves the rows in place, and must not count them again.
        self._seen: set[str] = set()

    # --- trees of tasks -----------------------------------------------------------------------------

    def tasks(self, rule: Rule) -> Swept:
        """Delete the tasks that match a rule, with their descendants and thoughts."""
        total = Swept()
        query = replace(rule.query, updated_to=rule.older_than)
        for found in self._batches(lambda session, page: session.tasks.find(page), query):
            total.add(self._settle(found, lambda session, roots: self._sweep(session, rule, roots)))
        return total

    def _sweep(self, session: Session, rule: Rule, roots: list[Task]) -> Swept:
        alive = self._alive(session) - {rule.own}
        trees, kept = _Trees({}, {}), 0
        stored = {task.task_id: task for task in session.tasks.get([root.task_id for root in roots], None)}
        unchanged = [root for root in roots if stored.get(root.task_id) == root]
        roots = [root for root in unchanged if root.agent_occurrence_id != rule.not_of]
        for root in self._still_orphaned(session, rule, roots):
            try:
                if root.task_id not in trees.tasks and root.task_id not in self._seen:
                    trees.add(self._tree(session, rule, root, alive))
            except _Stays:
                kept += 1
        new = Swept(len(trees.tasks.keys() - self._seen), len(trees.thoughts.keys() - self._seen), kept)
        self._remove(session, rule.reason, trees)
        return new

    def _still_orphaned(self, session: Session, rule: Rule, roots: list[Task]) -> list[Task]:
        if not rule.query.orphaned or not roots:
            return roots
        parents = [root.parent_task_id for root in roots if root.parent_task_id is not None]
        stored = session.tasks.get(list(dict.fromkeys(parents)), None)
        good = {task.task_id for task in stored if task.status != TaskStatus.FAILED}
        return [root for root in roots if root.parent_task_id not in good]

    def _tree(self, session: Session, rule: Rule, root: Task, alive: set[str]) -> _Trees:
        """Return a task with its descendants and thoughts; raise ``_Stays`` if one of them may not be deleted."""
        tree, waiting = _Trees({}, {}), [root]
        while waiting:
            task = waiting.pop()
            if task.task_id in tree.tasks:
                continue
            _refuse(rule, task, alive)
            tree.tasks[task.task_id] = task
            for thought in _all(session.thoughts.find, ThoughtQuery(source_task_id=task.task_id, limit=_PAGE)):
                _refuse(rule, thought, alive)
                tree.thoughts[thought.thought_id] = thought
            waiting += _all(session.tasks.find, TaskQuery(parent_task_id=task.task_id, limit=_PAGE))
        return tree

    def _remove(self, session: Session, reason: str, trees: _Trees) -> None:
        tasks, thoughts = list(trees.tasks.values()), list(trees.thoughts.values())
        if self._dry_run:
            self._seen.update(trees.tasks, trees.thoughts)
        elif tasks:
            self._lock(session, tasks, thoughts)
            self._archive.write(reason, tasks)
            self._archive.write(reason, thoughts)
            # Deletes their thoughts, too. If the numbers differ, a child was added since the tree was read.
            if session.tasks.delete(list(trees.tasks)) != len(tasks):
                raise StaleFence("a task changed while it was being removed", kind="task", hint="Read it again.")

    def _lock(self, session: Session, tasks: list[Task], thoughts: list[Thought]) -> None:
        for task in tasks:
            session.tasks.lock_claim(task.task_id, task.fence)
        stored = {task.task_id: task for task in session.tasks.get([task.task_id for task in tasks], None)}
        if any(stored.get(task.task_id) != task for task in tasks):
            raise StaleFence("a task changed while it was being removed", kind="task", hint="Read it again.")
        self._lock_thoughts(session, thoughts)

    def _lock_thoughts(self, session: Session, thoughts: list[Thought]) -> None:
        now = self._ctx.server_now()
        locked = lock_thoughts(session, thoughts, now)
        if any(locked.get(thought.thought_id) != thought.replaced(updated_at=now) for thought in thoughts):
            raise StaleFence("a thought changed while it was being removed", kind="thought", hint="Read it again.")

    # --- thoughts without a task ----------------------------------------------------------------------

    def orphaned_thoughts(self, older_than: datetime) -> Swept:
        """Delete thoughts whose task does not exist, except those of living occurrences."""
        total, now = Swept(), self._ctx.server_now()
        query = ThoughtQuery(orphaned=True, owner_dead_at=now, updated_to=older_than)
        for found in self._batches(lambda session, page: session.thoughts.find(page), query):
            total.add(self._settle(found, self._sweep_thoughts))
        return total

    def _sweep_thoughts(self, session: Session, thoughts: list[Thought]) -> Swept:
        alive = self._alive(session)
        there = {task.task_id for task in session.tasks.get(list({t.source_task_id for t in thoughts}), None)}
        stored = {thought.thought_id: thought for thought in session.thoughts.get(_ids(thoughts), None)}
        gone = [
            thought
            for thought in thoughts
            if stored.get(thought.thought_id) == thought
            and thought.source_task_id not in there
            and thought.agent_occurrence_id not in alive
        ]
        if self._dry_run:
            self._seen.update(_ids(gone))
        elif gone:
            self._lock_thoughts(session, gone)
            self._archive.write("orphaned_thoughts", gone)
            session.thoughts.delete(_ids(gone))
        return Swept(thoughts=len(gone))

    # --- work of dead occurrences: after the sweeps, because these steps change ``updated_at`` -----------

    def recovered_thoughts(self) -> int:
        """Move thoughts in processing of occurrences whose heartbeat expired to pending; return their number."""
        now = self._ctx.server_now()
        query = ThoughtQuery(statuses=(ThoughtStatus.PROCESSING,), owner_dead_at=now)
        batches = self._batches(lambda session, page: session.thoughts.find(page), query)
        return sum(self._recover(found.items) for found in batches)

    def _recover(self, thoughts: list[Thought]) -> int:
        def fn(session: Session) -> int:
            dead = self._dead(session)
            left = [t for t in thoughts if t.agent_occurrence_id in dead and t.thought_id not in self._seen]
            return len(left) if self._dry_run else recover_thoughts(session, left, self._ctx.server_now())

        return self._in_transaction("maintenance.recover_thoughts", fn) if thoughts else 0

    def rescued_tasks(self) -> int:
        """Release work claimed by occurrences whose heartbeat expired to its queues; return the number of tasks."""
        if self._dry_run:
            return sum(map(self._claimed_by, sorted(self._in_transaction("maintenance.find_dead", self._dead))))
        total, count = 0, self._batch_size
        while count == self._batch_size:
            self._keep()
            count = self._in_transaction("maintenance.release_tasks", self._release)
            total += count
        return total

    def _release(self, session: Session) -> int:
        now, count = self._ctx.server_now(), 0
        for owner in sorted(self._dead(session)):
            if count < self._batch_size:
                count += len(session.tasks.release(owner, now, self._batch_size - count))
        return count

    def _claimed_by(self, owner: str) -> int:
        query = TaskQuery(occurrence_id=owner, statuses=(TaskStatus.PENDING, TaskStatus.ACTIVE))
        batches = self._batches(lambda session, page: session.tasks.find(page), query)
        claimed = (task for found in batches for task in found.items if task.claimed_from is not None)
        return sum(task.task_id not in self._seen for task in claimed)

    def _dead(self, session: Session) -> set[str]:
        """Return the occurrences whose heartbeat has expired. An unregistered one may be at work, and is left alone."""
        return {known.occurrence_id for known in session.coordination.list_occurrences(None)} - self._alive(session)

    # --- common helpers ---------------------------------------------------------------------------------

    def _alive(self, session: Session) -> set[str]:
        return {known.occurrence_id for known in session.coordination.list_occurrences(self._ctx.server_now())}

    def _batches(self, find: Callable[[Session, Query], ResultPage[R]], query: Query) -> Iterator[ResultPage[R]]:
        """Yield the result page by page; each page is read when it is needed, in a transaction of its own."""
        page: Query | None = replace(query, limit=self._batch_size)
        while page is not None:
            self._keep()
            found = self._x.read("maintenance.find", lambda session, page=page: find(session, page))  # type: ignore[misc]
            yield found
            page = None if found.next_after is None else replace(page, after=found.next_after)

    def _settle(self, found: ResultPage[R], sweep: Callable[[Session, list[R]], Swept]) -> Swept:
        """Delete the found records; if they change in every attempt, leave them for the next pass."""
        swept = Swept(kept=len(found.items))
        for _ in range(ATTEMPTS if found.items else 0):
            try:
                swept = self._in_transaction("maintenance.sweep", lambda session: sweep(session, found.items))
            except StaleFence:
                continue
            break
        swept.corrupt += len(found.corrupt)
        return swept

    def _in_transaction(self, operation: str, fn: Callable[[Session], T]) -> T:
        run = self._x.read if self._dry_run else self._x.write
        return run(operation, fn, single=False)


def _refuse(rule: Rule, item: Task | Thought, alive: set[str]) -> None:
    if item.agent_occurrence_id in alive or rule.worker_of(item) in alive:
        raise _Stays
    if item.updated_at > rule.older_than or not rule.may_go(item):
        raise _Stays


def _all(find: Callable[[Query], ResultPage[R]], query: Query) -> Iterator[R]:
    """Yield all records that match; raise ``_Stays`` if one is corrupt, and so cannot be archived."""
    while True:
        found = find(query)
        if found.corrupt:
            raise _Stays
        yield from found.items
        if found.next_after is None:
            return
        query = replace(query, after=found.next_after)


def _ids(thoughts: list[Thought]) -> list[str]:
    return [thought.thought_id for thought in thoughts]
