"""The store as one occurrence sees it (contract section 6)."""

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
    """Tasks and thoughts of one occurrence, and what it does to stay alive and get work.

    ``tasks`` and ``thoughts`` look up and write records of this occurrence only, without ``occurrence_id``; naming
    another one raises ``InvalidArgument``. As a context manager it registers on entry and shuts down on exit::

        with store.for_occurrence("occurrence_1") as me:
            for work in me.claim_next():
                work.complete()
    """

    occurrence_id: str
    """Whose handle this is."""
    tasks: Tasks
    """Its tasks."""
    thoughts: Thoughts
    """Its thoughts."""

    def __init__(self, executor: Executor, ctx: StoreContext, occurrence_id: str, ttl_seconds: float) -> None:
        """Made by ``Store.for_occurrence``."""
        ctx.span(ttl_seconds)
        self._x = executor
        self._ctx = ctx.bind(occurrence_id)
        self._occurrences = Occurrences(executor, ctx)
        self._ttl = ttl_seconds
        self.occurrence_id = self._ctx.occurrence_id
        self.tasks = Tasks(executor, self._ctx)
        self.thoughts = Thoughts(executor, self._ctx)

    def __repr__(self) -> str:
        """Its id."""
        return f"OccurrenceHandle({self.occurrence_id!r})"

    def register(self, ttl_seconds: float | None = None, *, metadata: Mapping[str, Any] | None = None) -> Occurrence:
        """Say that this occurrence starts now and is alive for so many seconds; the handle's own number by default.

        What an earlier run of it claimed goes back to its queues; see ``Occurrences.register``.
        """
        return self._occurrences.register(self.occurrence_id, ttl_seconds or self._ttl, metadata=metadata)

    def heartbeat(self, ttl_seconds: float | None = None) -> bool:
        """Stay alive for so many seconds from now; False if it is not registered (any more): register again."""
        return self._occurrences.heartbeat(self.occurrence_id, ttl_seconds or self._ttl)

    def claim_next(self, limit: int = 1, *, queue: str = DEFAULT_OCCURRENCE) -> list[ClaimedTask]:
        """Take up to ``limit`` pending tasks of the queue. See ``Tasks.claim_next``."""
        return self.tasks.claim_next(self.occurrence_id, limit, queue=queue)

    def try_claim_shared(
        self, task_type: str, channel_id: str, description: str, priority: int = 0
    ) -> tuple[Task, bool]:
        """Claim today's shared task of that type and take it over. See ``SharedTasks.claim_and_transfer``."""
        shared = SharedTasks(self._x, self._ctx)
        return shared.claim_and_transfer(task_type, channel_id, description, priority)

    def release_work(self) -> int:
        """Return all claimed, unfinished tasks to the queues that they came from; returns how many.

        They become pending again, and handles to them raise ``StaleFence``.
        """
        count, batch = 0, _BATCH
        while batch == _BATCH:
            batch = len(self._release(self.occurrence_id, _BATCH))
            count += batch
        return count

    def rescue(self, limit: int = 100) -> list[Task]:
        """Return up to ``limit`` tasks that dead occurrences claimed to their queues; returns them as they are now.

        Dead is whose heartbeat ran out, and who never registered.
        """
        return self._release(None, limit_of(limit))

    def _release(self, owner: str | None, limit: int) -> list[Task]:
        now = self._ctx.server_now()
        return self._x.write("occurrencehandle._release", lambda session: session.tasks.release(owner, now, limit))

    def take_over(self, occurrence_id: str, limit: int = 100) -> list[ClaimedTask]:
        """Make up to ``limit`` unfinished tasks of an occurrence that died this one's own, with their thoughts.

        With its own id: what an earlier run of this occurrence left. For that ``register`` first, then take over, then
        begin to work, in the one process that runs it.

        For work that belonged to it without having come from a queue, such as a shared task; ``rescue`` returns the
        other to its queue. Oldest first. Thoughts that it left in processing become pending. The fences move, so that
        handles of the dead occurrence raise ``StaleFence`` should it wake up. Audit events are stored as by a
        transfer.

        Raises:
            Conflict: That occurrence is alive.
            NotFound: It never registered, so nobody can tell: ``tasks.transfer`` moves what you know to be left.
            InvalidArgument: It is ``__shared__``.
        """
        dead = self._ctx.check.ident(occurrence_id, "occurrence_id")
        if dead == SHARED_OCCURRENCE:
            raise InvalidArgument(f"occurrence_id: nothing can be taken over from {dead!r}")
        count, now = limit_of(limit), self._ctx.server_now()

        def fn(session: Session) -> list[Task]:
            if dead != self.occurrence_id:
                _refuse_unless_dead(session, dead, now)
            found = session.tasks.find(TaskQuery(occurrence_id=dead, statuses=_UNFINISHED, limit=count)).items
            return [taken for task in found if (taken := self._take_over(session, task, now)) is not None]

        return [self.tasks.claimed(task) for task in self._x.write("occurrencehandle.take_over", fn, single=False)]

    def _take_over(self, session: Session, task: Task, now: datetime) -> Task | None:
        key, dead, me = task.task_id, task.agent_occurrence_id, self.occurrence_id
        if not session.tasks.transfer([key], dead, me, now):
            return None  # Somebody else was faster.
        if dead != me:
            record_transfer(session, self._ctx, "task_ownership_transfer", dead, me, task_id=key)
        left = ThoughtQuery(occurrence_id=dead, source_task_id=key, statuses=(ThoughtStatus.PROCESSING,), limit=_MOST)
        processing = session.thoughts.find(left).items
        moved = session.thoughts.transfer(ThoughtSelector(task_id=key), dead, me, now)
        if moved and dead != me:
            record_transfer(session, self._ctx, "thought_ownership_transfer", dead, me, task_id=key, count=moved)
        recover_thoughts(session, [thought.replaced(agent_occurrence_id=me) for thought in processing], now)
        taken = session.tasks.get([key], me)[0]
        # It may have been finished just before it changed hands: then there is nothing left to do.
        return taken if taken.status in _UNFINISHED else None

    def recover_thoughts(self) -> int:
        """Move thoughts that an earlier run of this occurrence left in processing back to pending; returns how many.

        Call it before this occurrence begins to work, in the one process that runs it: nobody can tell a thought
        that was left from one that is being worked on under the same id.
        """
        query = ThoughtQuery(occurrence_id=self.occurrence_id, statuses=(ThoughtStatus.PROCESSING,), limit=_BATCH)
        count = 0
        while found := self._x.read(
            "occurrencehandle.recover_thoughts", lambda session: session.thoughts.find(query)
        ).items:
            count += self._recover(found)
        return count

    def _recover(self, thoughts: list[Thought]) -> int:
        now = self._ctx.clock.now()
        return self._x.write(
            "occurrencehandle._recover", lambda session: recover_thoughts(session, thoughts, now), single=False
        )

    def shutdown(self) -> None:
        """Give the work back, then say that this occurrence is gone."""
        self.release_work()
        self._occurrences.remove(self.occurrence_id)

    def __enter__(self) -> Self:
        """Register."""
        self.register()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Shut down. If the block raised, that error is the one that goes on."""
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
