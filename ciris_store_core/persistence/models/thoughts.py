"""Functions on thoughts."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, overload

from ciris_store_core.models.enums import ThoughtStatus
from ciris_store_core.models.tasks import DEFAULT_OCCURRENCE
from ciris_store_core.models.thoughts import Thought
from ciris_store_core.persistence.arguments import TimeService, clocked, counterpart, instant, some
from ciris_store_core.persistence.default_store import DbPath, get_store
from ciris_store_core.persistence.shapes import to_final_action, to_thought
from ciris_store_core.persistence.transfers import OwnershipTransfer, tell
from ciris_store_core.store.context import Owner
from ciris_store_core.store.work.thoughts import Thoughts
from ciris_store_core.validation.validator import whole

AnyStatus = ThoughtStatus | str

# Time windows for the newest thoughts: each larger one is read only if the one before held too few.
_WINDOWS = (timedelta(hours=1), timedelta(days=1), timedelta(days=30), None)


def _thoughts(db_path: DbPath, time_service: TimeService = None) -> Thoughts:
    return clocked(get_store(db_path).thoughts, time_service)


# --- one thought, or several by id ------------------------------------------------------------


def add_thought(thought: Thought, db_path: DbPath = None, *, exist_ok: bool = False) -> str:
    """Store a new thought and return its id.

    Raise ``NotFound`` if its task does not exist, and ``AlreadyExists`` if the id does; with ``exist_ok``, only if the
    stored thought differs.
    """
    return _thoughts(db_path).add(to_thought(thought), exist_ok=exist_ok).thought_id


def get_thought_by_id(
    thought_id: str, occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None
) -> Thought | None:
    """Return the thought with that id, or None if the owner has no such thought."""
    return _thoughts(db_path).get(thought_id, occurrence_id=occurrence_id)


def get_thoughts_by_ids(
    thought_ids: list[str], occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None
) -> dict[str, Thought]:
    """Return the owner's thoughts of these ids, by id, in the order of the ids."""
    return _thoughts(db_path).get_many(thought_ids, occurrence_id=occurrence_id)


def get_thought_status(
    thought_id: str, occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None
) -> ThoughtStatus | None:
    """Return the status of a thought, or None if the owner has no such thought."""
    thought = get_thought_by_id(thought_id, occurrence_id, db_path)
    return None if thought is None else thought.status


def update_thought_status(
    thought_id: str,
    status: AnyStatus,
    occurrence_id: Owner = DEFAULT_OCCURRENCE,
    db_path: DbPath = None,
    final_action: Any = None,
) -> bool:
    """Set the status and, if given, the final action. Return False if the owner has no such thought.

    ``final_action`` is a ``FinalAction`` or any other object. Its fields may be spelled ``selected_action``,
    ``action_parameters`` and ``rationale`` as well; all others are kept in the action's ``metadata``. An action without
    a type gets the status as its type, such as ``failed``.
    """
    changes: dict[str, Any] = {"status": status}
    if final_action is not None:
        changes["final_action"] = to_final_action(final_action, ThoughtStatus.parse(status))
    return _thoughts(db_path).update(thought_id, occurrence_id=occurrence_id, **changes)


def delete_thoughts_by_ids(
    thought_ids: list[str], occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None
) -> int:
    """Delete the owner's thoughts of these ids; return the number of deleted ones."""
    store = get_store(db_path)
    with store.transaction() as tx:
        own = tx.thoughts.get_many(thought_ids, occurrence_id=occurrence_id)
        return tx.thoughts.delete_many(own)


# --- lists and counts -------------------------------------------------------------------------


def get_thoughts_by_status(
    status: AnyStatus,
    occurrence_id: Owner = DEFAULT_OCCURRENCE,
    db_path: DbPath = None,
    limit: int | None = None,
) -> list[Thought]:
    """Return the owner's thoughts of that status, oldest first; at most ``limit``, or all if it is None."""
    return some(_thoughts(db_path), limit, status=status, occurrence_id=occurrence_id)


def get_thoughts_by_task_id(
    task_id: str, occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None
) -> list[Thought]:
    """Return all of the owner's thoughts about a task, oldest first."""
    return some(_thoughts(db_path), None, source_task_id=task_id, occurrence_id=occurrence_id)


def get_thoughts_older_than(
    older_than_timestamp: datetime | str, occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None
) -> list[Thought]:
    """Return all of the owner's thoughts created before that time, oldest first."""
    limit = instant(older_than_timestamp, "older_than_timestamp")
    thoughts = _thoughts(db_path).scan(occurrence_id=occurrence_id)
    return [*takewhile(lambda thought: thought.created_at < limit, thoughts)]


def get_recent_thoughts(
    occurrence_id: Owner = DEFAULT_OCCURRENCE, limit: int | None = 10, db_path: DbPath = None
) -> list[Thought]:
    """Return the owner's newest thoughts, most recently created first."""
    store, size = get_store(db_path), None if limit is None else whole(limit, "limit", 0, 2**63 - 1)
    newest: deque[Thought] = deque()
    if size == 0:
        return []
    for window in _WINDOWS:
        since = None if window is None else store.clock.now() - window
        newest = deque(store.thoughts.scan(occurrence_id=occurrence_id, created_from=since), maxlen=size)
        if size is not None and len(newest) == size:
            break
    return [*reversed(newest)]


def count_thoughts(occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None) -> int:
    """Return the number of the owner's pending and processing thoughts."""
    unfinished = (ThoughtStatus.PENDING, ThoughtStatus.PROCESSING)
    return _thoughts(db_path).count(status=unfinished, occurrence_id=occurrence_id)


# --- ownership --------------------------------------------------------------------------------


@overload
def transfer_thought_ownership(
    thought_id: str,
    from_occurrence_id: str,
    to_occurrence_id: str,
    time_service: TimeService = None,
    audit_service: Any = None,
    db_path: DbPath = None,
) -> bool: ...


@overload
def transfer_thought_ownership(
    *,
    task_id: str,
    from_occurrence_id: str,
    to_occurrence_id: str,
    time_service: TimeService = None,
    audit_service: Any = None,
    db_path: DbPath = None,
) -> int: ...


def transfer_thought_ownership(
    thought_id: str | None = None,
    from_occurrence_id: str = "",
    to_occurrence_id: str = "",
    time_service: TimeService = None,
    audit_service: Any = None,
    db_path: DbPath = None,
    *,
    task_id: str | None = None,
) -> bool | int:
    """Give thoughts to another owner.

    Give exactly one of ``thought_id``, which returns whether ``from_occurrence_id`` owned it (and so it moved), and
    ``task_id`` for all thoughts of that task, which returns how many moved. The store keeps an audit event
    ``thought_ownership_transfer`` in the same transaction. If an ``audit_service`` is given, its ``log_event`` is
    called as well, on success and on failure.
    """
    selected = {name: key for name, key in (("thought_id", thought_id), ("task_id", task_id)) if key is not None}
    owners = {"from_occurrence": from_occurrence_id, "to_occurrence": to_occurrence_id}
    transfer: Any = _thoughts(db_path, time_service).transfer
    moved: bool | int = transfer(**selected, **owners)
    facts = selected | {"from_occurrence_id": from_occurrence_id, "to_occurrence_id": to_occurrence_id}
    key, outcome = thought_id or task_id or "", "success" if moved else "failed"
    tell(audit_service, OwnershipTransfer(key, "thought_ownership_transfer", "thought", outcome, facts))
    return moved


async_add_thought = counterpart(add_thought)
async_get_thought_by_id = counterpart(get_thought_by_id)
async_get_thoughts_by_ids = counterpart(get_thoughts_by_ids)
async_get_thought_status = counterpart(get_thought_status)
async_update_thought_status = counterpart(update_thought_status)
async_delete_thoughts_by_ids = counterpart(delete_thoughts_by_ids)
async_get_thoughts_by_status = counterpart(get_thoughts_by_status)
async_get_thoughts_by_task_id = counterpart(get_thoughts_by_task_id)
async_get_thoughts_older_than = counterpart(get_thoughts_older_than)
async_get_recent_thoughts = counterpart(get_recent_thoughts)
async_count_thoughts = counterpart(count_thoughts)
async_transfer_thought_ownership = counterpart(transfer_thought_ownership)

__all__ = [
    "add_thought",
    "async_add_thought",
    "async_count_thoughts",
    "async_delete_thoughts_by_ids",
    "async_get_recent_thoughts",
    "async_get_thought_by_id",
    "async_get_thought_status",
    "async_get_thoughts_by_ids",
    "async_get_thoughts_by_status",
    "async_get_thoughts_by_task_id",
    "async_get_thoughts_older_than",
    "async_transfer_thought_ownership",
    "async_update_thought_status",
    "count_thoughts",
    "delete_thoughts_by_ids",
    "get_recent_thoughts",
    "get_thought_by_id",
    "get_thought_status",
    "get_thoughts_by_ids",
    "get_thoughts_by_status",
    "get_thoughts_by_task_id",
    "get_thoughts_older_than",
    "transfer_thought_ownership",
    "update_thought_status",
]
