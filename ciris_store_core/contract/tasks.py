"""Tasks, for authors of backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime

from ciris_store_core.contract.locking import cannot_lock
from ciris_store_core.models.enums import TaskStatus
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.models.tasks import Task, TaskChanges, TaskQuery


class TaskStore(ABC):
    """Tasks by task_id. Every task has one owner, ``agent_occurrence_id``."""

    @abstractmethod
    def add(self, tasks: Sequence[Task]) -> None:
        """Store new tasks; no id occurs twice. Required; constant round trips.

        - An id that exists: AlreadyExists, and nothing of the call is written.
        """

    @abstractmethod
    def add_or_get(self, task: Task) -> tuple[Task, bool]:
        """Store the task unless its id exists; returns the stored task and whether this call stored it. Required.

        - Among any number of concurrent callers with one id, exactly one gets True.
        - The others get the row as it is committed, once the winner has committed.
        """

    @abstractmethod
    def get(self, task_ids: Sequence[str], occurrence_id: str | None) -> list[Task]:
        """The tasks of these ids that exist (and have that owner, where given), in no order.

        Required; one round trip.
        """

    def lock(self, task_ids: Sequence[str], occurrence_id: str | None) -> list[Task]:
        """The tasks that ``get`` returns, as they stay until the transaction ends. Default: NotSupported.

        - No other transaction changes or deletes them before this one is over.
        - Rows are locked in key order. Where one transaction writes at a time, this is ``get``.
        """
        raise cannot_lock("tasks")

    @abstractmethod
    def update(self, task_id: str, changes: TaskChanges, occurrence_id: str | None, fence: int | None) -> bool:
        """Change the given fields, ``updated_at`` among them; False if there is no such task of that owner. Required.

        - With ``fence``, another stored fence: StaleFence, and nothing is written.
        - One statement; no concurrent update of other fields is lost.
        """

    @abstractmethod
    def find(self, query: TaskQuery) -> ResultPage[Task]:
        """Tasks by filter, as ``TaskQuery`` orders them. Required; cost grows with the answer.

        - Sort keys for ``after``: ``created``: (created_at, task_id); ``priority``: (priority, created_at, task_id);
          ``updated_desc``: (updated_at, task_id).
        - A row that cannot be read is in ``corrupt``, and the others are returned.
        """

    @abstractmethod
    def count(self, query: TaskQuery) -> int:
        """Return the number of matching tasks, ``limit``, ``after`` and ``order`` aside. Required; loads no row."""

    @abstractmethod
    def count_by_status(self, occurrence_id: str | None) -> Mapping[TaskStatus, int]:
        """Return the number of tasks of each status; statuses without tasks are left out. Required; one round trip."""

    @abstractmethod
    def delete(self, task_ids: Sequence[str]) -> int:
        """Delete tasks, their descendants, and the thoughts of all of them, of any owner. Required.

        - Returns the number of deleted tasks, descendants included. An id without a task has no effect: children and
          thoughts of a task that is gone stay.
        - A child or thought that another transaction adds meanwhile is deleted or stays, as an orphan; adding it is no
          error.
        """

    @abstractmethod
    def claim_next(self, worker: str, queue: str, limit: int, now: datetime) -> list[Task]:
        """Make the worker the owner of up to ``limit`` pending tasks of the queue, and them active. Required.

        - Highest priority first, then oldest ``created_at``, then task_id; returned in that order.
        - ``claimed_by``, ``claimed_at`` = ``now``, ``claimed_from`` = queue and ``updated_at`` are set; ``fence``
          grows by 1.
        - Their unfinished thoughts (pending or processing) that the queue owned come along: owner and ``updated_at`` =
          ``now``.
        - No two concurrent callers get the same task; a caller is not made to wait for another's commit
          [cap: concurrent_writers].
        """

    @abstractmethod
    def release(self, owner: str | None, now: datetime, limit: int) -> list[Task]:
        """Return up to ``limit`` claimed, unfinished tasks to the queues that they came from. Required.

        - Of that owner; ``None``: of every owner whose occurrence is not alive at ``now``.
        - Pending or active tasks with ``claimed_from``: that becomes the owner, the status pending, ``claimed_by``,
          ``claimed_at`` and ``claimed_from`` None, ``fence`` grows by 1, ``updated_at`` = ``now``.
        - Their unfinished thoughts that the owner had come along, processing ones as pending: ``updated_at`` = ``now``.
        - Oldest ``claimed_at`` first, then task_id; returned as they are now, in that order.
        """

    @abstractmethod
    def transfer(self, task_ids: Sequence[str], from_owner: str, to_owner: str, now: datetime) -> int:
        """Change the owner of the tasks that ``from_owner`` has; returns how many changed. Required.

        - Owner, ``updated_at`` and ``fence`` (by 1) change, and nothing else.
        - A reader at any moment sees exactly one owner.
        """

    @abstractmethod
    def lock_claim(self, task_id: str, fence: int) -> None:
        """Lock the task's claim, so that its owner does not change until the transaction ends. Required.

        - Another stored fence, or no such task: StaleFence.
        """
