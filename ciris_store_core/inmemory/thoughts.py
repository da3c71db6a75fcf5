"""Thoughts, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from ciris_store_core.contract.filters import THOUGHT_ORDERS, thought_matches
from ciris_store_core.contract.thoughts import ThoughtSelector, ThoughtStore, missing_task
from ciris_store_core.inmemory.coordination import alive_owners
from ciris_store_core.inmemory.tables import Tables, page
from ciris_store_core.models.enums import TaskStatus, ThoughtStatus
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.models.thoughts import Thought, ThoughtChanges, ThoughtQuery


class MemoryThoughts(ThoughtStore):
    """Thoughts in memory."""

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables
        self._tasks, self._thoughts = tables.tasks, tables.thoughts

    def add(self, thoughts: Sequence[Thought], needs_task: bool = False) -> None:
        missing = [thought for thought in thoughts if needs_task and thought.source_task_id not in self._tasks.rows]
        if missing:
            raise missing_task(missing[0])
        self._thoughts.add({thought.thought_id: thought for thought in thoughts})

    def get(self, thought_ids: Sequence[str], occurrence_id: str | None) -> list[Thought]:
        found = self._thoughts.pick(thought_ids)
        return [thought for thought in found if occurrence_id in (None, thought.agent_occurrence_id)]

    def lock(self, thought_ids: Sequence[str], occurrence_id: str | None) -> list[Thought]:
        """The thoughts that ``get`` returns: only this transaction writes."""
        self._thoughts.require_write()
        return self.get(thought_ids, occurrence_id)

    def update(self, thought_id: str, changes: ThoughtChanges, occurrence_id: str | None) -> bool:
        if self._owned(thought_id, occurrence_id) is None:
            return False
        self._thoughts.change(thought_id, **changes)
        return True

    def retry(self, thought_id: str, occurrence_id: str | None, max_retries: int, now: datetime) -> bool:
        stored = self._owned(thought_id, occurrence_id)
        if stored is None or stored.status != ThoughtStatus.FAILED or stored.retry_count >= max_retries:
            return False
        changes = {"status": ThoughtStatus.PENDING, "retry_count": stored.retry_count + 1, "updated_at": now}
        return self.update(thought_id, changes, occurrence_id)

    def escalate(self, thought_id: str, occurrence_id: str | None, now: datetime) -> bool:
        stored = self._owned(thought_id, occurrence_id)
        if stored is None:
            return False
        changes = {"escalation_level": stored.escalation_level + 1, "updated_at": now}
        return self.update(thought_id, changes, occurrence_id)

    def find(self, query: ThoughtQuery) -> ResultPage[Thought]:
        return page(self._matching(query), query, *THOUGHT_ORDERS[query.order])

    def count(self, query: ThoughtQuery) -> int:
        return len(self._matching(query))

    def count_by_status(self, occurrence_id: str | None) -> Mapping[ThoughtStatus, int]:
        return dict(Counter(thought.status for thought in self._matching(ThoughtQuery(occurrence_id=occurrence_id))))

    def delete(self, thought_ids: Sequence[str]) -> int:
        return self._thoughts.delete(thought_ids)

    def transfer(self, selector: ThoughtSelector, from_owner: str, to_owner: str, now: datetime) -> int:
        owned = [
            thought_id
            for thought_id, thought in self._thoughts.rows.items()
            if thought.agent_occurrence_id == from_owner and _selects(selector, thought)
        ]
        for thought_id in owned:
            self._thoughts.change(thought_id, agent_occurrence_id=to_owner, updated_at=now)
        return len(owned)

    def _owned(self, thought_id: str, occurrence_id: str | None) -> Thought | None:
        stored = self._thoughts.rows.get(thought_id)
        return stored if stored is not None and occurrence_id in (None, stored.agent_occurrence_id) else None

    def _matching(self, query: ThoughtQuery) -> list[Thought]:
        found = [thought for thought in self._thoughts.rows.values() if thought_matches(thought, query)]
        if query.of_active_tasks:
            found = [thought for thought in found if self._task_is_active(thought)]
        if query.orphaned:
            found = [thought for thought in found if thought.source_task_id not in self._tasks.rows]
        if query.owner_dead_at is not None:
            alive = alive_owners(self._tables, query.owner_dead_at)
            found = [thought for thought in found if thought.agent_occurrence_id not in alive]
        return found

    def _task_is_active(self, thought: Thought) -> bool:
        task = self._tasks.rows.get(thought.source_task_id)
        return (
            task is not None
            and task.status == TaskStatus.ACTIVE
            and task.agent_occurrence_id == thought.agent_occurrence_id
        )


def _selects(selector: ThoughtSelector, thought: Thought) -> bool:
    if selector.task_id is not None:
        return thought.source_task_id == selector.task_id
    return thought.thought_id in selector.thought_ids
