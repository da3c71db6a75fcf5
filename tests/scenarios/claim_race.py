"""Many processes claim the same shared task at the same moment, again and again: one of them wins every time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from ciris_store_core import ANY_OCCURRENCE, open_store
from tests.scenarios.processes import SECONDS, Team, arguments_of, database, processes


@dataclass(frozen=True)
class Race:
    """Outcome of the run."""

    processes: int
    winners: list[int]
    """Of each round."""
    stored: int
    """Rows in the database."""
    seconds: float

    @property
    def fair(self) -> bool:
        """True if every round had one winner and left one row."""
        return self.winners == [1] * len(self.winners) and self.stored == len(self.winners)

    @property
    def per_second(self) -> float:
        """Claims, won or lost."""
        return self.processes * len(self.winners) / self.seconds


def race(url: str, racers: int, rounds: int, *, apart: bool = False) -> Race:
    """Let so many processes race for so many tasks, one after the other.

    ``apart``: each for one of its own, to see that several winners are noticed.
    """
    barrier = processes.Barrier(racers)
    with Team(_racer, [(url, number, rounds, barrier, apart) for number in range(racers)]) as team:
        answers = team.hear_all()
    with open_store(url) as store:
        stored = store.tasks.count(occurrence_id=ANY_OCCURRENCE)
    won = [sum(answer[0][number] for answer in answers) for number in range(rounds)]
    return Race(racers, won, stored, max(answer[2] for answer in answers) - min(answer[1] for answer in answers))


def _racer(pipe: Connection, url: str, number: int, rounds: int, barrier: Any, apart: bool) -> None:
    won = []
    with open_store(url) as store:
        store.server_now()  # The connection is there before the race begins.
        barrier.wait(SECONDS)
        began = time.monotonic()
        for turn in range(rounds):
            kind = f"race_{turn}_{number}" if apart else f"race_{turn}"
            won.append(store.shared_tasks.claim_and_transfer(kind, "c", "d", occurrence_id=f"o{number}")[1])
            barrier.wait(SECONDS)
    pipe.send((won, began, time.monotonic()))


def main() -> None:
    """Show it."""
    options = arguments_of("64 processes claim the same shared task", processes=64, rounds=200)
    for kind in options.databases:
        with database(kind) as url:
            result = race(url, options.processes, options.rounds)
        print(
            f"{kind:8} {result.processes} processes, {len(result.winners)} rounds: "
            f"winners per round {sorted(set(result.winners))}, {result.stored} rows, "
            f"{result.per_second:,.0f} claims/s ({result.seconds:.1f} s)"
        )
        assert result.fair


if __name__ == "__main__":
    main()
