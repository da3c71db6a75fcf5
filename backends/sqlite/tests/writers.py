"""Programs that write to one file, for processes of their own: ``python writers.py NAME ARGUMENT...``."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

from ciris_store_core import RetryPolicy, Store, StoreError, Task, Thought, open_store
from ciris_store_sqlite.turn import WriteTurn


def write(store: Store, name: str) -> None:
    """One transaction: a task and its two thoughts."""
    with store.transaction() as tx:
        tx.tasks.add(Task(task_id=name, channel_id="c", description="d"))
        tx.thoughts.add(Thought(thought_id=f"{name} 1", source_task_id=name, content="x" * 2000))
        tx.thoughts.add(Thought(thought_id=f"{name} 2", source_task_id=name, content="y" * 2000))


def say(line: str) -> None:
    """Print whole lines, so that a process that is killed has said all or nothing of each."""
    os.write(1, f"{line}\n".encode())


def wait_for_start() -> None:
    """Tell the test that this process is ready, and wait for the test's word."""
    say("ready")
    sys.stdin.readline()


def compete(path: str, name: str, seconds: str, fair: str) -> None:
    """Write as often as possible for some seconds; say each commit and each error."""
    if fair == "unfair":
        WriteTurn._acquire_among_threads = WriteTurn.acquire = lambda self: None  # type: ignore[method-assign]
        WriteTurn.release = lambda self: None  # type: ignore[method-assign]
    store = open_store(path, retry=RetryPolicy(attempts=1))
    wait_for_start()
    end = time.monotonic() + float(seconds)
    number = 0
    while time.monotonic() < end:
        try:
            write(store, f"{name} {number}")
        except StoreError as error:
            say(f"error {type(error).__name__}")
        else:
            say(f"done {name} {number}")
        number += 1
    store.close()


def write_until_killed(path: str, name: str) -> None:
    """Write for ever; say each commit once it is acknowledged."""
    store = open_store(path)
    wait_for_start()
    number = 0
    while True:
        write(store, f"{name} {number}")
        say(f"done {name} {number}")
        number += 1


def start_up(path: str) -> None:
    """Open the store together with others, and write once."""
    wait_for_start()
    with open_store(path, retry=RetryPolicy(attempts=1)) as store:
        write(store, f"first of {os.getpid()}")


def start_up_and_die(path: str, after: str) -> None:
    """Open the store and be killed right after so many statements of the connection."""
    import sqlite3

    left = int(after)

    class DyingCursor(sqlite3.Cursor):
        def execute(self, *args: object) -> sqlite3.Cursor:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return super().execute(*args)  # type: ignore[arg-type]

    class DyingConnection(sqlite3.Connection):
        def cursor(self, *args: object) -> sqlite3.Cursor:  # type: ignore[override]
            return DyingCursor(self)

    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **options: connect(*args, **options, factory=DyingConnection)  # type: ignore[assignment]
    open_store(path, retry=RetryPolicy(attempts=1))
    say("open")


def hold_the_turn(path: str) -> None:
    """Stay inside a transaction until told to commit."""
    with open_store(path) as store, store.transaction() as tx:
        tx.tasks.add(Task(task_id="held", channel_id="c", description="d"))
        wait_for_start()


PROGRAMS = (compete, write_until_killed, start_up, start_up_and_die, hold_the_turn)

if __name__ == "__main__":
    with suppress(BrokenPipeError):
        {program.__name__: program for program in PROGRAMS}[sys.argv[1]](*sys.argv[2:])
