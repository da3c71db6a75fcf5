"""Changes of owner: serialization, audit events, release of claims, and recovery of abandoned thoughts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

from ciris_store_core.contract.backend import Session
from ciris_store_core.contract.thoughts import ThoughtSelector
from ciris_store_core.errors import StaleFence
from ciris_store_core.models.correlations import Correlation, ServiceRequest
from ciris_store_core.models.enums import CorrelationStatus, CorrelationType, TaskStatus, ThoughtStatus
from ciris_store_core.models.tasks import SHARED_OCCURRENCE, Task, TaskQuery, shared_type_of
from ciris_store_core.models.thoughts import Thought

if TYPE_CHECKING:
    from ciris_store_core.store.context import StoreContext

Transfer = Literal["task_ownership_transfer", "thought_ownership_transfer"]

_BATCH = 100
_CLAIMED = (TaskStatus.PENDING, TaskStatus.ACTIVE)
_ALWAYS_EXPIRED = datetime(2000, 1, 1, tzinfo=UTC)


def queue_up(session: Session, name: str) -> None:
    """Serialize transactions by name: wait until every other one that called this with the name has ended.

    Reads that follow see the commits of those transactions.
    """
    # Writing a lease locks its row until the transaction ends, on every backend. The lease itself is never held: it
    # expires before it begins, by every clock.
    session.coordination.acquire_lease(name, "queue", _ALWAYS_EXPIRED, _ALWAYS_EXPIRED)


def mark_shared(task: Task) -> Task:
    """Return the task, marked as shared if its owner and id are those of a shared task."""
    # A claim finds the task by its id, and all other calls by the mark. Without it, they would not see the task.
    if task.agent_occurrence_id == SHARED_OCCURRENCE and task.shared_type is None:
        return task.replaced(shared_type=shared_type_of(task.task_id))
    return task


def record_transfer(
    session: Session,
    ctx: StoreContext,
    action: Transfer,
    source: str,
    target: str,
    *,
    task_id: str | None = None,
    thought_id: str | None = None,
    count: int = 1,
) -> None:
    """Store the audit event of a transfer, in its transaction: both are kept, or neither.

    It is a correlation of type ``audit_event``; ``count`` says how many tasks or thoughts changed hands.
    """
    now = ctx.clock.now()
    facts = {"from_occurrence_id": source, "to_occurrence_id": target, "count": str(count)}
    request = ServiceRequest(
        service_type="store",
        method_name=action,
        task_id=task_id,
        thought_id=thought_id,
        parameters=facts,
        request_timestamp=now,
    )
    event = Correlation(
        correlation_type=CorrelationType.AUDIT_EVENT,
        service_type="store",
        handler_name="ownership",
        action_type=action,
        request_data=request,
        status=CorrelationStatus.COMPLETED,
        agent_occurrence_id=ctx.occurrence_id,
        created_at=now,
        updated_at=now,
        timestamp=now,
    )
    session.correlations.add([event])


def lock_thoughts(session: Session, thoughts: Iterable[Thought], now: datetime) -> dict[str, Thought]:
    """Lock the thoughts until the transaction ends; return them as they are now, by id.

    Deleted thoughts and those that changed their owner are left out. ``updated_at`` becomes ``now``.
    """
    owners: dict[str, list[str]] = {}
    for thought in thoughts:
        owners.setdefault(thought.agent_occurrence_id, []).append(thought.thought_id)
    locked: dict[str, Thought] = {}
    for owner, ids in sorted(owners.items()):
        # A transfer to the same owner is the only write of many thoughts that changes nothing but ``updated_at``.
        session.thoughts.transfer(ThoughtSelector(thought_ids=ids), owner, owner, now)
        locked.update((thought.thought_id, thought) for thought in session.thoughts.get(ids, owner))
    return locked


def recover_thoughts(session: Session, thoughts: Iterable[Thought], now: datetime) -> int:
    """Move those of the thoughts that are still in processing to pending; return their number."""
    # Re-read under the lock: a thought that its owner finished since the listing must not run again.
    locked = lock_thoughts(session, thoughts, now).values()
    left = [thought for thought in locked if thought.status == ThoughtStatus.PROCESSING]
    for thought in left:
        changes = {"status": ThoughtStatus.PENDING, "updated_at": now}
        session.thoughts.update(thought.thought_id, changes, thought.agent_occurrence_id)
    return len(left)


def release_claims(session: Session, owner: str, now: datetime) -> int:
    """Release all claimed, unfinished tasks of an owner to the queues that they came from; return their number."""
    count = 0
    while True:
        while released := len(session.tasks.release(owner, now, _BATCH)):
            count += released
        # release skips rows that another transaction has locked: here, those of an earlier run that is still writing.
        query = TaskQuery(occurrence_id=owner, statuses=_CLAIMED, limit=_BATCH)
        left = [task for task in _scan(session, query) if task.claimed_from is not None]
        if not left:
            return count
        for task in sorted(left, key=attrgetter("task_id")):
            with suppress(StaleFence):
                # This write waits for the row lock and keeps it, so the next release cannot skip the task.
                session.tasks.update(task.task_id, {"updated_at": now}, owner, task.fence)


def _scan(session: Session, query: TaskQuery) -> Iterator[Task]:
    page: TaskQuery | None = query
    while page is not None:
        found = session.tasks.find(page)
        yield from found.items
        page = None if found.next_after is None else replace(page, after=found.next_after)
