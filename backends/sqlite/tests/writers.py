"""Programs that write to one file, for processes of their own: ``python writers.py NAME ARGUMENT...``."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from contextlib import nullcontext, suppress
from multiprocessing.connection import Connection
from typing import Any, Self

from ciris_store_core import RetryPolicy, Store, StoreError, Task, Thought, open_store
from ciris_store_core.sql import SqlSession
from ciris_store_sqlite.write_lock import WriteLock


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
        write_without_turns()
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


def start_up(pipe: Connection, barrier: Any, loose: bool) -> None:
    """Open each store whose path is sent together with others, write once, and say how it went."""
    if loose:
        migrate_loosely()
        write_without_turns()
    while True:
        path = pipe.recv()
        barrier.wait(60)
        try:
            with open_store(path, retry=RetryPolicy(attempts=1)) as store:
                write(store, f"first of {os.getpid()}")
        except StoreError as error:
            pipe.send(type(error).__name__)
        else:
            pipe.send("up")


def write_without_turns() -> None:
    """Leave it to SQLite who may write next."""
    WriteLock.acquire = WriteLock.release = lambda self, ticket: None  # type: ignore[method-assign]


def migrate_loosely() -> None:
    """Run each statement of a migration for itself, as a tool does that does not know of transactions."""
    setattr(SqlSession, "transaction", lambda self, *, write: nullcontext())  # noqa: B010 (a method)


def start_up_and_die(pipe: Connection, path: str, left: int, loose: bool) -> None:
    """Open the store and be killed right after so many statements of the connection."""
    if loose:
        migrate_loosely()

    class DyingCursor(sqlite3.Cursor):
        def execute(self, sql: str, parameters: Any = (), /) -> Self:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return super().execute(sql, parameters)

    class DyingConnection(sqlite3.Connection):
        def cursor(self, *args: object) -> sqlite3.Cursor:  # type: ignore[override]
            return DyingCursor(self)

    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **options: connect(*args, **options, factory=DyingConnection)  # type: ignore[assignment]
    open_store(path, retry=RetryPolicy(attempts=1))
    pipe.send("up")


def hold_the_write_lock(path: str) -> None:
    """Stay inside a transaction until told to commit."""
    with open_store(path) as store, store.transaction() as tx:
        tx.tasks.add(Task(task_id="held", channel_id="c", description="d"))
        wait_for_start()


PROGRAMS = (compete, hold_the_write_lock)

if __name__ == "__main__":
    with suppress(BrokenPipeError):
        {program.__name__: program for program in PROGRAMS}[sys.argv[1]](*sys.argv[2:])
