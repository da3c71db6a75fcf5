"""Hosts whose clocks are wrong by an hour and by three days: one wins each claim, no live one is taken for dead."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from ciris_store_core import ManualClock, Store, Task, TestSeams, open_store
from tests.reliability.rows import counts, record
from tests.scenarios.clocks import OFF, _race, race_with_wrong_clocks
from tests.scenarios.processes import OffClock, open_with_clock

pytestmark = pytest.mark.fault

RACERS = 16


def early_take_overs(stores: list[Store], rounds: int) -> int:
    """Each host in turn claims work for a minute; how often another one takes it for dead."""
    taken = 0
    for number in range(rounds):
        stores[0].tasks.add(Task(task_id=f"r{number}", channel_id="c", description="d"))
        me = stores[number % len(stores)].for_occurrence(f"w{number}", 60)
        me.register()
        [work] = me.claim_next()
        taken += sum(len(other.for_occurrence("rescuer").rescue()) for other in stores)
        if not taken:
            work.complete()
    return taken


@pytest.mark.slow
@pytest.mark.parametrize("count", counts("clocks"))
def test_wrong_clocks_mislead_nobody(url: str, subject: str, count: int) -> None:
    race = race_with_wrong_clocks(url, RACERS, count)
    with ExitStack() as stack:
        taken = early_take_overs([stack.enter_context(open_with_clock(url, off)) for off in OFF], count)
    wrong = sum(winners != 1 for winners in race.winners)
    record("clocks", subject, count, wrong + taken, note=f"{RACERS} claimers a round")
    assert (race.fair, taken) == (True, 0)


@pytest.mark.slow
def test_the_control_hosts_that_trust_their_own_clocks(url: str, subject: str) -> None:
    now = datetime.now(UTC)
    race = _race(url, 5, [now + OFF[number % len(OFF)] for number in range(5)])
    with ExitStack() as stack:
        opened = [
            open_store(url, testing=TestSeams(clock=OffClock(off), server_clock=ManualClock(now + off))) for off in OFF
        ]
        taken = early_take_overs([stack.enter_context(store) for store in opened], 5)
    wrong = sum(winners != 1 for winners in race.winners)
    record("clocks", subject, 5, wrong + taken, control=True, note="each host's clock decides")
    assert wrong > 0
    assert taken > 0
