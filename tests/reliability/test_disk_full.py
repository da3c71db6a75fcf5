"""A disk that is full, or refuses to write: a typed error, nothing of the write, and all that was there."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from random import Random

import pytest

from ciris_store_core import ManualClock, RetryPolicy, Store, StoreError, TestSeams, open_store
from ciris_store_core.conformance.factories import T0, task
from tests.reliability.calls import PLAIN_WRITES, call, plain_arguments
from tests.reliability.corpus import ALONE, state_of
from tests.reliability.filling import fill
from tests.reliability.rows import counts, record
from tests.support.pgserver import PostgresServer

pytestmark = pytest.mark.fault

SIZE = 60_000
"""Bytes that no database can make smaller."""


def opened(url: str) -> Store:
    clock = ManualClock(T0)
    store = open_store(url, testing=TestSeams(clock=clock, server_clock=clock), retry=RetryPolicy(attempts=1))
    fill(store, clock)
    return store


def write_much(store: Store, name: str, *, together: bool = True) -> None:
    """A plain call of every kind of write, between texts that need room; ``together``: as one transaction."""
    noise = Random(name).randbytes(SIZE // 2).hex()
    with store.transaction() if together else nullcontext(store) as home:
        home.tasks.add(task("large", description=noise[: SIZE // 2]))
        if name not in ALONE:
            call(home, name, plain_arguments(name))
        home.tasks.add(task("larger", description=noise[SIZE // 2 :]))


@contextmanager
def room(store: Store, pages: int) -> Iterator[None]:
    """Let the file of an SQLite store grow by so many pages and no more."""
    writer = store._backend._writer
    writer.pragma(f"max_page_count = {writer.pragma('page_count')[0] + pages}")
    yield
    writer = store._backend._writer
    writer.pragma("max_page_count = 1073741823")


def refuse(path: Path, rounds: int, *, together: bool = True) -> int:
    """Write without room so many times; returns how often something was wrong."""
    random, wrong = Random(rounds), 0
    with opened(f"sqlite:///{path}?synchronous=normal") as store:
        before = state_of(store)
        for number in range(rounds):
            name = PLAIN_WRITES[number % len(PLAIN_WRITES)]
            with room(store, random.randrange(14)):
                try:
                    write_much(store, name, together=together)
                    told = "written"
                except StoreError as error:
                    told = type(error).__name__
            wrong += told != "StorageFull" or state_of(store) != before
            if not together:
                store.tasks.delete_many(["large", "larger", "new", "t2"])
                before = state_of(store)
        write_much(store, "tasks.add")  # now there is room
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("count", counts("disk-full"))
def test_a_write_without_room_changes_nothing(tmp_path: Path, count: int) -> None:
    wrong = refuse(tmp_path / "full.db", count)
    record("disk-full", "SQLite, max_page_count", count, wrong)
    assert wrong == 0


@pytest.mark.slow
def test_the_control_writes_that_are_no_transaction(tmp_path: Path) -> None:
    wrong = refuse(tmp_path / "half.db", 20, together=False)
    record("disk-full", "SQLite", 20, wrong, control=True, note="writes that belong together, each for itself")
    assert wrong > 0


# --- a limit to the size of files ---------------------------------------------------------------

# Writes under a limit, another one each time, and says what became of each write.
LIMITED = """
import json, resource, sys
from collections import Counter
from pathlib import Path
from random import Random
from ciris_store_core import StoreError
from tests.reliability import test_disk_full as t
from tests.reliability.filling import empty, fill
from tests.reliability.corpus import state_of

path, rounds = Path(sys.argv[1]), int(sys.argv[2])
random, told, wrong, number = Random(rounds), Counter(), 0, 0
with t.opened(f"sqlite:///{path}?synchronous=normal") as store:
    before = state_of(store)
    while told["StorageFull"] < rounds and number < 10 * rounds:
        number += 1
        if number % 100 > 40:  # An empty log meets the limit in every write; a long one seldom, but in checkpoints too.
            store._backend._writer.pragma("wal_checkpoint(TRUNCATE)")
            limit = random.randrange(4096, t.SIZE)
        else:
            size = max(path.stat().st_size, Path(f"{path}-wal").stat().st_size)
            limit = max(4096, size + random.randrange(-20_000, 20_000))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, -1))
        try:
            t.write_much(store, t.PLAIN_WRITES[number % len(t.PLAIN_WRITES)])
            outcome = "written"
        except StoreError as error:
            outcome = type(error).__name__
        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
        told[outcome] += 1
        if outcome == "written":
            empty(store)
            fill(store, store.clock)
            before = state_of(store)
        wrong += state_of(store) != before
print(json.dumps([told, wrong]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("count", counts("disk-full"))
def test_a_file_that_may_not_grow_keeps_what_it_has(tmp_path: Path, count: int) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "limited.db"), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    told, wrong = json.loads(done.stdout)
    record("disk-full", "SQLite, RLIMIT_FSIZE", count, wrong, note=f"told {told}")
    assert wrong == 0
    assert set(told) <= {"written", "StorageFull"}
    assert told["StorageFull"] == count


# --- PostgreSQL ---------------------------------------------------------------------------------

LIMIT = 16 * 2**20
"""Bytes of a segment of the write-ahead log, which the server must be able to make."""


@contextmanager
def server_with_little_room() -> Iterator[PostgresServer]:
    """A server none of whose files may grow beyond a limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))  # which the server inherits
    try:
        server = PostgresServer(fast=True, settings="autovacuum = off\n")
        server.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with server:
        yield server


def fill_up(store: Store) -> None:
    """Write until nothing more is taken, and take it away again: until it is tidied up, its room is not free."""
    for number in range(1000):
        try:
            store.tasks.add(task(f"filler {number}", description=Random(number).randbytes(SIZE // 4).hex()))
        except StoreError:
            store.tasks.delete_many(f"filler {each}" for each in range(number))
            return
    raise AssertionError("there is no end of room")


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("count", counts("disk-full"))
def test_a_server_without_room_keeps_what_it_has(count: int) -> None:
    with server_with_little_room() as server, opened(server.create_database()) as store:
        fill_up(store)
        before, told, wrong = state_of(store), Counter[str](), 0
        for number in range(count):
            try:
                write_much(store, PLAIN_WRITES[number % len(PLAIN_WRITES)])
                told["written"] += 1
            except StoreError as error:
                told[type(error).__name__] += 1
            wrong += state_of(store) != before
    record("disk-full", "PostgreSQL, RLIMIT_FSIZE", count, wrong, note=f"told {dict(told)}")
    assert wrong == 0
    # For a file that may not grow, the kernel and PostgreSQL have another code than for a disk that is full.
    assert told == {"DatabaseError": count}
