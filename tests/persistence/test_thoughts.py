from __future__ import annotations

from datetime import timedelta
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from ciris_store_core import Conflict, FinalAction, InvalidArgument, Task, Thought, ThoughtStatus
from ciris_store_core.persistence import (
    add_task,
    add_thought,
    count_active_tasks,
    count_pending_thoughts_for_active_tasks,
    count_thoughts,
    count_thoughts_by_status,
    delete_thoughts_by_ids,
    get_pending_thoughts_for_active_tasks,
    get_queue_status,
    get_recent_thoughts,
    get_store,
    get_tasks_needing_seed_thought,
    get_thought_by_id,
    get_thought_status,
    get_thoughts_by_ids,
    get_thoughts_by_status,
    get_thoughts_by_task_id,
    get_thoughts_older_than,
    pending_thoughts,
    task_exists,
    thought_exists_for,
    update_thought_status,
)
from tests.persistence.conftest import START
from tests.persistence.test_tasks import thought
from tests.support.factories import task


def ids(thoughts: list[Thought]) -> list[str]:
    return [each.thought_id for each in thoughts]


def add(db: str, *thoughts: Thought) -> None:
    """Add thoughts, and first the tasks that they belong to and that are not there."""
    for each in thoughts:
        if not task_exists(each.source_task_id, db):
            add_task(task(each.source_task_id), db)
        add_thought(each, db)


def test_a_thought_comes_back_as_it_was_added(db: str) -> None:
    add_task(task("t1"), db)
    given = thought("th1", created_at=START, updated_at=START, ponder_notes=["why?"], thought_depth=2)
    assert add_thought(given, db) == "th1"
    assert get_thought_by_id("th1", "default", db) == given
    assert get_thought_by_id("th1", "occurrence_1", db) is None
    assert get_thought_status("th1", db_path=db) == ThoughtStatus.PENDING
    assert get_thought_status("th2", db_path=db) is None
    with pytest.raises(Conflict):
        add_thought(given, db)


def test_several_by_id_are_those_that_the_owner_has(db: str) -> None:
    add(db, thought("th1"), thought("th2"), thought("th3", agent_occurrence_id="other"))
    assert [*get_thoughts_by_ids(["th3", "th2", "no", "th1"], db_path=db)] == ["th2", "th1"]
    assert get_thoughts_by_ids([], db_path=db) == {}
    assert delete_thoughts_by_ids(["th3", "th1", "no"], db_path=db) == 1
    assert delete_thoughts_by_ids([], db_path=db) == 0
    assert get_thought_by_id("th3", "other", db) is not None


class Selected(BaseModel):
    selected_action: str
    action_parameters: dict[str, Any]
    rationale: str
    confidence: float = 0.5


@pytest.mark.parametrize(
    "action",
    [
        FinalAction(action_type="speak", action_params={"content": "hi"}, reasoning="polite"),
        {"action_type": "speak", "action_params": {"content": "hi"}, "reasoning": "polite"},
        Selected(selected_action="speak", action_parameters={"content": "hi"}, rationale="polite"),
    ],
)
def test_the_final_action_is_stored_however_it_is_spelled(db: str, action: Any) -> None:
    add(db, thought("th1"))
    assert update_thought_status("th1", "completed", db_path=db, final_action=action) is True
    stored = get_thought_by_id("th1", db_path=db)
    assert stored.status == ThoughtStatus.COMPLETED
    metadata = {"confidence": 0.5} if isinstance(action, Selected) else {}
    assert stored.final_action == FinalAction(
        action_type="speak", action_params={"content": "hi"}, reasoning="polite", metadata=metadata
    )
    assert update_thought_status("th1", ThoughtStatus.FAILED, db_path=db) is True
    assert get_thought_by_id("th1", db_path=db).final_action is not None
    assert update_thought_status("th1", ThoughtStatus.FAILED, "other", db) is False


class Kind(Enum):
    SPEAK = "speak"


@pytest.mark.parametrize(
    ("action", "kind", "params", "reasoning", "rest"),
    [
        ({"error": "boom"}, "failed", {}, "", {"error": "boom"}),
        ({"action_type": Kind.SPEAK, "at": START}, "speak", {}, "", {"at": "2025-03-01T12:00:00Z"}),
        ({"action_type": None, "action_params": [1], "reasoning": None}, "failed", {"value": [1]}, "", {}),
        ({"rationale": "r", "reasoning": "s", "metadata": {"a": 1}}, "failed", {}, "s", {"rationale": "r", "a": 1}),
        ({"action_type": 5, "metadata": "m"}, "failed", {}, "", {"type": 5, "value": "m"}),
        ("speak", "speak", {}, "", {}),
        (7, "failed", {}, "", {"value": 7}),
        ([], "failed", {}, "", {"value": []}),
        (ValueError("boom"), "failed", {}, "", {"error": "boom", "error_type": "ValueError"}),
        (SimpleNamespace(selected_action="ponder", why="so"), "ponder", {}, "", {"why": "so"}),
    ],
)
def test_any_object_is_taken_as_a_final_action(
    db: str, action: Any, kind: str, params: Any, reasoning: str, rest: Any
) -> None:
    add(db, thought("th1"))
    assert update_thought_status("th1", ThoughtStatus.FAILED, db_path=db, final_action=action)
    stored = get_thought_by_id("th1", db_path=db)
    assert stored.status == ThoughtStatus.FAILED
    assert stored.final_action == FinalAction(
        action_type=kind, action_params=params, reasoning=reasoning, metadata=rest
    )


def test_lists_are_oldest_first_and_limited(db: str) -> None:
    add(db, *(thought(f"th{n}", created_at=START + timedelta(minutes=n)) for n in range(5)))
    assert ids(get_thoughts_by_status("pending", db_path=db)) == ["th0", "th1", "th2", "th3", "th4"]
    assert ids(get_thoughts_by_status("pending", db_path=db, limit=2)) == ["th0", "th1"]
    assert get_thoughts_by_status("pending", db_path=db, limit=0) == []
    assert ids(get_thoughts_by_task_id("t1", db_path=db)) == ["th0", "th1", "th2", "th3", "th4"]
    assert ids(get_thoughts_older_than(START + timedelta(minutes=2), db_path=db)) == ["th0", "th1"]
    with pytest.raises(InvalidArgument, match="limit"):
        get_thoughts_by_status("pending", db_path=db, limit=-1)


def test_recent_thoughts_are_newest_first_however_old(db: str) -> None:
    now = get_store(db).clock.now()
    ages = (timedelta(0), timedelta(minutes=5), timedelta(hours=3), timedelta(days=3), timedelta(days=300))
    add(db, *(thought(f"th{n}", created_at=now - age) for n, age in enumerate(ages)))
    for limit in range(1, 6):
        assert ids(get_recent_thoughts("default", limit, db)) == [f"th{n}" for n in range(limit)]
    assert ids(get_recent_thoughts(db_path=db)) == ["th0", "th1", "th2", "th3", "th4"]


def test_analytics_count_what_belongs_together(db: str) -> None:
    add_task(task("active", status="active"), db)
    add_task(task("seedless", status="active"), db)
    add_task(task("pending"), db)
    add_task(Task(task_id="theirs", channel_id="x", description="x", status="active", agent_occurrence_id="o"), db)
    add(
        db,
        thought("p", "active", created_at=START),
        thought("w", "active", status="processing", created_at=START + timedelta(seconds=1)),
        thought("c", "active", status="completed"),
        thought("q", "pending"),
    )
    assert ids(get_pending_thoughts_for_active_tasks(db_path=db)) == ["p", "w"]
    assert ids(get_pending_thoughts_for_active_tasks(limit=1, db_path=db)) == ["p"]
    assert count_pending_thoughts_for_active_tasks(db_path=db) == 2
    assert [each.task_id for each in get_tasks_needing_seed_thought(db_path=db)] == ["seedless"]
    assert count_active_tasks(db_path=db) == 2
    assert count_thoughts(db_path=db) == 3
    assert count_thoughts_by_status("completed", db_path=db) == 1
    assert thought_exists_for("active", db_path=db) and not thought_exists_for("seedless", db_path=db)
    assert pending_thoughts(db_path=db) and not pending_thoughts("o", db)


def test_the_queue_status_counts_and_measures(db: str) -> None:
    add_task(task("t1"), db)
    add(
        db,
        thought("p"),
        thought("w", status="processing"),
        thought("f", status="failed"),
        thought("c1", status="completed", created_at=START, updated_at=START + timedelta(seconds=1)),
        thought("c2", status="completed", created_at=START, updated_at=START + timedelta(seconds=3)),
    )
    queue = get_queue_status(db)
    assert (queue.pending_tasks, queue.total_tasks) == (1, 1)
    assert (queue.pending_thoughts, queue.processing_thoughts, queue.total_thoughts) == (1, 1, 5)
    assert queue.get_metrics() == {
        "queue_size": 2.0,
        "queue_processed_total": 2.0,
        "queue_errors_total": 1.0,
        "queue_avg_wait_ms": 2000.0,
    }
    assert get_queue_status(db, occurrence_id="other").get_metrics()["queue_avg_wait_ms"] == 0.0
