from __future__ import annotations

from typing import Any

import pytest

from ciris_store_core import (
    ANY_OCCURRENCE,
    Conflict,
    FinalAction,
    InvalidArgument,
    ManualClock,
    NotFound,
    Store,
    Task,
    Thought,
    ThoughtStatus,
    ThoughtType,
)
from tests.support.factories import thought


@pytest.fixture(autouse=True)
def tasks(store: Store) -> None:
    """Store the tasks that the thoughts belong to."""
    store.tasks.add_many(Task(task_id=each, channel_id="c", description="d") for each in "tu")


def ids(thoughts: Any) -> list[str]:
    return [row.thought_id for row in thoughts]


def get(store: Store, thought_id: str = "th") -> Thought:
    found = store.thoughts.get(thought_id, occurrence_id=ANY_OCCURRENCE)
    assert found is not None
    return found


def test_add_and_exist_ok(store: Store, clock: ManualClock) -> None:
    stored = store.thoughts.add(thought(context={"a": 1}))
    assert stored == get(store) and stored.created_at == clock.now()
    with pytest.raises(Conflict):
        store.thoughts.add(thought())
    assert store.thoughts.add(thought(), exist_ok=True) == stored
    with pytest.raises(Conflict, match="content"):
        store.thoughts.add(thought(content="y"), exist_ok=True)
    assert ids(store.thoughts.add_many([thought("b"), thought("a")])) == ["b", "a"]
    assert list(store.thoughts.get_many(["a", "zz", "th"])) == ["a", "th"]


def test_a_thought_needs_its_task(store: Store) -> None:
    """Otherwise a thought is accepted, and deleted by maintenance soon after."""
    bound = store.for_occurrence("o")
    lost = thought("lost", source_task_id="gone")
    for add in (
        lambda: store.thoughts.add(lost),
        lambda: store.thoughts.add(lost, exist_ok=True),
        lambda: store.thoughts.add_many([thought("a"), lost]),
        lambda: bound.thoughts.add(lost),
        lambda: store.run(lambda tx: tx.thoughts.add(lost)),
    ):
        with pytest.raises(NotFound, match="Add the task first") as caught:
            add()
        assert (caught.value.kind, caught.value.key) == ("task", "gone")
    assert store.thoughts.count(occurrence_id=ANY_OCCURRENCE) == 0
    with store.transaction() as tx:
        tx.tasks.add(Task(task_id="gone", channel_id="c", description="d"))
        tx.thoughts.add(lost)
    assert get(store, "lost").source_task_id == "gone"


def test_update_stores_the_final_action(store: Store, clock: ManualClock) -> None:
    store.thoughts.add(thought())
    clock.advance(seconds=1)
    action = FinalAction(action_type="speak", reasoning="because", action_params={"to": ["me"]})
    assert store.thoughts.update("th", status="COMPLETED", final_action=action)
    assert get(store).final_action == action and get(store).updated_at == clock.now()
    assert not store.thoughts.update("th", occurrence_id="o", status="failed")
    with pytest.raises(InvalidArgument, match=r"source_task_id.*cannot be updated"):
        store.thoughts.update("th", source_task_id="u")


def test_list_scan_count_and_delete(store: Store, clock: ManualClock) -> None:
    for number in range(5):
        store.thoughts.add(thought(f"h{number}", status="failed" if number == 4 else "pending", thought_type="ponder"))
        clock.advance(seconds=1)
    thoughts = store.thoughts
    first = thoughts.find(limit=3)
    rest = thoughts.find(limit=3, cursor=first.next_cursor)
    assert ids([*first, *rest]) == ids(thoughts.scan()) == ["h0", "h1", "h2", "h3", "h4"]
    assert ids(thoughts.find(order="updated_desc", limit=1)) == ["h4"]
    assert thoughts.count(status=["pending", "failed"], thought_type=ThoughtType.PONDER, source_task_id="t") == 5
    assert thoughts.count_by_status()[ThoughtStatus.FAILED] == 1
    assert thoughts.delete_many(["h0", "h1", "nope"]) == 2 and thoughts.count() == 3


def test_pending_of_active_tasks(store: Store) -> None:
    store.tasks.add_many(
        [Task(task_id=i, channel_id="c", description="d", status=s) for i, s in (("ta", "active"), ("tp", "pending"))]
    )
    store.thoughts.add_many([thought("a", source_task_id="ta"), thought("b", source_task_id="tp")])
    assert ids(store.thoughts.pending_of_active_tasks()) == ["a"]


def test_retry_and_escalate_count(store: Store) -> None:
    store.thoughts.add(thought(status="failed"))
    assert store.thoughts.retry("th", 1)
    assert (get(store).status, get(store).retry_count) == (ThoughtStatus.PENDING, 1)
    assert not store.thoughts.retry("th", 2)
    store.thoughts.update("th", status="failed")
    assert not store.thoughts.retry("th", 1) and store.thoughts.retry("th", 2)
    assert store.thoughts.escalate("th") and get(store).escalation_level == 1
    assert not store.thoughts.escalate("nope") and not store.thoughts.escalate("th", occurrence_id="o")
    with pytest.raises(InvalidArgument):
        store.thoughts.retry("th", -1)


def test_transfer_takes_exactly_one_selector(store: Store) -> None:
    store.thoughts.add_many([thought("a"), thought("b"), thought("c", source_task_id="u")])
    assert store.thoughts.transfer(thought_id="a", from_occurrence="default", to_occurrence="o") is True
    assert store.thoughts.transfer(thought_id="a", from_occurrence="default", to_occurrence="o") is False
    assert store.thoughts.transfer(task_id="t", from_occurrence="default", to_occurrence="o") == 1
    assert ids(store.thoughts.find(occurrence_id="o")) == ["a", "b"]
    for bad in ({}, {"thought_id": "a", "task_id": "t"}):
        with pytest.raises(InvalidArgument, match="exactly one"):
            store.thoughts.transfer(**bad, from_occurrence="default", to_occurrence="o")  # type: ignore[call-overload]
