"""Records of other programs, taken by their shape: the engine's own classes, dicts, dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic_core import PydanticSerializationError, to_jsonable_python

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.base import JsonObject, Record, Text
from ciris_store_core.models.correlations import Correlation, ServiceRequest, ServiceResponse, Tags
from ciris_store_core.models.enums import ThoughtStatus
from ciris_store_core.models.graph import GraphEdge, GraphNode
from ciris_store_core.models.tasks import Task, TaskContext
from ciris_store_core.models.thoughts import FinalAction, Thought
from ciris_store_core.persistence.requests import to_response
from ciris_store_core.validation.field_types import field_types, is_record

R = TypeVar("R", bound=Record)

_FLAT = frozenset({"metric_name", "metric_value", "log_level", "log_message"})
"""Further names that a correlation accepts."""

# The engine's names of the fields of a final action, and the store's.
_ACTION_NAMES = {"selected_action": "action_type", "action_parameters": "action_params", "rationale": "reasoning"}


def to_task(given: Any) -> Task:
    """Return a task from an object with its fields."""
    return _to_record(given, Task)


def to_task_context(given: Any) -> TaskContext | None:
    """Return the context of a task from an object with its fields, or None."""
    return None if given is None else _to_record(given, TaskContext)


def to_thought(given: Any) -> Thought:
    """Return a thought from an object with its fields."""
    return _to_record(given, Thought)


def to_node(given: Any) -> GraphNode:
    """Return a node from an object with its fields."""
    return _to_record(given, GraphNode)


def to_edge(given: Any) -> GraphEdge:
    """Return an edge from an object with its fields."""
    return _to_record(given, GraphEdge)


def to_correlation(given: Any) -> Correlation:
    """Return a correlation from an object with its fields."""
    return _to_record(given, Correlation)


def to_final_action(given: Any, status: ThoughtStatus) -> FinalAction:
    """Return a final action that holds all of any object; ``status`` names an action without a type."""
    if isinstance(given, FinalAction):
        return given
    shape = _jsonable(given, "final_action")
    if isinstance(shape, str):
        shape = {"action_type": shape}
    elif not isinstance(shape, dict):
        shape = {"value": shape}
    fields = {key: value for key, value in shape.items() if _ACTION_NAMES.get(key, key) in {key, *shape}}
    fields |= {_ACTION_NAMES[key]: value for key, value in shape.items() if key not in fields}
    if not isinstance(fields.get("action_type"), str):
        if fields.get("action_type") is not None:
            fields["type"] = fields["action_type"]
        fields["action_type"] = status.value
    params = fields.pop("action_params", None)
    if params is not None:
        fields["action_params"] = params if isinstance(params, dict) else {"value": params}
    fields["reasoning"] = _text(fields.get("reasoning", ""))
    return _from_fields(fields, FinalAction)


# --- inside -----------------------------------------------------------------------------------


def _to_record(given: Any, model: type[R]) -> R:
    if isinstance(given, model):
        return given
    shape = _jsonable(given, model.__name__)
    if not isinstance(shape, dict):
        raise InvalidArgument(f"expected a {model.__name__}, or an object with its fields, not {type(given).__name__}")
    # A default of the engine names no owner: the store's own occurrence is the default here.
    if "agent_occurrence_id" not in getattr(given, "model_fields_set", shape):
        shape.pop("agent_occurrence_id", None)
    return _from_fields(shape, model)


def _from_fields(shape: Mapping[str, Any], model: type[R]) -> R:
    """Return a record of these fields. Those that the model lacks are kept in its metadata."""
    types = field_types(model)
    known = types.keys() | (_FLAT if model is Correlation else set())
    open_ended = model.model_config.get("extra") == "allow"
    fields: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in shape.items():
        if name in known:
            if value is not None or name == "consent_stream":  # None is every other field's default, or no value of it
                fields[name] = _fitted(value, types.get(name), shape)
        elif open_ended:
            fields[name] = value
        elif value is not None:
            rest[name] = value
    if rest:
        fields["metadata"] = {**rest, **fields.get("metadata", {})}
    return model(**fields)


def _fitted(value: Any, kind: Any, around: Mapping[str, Any]) -> Any:
    if kind is ServiceResponse and isinstance(value, dict):
        return to_response(value)
    if kind is ServiceRequest and isinstance(value, dict):
        names = {"service_type": around.get("service_type"), "method_name": around.get("action_type")}
        return _from_fields({**names, **value}, ServiceRequest)
    if is_record(kind) and isinstance(value, dict):
        return _from_fields(value, kind)
    if kind == Tags and isinstance(value, dict):
        return {key: _text(each) for key, each in value.items()}
    if kind == Text and not isinstance(value, str):
        return _text(value)
    if kind == JsonObject and not isinstance(value, dict):
        return {"value": value}
    return value


def _jsonable(given: Any, name: str) -> Any:
    try:
        return to_jsonable_python(given, fallback=_shape)
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        raise InvalidArgument(f"{name}: {type(given).__name__} cannot be stored as JSON: {error}") from None


def _shape(given: Any) -> Any:
    """Return the attributes of an object, or else its text."""
    if isinstance(given, BaseException):
        return {"error": str(given), "error_type": type(given).__name__}
    if isinstance(given, Mapping):
        return dict(given)
    attributes = {name: value for name, value in getattr(given, "__dict__", {}).items() if not name.startswith("_")}
    return attributes if attributes and not callable(given) else str(given)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
