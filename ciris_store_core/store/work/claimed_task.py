"""Handle to a claimed task. Its writes carry the fencing token of the claim."""

from __future__ import annotations

from typing import Any

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import InvalidArgument, StaleFence
from ciris_store_core.models.enums import TaskStatus
from ciris_store_core.models.tasks import UPDATABLE_TASK_FIELDS, Task, TaskOutcome
from ciris_store_core.models.thoughts import UPDATABLE_THOUGHT_FIELDS, Thought
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.store.context import StoreContext
from ciris_store_core.store.execution import Blocking, Executor
from ciris_store_core.store.resource import prepare


class ClaimedTask(Blocking):
    """Claimed task with the fencing token of its claim.

    Once the task was taken over, released or deleted, every write raises ``StaleFence`` and writes nothing. A handle
    from a transaction ends with it; ``store.tasks.claimed(handle.task)`` makes one that outlives the transaction.
    """

    __slots__ = ("_ctx", "_x", "fence", "task")

    task: Task
    """The task as claimed, with the changes made through this handle."""
    fence: int
    """The fencing token, which grows with every change of owner."""

    def __init__(self, executor: Executor, ctx: StoreContext, task: Task) -> None:
        """Called by ``claim_next`` and ``claimed``."""
        self._x = executor
        self._ctx = ctx
        self.task = task
        self.fence = task.fence

    def __repr__(self) -> str:
        """Return the class name with id, owner and fence."""
        return f"ClaimedTask({self.task.task_id!r}, owner={self.task.agent_occurrence_id!r}, fence={self.fence})"

    def update(self, **changes: Any) -> None:
        """Change the given fields and ``updated_at``; raises ``InvalidArgument`` as ``Tasks.update`` does."""
        key, now, extracted = self.task.task_id, self._ctx.changed_at(), ExtractedSecrets()
        new = self._ctx.check.changes(Task, key, changes, UPDATABLE_TASK_FIELDS, now, extracted)
        # The fence alone identifies the owner: every change of owner increments it.
        if not self._x.write(
            "claimed_task.update", lambda session: session.tasks.update(key, new, None, self.fence), extracted=extracted
        ):
            raise StaleFence(f"task {key!r} was deleted", kind="task", key=key, hint="Stop working on it.")
        self.task = self.task.replaced(**new)

    def complete(self, outcome: TaskOutcome | None = None) -> None:
        """Set the status to completed, with the outcome if one is given."""
        self._finish(TaskStatus.COMPLETED, outcome)

    def fail(self, outcome: TaskOutcome | None = None) -> None:
        """Set the status to failed, with the outcome if one is given."""
        self._finish(TaskStatus.FAILED, outcome)

    def _finish(self, status: TaskStatus, outcome: TaskOutcome | None) -> None:
        self.update(status=status, **({} if outcome is None else {"outcome": outcome}))

    def add_thought(self, thought: Thought) -> Thought:
        """Store a new thought of this task, owned by the task's owner, and return it as stored.

        Raises:
            InvalidArgument: It belongs to another task or owner.
            AlreadyExists: Its id exists.
        """
        owner, extracted = self.task.agent_occurrence_id, ExtractedSecrets()
        ready = prepare(self._ctx.bind(owner), thought, Thought, self._ctx.clock.now(), extracted)
        if ready.source_task_id != self.task.task_id:
            raise InvalidArgument(
                f"the thought belongs to task {ready.source_task_id!r}, not {self.task.task_id!r}. "
                "Set its source_task_id."
            )

        def fn(session: Session) -> None:
            session.tasks.lock_claim(self.task.task_id, self.fence)
            session.thoughts.add([ready])

        self._x.write("claimed_task.add_thought", fn, single=False, extracted=extracted)
        return ready

    def update_thought(self, thought_id: str, **changes: Any) -> bool:
        """Change fields of a thought of this task, and ``updated_at``; False if this task has no such thought."""
        key, owner = self._ctx.check.ident(thought_id, "thought_id"), self.task.agent_occurrence_id
        now, extracted = self._ctx.changed_at(), ExtractedSecrets()
        new = self._ctx.check.changes(Thought, key, changes, UPDATABLE_THOUGHT_FIELDS, now, extracted)

        def fn(session: Session) -> bool:
            session.tasks.lock_claim(self.task.task_id, self.fence)
            found = session.thoughts.get([key], owner)
            if not found or found[0].source_task_id != self.task.task_id:
                return False
            return session.thoughts.update(key, new, owner)

        return self._x.write("claimed_task.update_thought", fn, single=False, extracted=extracted)
