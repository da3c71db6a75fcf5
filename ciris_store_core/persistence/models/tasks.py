"""Functions on tasks, including shared tasks, each of which exactly one occurrence works on."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from itertools import takewhile
from typing import Any

from ciris_store_core.models.enums import TaskStatus, ThoughtStatus
from ciris_store_core.models.tasks import DEFAULT_OCCURRENCE, Task
from ciris_store_core.persistence.arguments import TimeService, clocked, completed, counterpart, instant, some
from ciris_store_core.persistence.default_store import DbPath, get_store
from ciris_store_core.persistence.shapes import to_task, to_task_context
from ciris_store_core.persistence.transfers import OwnershipTransfer, tell
from ciris_store_core.store import Transaction
from ciris_store_core.store.context import Owner
from ciris_store_core.store.work.tasks import Tasks

AnyStatus = TaskStatus | str


def _tasks(db_path: DbPath, time_service: TimeService = None) -> Tasks:
    return clocked(get_store(db_path).tasks, time_service)


# --- one task ---------------------------------------------------------------------------------


def add_task(task: Task, db_path: DbPath = None, *, exist_ok: bool = False) -> str:
    """Store a new task and return its id.

    Raise ``AlreadyExists`` if the id exists; with ``exist_ok``, only if the stored task differs.
    """
    return _tasks(db_path).add(to_task(task), exist_ok=exist_ok).task_id


async def add_system_task(task: Task, auth_service: Any = None, db_path: DbPath = None) -> str:
    """Sign a task in the name of the system, store it, and return its id.

    Args:
        task: The task to store. The signature is set on it.
        auth_service: An object with ``get_system_wa_id()`` and ``sign_task(task, wa_id)``, which returns a signature
            and its time. Without one, or without a system authority, the task is stored unsigned.
        db_path: A database URL or the path of an SQLite file; see ``get_store``.
    """
    signer = None if auth_service is None else await completed(auth_service.get_system_wa_id())
    if signer:
        signature, signed_at = await completed(auth_service.sign_task(task, signer))
        task.signed_by, task.signature, task.signed_at = signer, signature, signed_at
    return await async_add_task(task, db_path)


def get_task_by_id(task_id: str, occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None) -> Task | None:
    """Return the task with that id, or None if the owner has no such task."""
    return _tasks(db_path).get(task_id, occurrence_id=occurrence_id)


def task_exists(task_id: str, db_path: DbPath = None, *, occurrence_id: Owner = DEFAULT_OCCURRENCE) -> bool:
    """Return whether the owner has a task with that id."""
    return get_task_by_id(task_id, occurrence_id, db_path) is not None


def update_task_status(
    task_id: str,
    new_status: AnyStatus,
    occurrence_id: Owner = DEFAULT_OCCURRENCE,
    time_service: TimeService = None,
    db_path: DbPath = None,
) -> bool:
    """Set the status and ``updated_at``. Return False if the owner has no such task."""
    return _tasks(db_path, time_service).update(task_id, occurrence_id=occurrence_id, status=new_status)


def update_task_context_and_signing(
    task_id: str,
    occurrence_id: Owner,
    context: Any,
    time_service: TimeService = None,
    signed_by: str | None = None,
    signature: str | None = None,
    signed_at: datetime | str | None = None,
    db_path: DbPath = None,
) -> bool:
    """Replace a task's context and signature. Return False if the owner has no such task.

    ``context`` is a ``TaskContext``, or another object with its fields. A part of the signature that is not given is
    removed.
    """
    fields = to_task_context(context)
    signing = {"signed_by": signed_by, "signature": signature, "signed_at": signed_at}
    tasks = _tasks(db_path, time_service)
    return tasks.update(task_id, occurrence_id=occurrence_id, context=fields, **signing)


def set_task_updated_info_flag(
    task_id: str,
    updated_content: str,
    occurrence_id: Owner = DEFAULT_OCCURRENCE,
    time_service: TimeService = None,
    db_path: DbPath = None,
) -> bool:
    """Set ``updated_info_available`` and ``updated_info_content`` of a task that is not decided yet.

    If a thought of it has completed with another action than ponder, or if that owner has no such task, change nothing
    and return False.
    """

    def fn(tx: Transaction) -> bool:
        thoughts = tx.thoughts.scan(source_task_id=task_id, status=ThoughtStatus.COMPLETED, occurrence_id=occurrence_id)
        actions = (thought.final_action.action_type for thought in thoughts if thought.final_action)
        if any(action.lower() != "ponder" for action in actions):
            return False
        news = {"updated_info_available": True, "updated_info_content": updated_content}
        return clocked(tx.tasks, time_service).update(task_id, occurrence_id=occurrence_id, **news)

    return get_store(db_path).run(fn)


def delete_tasks_by_ids(task_ids: list[str], db_path: DbPath = None) -> bool:
    """Delete tasks of any owner with their descendants and thoughts; return whether any was deleted."""
    return _tasks(db_path).delete_many(task_ids) > 0


# --- lists and counts -------------------------------------------------------------------------


def get_tasks_by_status(
    status: AnyStatus, occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None
) -> list[Task]:
    """Return all tasks of that status and owner, oldest first."""
    return some(_tasks(db_path), None, status=status, occurrence_id=occurrence_id)


def get_all_tasks(occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None) -> list[Task]:
    """Return all tasks of that owner, oldest first."""
    return some(_tasks(db_path), None, occurrence_id=occurrence_id)


def get_recent_completed_tasks(
    occurrence_id: Owner = DEFAULT_OCCURRENCE, limit: int | None = 10, db_path: DbPath = None
) -> list[Task]:
    """Return completed tasks, most recently updated first."""
    tasks = _tasks(db_path)
    return some(tasks, limit, status=TaskStatus.COMPLETED, order="updated_desc", occurrence_id=occurrence_id)


def get_top_tasks(
    occurrence_id: Owner = DEFAULT_OCCURRENCE, limit: int | None = 10, db_path: DbPath = None
) -> list[Task]:
    """Return pending tasks, highest priority first, then oldest."""
    return get_pending_tasks_for_activation(occurrence_id, limit, db_path)


def get_pending_tasks_for_activation(
    occurrence_id: Owner = DEFAULT_OCCURRENCE, limit: int | None = 10, db_path: DbPath = None
) -> list[Task]:
    """Return pending tasks, highest priority first, then oldest."""
    tasks = _tasks(db_path)
    return some(tasks, limit, status=TaskStatus.PENDING, order="priority", occurrence_id=occurrence_id)


def get_tasks_older_than(
    older_than_timestamp: datetime | str, occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None
) -> list[Task]:
    """Return all tasks of that owner created before that time, oldest first."""
    limit = instant(older_than_timestamp, "older_than_timestamp")
    tasks = _tasks(db_path).scan(occurrence_id=occurrence_id)
    return [*takewhile(lambda task: task.created_at < limit, tasks)]


def get_active_task_for_channel(
    channel_id: str, occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None
) -> Task | None:
    """Return the newest active task of a channel, or None."""
    tasks = _tasks(db_path).scan(status=TaskStatus.ACTIVE, channel_id=channel_id, occurrence_id=occurrence_id)
    newest = deque(tasks, maxlen=1)
    return newest[0] if newest else None


def count_tasks(
    status: AnyStatus | None = None, occurrence_id: Owner = DEFAULT_OCCURRENCE, db_path: DbPath = None
) -> int:
    """Return the number of an owner's tasks, of one status if given."""
    return _tasks(db_path).count(status=status, occurrence_id=occurrence_id)


# --- shared tasks -----------------------------------------------------------------------------


def try_claim_shared_task(
    task_type: str,
    channel_id: str,
    description: str,
    priority: int,
    time_service: TimeService = None,
    db_path: DbPath = None,
    *,
    occurrence_id: str | None = None,
) -> tuple[Task, bool]:
    """Claim today's shared task of that type; return the stored task, and whether this call created it.

    Of concurrent callers, exactly one gets True. The task belongs to ``__shared__`` until ``transfer_task_ownership``.

    Args:
        task_type: Upper-cased; with the UTC date it makes the id, such as ``WAKEUP_SHARED_20251028``.
        channel_id: The channel of the task.
        description: The work to do.
        priority: 0 to 10.
        time_service: Accepted, but not used. Dates and ages of shared tasks go by the store's clock, on which all hosts
            agree, so that a host whose clock is wrong does not claim twice.
        db_path: A database URL or the path of an SQLite file; see ``get_store``.
        occurrence_id: The claimant, recorded in ``created_by``.
    """
    shared = get_store(db_path).shared_tasks
    return shared.try_claim(task_type, channel_id, description, priority, occurrence_id=occurrence_id)


def get_shared_task_status(task_type: str, within_hours: float = 24, db_path: DbPath = None) -> TaskStatus | None:
    """Return the status of the newest shared task of that type created within the last hours, or None."""
    return get_store(db_path).shared_tasks.status(task_type, within_hours)


def is_shared_task_completed(task_type: str, within_hours: float = 24, db_path: DbPath = None) -> bool:
    """Return whether that task is completed; False if there is none."""
    return get_store(db_path).shared_tasks.is_completed(task_type, within_hours)


def get_latest_shared_task(task_type: str, within_hours: float = 24, db_path: DbPath = None) -> Task | None:
    """Return the newest shared task of that type created within the last hours, whatever its owner, or None."""
    return get_store(db_path).shared_tasks.latest(task_type, within_hours)


def transfer_task_ownership(
    task_id: str,
    from_occurrence_id: str,
    to_occurrence_id: str,
    time_service: TimeService = None,
    audit_service: Any = None,
    db_path: DbPath = None,
) -> bool:
    """Give a task to another owner. Return False if ``from_occurrence_id`` does not own it (any more).

    The store keeps an audit event ``task_ownership_transfer`` in the same transaction. If an ``audit_service`` is
    given, its ``log_event`` is called as well, on success and on failure.
    """
    tasks = _tasks(db_path, time_service)
    moved = tasks.transfer(task_id, from_occurrence=from_occurrence_id, to_occurrence=to_occurrence_id)
    facts = {"task_id": task_id, "from_occurrence_id": from_occurrence_id, "to_occurrence_id": to_occurrence_id}
    outcome = "success" if moved else "failed"
    tell(audit_service, OwnershipTransfer(task_id, "task_ownership_transfer", "task", outcome, facts))
    return moved


async_add_task = counterpart(add_task)
async_get_task_by_id = counterpart(get_task_by_id)
async_task_exists = counterpart(task_exists)
async_update_task_status = counterpart(update_task_status)
async_update_task_context_and_signing = counterpart(update_task_context_and_signing)
async_set_task_updated_info_flag = counterpart(set_task_updated_info_flag)
async_delete_tasks_by_ids = counterpart(delete_tasks_by_ids)
async_get_tasks_by_status = counterpart(get_tasks_by_status)
async_get_all_tasks = counterpart(get_all_tasks)
async_get_recent_completed_tasks = counterpart(get_recent_completed_tasks)
async_get_top_tasks = counterpart(get_top_tasks)
async_get_pending_tasks_for_activation = counterpart(get_pending_tasks_for_activation)
async_get_tasks_older_than = counterpart(get_tasks_older_than)
async_get_active_task_for_channel = counterpart(get_active_task_for_channel)
async_count_tasks = counterpart(count_tasks)
async_try_claim_shared_task = counterpart(try_claim_shared_task)
async_get_shared_task_status = counterpart(get_shared_task_status)
async_is_shared_task_completed = counterpart(is_shared_task_completed)
async_get_latest_shared_task = counterpart(get_latest_shared_task)
async_transfer_task_ownership = counterpart(transfer_task_ownership)

__all__ = [
    "add_system_task",
    "add_task",
    "async_add_task",
    "async_count_tasks",
    "async_delete_tasks_by_ids",
    "async_get_active_task_for_channel",
    "async_get_all_tasks",
    "async_get_latest_shared_task",
    "async_get_pending_tasks_for_activation",
    "async_get_recent_completed_tasks",
    "async_get_shared_task_status",
    "async_get_task_by_id",
    "async_get_tasks_by_status",
    "async_get_tasks_older_than",
    "async_get_top_tasks",
    "async_is_shared_task_completed",
    "async_set_task_updated_info_flag",
    "async_task_exists",
    "async_transfer_task_ownership",
    "async_try_claim_shared_task",
    "async_update_task_context_and_signing",
    "async_update_task_status",
    "count_tasks",
    "delete_tasks_by_ids",
    "get_active_task_for_channel",
    "get_all_tasks",
    "get_latest_shared_task",
    "get_pending_tasks_for_activation",
    "get_recent_completed_tasks",
    "get_shared_task_status",
    "get_task_by_id",
    "get_tasks_by_status",
    "get_tasks_older_than",
    "get_top_tasks",
    "is_shared_task_completed",
    "set_task_updated_info_flag",
    "task_exists",
    "transfer_task_ownership",
    "try_claim_shared_task",
    "update_task_context_and_signing",
    "update_task_status",
]
