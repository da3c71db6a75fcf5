"""Tasks, and queries about them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from ciris_store_core.models.base import Count, Id, JsonObject, Parsed, Record, Text, UtcDateTime, default, utc_now
from ciris_store_core.models.enums import TaskStatus
from ciris_store_core.models.paging import PageRequest

DEFAULT_OCCURRENCE = "default"
"""Owner of tasks and thoughts unless another is named, and the usual queue of unclaimed work."""

SHARED_OCCURRENCE = "__shared__"
"""Namespace of shared tasks until one occurrence claims them. No occurrence may run under it."""

_SHARED_ID = re.compile(r"(.+)_SHARED_[0-9]{8}")


def shared_type_of(task_id: str) -> str | None:
    """Return the type of a shared task of that id, such as ``WAKEUP_SHARED_20251028``; None for any other id."""
    found = _SHARED_ID.fullmatch(task_id)
    return found[1] if found else None


class TaskContext(Record):
    """Origin of a task."""

    correlation_id: Id
    channel_id: Id | None = None
    user_id: Id | None = None
    parent_task_id: Id | None = None
    agent_occurrence_id: Id = DEFAULT_OCCURRENCE
    metadata: JsonObject = Field(default_factory=dict)


class TaskOutcome(Record):
    """Outcome of a task."""

    status: Text
    summary: Text
    actions_taken: list[Text] = Field(default_factory=list)
    memories_created: list[Text] = Field(default_factory=list)
    errors: list[Text] = Field(default_factory=list)
    metadata: JsonObject = Field(default_factory=dict)


class Task(Record):
    """A unit of work of an agent."""

    task_id: Id
    channel_id: Id
    description: Text
    agent_occurrence_id: Id = DEFAULT_OCCURRENCE
    status: Parsed[TaskStatus] = default(TaskStatus.PENDING)
    priority: Annotated[int, Field(ge=0, le=10)] = 0
    created_at: UtcDateTime = Field(default_factory=utc_now)
    updated_at: UtcDateTime = Field(default_factory=utc_now)
    created_by: Id | None = None
    parent_task_id: Id | None = None
    context: TaskContext | None = None
    outcome: TaskOutcome | None = None
    signed_by: Id | None = None
    signature: Text | None = None
    signed_at: UtcDateTime | None = None
    updated_info_available: bool = False
    updated_info_content: Text | None = None
    claimed_by: Id | None = None
    """The occurrence that claimed it, if it was claimed."""
    claimed_at: UtcDateTime | None = None
    claimed_from: Id | None = None
    """The queue that it was claimed from, to which a graceful shutdown returns it."""
    fence: Count = 0
    """Fencing token: it grows with every change of owner, and a write with an older one is rejected."""
    shared_type: Id | None = None
    """The type of a shared task: it stays whatever the owner."""
    metadata: JsonObject = Field(default_factory=dict)


UPDATABLE_TASK_FIELDS = frozenset(Task.model_fields) - {
    "task_id", "agent_occurrence_id", "created_at", "claimed_by", "claimed_at", "claimed_from", "fence", "shared_type",
}  # fmt: skip
"""The fields that an update may change. Only claim, transfer, release and take-over change the owner."""

TaskOrder = Literal["created", "priority", "updated_desc"]


@dataclass(frozen=True, slots=True)
class TaskQuery(PageRequest):
    """Which tasks to list.

    Orders: ``created`` is created_at ascending; ``priority`` is priority descending, then created_at ascending;
    ``updated_desc`` is updated_at descending. Ties go by task_id ascending. Over the tasks of all owners, only
    ``created`` is read in order; the others sort what matches, and so does ``updated_desc`` for any other status than
    completed, and ``priority`` for finished ones.
    """

    occurrence_id: str | None = None
    """Exactly this owner; None: all owners."""
    statuses: tuple[TaskStatus, ...] = ()
    channel_id: str | None = None
    parent_task_id: str | None = None
    shared_type: str | None = None
    only_shared: bool = False
    """Only rows with the permanent mark of shared tasks."""
    correlation_id: str | None = None
    created_from: datetime | None = None
    updated_to: datetime | None = None
    """Both bounds inclusive."""
    orphaned: bool = False
    """Only tasks whose parent is gone or failed."""
    owner_dead_at: datetime | None = None
    """Only tasks of owners whose occurrence is not alive at that time, or never registered."""
    needs_seed_thought: bool = False
    """Only tasks that no thought belongs to."""
    order: TaskOrder = "created"


TaskChanges = dict[str, Any]
"""Field names of ``UPDATABLE_TASK_FIELDS`` and their new, valid, values."""
