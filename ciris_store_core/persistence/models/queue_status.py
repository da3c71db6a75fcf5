"""Counts of waiting work: one query for tasks, one for thoughts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from ciris_store_core.models.enums import TaskStatus, ThoughtStatus
from ciris_store_core.models.tasks import DEFAULT_OCCURRENCE
from ciris_store_core.persistence.arguments import counterpart, readable
from ciris_store_core.persistence.default_store import DbPath, get_store
from ciris_store_core.store.context import Owner

_SAMPLE = 100


@dataclass(frozen=True)
class QueueStatus:
    """Counts of tasks and thoughts of one owner."""

    pending_tasks: int
    pending_thoughts: int
    processing_thoughts: int = 0
    total_tasks: int = 0
    total_thoughts: int = 0
    completed_thoughts: int = 0
    failed_thoughts: int = 0
    db_path: DbPath = field(default=None, repr=False, compare=False)
    occurrence_id: Owner = field(default=DEFAULT_OCCURRENCE, repr=False, compare=False)

    def get_metrics(self) -> dict[str, float]:
        """Return queue size, processed and failed counts, and the mean wait in milliseconds.

        The wait is from creation to completion, of the 100 thoughts that were completed last; 0 if there are none.
        """
        return {
            "queue_size": float(self.pending_thoughts + self.processing_thoughts),
            "queue_processed_total": float(self.completed_thoughts),
            "queue_errors_total": float(self.failed_thoughts),
            "queue_avg_wait_ms": self._average_wait() / timedelta(milliseconds=1),
        }

    def _average_wait(self) -> timedelta:
        thoughts = get_store(self.db_path).thoughts
        completed = ThoughtStatus.COMPLETED
        page = thoughts.find(status=completed, occurrence_id=self.occurrence_id, order="updated_desc", limit=_SAMPLE)
        waits = [max(thought.updated_at - thought.created_at, timedelta(0)) for thought in readable(page)]
        return sum(waits, timedelta(0)) / len(waits) if waits else timedelta(0)


def get_queue_status(db_path: DbPath = None, *, occurrence_id: Owner = DEFAULT_OCCURRENCE) -> QueueStatus:
    """Return the counts of an owner's tasks and thoughts, and of those that wait."""
    store = get_store(db_path)
    tasks = store.tasks.count_by_status(occurrence_id=occurrence_id)
    thoughts = store.thoughts.count_by_status(occurrence_id=occurrence_id)
    return QueueStatus(
        pending_tasks=tasks[TaskStatus.PENDING],
        pending_thoughts=thoughts[ThoughtStatus.PENDING],
        processing_thoughts=thoughts[ThoughtStatus.PROCESSING],
        total_tasks=sum(tasks.values()),
        total_thoughts=sum(thoughts.values()),
        completed_thoughts=thoughts[ThoughtStatus.COMPLETED],
        failed_thoughts=thoughts[ThoughtStatus.FAILED],
        db_path=db_path,
        occurrence_id=occurrence_id,
    )


async_get_queue_status = counterpart(get_queue_status)

__all__ = [
    "QueueStatus",
    "async_get_queue_status",
    "get_queue_status",
]
