"""Interrupts, signal handlers, forks and failing locks: each ends in a working store or in an error that says so."""

from __future__ import annotations

import errno
import fcntl
import gc
import signal
import sqlite3
import threading
import time
import warnings
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from backends.sqlite.tests.support import backend_of, open_files, open_once, output_of, url_of
from ciris_store_core import open_store
from ciris_store_core.errors import NotSupported, StoreClosed, TransactionError, Unavailable
from ciris_store_sqlite.session import SqliteSession
from tests.support.factories import task


@pytest.mark.parametrize("command", ["BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("after", [False, True])
def test_an_interrupt_around_a_command_loses_no_later_write(
    path: Path, monkeypatch: pytest.MonkeyPatch, command: str, after: bool
) -> None:
    control, left = SqliteSession._control, [1]

    def interrupted(self: SqliteSession, text: str, **options: Any) -> None:
        strikes = text == command and left and left.pop()
        if not strikes or after:
            control(self, text, **options)
        if strikes:
            raise KeyboardInterrupt

    with open_once(path, busy_timeout=2) as store:
        monkeypatch.setattr(SqliteSession, "_control", interrupted)
        with pytest.raises(KeyboardInterrupt), store.transaction() as tx:
            tx.tasks.add(task("interrupted"))
            if command == "ROLLBACK":
                raise ZeroDivisionError
        store.tasks.add(task("later"))
    with open_once(path) as again:
        assert again.tasks.get("later") is not None


def test_a_signal_handler_that_writes_is_refused_at_once(path: Path) -> None:
    refused: list[BaseException] = []

    def write(number: int, frame: FrameType | None) -> None:
        began = time.monotonic()
        try:
            store.tasks.add(task("from the handler"))
        except TransactionError as error:
            refused.append(error)
        assert time.monotonic() - began < 1

    before = signal.signal(signal.SIGTERM, write)
    try:
        with open_store(url_of(path, busy_timeout=5)) as store:
            with backend_of(store).session(write=True):
                signal.raise_signal(signal.SIGTERM)
            store.tasks.add(task("later"))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(refused) == 1 and not getattr(refused[0], "retryable", True)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.EIO])
def test_a_file_system_without_locks_is_named(path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    flock, failing = fcntl.flock, [True]

    def refuse(file: Any, operation: int) -> None:
        if failing and operation & fcntl.LOCK_EX:
            raise OSError(code, "refused")
        flock(file, operation)

    with open_once(path, busy_timeout=2) as store:
        monkeypatch.setattr(fcntl, "flock", refuse)
        with pytest.raises(Unavailable if code == errno.EIO else NotSupported, match=errno.errorcode[code]) as caught:
            store.tasks.add(task("t"))
        assert " at /" in str(caught.value) and not caught.value.retryable
        failing.clear()
        store.tasks.add(task("t"))


def test_the_thread_that_waits_for_the_lock_survives_its_failure(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock, failing = fcntl.flock, [True]

    def fail_to_wait(file: Any, operation: int) -> None:
        if failing and operation == fcntl.LOCK_EX:
            failing.clear()
            raise OSError(errno.ENOLCK, "no locks left")
        flock(file, operation)

    with open_once(path) as holder, open_once(path, busy_timeout=2) as store:
        monkeypatch.setattr(fcntl, "flock", fail_to_wait)
        with backend_of(holder).session(write=True), pytest.raises(NotSupported):
            store.tasks.add(task("t"))
        with backend_of(holder).session(write=True):
            late = threading.Timer(0.2, lambda: store.tasks.add(task("waited")))
            late.start()
        late.join(30)
        assert store.tasks.get("waited") is not None


def test_a_store_that_is_dropped_leaks_no_descriptor(path: Path) -> None:
    open_once(path).close()
    before = open_files()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        for number in range(3):
            open_once(path).tasks.add(task(f"t{number}"))
            gc.collect()
    assert open_files() == before
    assert any("unclosed store" in str(each.message) for each in caught)


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_log_that_is_removed_under_the_store_is_noticed(path: Path, suffix: str) -> None:
    with open_once(path) as store:
        store.tasks.add(task("before"))
        Path(f"{path}{suffix}").unlink()
        with pytest.raises(StoreClosed, match="-wal or -shm"):
            store.tasks.add(task("lost"))


def test_a_lock_of_another_program_is_waited_for_once(path: Path) -> None:
    with open_store(url_of(path, busy_timeout=0.5)) as store, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(Unavailable):
            store.tasks.add(task("t"))
        assert time.monotonic() - began < 1.5


FORK_WITH_AN_OPEN_STORE = """
import multiprocessing, sys
from ciris_store_core import Task, open_store

def write(path, names):
    with open_store(path) as own:
        for number in range(20):
            own.tasks.add(Task(task_id=f"child {number}", channel_id="c", description="d"))
            if number == 0:
                names.put("ready"); go.get()
            names.put(f"child {number}")
    names.put(None)

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    names, go = context.Queue(), context.Queue()
    store = open_store(sys.argv[1])
    store.tasks.add(Task(task_id="before", channel_id="c", description="d"))
    store.tasks.count()
    child = context.Process(target=write, args=(sys.argv[1], names))
    child.start()
    assert names.get() == "ready"
    store.close()
    go.put("go")
    written = set(iter(names.get, None))
    child.join()
    with open_store(sys.argv[1]) as again:
        print(len(written), len(written - {each.task_id for each in again.tasks.scan()}))
"""


def test_a_child_writes_after_its_parent_closed_what_was_open_at_the_fork(path: Path) -> None:
    assert output_of(FORK_WITH_AN_OPEN_STORE, path) == "20 0\n"


FORK_INSIDE_A_TRANSACTION = """
import os, sys
from ciris_store_core import Task, open_store
from ciris_store_core.errors import StoreClosed
store = open_store(sys.argv[1])
task = lambda name: Task(task_id=name, channel_id="c", description="d")
with store.transaction() as tx:
    tx.tasks.add(task("before"))
    child = os.fork()
    if child == 0:
        try:
            open_store(sys.argv[1])
        except StoreClosed as error:
            os._exit(0 if "spawn" in str(error) else 1)
        os._exit(2)
    print(os.waitpid(child, 0)[1])
    tx.tasks.add(task("after"))
print(store.tasks.count())
"""


def test_a_child_of_a_transaction_is_refused_the_file(path: Path) -> None:
    assert output_of(FORK_INSIDE_A_TRANSACTION, path) == "0\n2\n"
