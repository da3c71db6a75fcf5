"""Conversion of task and thought rows."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from ciris_store_core.importer.engine_row import EngineRow
from ciris_store_core.models.enums import TaskStatus, ThoughtStatus, ThoughtType
from ciris_store_core.models.tasks import DEFAULT_OCCURRENCE, Task, TaskContext, TaskOutcome, shared_type_of
from ciris_store_core.models.thoughts import FinalAction, Thought

_CONTEXT_FIELDS = ("correlation_id", "channel_id", "user_id", "parent_task_id", "agent_occurrence_id")
_OUTCOME_LISTS = ("actions_taken", "memories_created", "errors")


def task(row: EngineRow) -> Task:
    """Return a task. A shared task gets its permanent marker, so that it is found after a transfer."""
    key = row.required("task_id")
    if row.get("retry_count"):
        row.keep("retry_count", row.get("retry_count"))
    fields: dict[str, Any] = {
        "task_id": key,
        "channel_id": row.required("channel_id", "unknown"),
        "description": row.text("description") or "",
        "agent_occurrence_id": row.text("agent_occurrence_id") or DEFAULT_OCCURRENCE,
        "status": row.choice("status", TaskStatus, TaskStatus.PENDING),
        "priority": row.whole("priority", 0, 0, 10),
        **row.times("created_at", "updated_at"),
        "parent_task_id": row.text("parent_task_id"),
        "context": _context(row, key),
        "outcome": _outcome(row),
        "signed_by": row.text("signed_by"),
        "signature": row.text("signature"),
        "signed_at": row.time("signed_at"),
        "updated_info_available": bool(row.get("updated_info_available")),
        "updated_info_content": row.text("updated_info_content"),
        "shared_type": shared_type_of(key),
    }
    return Task(**fields, metadata=row.metadata())


def _context(row: EngineRow, task_id: str) -> TaskContext | None:
    given = row.json_object("context_json")
    if not given:
        return None
    fields = {name: str(given.pop(name)) for name in _CONTEXT_FIELDS if given.get(name) not in (None, "")}
    if "correlation_id" not in fields:
        fields["correlation_id"] = str(uuid5(NAMESPACE_URL, f"ciris-engine-task:{task_id}"))
        row.notes.append("context_json: no correlation_id, one was made from the task's id")
    return TaskContext(**fields, metadata={name: value for name, value in given.items() if value is not None})


def _outcome(row: EngineRow) -> TaskOutcome | None:
    given = row.json_object("outcome_json")
    if not given:
        return None
    lists = {name: _texts(given.pop(name, None)) for name in _OUTCOME_LISTS}
    status, summary = (_text(given.pop(name, None)) for name in ("status", "summary"))
    return TaskOutcome(status=status, summary=summary, **lists, metadata=given)


def thought(row: EngineRow) -> Thought:
    """Return a thought."""
    fields: dict[str, Any] = {
        "thought_id": row.required("thought_id"),
        "source_task_id": row.required("source_task_id", "unknown"),
        "content": row.text("content") or "",
        "agent_occurrence_id": row.text("agent_occurrence_id") or DEFAULT_OCCURRENCE,
        "channel_id": row.text("channel_id") or None,
        "thought_type": row.choice("thought_type", ThoughtType, ThoughtType.STANDARD),
        "status": row.choice("status", ThoughtStatus, ThoughtStatus.PENDING),
        **row.times("created_at", "updated_at"),
        "round_number": row.whole("round_number", 0, 0),
        "context": row.json_object("context_json"),
        "thought_depth": row.whole("thought_depth", 0, 0, 7),
        "ponder_notes": _ponder_notes(row),
        "parent_thought_id": row.text("parent_thought_id") or None,
        "final_action": _final_action(row),
    }
    return Thought(**fields, metadata=row.metadata())


def _ponder_notes(row: EngineRow) -> list[str] | None:
    given = row.json("ponder_notes_json")
    if given is None or (isinstance(given, list) and all(isinstance(note, str) for note in given)):
        return given
    row.fixed("ponder_notes_json", "no list of texts, became one", given)
    return _texts(given)


def _final_action(row: EngineRow) -> FinalAction | None:
    given = row.json_object("final_action_json")
    if not given:
        return None
    params = given.pop("action_params", None)
    texts = {name: _text(given.pop(name, None)) for name in ("action_type", "reasoning")}
    if not texts["action_type"]:
        row.fixed("final_action_json", "no action_type, kept apart", {**given, "reasoning": texts["reasoning"]})
        return None
    if not isinstance(params, dict):
        params = {} if params is None else {"value": params}
    return FinalAction(**texts, action_params=params, metadata=given)


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    return [_text(each) for each in value] if isinstance(value, list) else [_text(value)]


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else str(value)
