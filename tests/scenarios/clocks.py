"""Hosts whose clocks are wrong, and processes either side of midnight: one wins, and no live one is taken for dead."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any

from ciris_store_core import ANY_OCCURRENCE, ManualClock, StaleFence, Store, Task, TestSeams, open_store
from tests.scenarios.claim_race import Race
from tests.scenarios.processes import SECONDS, Team, arguments_of, database, open_with_clock, processes, wait_until

OFF = [timedelta(0), timedelta(hours=1), timedelta(hours=-1), timedelta(days=3), timedelta(days=-3)]
MIDNIGHT = datetime(2025, 1, 2, tzinfo=UTC)
TTL_SECONDS = 2.0


# --- races --------------------------------------------------------------------------------------------


def race_across_midnight(url: str, racers: int, rounds: int) -> Race:
    """Half of the racers looked at the clock before midnight, half after it."""
    moments = [MIDNIGHT + timedelta(seconds=(-0.5, 0.5)[number % 2]) for number in range(racers)]
    return _race(url, rounds, moments)


def race_with_wrong_clocks(url: str, racers: int, rounds: int) -> Race:
    """The racers' hosts are off by an hour and by three days, in both directions."""
    return _race(url, rounds, [OFF[number % len(OFF)] for number in range(racers)])


def _race(url: str, rounds: int, times: list[Any]) -> Race:
    barrier = processes.Barrier(len(times))
    began = time.monotonic()
    with Team(_racer, [(url, number, rounds, barrier, given) for number, given in enumerate(times)]) as team:
        answers = team.hear_all()
    seconds = time.monotonic() - began
    with open_store(url) as store:
        stored = store.tasks.count(occurrence_id=ANY_OCCURRENCE)
    return Race(len(times), [sum(answer[n] for answer in answers) for n in range(rounds)], stored, seconds)


def _open(url: str, given: datetime | timedelta) -> Store:
    if isinstance(given, timedelta):
        return open_with_clock(url, given)
    return open_store(url, testing=TestSeams(server_clock=ManualClock(given)))


def _racer(pipe: Connection, url: str, number: int, rounds: int, barrier: Any, given: Any) -> None:
    won = []
    with _open(url, given) as store:
        for turn in range(rounds):
            barrier.wait(SECONDS)
            won.append(store.shared_tasks.claim_and_transfer(f"race_{turn}", "c", "d", occurrence_id=f"o{number}")[1])
    pipe.send(won)


# --- take-over ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TakeOver:
    """Outcome of the run."""

    early: int
    """Tasks taken from the living: none."""
    rescued_after: list[float]
    """Seconds from the last sign of life to the rescue, for each that was killed or paused."""
    refused: int
    """Writes of paused processes that were refused; of ``paused``."""
    paused: int

    @property
    def right(self) -> bool:
        """True if no live worker was taken for dead, and all that stopped were, and were fenced off."""
        on_time = all(TTL_SECONDS <= seconds < TTL_SECONDS + 10 for seconds in self.rescued_after)
        return self.early == 0 and on_time and self.refused == self.paused > 0


def take_over(url: str, turns: int) -> TakeOver:
    """Kill, or pause and wake, a worker per turn; rescuers of every clock try all the time."""
    early, after, refused, paused = 0, [], 0, 0
    for turn in range(turns):
        pause = turn % 2 == 0
        stores = [open_with_clock(url, off) for off in OFF]
        stores[0].tasks.add(Task(task_id=f"turn-{turn}", channel_id="c", description="d"))
        # The worker's clock is wrong too, and so is that of the worker that rescues its work.
        with Team(_claimer, [(url, f"w{turn}", OFF[turn % len(OFF)])]) as team:
            team.hear(0)
            early += sum(len(store.for_occurrence("rescuer").rescue()) for store in stores)
            team.signal(0, signal.SIGSTOP if pause else signal.SIGKILL)
            last = _last_beat(stores[0], f"w{turn}")
            rescuer = stores[(turn + 1) % len(stores)]
            wait_until(lambda rescuer=rescuer: len(rescuer.for_occurrence("rescuer").rescue()) == 1)
            after.append((stores[0].server_now() - last).total_seconds())
            [work] = rescuer.for_occurrence("next").claim_next()
            if pause:
                paused += 1
                team.pipes[0].send("go on")
                team.signal(0, signal.SIGCONT)
                refused += team.hear(0)
            work.complete()
        for store in stores:
            store.close()
    return TakeOver(early, after, refused, paused)


def _last_beat(store: Store, name: str) -> datetime:
    return next(o.heartbeat_at for o in store.occurrences.find(alive_only=False) if o.occurrence_id == name)


def _claimer(pipe: Connection, url: str, name: str, off: timedelta) -> None:
    with open_with_clock(url, off) as store:
        me = store.for_occurrence(name, TTL_SECONDS)
        me.register()
        [work] = me.claim_next()
        pipe.send("holding")
        pipe.recv()
        try:
            work.complete()
        except StaleFence:
            pipe.send(1)
        else:
            pipe.send(0)


def main() -> None:
    """Show it."""
    options = arguments_of("wrong clocks and midnight", racers=16, rounds=100, turns=10)
    for kind in options.databases:
        with database(kind) as url:
            across = race_across_midnight(url, options.racers, options.rounds)
        with database(kind) as url:
            wrong = race_with_wrong_clocks(url, options.racers, options.rounds)
        with database(kind) as url:
            taken = take_over(url, options.turns)
        for name, result in (("either side of midnight", across), ("clocks off by 1 h and 3 days", wrong)):
            print(f"{kind:8} {name}: {len(result.winners)} rounds, winners per round {sorted(set(result.winners))}")
        print(f"{kind:8} {taken}")
        assert across.fair and wrong.fair and taken.right


if __name__ == "__main__":
    main()
