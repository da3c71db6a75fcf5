"""The view of a store that belongs to one occurrence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from ciris_store_core.contract.backend import Session
from ciris_store_core.contract.thoughts import ThoughtSelector
from ciris_store_core.errors import Conflict, InvalidArgument, NotFound
from ciris_store_core.models.coordination import Occurrence
from ciris_store_core.models.enums import TaskStatus, ThoughtStatus
from ciris_store_core.models.tasks import DEFAULT_OCCURRENCE, SHARED_OCCURRENCE, Task, TaskQuery
from ciris_store_core.models.thoughts import Thought, ThoughtQuery
from ciris_store_core.store.context import StoreContext
from ciris_store_core.store.execution import Blocking, Executor
from ciris_store_core.store.resource import end_after
from ciris_store_core.store.work.claimed_task import ClaimedTask
from ciris_store_core.store.work.coordination import Occurrences
from ciris_store_core.store.work.ownership import record_transfer, recover_thoughts
from ciris_store_core.store.work.shared_tasks import SharedTasks
from ciris_store_core.store.work.tasks import Tasks
from ciris_store_core.store.work.thoughts import Thoughts
from ciris_store_core.validation.validator import limit_of

_BATCH = 100
_MOST = 10_000
_UNFINISHED = (TaskStatus.PENDING, TaskStatus.ACTIVE, TaskStatus.DEFERRED)


class OccurrenceHandle(Blocking):
    """Tasks, thoughts, heartbeats and claims of one occurrence.

    ``tasks`` and ``thoughts`` look up and write records of this occurrence only, without ``occurrence_id``; naming
    another one raises ``InvalidArgument``. As a context manager it registers on entry and shuts down on exit::

        with store.for_occurrence("occurrence_1") as me:
            for work in me.claim_next():
                work.complete()
    """

    occurrence_id: str
    """The occurrence that the handle is bound to."""
    tasks: Tasks
    """The tasks of the occurrence."""
    thoughts: Thoughts
    """The thoughts of the occurrence."""

    def __init__(self, executor: Executor, ctx: StoreContext, occurrence_id: str, ttl_seconds: float) -> None:
        """Called by ``Store.for_occurrence``."""
        ctx.span(ttl_seconds)
        self._x = executor
        self._ctx = ctx.bind(occurrence_id)
        self._occurrences = Occurrences(executor, ctx)
        self._ttl = ttl_seconds
        self.occurrence_id = self._ctx.occurrence_id
        self.tasks = Tasks(executor, self._ctx)
        self.thoughts = Thoughts(executor, self._ctx)

    def __repr__(self) -> str:
        """Return the class name and the id."""
        return f"OccurrenceHandle({self.occurrence_id!r})"

    def register(self, ttl_seconds: float | None = None, *, metadata: Mapping[str, Any] | None = None) -> Occurrence:
        """Register this occurrence as started now, alive for ``ttl_seconds``, by default those of the handle.

        Tasks that an earlier run of it claimed return to their queues; see ``Occurrences.register``.
        """
        return self._occurrences.register(self.occurrence_id, ttl_seconds or self._ttl, metadata=metadata)

    def heartbeat(self, ttl_seconds: float | None = None) -> bool:
        """Extend the life of this occurrence to ``ttl_seconds`` from now.

        Return False if it is not registered, or no longer: then register again.
        """
        return self._occurrences.heartbeat(self.occurrence_id, ttl_seconds or self._ttl)

    def claim_next(self, limit: int = 1, *, queue: str = DEFAULT_OCCURRENCE) -> list[ClaimedTask]:
        """Claim up to ``limit`` pending tasks of the queue. See ``Tasks.claim_next``."""
        return self.tasks.claim_next(self.occurrence_id, limit, queue=queue)

    def try_claim_shared(
        self, task_type: str, channel_id: str, description: str, priority: int = 0
    ) -> tuple[Task, bool]:
        """Claim today's shared task of that type and take it over. See ``SharedTasks.claim_and_transfer``."""
        shared = SharedTasks(self._x, self._ctx)
        return shared.claim_and_transfer(task_type, channel_id, description, priority)

    def release_work(self) -> int:
        """Release all claimed, unfinished tasks to their queues; return the number of released tasks.

        They become pending again, and handles to them raise ``StaleFence``.
        """
        count, batch = 0, _BATCH
        while batch == _BATCH:
            batch = len(self._release("occurrence.release_work", self.occurrence_id, _BATCH))
            count += batch
        return count

    def rescue(self, limit: int = 100) -> list[Task]:
        """Release up to ``limit`` tasks of dead occurrences to their queues; return them as they are now.

        An occurrence is dead if its last heartbeat expired, or if it never registered.
        """
        return self._release("occurrence.rescue", None, limit_of(limit))

    def _release(self, operation: str, owner: str | None, limit: int) -> list[Task]:
        now = self._ctx.server_now()
        return self._x.write(operation, lambda session: session.tasks.release(owner, now, limit))

    def take_over(self, occurrence_id: str, limit: int = 100) -> list[ClaimedTask]:
        """Transfer up to ``limit`` unfinished tasks of a dead occurrence to this one, with their thoughts.

        Oldest first. Use it for tasks that were never in a queue, such as shared tasks; ``rescue`` returns the others
        to their queues. Thoughts in processing become pending. The fencing tokens grow, so handles of the dead
        occurrence raise ``StaleFence`` if it resumes. An audit event is stored for each transfer.

        Pass this occurrence's own id to continue the tasks of an earlier run: register first, take over, then begin to
        work, in the one process that runs it.

        Raises:
            Conflict: That occurrence is alive.
            NotFound: It never registered, so its death cannot be determined. ``tasks.transfer`` moves abandoned tasks.
            InvalidArgument: It is ``__shared__``.
        """
        dead = self._ctx.check.ident(occurrence_id, "occurrence_id")
        if dead == SHARED_OCCURRENCE:
            raise InvalidArgument(f"occurrence_id: nothing can be taken over from {dead!r}. Name another occurrence.")
        count, now = limit_of(limit), self._ctx.server_now()

        def fn(session: Session) -> list[Task]:
            if dead != self.occurrence_id:
                _refuse_unless_dead(session, dead, now)
            found = session.tasks.find(TaskQuery(occurrence_id=dead, statuses=_UNFINISHED, limit=count)).items
            return [taken for task in found if (taken := self._take_over(session, task, now)) is not None]

        return [self.tasks.claimed(task) for task in self._x.write("occurrence.take_over", fn, single=False)]

    def _take_over(self, session: Session, task: Task, now: datetime) -> Task | None:
        key, dead, me = task.task_id, task.agent_occurrence_id, self.occurrence_id
        if not session.tasks.transfer([key], dead, me, now):
            return None  # Another occurrence took it first.
        if dead != me:
            record_transfer(session, self._ctx, "task_ownership_transfer", dead, me, task_id=key)
        left = ThoughtQuery(occurrence_id=dead, source_task_id=key, statuses=(ThoughtStatus.PROCESSING,), limit=_MOST)
        processing = session.thoughts.find(left).items
        moved = session.thoughts.transfer(ThoughtSelector(task_id=key), dead, me, now)
        if moved and dead != me:
            record_transfer(session, self._ctx, "thought_ownership_transfer", dead, me, task_id=key, count=moved)
        recover_thoughts(session, [thought.replaced(agent_occurrence_id=me) for thought in processing], now)
        taken = session.tasks.get([key], me)[0]
        # Its owner may have finished it between the listing and the transfer: then no work is left.
        return taken if taken.status in _UNFINISHED else None

    def recover_thoughts(self) -> int:
        """Move thoughts that an earlier run of this occurrence left in processing to pending; return their number.

        Call it before this occurrence begins to work, in the one process that runs it: an abandoned thought cannot be
        told from one that is being processed under the same id.
        """
        query = ThoughtQuery(occurrence_id=self.occurrence_id, statuses=(ThoughtStatus.PROCESSING,), limit=_BATCH)
        count = 0
        while found := self._x.read("occurrence.recover_thoughts", lambda session: session.thoughts.find(query)).items:
            count += self._recover(found)
        return count

    def _recover(self, thoughts: list[Thought]) -> int:
        now = self._ctx.clock.now()
        return self._x.write(
            "occurrence.recover_thoughts", lambda session: recover_thoughts(session, thoughts, now), single=False
        )

    def shutdown(self) -> None:
        """Release the claimed tasks, then remove the registration of this occurrence."""
        self.release_work()
        self._occurrences.remove(self.occurrence_id)

    def __enter__(self) -> Self:
        """Register the occurrence."""
        self.register()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Shut down. An error of the block takes precedence over one of the shutdown."""
        end_after(error, self.shutdown, "shutting the occurrence down")


def _refuse_unless_dead(session: Session, occurrence_id: str, now: datetime) -> None:
    known = [o for o in session.coordination.list_occurrences(None) if o.occurrence_id == occurrence_id]
    if not known:
        raise NotFound(
            f"occurrence {occurrence_id!r} never registered",
            kind="occurrence",
            key=occurrence_id,
            hint="Use tasks.transfer for work that it left.",
        )
    if known[0].alive(now):
        raise Conflict(
            f"occurrence {occurrence_id!r} is alive and keeps its work",
            kind="occurrence",
            key=occurrence_id,
            hint="Wait until its heartbeats end, or shut it down.",
        )
