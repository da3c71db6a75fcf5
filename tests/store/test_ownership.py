from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from ciris_store_core import (
    ANY_OCCURRENCE,
    Conflict,
    Correlation,
    InvalidArgument,
    ManualClock,
    NotFound,
    StaleFence,
    Store,
    Task,
    TaskContext,
    ThoughtStatus,
)
from ciris_store_core.store.work.ownership import recover_thoughts
from tests.support import factories
from tests.support.factories import thought


def task(task_id: str = "t", correlation_id: str | None = None, **fields: Any) -> Task:
    context = None if correlation_id is None else TaskContext(correlation_id=correlation_id)
    return factories.task(task_id, context=context, **fields)


def status_of(store: Store, thought_id: str) -> ThoughtStatus:
    found = store.thoughts.get(thought_id, occurrence_id=ANY_OCCURRENCE)
    assert found is not None
    return found.status


# --- audit events of transfers ----------------------------------------------------------------------


def events(store: Store) -> list[Correlation]:
    return list(store.correlations.scan(type="audit_event"))


def facts(event: Correlation) -> tuple[Any, ...]:
    assert event.request_data is not None
    request = event.request_data
    who = (request.parameters["from_occurrence_id"], request.parameters["to_occurrence_id"])
    return (event.action_type, request.task_id, request.thought_id, *who, request.parameters["count"])


def test_a_transfer_of_a_task_is_recorded_once(store: Store, clock: ManualClock) -> None:
    store.tasks.add(task())
    for _ in range(2):
        store.tasks.transfer("t", from_occurrence="default", to_occurrence="o")
    [event] = events(store)
    assert facts(event) == ("task_ownership_transfer", "t", None, "default", "o", "1")
    assert event.timestamp == clock.now() and event.agent_occurrence_id == "default"
    assert [row.correlation_id for row in store.correlations.scan(task_id="t")] == [event.correlation_id]


def test_a_transfer_of_thoughts_is_recorded(store: Store) -> None:
    store.tasks.add(task())
    store.thoughts.add_many([thought("a"), thought("b"), thought("c")])
    store.thoughts.transfer(thought_id="a", from_occurrence="default", to_occurrence="o")
    store.thoughts.transfer(task_id="t", from_occurrence="default", to_occurrence="o")
    store.thoughts.transfer(task_id="t", from_occurrence="default", to_occurrence="o")
    assert set(map(facts, events(store))) == {
        ("thought_ownership_transfer", None, "a", "default", "o", "1"),
        ("thought_ownership_transfer", "t", None, "default", "o", "2"),
    }
    assert len(events(store)) == 2


def test_a_claim_with_transfer_is_recorded(store: Store) -> None:
    early = thought("h", "WAKEUP_SHARED_20250101", agent_occurrence_id="__shared__")
    store._x.write("test", lambda session: session.thoughts.add([early]))
    for _ in range(2):
        store.shared_tasks.claim_and_transfer("wakeup", "c", "d", occurrence_id="o")
    assert {facts(event)[0]: facts(event)[3:] for event in events(store)} == {
        "task_ownership_transfer": ("__shared__", "o", "1"),
        "thought_ownership_transfer": ("__shared__", "o", "1"),
    }
    assert len(events(store)) == 2


def test_a_transfer_and_its_event_are_one(store: Store) -> None:
    store.tasks.add(task())
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        assert tx.tasks.transfer("t", from_occurrence="default", to_occurrence="o")
        raise ZeroDivisionError
    assert events(store) == [] and store.tasks.get("t") is not None


# --- uniqueness by correlation id ---------------------------------------------------------------------


def test_one_task_for_a_correlation_id(store: Store) -> None:
    first, created = store.tasks.add_unique(task("a", "message-1"))
    assert created and store.tasks.get("a") == first
    assert store.tasks.add_unique(task("b", "message-1")) == (first, False)
    assert store.tasks.add_unique(task("b", "message-2"))[1]
    store.tasks.transfer("a", from_occurrence="default", to_occurrence="o")
    store.tasks.update("a", occurrence_id="o", status="completed")
    found, created = store.for_occurrence("p").tasks.add_unique(task("c", "message-1"))
    assert not created and (found.task_id, found.agent_occurrence_id) == ("a", "o")
    store.tasks.delete("a")
    assert store.tasks.add_unique(task("c", "message-1"))[1]
    assert store.leases.find() == []


def test_what_add_stored_counts(store: Store) -> None:
    stored = store.tasks.add(task("a", "m"))
    assert store.tasks.add_unique(task("b", "m")) == (stored, False)


def test_bad_unique_tasks_are_refused(store: Store) -> None:
    with pytest.raises(InvalidArgument, match="no context"):
        store.tasks.add_unique(task())
    store.tasks.add(task("a", "m"))
    with pytest.raises(Conflict):
        store.tasks.add_unique(task("a", "another"))
    assert store.tasks.count() == 1


def test_racers_for_a_correlation_id_have_one_winner(store: Store) -> None:
    barrier = Barrier(8)

    def race(number: int, key: str) -> tuple[str, bool]:
        barrier.wait(30)
        found, created = store.tasks.add_unique(task(f"{key}-{number}", key))
        return found.task_id, created

    with ThreadPoolExecutor(8) as pool:
        for round_number in range(10):
            answers = list(pool.map(race, range(8), [f"message-{round_number}"] * 8))
            assert [created for _, created in answers].count(True) == 1
            assert len({task_id for task_id, _ in answers}) == 1
    assert store.tasks.count() == 10


# --- taking over from the dead --------------------------------------------------------------------------


def test_unfinished_work_of_the_dead_is_taken_over(store: Store, clock: ManualClock) -> None:
    dead, me = store.for_occurrence("dead", 10), store.for_occurrence("me", 1000)
    dead.register()
    me.register()
    shared, _ = dead.try_claim_shared("wakeup", "c", "d")
    dead.tasks.add_many([task("active", status="active"), task("done", status="completed")])
    dead.thoughts.add_many([thought("p", "active", status="processing"), thought("c", "active", status="completed")])
    zombie = dead.tasks.claimed(shared)
    with pytest.raises(Conflict, match="is alive"):
        me.take_over("dead")
    clock.advance(seconds=10)
    before = len(events(store))
    taken = me.take_over("dead")
    assert sorted(work.task.task_id for work in taken) == ["WAKEUP_SHARED_20250101", "active"]
    assert [work.task.task_id for work in taken] == [row.task_id for row in me.tasks.find()]
    assert (status_of(store, "p"), status_of(store, "c")) == (ThoughtStatus.PENDING, ThoughtStatus.COMPLETED)
    assert me.thoughts.count() == 2 and [row.task_id for row in dead.tasks.find()] == ["done"]
    assert len(events(store)) - before == 3
    with pytest.raises(StaleFence):
        zombie.complete()
    for work in taken:
        work.complete()
    assert store.shared_tasks.is_completed("wakeup") and me.take_over("dead") == []


def test_nothing_is_taken_over_from_who_may_be_alive(store: Store) -> None:
    me = store.for_occurrence("me")
    store.tasks.add(task(agent_occurrence_id="unknown"))
    with pytest.raises(NotFound, match="never registered"):
        me.take_over("unknown")
    with pytest.raises(InvalidArgument, match="taken over"):
        me.take_over("__shared__")
    assert store.tasks.count(occurrence_id="unknown") == 1


def test_two_who_take_over_share_the_work(store: Store, clock: ManualClock) -> None:
    store.occurrences.register("dead", 1)
    store.tasks.add_many([task(f"t{n:02}", agent_occurrence_id="dead") for n in range(20)])
    clock.advance(seconds=1)
    barrier = Barrier(2)

    def take(name: str) -> set[str]:
        barrier.wait(30)
        return {work.task.task_id for work in store.for_occurrence(name).take_over("dead")}

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(take, ["a", "b"])
    assert len(one) + len(other) == len(one | other) == 20


# --- thoughts left in processing -------------------------------------------------------------------------


def test_an_occurrence_recovers_its_own_thoughts(store: Store) -> None:
    me = store.for_occurrence("me")
    store.tasks.add(task())
    me.thoughts.add_many([thought(f"p{n:03}", status="processing") for n in range(101)])
    me.thoughts.add(thought("done", status="completed"))
    store.thoughts.add(thought("other", status="processing"))
    assert me.recover_thoughts() == 101 and me.recover_thoughts() == 0
    assert status_of(store, "done") == ThoughtStatus.COMPLETED
    assert status_of(store, "other") == ThoughtStatus.PROCESSING


Change = Callable[[Store], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.thoughts.update("h", status="completed"),
        lambda store: store.thoughts.transfer(thought_id="h", from_occurrence="default", to_occurrence="o"),
        lambda store: store.thoughts.delete("h"),
    ],
)
def test_a_thought_that_changed_meanwhile_is_not_recovered(store: Store, change: Change) -> None:
    store.tasks.add(task())
    seen = store.thoughts.add(thought("h", status="processing"))
    change(store)
    after = store.thoughts.get("h", occurrence_id=ANY_OCCURRENCE)
    now = store.server_now()
    assert store._x.write("test", lambda session: recover_thoughts(session, [seen], now), single=False) == 0
    assert store.thoughts.get("h", occurrence_id=ANY_OCCURRENCE) == after
