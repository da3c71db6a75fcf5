"""Queries over tasks and thoughts together, one statement each."""

from __future__ import annotations

from ciris_store_core.models.enums import TaskStatus, ThoughtStatus
from ciris_store_core.models.tasks import DEFAULT_OCCURRENCE, Task
from ciris_store_core.models.thoughts import Thought
from ciris_store_core.persistence.arguments import counterpart, some
from ciris_store_core.persistence.default_store import DbPath, get_store
from ciris_store_core.persistence.models.tasks import count_tasks
from ciris_store_core.persistence.models.thoughts import count_thoughts
from ciris_store_core.store.context import Owner

_UNFINISHED = (ThoughtStatus.PENDING, ThoughtStatus.PROCESSING)


def get_pending_thoughts_for_active_tasks(
    occurrence_id: Owner = DEFAULT_OCCURRENCE, limit: int | None = None, db_path: DbPath = None
) -> list[Thought]:
    """Return pending and processing thoughts whose task is active and has the same owner, oldest first."""
    thoughts = get_store(db_path).thoughts
    return some(thoughts, limit, status=_UNFINISHED, of_active_tasks=True, occurrence_id=occurrence_id)


def count_pending_thoughts_for_active_tasks(occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None) -> int:
    """Return the number of thoughts that ``get_pending_thoughts_for_active_tasks`` would return."""
    thoughts = get_store(db_path).thoughts
    return thoughts.count(status=_UNFINISHED, of_active_tasks=True, occurrence_id=occurrence_id)


def count_active_tasks(occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None) -> int:
    """Return the number of active tasks of an owner."""
    return count_tasks(TaskStatus.ACTIVE, occurrence_id, db_path)


def get_tasks_needing_seed_thought(
    occurrence_id: Owner = DEFAULT_OCCURRENCE, limit: int | None = None, db_path: DbPath = None
) -> list[Task]:
    """Return active tasks without a thought, oldest first."""
    tasks = get_store(db_path).tasks
    return some(tasks, limit, status=TaskStatus.ACTIVE, needs_seed_thought=True, occurrence_id=occurrence_id)


def pending_thoughts(occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None) -> bool:
    """Return whether an owner has a pending or processing thought."""
    return count_thoughts(occurrence_id, db_path) > 0


def thought_exists_for(task_id: str, occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None) -> bool:
    """Return whether an owner has a thought about the task."""
    return get_store(db_path).thoughts.count(source_task_id=task_id, occurrence_id=occurrence_id) > 0


def count_thoughts_by_status(
    status: ThoughtStatus | str, occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None
) -> int:
    """Return the number of an owner's thoughts with that status."""
    return get_store(db_path).thoughts.count(status=status, occurrence_id=occurrence_id)


async_get_pending_thoughts_for_active_tasks = counterpart(get_pending_thoughts_for_active_tasks)
async_count_pending_thoughts_for_active_tasks = counterpart(count_pending_thoughts_for_active_tasks)
async_count_active_tasks = counterpart(count_active_tasks)
async_get_tasks_needing_seed_thought = counterpart(get_tasks_needing_seed_thought)
async_pending_thoughts = counterpart(pending_thoughts)
async_thought_exists_for = counterpart(thought_exists_for)
async_count_thoughts_by_status = counterpart(count_thoughts_by_status)

__all__ = [
    "async_count_active_tasks",
    "async_count_pending_thoughts_for_active_tasks",
    "async_count_thoughts_by_status",
    "async_get_pending_thoughts_for_active_tasks",
    "async_get_tasks_needing_seed_thought",
    "async_pending_thoughts",
    "async_thought_exists_for",
    "count_active_tasks",
    "count_pending_thoughts_for_active_tasks",
    "count_thoughts_by_status",
    "get_pending_thoughts_for_active_tasks",
    "get_tasks_needing_seed_thought",
    "pending_thoughts",
    "thought_exists_for",
]
