"""Maintenance: records that change between the look and the delete."""

from collections.abc import Callable
from typing import Any

import pytest

from ciris_store_core import (
    ManualClock,
    StaleFence,
    Store,
    Task,
    Thought,
)
from ciris_store_core.services import MaintenancePolicy
from ciris_store_core.services.sweeps import ATTEMPTS, Sweeper
from tests.services.conftest import Service, add_orphans, changed
from tests.services.test_maintenance import task, task_ids, thought, thought_ids

CHANGES: dict[str, Callable[[Store], object]] = {
    "updated": lambda store: store.tasks.update("t", occurrence_id="dead", priority=3),
    "transferred": lambda store: store.tasks.transfer("t", from_occurrence="dead", to_occurrence="o"),
    "parent is back": lambda store: (
        store.tasks.add(task("nowhere", status="failed", parent_task_id=None)) is not None
        and store.tasks.update("nowhere", occurrence_id="dead", status="active")
    ),
    "owner is alive": lambda store: store.occurrences.register("dead", 3600),
    "new child": lambda store: store.tasks.add(task("child", "dead", parent_task_id="t")),
    "new thought": lambda store: store.thoughts.add(thought("h", "t", "dead")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_after_the_look_stays(
    store: Store, clock: ManualClock, service: Service, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    store.tasks.add(task("t", parent_task_id="nowhere"))
    clock.advance(minutes=3)
    _before_first_batch(monkeypatch, lambda: CHANGES[change](store))
    report = service(policy=MaintenancePolicy(completed_after=None)).run()
    assert report.orphaned_tasks == 0 and "t" in task_ids(store) and report.archive is None


THOUGHT_CHANGES: dict[str, Callable[[Store], object]] = {
    "updated": lambda store: store.thoughts.update("h", occurrence_id="dead", content="y"),
    "transferred": lambda store: store.thoughts.transfer(thought_id="h", from_occurrence="dead", to_occurrence="o"),
    "task is back": lambda store: store.tasks.add(task("nowhere")),
    "owner is alive": lambda store: store.occurrences.register("dead", 3600),
}


@pytest.mark.parametrize("change", THOUGHT_CHANGES)
def test_a_thought_that_changed_after_the_look_stays(
    store: Store, clock: ManualClock, service: Service, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    add_orphans(store, thought("h", "nowhere"))
    clock.advance(minutes=3)
    _before_first_batch(monkeypatch, lambda: THOUGHT_CHANGES[change](store))
    report = service().run()
    assert report.orphaned_thoughts == 0 and thought_ids(store) == ["h"] and report.archive is None


def _before_first_batch(monkeypatch: pytest.MonkeyPatch, happen: Callable[[], object]) -> None:
    """Let something happen once, between finding a batch and removing it."""
    settle = Sweeper._settle
    done: list[Any] = []

    def late(self: Sweeper, found: Any, sweep: Any) -> Any:
        if found.items and not done:
            done.append(happen())
        return settle(self, found, sweep)

    monkeypatch.setattr(Sweeper, "_settle", late)


def test_a_batch_that_changes_under_the_lock_is_looked_at_again_and_then_left(
    store: Store, clock: ManualClock, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.tasks.add(task("t", parent_task_id="nowhere"))
    clock.advance(minutes=3)
    looks = []

    def locked(self: Sweeper, session: Any, tasks: list[Task], thoughts: list[Thought]) -> None:
        looks.append(tasks)
        raise StaleFence("changed")

    with monkeypatch.context() as patched:
        patched.setattr(Sweeper, "_lock", locked)
        assert changed(service().run()) == {"kept": 1}
    assert len(looks) == ATTEMPTS and task_ids(store) == ["t"]
    assert changed(service().run()) == {"orphaned_tasks": 1}
