"""Claimers die or are paused with work in hand: it is rescued in time, not before, and the paused are fenced off."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from ciris_store_core import Store, Task, open_store
from tests.reliability.rows import counts, record
from tests.reliability.workers import TTL_SECONDS, claimer
from tests.scenarios.processes import Team, wait_until

pytestmark = pytest.mark.fault

AT_ONCE = 50
PROMPT = 10.0
"""Seconds after the end of its lease within which work is rescued."""


@dataclass
class Rescue:
    """Outcome of the run."""

    early: int = 0
    late: int = 0
    paused: int = 0
    refused: int = 0
    """Writes of the paused, once they went on."""

    @property
    def wrong(self) -> int:
        return self.early + self.late + self.paused - self.refused


def stop_claimers(url: str, times: int, *, fenced: bool = True) -> Rescue:
    found = Rescue()
    with open_store(url) as store:
        for first in range(0, times, AT_ONCE):
            _stop_some(
                store, url, [f"w{number}" for number in range(first, min(first + AT_ONCE, times))], fenced, found
            )
    return found


def _stop_some(store: Store, url: str, names: list[str], fenced: bool, found: Rescue) -> None:
    store.tasks.add_many([Task(task_id=f"of {name}", channel_id="c", description="d") for name in names])
    with Team(claimer, [(url, name, fenced) for name in names]) as team:
        holders = {team.hear(number): name for number, name in enumerate(names)}
        for number in range(len(names)):
            team.signal(number, signal.SIGSTOP if number % 2 else signal.SIGKILL)
        beats = {each.occurrence_id: each.heartbeat_at for each in store.occurrences.find(alive_only=False)}
        _rescue_all(store, {task: beats[name] for task, name in holders.items()}, found)
        heir = store.for_occurrence("heir")
        heir.register()
        taken = heir.claim_next(len(names))
        assert len(taken) == len(names)
        for number in range(1, len(names), 2):
            found.paused += 1
            team.pipes[number].send("go on")
            team.signal(number, signal.SIGCONT)
            found.refused += team.hear(number)
        for work in taken:
            work.complete()
    for name in names:
        store.occurrences.remove(name)


def _rescue_all(store: Store, beats: dict[str, datetime], found: Rescue) -> None:
    rescuer, left, began = store.for_occurrence("rescuer"), set(beats), store.server_now()

    def all_rescued() -> bool:
        for task in rescuer.rescue():
            over, now = beats[task.task_id] + timedelta(seconds=TTL_SECONDS), store.server_now()
            found.early += now < over
            # Those that stopped first waited for the others to stop.
            found.late += now > max(over, began) + timedelta(seconds=PROMPT)
            left.discard(task.task_id)
        return not left

    wait_until(all_rescued)


@pytest.mark.slow
@pytest.mark.parametrize("count", counts("dead-claimer"))
def test_the_work_of_the_dead_is_rescued_and_the_paused_are_fenced_off(url: str, subject: str, count: int) -> None:
    found = stop_claimers(url, count)
    record("dead-claimer", subject, count, found.wrong, note=f"{found.paused} paused, {count - found.paused} killed")
    assert found == Rescue(paused=count // 2, refused=count // 2)


@pytest.mark.slow
def test_the_control_a_claimer_without_a_fence(url: str, subject: str) -> None:
    found = stop_claimers(url, 10, fenced=False)
    record("dead-claimer", subject, 10, found.wrong, control=True, note="writes without its fence")
    assert (found.early, found.late, found.refused) == (0, 0, 0)
    assert found.wrong == 5
