"""Tasks, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from ciris_store_core.contract.filters import TASK_ORDERS, claim_sort_key, task_matches
from ciris_store_core.contract.tasks import TaskStore
from ciris_store_core.errors import StaleFence
from ciris_store_core.inmemory.coordination import alive_owners
from ciris_store_core.inmemory.tables import Tables, ordered, page
from ciris_store_core.models.enums import TaskStatus, ThoughtStatus
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.models.tasks import Task, TaskChanges, TaskQuery
from ciris_store_core.models.thoughts import Thought


class MemoryTasks(TaskStore):
    """Tasks in memory."""

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables
        self._tasks, self._thoughts = tables.tasks, tables.thoughts

    def add(self, tasks: Sequence[Task]) -> None:
        self._tasks.add({task.task_id: task for task in tasks})

    def add_or_get(self, task: Task) -> tuple[Task, bool]:
        created = task.task_id not in self._tasks.rows
        if created:
            self._tasks.put(task.task_id, task)
        return self._tasks.pick([task.task_id])[0], created

    def get(self, task_ids: Sequence[str], occurrence_id: str | None) -> list[Task]:
        return [task for task in self._tasks.pick(task_ids) if occurrence_id in (None, task.agent_occurrence_id)]

    def lock(self, task_ids: Sequence[str], occurrence_id: str | None) -> list[Task]:
        """The tasks that ``get`` returns: only this transaction writes."""
        self._tasks.require_write()
        return self.get(task_ids, occurrence_id)

    def update(self, task_id: str, changes: TaskChanges, occurrence_id: str | None, fence: int | None) -> bool:
        """Change the given fields; False if there is no such task of that owner.

        The fence is checked before the owner, so that a former owner gets ``StaleFence`` rather than False.
        """
        task = self._tasks.rows.get(task_id)
        if task is None:
            return False
        if fence is not None:
            _check_fence(task_id, task, fence)
        if occurrence_id not in (None, task.agent_occurrence_id):
            return False
        self._tasks.change(task_id, **changes)
        return True

    def find(self, query: TaskQuery) -> ResultPage[Task]:
        return page(self._matching(query), query, *TASK_ORDERS[query.order])

    def count(self, query: TaskQuery) -> int:
        return len(self._matching(query))

    def count_by_status(self, occurrence_id: str | None) -> Mapping[TaskStatus, int]:
        return dict(Counter(task.status for task in self._matching(TaskQuery(occurrence_id=occurrence_id))))

    def delete(self, task_ids: Sequence[str]) -> int:
        gone = self._with_descendants(task_id for task_id in task_ids if task_id in self._tasks.rows)
        self._thoughts.delete(key for key, thought in self._thoughts.rows.items() if thought.source_task_id in gone)
        return self._tasks.delete(gone)

    def claim_next(self, worker: str, queue: str, limit: int, now: datetime) -> list[Task]:
        waiting = self._matching(TaskQuery(occurrence_id=queue, statuses=(TaskStatus.PENDING,)))
        chosen = ordered(waiting, *TASK_ORDERS["priority"])[:limit]
        for task in chosen:
            self._give(
                task, worker, now, status=TaskStatus.ACTIVE, claimed_by=worker, claimed_at=now, claimed_from=queue
            )
            for thought in self._unfinished_thoughts(task):
                self._thoughts.change(thought.thought_id, agent_occurrence_id=worker, updated_at=now)
        return self._tasks.pick(task.task_id for task in chosen)

    def release(self, owner: str | None, now: datetime, limit: int) -> list[Task]:
        unfinished = (TaskStatus.PENDING, TaskStatus.ACTIVE)
        dead_at = now if owner is None else None
        found = self._matching(TaskQuery(occurrence_id=owner, owner_dead_at=dead_at, statuses=unfinished))
        claimed = [task for task in found if task.claimed_from is not None]
        chosen = ordered(claimed, claim_sort_key, (False, False))[:limit]
        for task in chosen:
            self._return(task, now)
        return self._tasks.pick(task.task_id for task in chosen)

    def transfer(self, task_ids: Sequence[str], from_owner: str, to_owner: str, now: datetime) -> int:
        owned = self.get(task_ids, from_owner)
        for task in owned:
            self._give(task, to_owner, now)
        return len(owned)

    def lock_claim(self, task_id: str, fence: int) -> None:
        """Check the fence; the transaction, being the only writer, keeps the owner as it is.

        Only within a session opened for writing.
        """
        self._tasks.require_write()
        _check_fence(task_id, self._tasks.rows.get(task_id), fence)

    def _matching(self, query: TaskQuery) -> list[Task]:
        found = [task for task in self._tasks.rows.values() if task_matches(task, query)]
        if query.orphaned:
            found = [task for task in found if self._is_orphan(task)]
        if query.owner_dead_at is not None:
            alive = alive_owners(self._tables, query.owner_dead_at)
            found = [task for task in found if task.agent_occurrence_id not in alive]
        if query.needs_seed_thought:
            seeded = {thought.source_task_id for thought in self._thoughts.rows.values()}
            found = [task for task in found if task.task_id not in seeded]
        return found

    def _is_orphan(self, task: Task) -> bool:
        if task.parent_task_id is None:
            return False
        parent = self._tasks.rows.get(task.parent_task_id)
        return parent is None or parent.status == TaskStatus.FAILED

    def _with_descendants(self, task_ids: Iterable[str]) -> set[str]:
        result = set(task_ids)
        level = result
        while level:
            children = {task.task_id for task in self._tasks.rows.values() if task.parent_task_id in level}
            level = children - result
            result = result | level
        return result

    def _unfinished_thoughts(self, task: Task) -> list[Thought]:
        """The task's unfinished thoughts that its owner, as ``task`` says, has."""
        return [
            thought
            for thought in self._thoughts.rows.values()
            if thought.source_task_id == task.task_id
            and thought.agent_occurrence_id == task.agent_occurrence_id
            and thought.status in (ThoughtStatus.PENDING, ThoughtStatus.PROCESSING)
        ]

    def _give(self, task: Task, owner: str, now: datetime, **changes: object) -> None:
        self._tasks.change(task.task_id, agent_occurrence_id=owner, updated_at=now, fence=task.fence + 1, **changes)

    def _return(self, task: Task, now: datetime) -> None:
        queue = task.claimed_from
        assert queue is not None
        self._give(task, queue, now, status=TaskStatus.PENDING, claimed_by=None, claimed_at=None, claimed_from=None)
        for thought in self._unfinished_thoughts(task):
            self._thoughts.change(
                thought.thought_id, agent_occurrence_id=queue, updated_at=now, status=ThoughtStatus.PENDING
            )


def _check_fence(task_id: str, task: Task | None, fence: int) -> None:
    if task is None or task.fence != fence:
        raise StaleFence(
            f"task {task_id!r} has another owner, or was deleted",
            kind="task",
            key=task_id,
            hint="Stop working on it.",
        )
