"""Writers are killed at random moments: what they were told is stored is there, and nothing is there by half."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from random import Random

import pytest

from ciris_store_core import ANY_OCCURRENCE, Store, open_store
from tests.reliability.rows import counts, record
from tests.reliability.workers import write
from tests.scenarios.processes import Team

pytestmark = pytest.mark.fault

AT_ONCE = 10
LONGEST = 0.02
"""Seconds between two kills, at most."""


@dataclass
class Kills:
    """Work of the processes."""

    acknowledged: int = 0
    lost: int = 0
    torn: int = 0


def kill_writers(url: str, times: int, *, early: bool = False) -> Kills:
    random, found = Random(times), Kills()
    with open_store(url) as store:
        for first in range(0, times, AT_ONCE):
            names = range(first, min(first + AT_ONCE, times))
            with Team(write, [(url, f"w{name}", early) for name in names]) as team:
                said = [team.hear(number) for number in range(len(names))]
                for pipe in team.pipes:
                    pipe.send("go on")
                for number in range(len(names)):
                    time.sleep(random.uniform(0, LONGEST))
                    team.signal(number, signal.SIGKILL)
                    said += _rest(team.pipes[number])
            _look(store, said, found)
    return found


def _rest(pipe: Connection) -> Iterator[str]:
    while True:
        try:
            yield pipe.recv()
        except (EOFError, OSError):  # killed in the middle of a word
            return


def _look(store: Store, said: list[str], found: Kills) -> None:
    tasks = {each.task_id for each in store.tasks.scan(occurrence_id=ANY_OCCURRENCE)}
    thoughts = Counter(each.source_task_id for each in store.thoughts.scan(occurrence_id=ANY_OCCURRENCE))
    found.acknowledged += len(said)
    found.lost += len(set(said) - tasks)
    found.torn += sum(thoughts[each] != 2 for each in tasks) + len(thoughts.keys() - tasks)
    store.tasks.delete_many(tasks)


@pytest.mark.slow
@pytest.mark.parametrize("count", counts("killed-writer"))
def test_a_killed_writer_loses_nothing(url: str, subject: str, count: int) -> None:
    found = kill_writers(url, count)
    note = f"{found.acknowledged:,} commits acknowledged"
    record("killed-writer", subject, count, found.lost + found.torn, note=note)
    assert (found.lost, found.torn) == (0, 0)
    assert found.acknowledged > count
    if subject == "SQLite":
        import sqlite3

        with closing(sqlite3.connect(url.removeprefix("sqlite:///").partition("?")[0])) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.slow
def test_the_control_a_writer_that_acknowledges_too_early(url: str, subject: str) -> None:
    found = kill_writers(url, 40, early=True)
    record("killed-writer", subject, 40, found.lost + found.torn, control=True, note="acknowledged before COMMIT")
    assert found.lost > 0
    assert found.torn == 0
