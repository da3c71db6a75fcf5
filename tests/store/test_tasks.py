from __future__ import annotations

from typing import Any

import pytest

from ciris_store_core import (
    ANY_OCCURRENCE,
    Conflict,
    InvalidArgument,
    ManualClock,
    StaleFence,
    Store,
    Task,
    TaskContext,
    TaskOutcome,
    TaskStatus,
)
from tests.support.factories import task, thought


def ids(tasks: Any) -> list[str]:
    return [row.task_id for row in tasks]


def get(store: Store, task_id: str = "t") -> Task:
    found = store.tasks.get(task_id, occurrence_id=ANY_OCCURRENCE)
    assert found is not None
    return found


def test_add_returns_what_is_stored(store: Store, clock: ManualClock) -> None:
    given = task(priority=3, context=TaskContext(correlation_id="x"), metadata={"a": (1, 2)})
    stored = store.tasks.add(given)
    assert stored == store.tasks.get("t")
    assert stored.created_at == stored.updated_at == clock.now()
    assert stored.metadata == {"a": [1, 2]} and given.metadata == {"a": (1, 2)}


def test_what_was_returned_or_given_can_change_without_harm(store: Store) -> None:
    given = task(metadata={"a": []})
    store.tasks.add(given).metadata["a"].append(1)
    given.metadata["a"].append(2)
    get(store).metadata["a"].append(3)
    assert get(store).metadata == {"a": []}


def test_an_id_that_exists_is_a_conflict(store: Store) -> None:
    store.tasks.add(task())
    with pytest.raises(Conflict):
        store.tasks.add(task())
    with pytest.raises(Conflict):
        store.tasks.add_many([task("new"), task()])
    assert store.tasks.get("new") is None


def test_exist_ok_returns_the_same_and_refuses_another(store: Store, clock: ManualClock) -> None:
    first = store.tasks.add(task(metadata={"a": 1}))
    clock.advance(hours=1)
    assert store.tasks.add(task(metadata={"a": 1}), exist_ok=True) == first
    for other in ({"description": "other"}, {"metadata": {"a": 1.0}}, {"metadata": {"a": True}}, {"priority": 1}):
        with pytest.raises(Conflict, match=f"another {next(iter(other))}"):
            store.tasks.add(task(**other), exist_ok=True)
    assert ids(store.tasks.add_many([task("b"), task(), task("a")], exist_ok=True)) == ["b", "t", "a"]


def test_a_batch_must_not_name_one_id_twice(store: Store) -> None:
    with pytest.raises(InvalidArgument, match="task_id 't' occurs twice"):
        store.tasks.add_many([task(), task()])
    assert store.tasks.count() == 0 and store.tasks.add_many([]) == []


def test_looking_up_filters_by_owner(store: Store) -> None:
    store.tasks.add_many([task("a"), task("b", agent_occurrence_id="o")])
    assert store.tasks.get("b") is None and store.tasks.get("nope") is None
    assert get(store, "b").agent_occurrence_id == "o"
    assert list(store.tasks.get_many(["b", "x", "a"], occurrence_id=ANY_OCCURRENCE)) == ["b", "a"]
    assert list(store.tasks.get_many(["b", "a"])) == ["a"] and store.tasks.get_many([]) == {}
    with pytest.raises(InvalidArgument, match="Put it into a list"):
        store.tasks.get_many("ab")


def test_update_changes_what_is_given_and_moves_updated_at(store: Store, clock: ManualClock) -> None:
    before = store.tasks.add(task(metadata={"a": 1}))
    clock.advance(seconds=1)
    assert store.tasks.update("t", status="in_progress", priority=5)
    assert get(store) == before.replaced(status=TaskStatus.ACTIVE, priority=5, updated_at=clock.now())
    assert not store.tasks.update("t", occurrence_id="other", status="failed")
    assert not store.tasks.update("nope", status="failed")
    with pytest.raises(InvalidArgument, match="channel_id"):
        store.tasks.update("t", nonsense=1)
    assert get(store).status == TaskStatus.ACTIVE


def filled(store: Store, clock: ManualClock) -> None:
    for number, status in enumerate(["pending", "active", "pending", "completed", "failed"]):
        store.tasks.add(task(f"t{number}", status=status, priority=number % 3, channel_id=f"c{number % 2}"))
        clock.advance(seconds=1)


def test_list_filters_and_orders(store: Store, clock: ManualClock) -> None:
    filled(store, clock)
    tasks = store.tasks
    assert ids(tasks.find()) == ["t0", "t1", "t2", "t3", "t4"]
    assert ids(tasks.find(order="priority")) == ["t2", "t1", "t4", "t0", "t3"]
    assert ids(tasks.find(order="updated_desc")) == ["t4", "t3", "t2", "t1", "t0"]
    assert ids(tasks.find(status="PENDING")) == ["t0", "t2"]
    assert ids(tasks.find(status=[TaskStatus.FAILED, "completed"], channel_id="c0")) == ["t4"]
    assert tasks.count(channel_id="c1") == 2
    assert tasks.count_by_status()[TaskStatus.PENDING] == 2 and tasks.count_by_status()[TaskStatus.REJECTED] == 0
    assert ids(tasks.pending_for_activation()) == ["t2", "t0"] and ids(tasks.top(2)) == ["t2", "t1"]
    assert ids(tasks.recent_completed()) == ["t3"]


@pytest.mark.parametrize("order", ["created", "priority", "updated_desc"])
def test_pages_follow_one_another(store: Store, clock: ManualClock, order: Any) -> None:
    filled(store, clock)
    first = store.tasks.find(order=order, limit=2)
    second = store.tasks.find(order=order, limit=2, cursor=first.next_cursor)
    third = store.tasks.find(order=order, limit=2, cursor=second.next_cursor)
    assert third.next_cursor is None
    assert ids([*first, *second, *third]) == ids(store.tasks.scan(order=order)) == ids(store.tasks.find(order=order))


def test_bad_questions_are_refused(store: Store, clock: ManualClock) -> None:
    filled(store, clock)
    cursor = store.tasks.find(limit=1).next_cursor
    for bad in (
        {"limit": 0}, {"limit": 10_001}, {"order": "random"}, {"status": "nope"}, {"status": []}, {"cursor": "zzz"},
        {"cursor": cursor, "order": "updated_desc"}, {"channel_id": ""}, {"occurrence_id": "\0"},
    ):  # fmt: skip
        with pytest.raises(InvalidArgument):
            store.tasks.find(**bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="'nonsense' is not a filter here"):
        store.tasks.find(nonsense=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("after", [["x"], ["x", "y"], [1, "y"], [["t", 1], ["v", 2]]])
def test_a_cursor_that_somebody_made_up_is_refused(store: Store, after: Any) -> None:
    import base64
    import json

    values = [value if isinstance(value, list) else ["v", value] for value in after]
    cursor = base64.urlsafe_b64encode(json.dumps(["tasks:created", values]).encode()).decode().rstrip("=")
    with pytest.raises(InvalidArgument, match="cursor"):
        store.tasks.find(cursor=cursor)


def test_tasks_without_thoughts_need_a_seed(store: Store) -> None:
    store.tasks.add_many([task("a", status="active"), task("b", status="active"), task("c")])
    store.thoughts.add(thought(task_id="a"))
    assert ids(store.tasks.needing_seed_thought()) == ["b"]


def test_delete_takes_children_and_thoughts_along(store: Store) -> None:
    store.tasks.add_many([task("a"), task("b", parent_task_id="a", agent_occurrence_id="o"), task("c")])
    store.thoughts.add(thought(task_id="b", agent_occurrence_id="x"))
    assert store.tasks.delete_many(["a", "a", "nope"]) == 2 and store.tasks.delete_many([]) == 0
    assert (
        ids(store.tasks.scan(occurrence_id=ANY_OCCURRENCE)) == ["c"]
        and store.thoughts.count(occurrence_id=ANY_OCCURRENCE) == 0
    )


def test_transfer_happens_once(store: Store, clock: ManualClock) -> None:
    before = store.tasks.add(task())
    clock.advance(seconds=1)
    assert store.tasks.transfer("t", from_occurrence="default", to_occurrence="o")
    assert not store.tasks.transfer("t", from_occurrence="default", to_occurrence="o")
    after = get(store)
    assert after == before.replaced(agent_occurrence_id="o", fence=after.fence, updated_at=clock.now())
    assert after.fence > before.fence


# --- claimed work -------------------------------------------------------------------------------


def test_claim_next_takes_by_priority_then_age(store: Store, clock: ManualClock) -> None:
    filled(store, clock)
    assert [work.task.task_id for work in store.tasks.claim_next("w1", 1)] == ["t2"]
    [work] = store.tasks.claim_next("w2", 5)
    assert work.task == get(store, "t0") and work.task.agent_occurrence_id == "w2"
    assert work.task.status == TaskStatus.ACTIVE and work.task.claimed_from == "default"
    assert store.tasks.claim_next("w3") == []


@pytest.mark.parametrize(
    "bad",
    [
        {"worker": "__shared__"},
        {"worker": ""},
        {"worker": "default"},
        {"worker": "w", "queue": "__shared__"},
        {"worker": "w", "limit": 0},
    ],
)
def test_bad_claims_are_refused(store: Store, bad: dict[str, Any]) -> None:
    store.tasks.add(task())
    with pytest.raises(InvalidArgument):
        store.tasks.claim_next(**bad)
    assert get(store).agent_occurrence_id == "default"


def test_claimed_work_is_written_through_its_handle(store: Store) -> None:
    store.tasks.add(task())
    [work] = store.tasks.claim_next("w")
    assert "'t'" in repr(work)
    added = work.add_thought(thought())
    assert added.agent_occurrence_id == "w" and store.thoughts.get("th", occurrence_id="w") == added
    assert work.update_thought("th", status="completed") and not work.update_thought("nope", status="failed")
    work.update(priority=7)
    work.complete(TaskOutcome(status="success", summary="done"))
    assert work.task == get(store) and work.task.status == TaskStatus.COMPLETED
    assert work.task.outcome is not None and work.task.priority == 7
    work.fail()
    assert get(store).status == TaskStatus.FAILED and get(store).outcome is not None


def test_claimed_work_refuses_what_belongs_elsewhere(store: Store) -> None:
    store.tasks.add_many([task(), task("other", agent_occurrence_id="w")])
    store.thoughts.add(thought("elsewhere", "other", agent_occurrence_id="w"))
    [work] = store.tasks.claim_next("w")
    with pytest.raises(InvalidArgument, match="belongs to task"):
        work.add_thought(thought(task_id="other"))
    with pytest.raises(InvalidArgument, match="bound to occurrence 'w'"):
        work.add_thought(thought(agent_occurrence_id="x"))
    assert not work.update_thought("elsewhere", status="failed")
    with pytest.raises(InvalidArgument):
        work.update(fence=5)


@pytest.mark.parametrize("how", ["transfer", "delete"])
def test_every_write_of_a_stale_handle_is_refused(store: Store, how: str) -> None:
    store.tasks.add(task())
    [work] = store.tasks.claim_next("w")
    work.add_thought(thought())
    if how == "transfer":
        store.tasks.transfer("t", from_occurrence="w", to_occurrence="other")
    else:
        store.tasks.delete("t")
    writes = [
        lambda: work.update(priority=1), work.complete, work.fail, lambda: work.add_thought(thought("new")),
        lambda: work.update_thought("th", status="failed"), store.tasks.claimed(work.task).complete,
    ]  # fmt: skip
    for write in writes:
        with pytest.raises(StaleFence):
            write()
    assert store.thoughts.get("new", occurrence_id=ANY_OCCURRENCE) is None
    assert how == "delete" or get(store).status == TaskStatus.ACTIVE


def test_work_claimed_in_a_transaction_can_be_kept(store: Store) -> None:
    store.tasks.add(task())
    with store.transaction() as tx:
        [work] = tx.tasks.claim_next("w")
        work.update(priority=2)
    store.tasks.claimed(work.task).complete()
    assert get(store).status == TaskStatus.COMPLETED
