"""Maintenance: orphans and old tasks."""

from typing import Any

import pytest

from ciris_store_core import (
    ManualClock,
    Store,
    Task,
    TaskStatus,
    Thought,
)
from ciris_store_core.services import MaintenancePolicy
from tests.services.conftest import add_orphans
from tests.services.test_maintenance import task, task_ids, thought, thought_ids


def test_orphans_of_all_occurrences_go_after_a_guard(store: Store, clock: ManualClock, clean: Any) -> None:
    store.tasks.add_many([task("failed", "p", status="failed"), task("good", "p")])
    store.tasks.add_many(
        [task("gone", "a", parent_task_id="nowhere"), task("lost", "b", parent_task_id="failed"),
         task("fine", "a", parent_task_id="good"), task("below", "c", parent_task_id="gone", status="active")]
    )  # fmt: skip
    store.thoughts.add_many([thought("h1", "below", context=None), thought("h3", "good", context=None)])
    add_orphans(store, thought("h2", "nowhere", "b"))
    clock.advance(minutes=2, seconds=-1)
    assert clean() == {}
    clock.advance(seconds=1)
    assert clean() == {"orphaned_tasks": 3, "thoughts": 1, "orphaned_thoughts": 1}
    assert task_ids(store) == ["failed", "fine", "good"] and thought_ids(store) == ["h3"]


def test_orphans_of_the_living_stay_until_they_die(store: Store, clock: ManualClock, clean: Any) -> None:
    store.occurrences.register("a", 3600)
    store.tasks.add(task("t", "a", parent_task_id="nowhere"))
    add_orphans(store, thought("h", "nowhere", "a"))
    clock.advance(minutes=59)
    assert clean() == {}
    clock.advance(minutes=1)
    assert clean() == {"orphaned_tasks": 1, "orphaned_thoughts": 1}


@pytest.mark.parametrize("part", ["child", "thought"])
def test_an_orphan_stays_while_the_living_work_below_it(
    store: Store, clock: ManualClock, clean: Any, part: str
) -> None:
    store.tasks.add_many([task("top", parent_task_id="nowhere"), task("mid", parent_task_id="top")])
    if part == "child":
        store.tasks.add(task("low", "a", parent_task_id="mid", status="active"))
    else:
        store.thoughts.add(thought("h", "mid", "a"))
    clock.advance(minutes=3)
    store.occurrences.register("a", 60)
    before = (task_ids(store), thought_ids(store))
    assert clean() == {"kept": 1} and (task_ids(store), thought_ids(store)) == before
    clock.advance(seconds=60)
    assert clean()["orphaned_tasks"] == len(before[0])


def test_a_ring_of_tasks_does_not_catch_it(store: Store, clock: ManualClock, clean: Any) -> None:
    store.tasks.add_many([task("a", parent_task_id="b", status="failed"), task("b", parent_task_id="a")])
    clock.advance(minutes=3)
    assert clean() == {"orphaned_tasks": 2}


def test_old_completed_tasks_go_within_their_occurrence(store: Store, clock: ManualClock, clean: Any) -> None:
    owners = ("default", "dead", "alive")
    store.tasks.add_many([task(f"{owner}-{s.value}", owner, status=s) for owner in owners for s in TaskStatus])
    store.thoughts.add(thought("h", "default-completed", "default", status="completed"))
    clock.advance(days=30, seconds=-1)
    store.occurrences.register("alive", 3600)
    store.occurrences.register("default", 3600)
    assert clean() == {}
    clock.advance(seconds=1)
    everything = task_ids(store)
    assert clean() == {"old_tasks": 2, "thoughts": 1}
    assert set(everything) - set(task_ids(store)) == {"default-completed", "dead-completed"}
    assert clean(occurrence_id="alive") == {"old_tasks": 1}


@pytest.mark.parametrize(
    "below",
    [
        task("child", "dead", parent_task_id="top", status="pending"),
        task("child", "dead", parent_task_id="top", status="deferred"),
        task("child", "alive", parent_task_id="top", status="completed"),
        thought("h", "top", "dead", status="pending"),
        thought("h", "top", "dead", status="processing"),
        thought("h", "top", "alive", status="completed"),
    ],
)
def test_an_old_task_stays_with_unfinished_work_below_it(
    store: Store, clock: ManualClock, clean: Any, below: Task | Thought
) -> None:
    store.tasks.add(task("top", "default", status="completed"))
    store.tasks.add(below) if isinstance(below, Task) else store.thoughts.add(below)
    clock.advance(days=31)
    store.occurrences.register("alive", 3600)
    before = (task_ids(store), thought_ids(store))
    assert clean() == {"kept": 1} and (task_ids(store), thought_ids(store)) == before


def test_old_tasks_go_with_their_finished_descendants_counted_once(
    store: Store, clock: ManualClock, clean: Any
) -> None:
    store.tasks.add_many([task("top", status="completed"), task("failed", parent_task_id="top", status="failed")])
    store.tasks.add_many(
        [task("mid", parent_task_id="top", status="completed"), task("low", parent_task_id="mid", status="completed")]
    )
    clock.advance(days=31)
    assert clean() == {"old_tasks": 4} and task_ids(store) == []


@pytest.mark.parametrize("parent", ["completed", "active", "deferred"])
def test_an_old_task_goes_below_a_parent_that_is_sound(
    store: Store, clock: ManualClock, clean: Any, parent: str
) -> None:
    store.tasks.add(task("old", status="completed", parent_task_id="top"))
    clock.advance(days=31)
    store.tasks.add(task("top", status=parent))
    assert clean() == {"old_tasks": 1} and task_ids(store) == ["top"]


def test_completed_tasks_can_be_kept_for_good(store: Store, clock: ManualClock, clean: Any) -> None:
    store.tasks.add(task("t", status="completed"))
    clock.advance(days=3000)
    assert clean(policy=MaintenancePolicy(completed_after=None)) == {}
