"""Thoughts, and queries about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field

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


class ThoughtContext(dict[str, Any]):
    """Context of a thought: a JSON object whose keys are attributes, too. The usual ones are None if not given."""

    if TYPE_CHECKING:
        task_id: str | None
        channel_id: str | None
        correlation_id: str | None
        parent_thought_id: str | None
        agent_occurrence_id: str | None
        round_number: int | None
        depth: int | None

    def __getattr__(self, name: str) -> Any:
        """Return the value of a key."""
        if name in self:
            return self[name]
        if name in _USUAL:
            return None
        raise AttributeError(f"the context has no {name!r}. It has: {', '.join(sorted(self)) or 'nothing'}.")

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Return the context as a plain dict."""
        return dict(self)


_USUAL = frozenset(
    ("task_id", "channel_id", "correlation_id", "parent_thought_id", "agent_occurrence_id", "round_number", "depth")
)


class _ContextOfThought:
    """The attribute ``context``. Records hold plain dicts, as databases return them, until the attribute is read."""

    def __get__(self, thought: Thought | None, owner: Any = None) -> ThoughtContext | None:
        if thought is None or "context" not in thought.__dict__:
            raise AttributeError("context")  # pydantic must not take this object for the field's default
        value = thought.__dict__["context"]
        if type(value) is dict:
            value = thought.__dict__["context"] = ThoughtContext(value)
        return value  # type: ignore[no-any-return]

    def __set__(self, thought: Thought, value: Mapping[str, Any] | BaseModel | None) -> None:
        thought.__dict__["context"] = value


if TYPE_CHECKING:
    _ContextField = _ContextOfThought
else:
    _ContextField = JsonObject | None


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
    context: _ContextField = default(None)
    thought_depth: Annotated[int, Field(ge=0, le=7)] = 0
    escalation_level: Count = 0
    retry_count: Count = 0
    ponder_notes: list[Text] | None = None
    parent_thought_id: Id | None = None
    final_action: FinalAction | None = None
    metadata: JsonObject = Field(default_factory=dict)


type.__setattr__(Thought, "context", _ContextOfThought())  # pydantic keeps no class attribute of a field's name

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
