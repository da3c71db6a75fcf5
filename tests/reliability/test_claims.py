"""16 processes claim the same shared tasks at the same moment: each task has one winner."""

from __future__ import annotations

import pytest

from ciris_store_core import ANY_OCCURRENCE, open_store
from tests.reliability.rows import counts, record
from tests.reliability.workers import Claim, claim, look_and_add, racer
from tests.scenarios.processes import Team, processes

pytestmark = pytest.mark.fault

RACERS = 16


def race(url: str, tasks: int, how: Claim = claim) -> tuple[int, int]:
    """Return the number of tasks without exactly one winner, and the number of rows."""
    barrier = processes.Barrier(RACERS)
    with Team(racer, [(url, f"o{number}", tasks, barrier, how) for number in range(RACERS)]) as team:
        answers = team.hear_all(3600)
    with open_store(url) as store:
        stored = store.tasks.count(occurrence_id=ANY_OCCURRENCE)
    return sum(sum(won) != 1 for won in zip(*answers, strict=True)), stored


@pytest.mark.slow
@pytest.mark.parametrize("count", counts("claim-race"))
def test_each_of_many_claims_has_one_winner(url: str, subject: str, count: int) -> None:
    wrong, stored = race(url, count)
    record("claim-race", subject, count, wrong, note=f"{RACERS * count:,} claims")
    assert (wrong, stored) == (0, count)


@pytest.mark.slow
def test_the_control_claims_that_look_before_they_write(url: str, subject: str) -> None:
    wrong, stored = race(url, 100, look_and_add)
    record("claim-race", subject, 100, wrong, control=True, note="look, then add")
    assert stored == 100
    assert wrong > 0
