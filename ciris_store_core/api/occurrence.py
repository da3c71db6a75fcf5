"""The store as one occurrence sees it (contract section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from ciris_store_core.models.coordination import Occurrence
from ciris_store_core.models.tasks import DEFAULT_OCCURRENCE, Task

from .claimed import ClaimedTask
from .coordination import Occurrences
from .environment import Environment
from .executor import Executor
from .shared_tasks import SharedTasks
from .tasks import Tasks
from .thoughts import Thoughts
from .validate import limit_of

_BATCH = 100


class OccurrenceHandle:
    """Tasks and thoughts of one occurrence, and what it does to stay alive and get work.

    ``tasks`` and ``thoughts`` look up and write records of this occurrence only, without ``occurrence_id``; naming
    another one raises ``InvalidArgument``. As a context manager it registers on entry and shuts down on exit::

        with store.for_occurrence("occurrence_1") as me:
            for work in me.claim_next():
                work.complete()
    """

    def __init__(self, executor: Executor, env: Environment, occurrence_id: str, ttl_seconds: float) -> None:
        """Made by ``Store.for_occurrence``."""
        env.span(ttl_seconds)
        self._x = executor
        self._env = env.bind(occurrence_id)
        self._occurrences = Occurrences(executor, env)
        self._ttl = ttl_seconds
        self.occurrence_id = self._env.occurrence_id
        """Whose handle this is."""
        self.tasks = Tasks(executor, self._env)
        """Its tasks."""
        self.thoughts = Thoughts(executor, self._env)
        """Its thoughts."""

    def __repr__(self) -> str:
        """Its id."""
        return f"OccurrenceHandle({self.occurrence_id!r})"

    def register(self, ttl_seconds: float | None = None, *, metadata: Mapping[str, Any] | None = None) -> Occurrence:
        """Say that this occurrence starts now and is alive for so many seconds; the handle's own number by default."""
        return self._occurrences.register(self.occurrence_id, ttl_seconds or self._ttl, metadata=metadata)

    def heartbeat(self, ttl_seconds: float | None = None) -> bool:
        """Stay alive for so many seconds from now; False if it is not registered (any more): register again."""
        return self._occurrences.heartbeat(self.occurrence_id, ttl_seconds or self._ttl)

    def claim_next(self, limit: int = 1, *, pool: str = DEFAULT_OCCURRENCE) -> list[ClaimedTask]:
        """Take up to ``limit`` pending tasks of the pool. See ``Tasks.claim_next``."""
        return self.tasks.claim_next(self.occurrence_id, limit, pool=pool)

    def try_claim_shared(
        self, task_type: str, channel_id: str, description: str, priority: int = 0
    ) -> tuple[Task, bool]:
        """Claim today's shared task of that type and take it over. See ``SharedTasks.claim_and_transfer``."""
        shared = SharedTasks(self._x, self._env)
        return shared.claim_and_transfer(task_type, channel_id, description, priority)

    def give_back_work(self) -> int:
        """Return all claimed, unfinished tasks to the pools that they came from; returns how many.

        They become pending again, and handles to them raise ``StaleFence``.
        """
        count, batch = 0, _BATCH
        while batch == _BATCH:
            batch = len(self._give_back(self.occurrence_id, _BATCH))
            count += batch
        return count

    def rescue(self, limit: int = 100) -> list[Task]:
        """Return up to ``limit`` tasks that dead occurrences claimed to their pools; returns them as they are now.

        Dead is whose heartbeat ran out, and who never registered.
        """
        return self._give_back(None, limit_of(limit))

    def _give_back(self, owner: str | None, limit: int) -> list[Task]:
        now = self._env.server_now()
        return self._x.write(lambda session: session.tasks.give_back(owner, now, limit))

    def shutdown(self) -> None:
        """Give the work back, then say that this occurrence is gone."""
        self.give_back_work()
        self._occurrences.remove(self.occurrence_id)

    def __enter__(self) -> Self:
        """Register."""
        self.register()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Shut down."""
        self.shutdown()
