"""Thoughts, and queries about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from ciris_store_core.models.base import Count, Id, JsonObject, Parsed, Record, Text, UtcDateTime, default, utc_now
from ciris_store_core.models.enums import ThoughtStatus, ThoughtType
from ciris_store_core.models.paging import PageRequest
from ciris_store_core.models.tasks import DEFAULT_OCCURRENCE


class FinalAction(Record):
    """Decision of a thought."""

    action_type: Text
    action_params: JsonObject = Field(default_factory=dict)
    reasoning: Text
    metadata: JsonObject = Field(default_factory=dict)


class Thought(Record):
    """One step of an agent's reasoning about a task."""

    thought_id: Id
    source_task_id: Id
    content: Text
    agent_occurrence_id: Id = DEFAULT_OCCURRENCE
    channel_id: Id | None = None
    thought_type: Parsed[ThoughtType] = default(ThoughtType.STANDARD)
    status: Parsed[ThoughtStatus] = default(ThoughtStatus.PENDING)
    created_at: UtcDateTime = Field(default_factory=utc_now)
    updated_at: UtcDateTime = Field(default_factory=utc_now)
    round_number: Count = 0
    context: JsonObject | None = None
    thought_depth: Annotated[int, Field(ge=0, le=7)] = 0
    escalation_level: Count = 0
    retry_count: Count = 0
    ponder_notes: list[Text] | None = None
    parent_thought_id: Id | None = None
    final_action: FinalAction | None = None
    metadata: JsonObject = Field(default_factory=dict)


UPDATABLE_THOUGHT_FIELDS = frozenset(Thought.model_fields) - {
    "thought_id", "source_task_id", "agent_occurrence_id", "created_at",
}  # fmt: skip
"""The fields that an update may change. Only a transfer changes the owner."""

ThoughtOrder = Literal["created", "updated_desc"]


@dataclass(frozen=True, slots=True)
class ThoughtQuery(PageRequest):
    """Which thoughts to list: created_at ascending, or updated_at descending; ties by thought_id ascending.

    ``updated_desc`` is read in order for completed thoughts of one owner; otherwise what matches is sorted.
    """

    occurrence_id: str | None = None
    """Exactly this owner; None: all owners."""
    statuses: tuple[ThoughtStatus, ...] = ()
    source_task_id: str | None = None
    parent_thought_id: str | None = None
    thought_types: tuple[ThoughtType, ...] = ()
    of_active_tasks: bool = False
    """Only thoughts whose task is active and has the same owner."""
    orphaned: bool = False
    """Only thoughts whose task is gone."""
    owner_dead_at: datetime | None = None
    """Only thoughts of owners whose occurrence is not alive at that time, or never registered."""
    created_from: datetime | None = None
    updated_to: datetime | None = None
    """Both bounds inclusive."""
    order: ThoughtOrder = "created"


ThoughtChanges = dict[str, Any]
"""Field names of ``UPDATABLE_THOUGHT_FIELDS`` and their new, valid, values."""
