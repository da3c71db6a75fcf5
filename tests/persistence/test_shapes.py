"""Records of other programs: the engine's own classes, dicts, dataclasses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

import ciris_store_core.schemas
from ciris_store_core import InvalidArgument, TaskContext, TaskStatus, ThoughtType
from ciris_store_core.models.base import NamedEnum, Record
from ciris_store_core.persistence import (
    add_correlation,
    add_graph_edge,
    add_graph_node,
    add_task,
    add_thought,
    get_correlation,
    get_edges_for_node,
    get_graph_node,
    get_task_by_id,
    get_thought_by_id,
    update_correlation,
    update_task_context_and_signing,
)
from tests.persistence.conftest import START

NOW = "2025-03-01T12:00:00+00:00"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Status(StrEnum):
    PENDING = "pending"
    ACTIVE = "active"


class Kind(Enum):
    FOLLOW_UP = "follow_up"


class ForeignTaskContext(Strict):
    channel_id: str | None = None
    correlation_id: str


class ForeignTask(Strict):
    task_id: str
    channel_id: str
    description: str
    agent_occurrence_id: str = "default"
    status: Status = Status.PENDING
    priority: int = 0
    created_at: str
    updated_at: str
    context: ForeignTaskContext | None = None
    outcome: None = None
    images: list[str] = Field(default_factory=list)


class ForeignThoughtContext(Strict):
    task_id: str
    channel_id: str | None = None
    round_number: int = 0
    correlation_id: str


class ForeignThought(Strict):
    thought_id: str
    source_task_id: str
    thought_type: Kind = Kind.FOLLOW_UP
    created_at: str = NOW
    updated_at: str = NOW
    content: str
    context: ForeignThoughtContext | None = None
    final_action: Any = None


class Consent(StrEnum):
    PARTNERED = "partnered"


class ForeignAttributes(Strict):
    created_at: datetime
    created_by: str
    tags: list[str]


class ForeignNode(Strict):
    id: str
    type: str
    scope: str
    attributes: Any
    version: int = 1
    updated_by: str | None = None
    consent_stream: Consent = Consent.PARTNERED
    expires_at: datetime | None = None


@dataclass
class ForeignEdge:
    source: str
    target: str
    relationship: str
    scope: str
    attributes: Any
    weight: float = 0.5


class ForeignCorrelation(Strict):
    correlation_id: str
    correlation_type: str = "service_interaction"
    service_type: str
    handler_name: str
    action_type: str
    request_data: dict[str, Any] | None = None
    response_data: dict[str, Any] | None = None
    status: Status = Status.PENDING
    created_at: datetime | None = None
    timestamp: datetime | None = None
    tags: dict[str, Any] | None = None


def foreign_task(**fields: Any) -> ForeignTask:
    given = {"task_id": "t1", "channel_id": "c", "description": "d", "created_at": NOW, "updated_at": NOW}
    return ForeignTask(**{**given, **fields})


def test_a_task_of_the_engines_class_is_taken(db: str) -> None:
    context = ForeignTaskContext(channel_id="c", correlation_id="k")
    assert add_task(foreign_task(status=Status.ACTIVE, context=context, images=["a.png"]), db) == "t1"
    stored = get_task_by_id("t1", db_path=db)
    assert (stored.status, stored.created_at, stored.context) == (
        TaskStatus.ACTIVE,
        START,
        TaskContext(channel_id="c", correlation_id="k"),
    )
    assert stored.metadata == {"images": ["a.png"]}
    assert add_task({"task_id": "t2", "channel_id": "c", "description": "d", "priority": 3}, db) == "t2"
    assert get_task_by_id("t2", db_path=db).priority == 3


def test_a_thought_of_the_engines_class_is_taken_and_its_context_has_attributes(db: str) -> None:
    add_task(foreign_task(), db)
    context = ForeignThoughtContext(task_id="t1", channel_id="api", correlation_id="k")
    action = {"action_type": "speak", "action_params": {"a": 1}, "reasoning": "r"}
    thought = ForeignThought(thought_id="h", source_task_id="t1", content="hm", context=context, final_action=action)
    assert add_thought(thought, db) == "h"
    stored = get_thought_by_id("h", db_path=db)
    assert stored.context.channel_id == "api" and stored.context.round_number == 0
    assert stored.context.parent_thought_id is None
    assert stored.context == {"task_id": "t1", "channel_id": "api", "round_number": 0, "correlation_id": "k"}
    assert stored.thought_type is ThoughtType.FOLLOW_UP and stored.final_action.action_params == {"a": 1}
    with pytest.raises(AttributeError, match="has no 'chanel_id'"):
        stored.context.chanel_id  # noqa: B018


def test_nodes_edges_and_correlations_are_taken_by_shape(db: str) -> None:
    attributes = ForeignAttributes(created_at=datetime(2025, 3, 1, 12, tzinfo=UTC), created_by="me", tags=["x"])
    for name in ("a", "b"):
        add_graph_node(ForeignNode(id=name, type="concept", scope="local", attributes=attributes), db_path=db)
    stored = get_graph_node("a", "local", db)
    assert stored.attributes["created_by"] == "me" and stored.consent_stream == "partnered"
    assert add_graph_edge(ForeignEdge("a", "b", "knows", "local", {"context": "c", "k": None}), db) == "a->b->knows"
    [edge] = get_edges_for_node("a", "local", db)
    assert (edge.weight, edge.attributes.context, edge.attributes.k) == (0.5, "c", None)
    given = ForeignCorrelation(
        correlation_id="k", service_type="llm", handler_name="h", action_type="speak",
        request_data={"task_id": "t", "channel_id": "c", "parameters": {"n": 1}}, tags={"n": 2},
    )  # fmt: skip
    add_correlation(given, db_path=db)
    found = get_correlation("k", db)
    assert (found.request_data.method_name, found.request_data.parameters, found.tags) == (
        "speak",
        {"n": "1"},
        {"n": "2"},
    )
    answered = given.model_copy(update={"response_data": {"success": "true", "execution_time_ms": "1.5", "more": 1}})
    assert update_correlation("k", answered, db_path=db)
    assert get_correlation("k", db).response_data.metadata == {"more": 1}


def test_the_context_of_a_task_is_taken_by_shape(db: str) -> None:
    add_task(foreign_task(), db)
    context = {"correlation_id": "k", "channel_id": "c", "why": "so"}
    assert update_task_context_and_signing("t1", "default", context, db_path=db)
    assert get_task_by_id("t1", db_path=db).context.metadata == {"why": "so"}


@pytest.mark.parametrize("given", ["a task", 7, None, [1], object()])
def test_what_has_no_fields_is_refused(db: str, given: Any) -> None:
    for add in (add_task, add_thought, add_graph_node, add_graph_edge, add_correlation):
        with pytest.raises(InvalidArgument):
            add(given, db_path=db)


# --- the two rules of import paths ------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs/howto/functions.md"
ROW = re.compile(r"^\| `([\w.]+)` \| (.+) \|$", re.MULTILINE)


def mapped() -> dict[str, list[str]]:
    """Return the names of each module of ``schemas``, as the page lists them."""
    table = PAGE.read_text().partition("## Every record")[2].partition("\n## ")[0]
    return {module: re.findall(r"`(\w+)`", names) for module, names in ROW.findall(table)}


def test_every_module_of_records_is_in_the_table_with_its_names() -> None:
    root = Path(ciris_store_core.schemas.__file__).parent
    there = {".".join(path.relative_to(root).with_suffix("").parts) for path in root.rglob("[a-z]*.py")}
    assert mapped().keys() == there
    for module, names in mapped().items():
        found = import_module(f"ciris_store_core.schemas.{module}")
        assert sorted(names) == sorted(found.__all__), module
        assert all(issubclass(getattr(found, name), Record | NamedEnum | dict) for name in names)
