"""Connections: shared in memory, bounded, closed in time, and never used after fork."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.sqlite.tests.support import backend_of, in_threads, integrity, open_files, open_once, output_of, start
from ciris_store_core import Store, open_store
from ciris_store_core.errors import (
    PoolTimeout,
    StoreClosed,
    StoreError,
)
from tests.support.factories import task, thought

WRITE_ONE = """
import sys
from ciris_store_core import RetryPolicy, Task, open_store
with open_store(f"sqlite:///{sys.argv[1]}?busy_timeout=3", retry=RetryPolicy(attempts=1)) as store:
    store.tasks.add(Task(task_id="other", channel_id="c", description="d"))
print("written")
"""


# --- in memory --------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", ":memory:"])
def test_in_memory_there_is_one_database_per_process(url: str) -> None:
    with open_store(url) as first, open_store("sqlite:///:memory:") as second:
        first.tasks.add(task("t"))
        assert second.tasks.get("t")
        first.close()
        second.tasks.add(task("u"))
        assert second.tasks.count() == 2
    with open_store(url) as third:
        assert third.tasks.count() == 0


def test_in_memory_names_tell_databases_apart() -> None:
    with open_store("sqlite:///:memory:?name=a") as a, open_store("sqlite:///:memory:?name=b") as b:
        a.tasks.add(task("t"))
        assert b.tasks.get("t") is None
        with open_store("sqlite:///:memory:?name=a") as again:
            assert again.tasks.get("t")


def test_in_memory_stores_take_turns() -> None:
    def write(store: Store, name: str) -> None:
        for n in range(100):
            store.tasks.add(task(f"{name} {n}"))
            assert store.tasks.get(f"{name} {n}")

    with open_store("sqlite:///:memory:?name=t") as first, open_store("sqlite:///:memory:?name=t") as second:
        in_threads(*(lambda s=s, n=n: write(s, f"{n}") for n, s in enumerate([first, second] * 3)))
        assert first.tasks.count() == 600


# --- connections ------------------------------------------------------------------------------


def test_connections_are_bounded_and_outlive_their_threads(path: Path) -> None:
    before = open_files()
    with open_once(path, pool_size=3) as store:
        store.tasks.add(task("t"))
        for _ in range(10):
            in_threads(*[lambda: [store.tasks.get("t") for _ in range(20)]] * 20)
            in_threads(*[lambda: store.tasks.update("t", status="active")] * 5)
        assert store.stats()["connections"] <= 4
        # Each connection has the database and its log open, and the process the lock file and the shared index.
        assert open_files() <= before + 4 * 2 + 2 + 2
    assert open_files() == before


def test_all_connections_in_use_is_an_error_after_the_timeout(path: Path) -> None:
    with open_once(path, pool_size=2, busy_timeout=0.1) as store:
        backend = backend_of(store)
        with backend.session(write=False), backend.session(write=False):
            with pytest.raises(PoolTimeout, match="pool_size"):
                store.tasks.count()
            store.tasks.add(task("t"))
        assert store.tasks.count() == 1


def test_errors_leak_no_connection(path: Path) -> None:
    with open_once(path, pool_size=2, busy_timeout=1) as store:
        for n in range(20):
            with pytest.raises(ZeroDivisionError), store.transaction() as tx:
                tx.tasks.add(task(f"t{n}"))
                _ = 1 / 0
            with pytest.raises(ZeroDivisionError), backend_of(store).session(write=False) as session:
                session.tasks.get(["t"], None)
                _ = 1 / 0
        assert store.tasks.count() == 0
        assert store.stats()["connections"] <= 3


@pytest.mark.parametrize("prepare", [lambda path: path.write_bytes(b"no database"), lambda path: path.mkdir()])
def test_a_failed_start_leaves_nothing_open(path: Path, prepare: Callable[[Path], object]) -> None:
    prepare(path)
    before = open_files()
    for _ in range(5):
        with pytest.raises(StoreError):
            open_once(path)
    assert open_files() == before


def test_a_closed_store_says_so(path: Path) -> None:
    store = open_once(path)
    store.close()
    store.close()
    for call in (lambda: store.tasks.add(task("t")), store.tasks.count):
        with pytest.raises(StoreClosed, match="Open it again"):
            call()


def test_closing_lets_open_transactions_end(path: Path) -> None:
    before = open_files()
    store = open_once(path)
    backend = backend_of(store)
    with backend.session(write=True) as writing, backend.session(write=False) as reading:
        writing.tasks.add([task("t")])
        store.close()
        assert reading.tasks.get(["t"], None) == []
        writing.thoughts.add([thought("h", "t")])
    assert open_files() == before
    with open_once(path) as again:
        assert again.tasks.count() == again.thoughts.count() == 1


def test_closing_among_many_threads_ends_all_of_them_with_one_error(path: Path) -> None:
    before = open_files()
    for _ in range(10):
        store = open_once(path)
        ready = threading.Barrier(9)

        def work(number: int, store: Store = store, ready: threading.Barrier = ready) -> None:
            ready.wait(30)
            with pytest.raises(StoreClosed):
                while True:
                    store.tasks.update("t", status="active") if number % 2 else store.tasks.count()

        def close(store: Store = store, ready: threading.Barrier = ready) -> None:
            ready.wait(30)
            store.tasks.count()
            store.close()

        in_threads(close, *(lambda n=n: work(n) for n in range(8)))
        assert open_files() == before


def test_closing_while_a_thread_waits_for_the_write_lock_leaves_it_free(path: Path) -> None:
    with open_once(path) as other:
        store = open_once(path)
        lock = backend_of(store)._write_lock

        def add() -> None:
            with pytest.raises(StoreClosed):
                store.tasks.add(task("late"))

        with backend_of(other).session(write=True):
            waiting = threading.Thread(target=add)
            waiting.start()
            while lock._file is None or not lock._file._asked:
                waiting.join(0.01)
            store.close()
        waiting.join(30)
        assert not waiting.is_alive()
        # Another process, since the lock passes among threads in another way.
        assert output_of(WRITE_ONE, path) == "written\n"


FORK = """
import os, sys
from ciris_store_core import Task, open_store
from ciris_store_core.errors import StoreClosed
store = open_store(sys.argv[1])
add = lambda n: store.tasks.add(Task(task_id=n, channel_id="c", description="d"))
add("before")
child = os.fork()
if child == 0:
    for call in (lambda: add("child"), store.tasks.count, lambda: store.transaction().__enter__()):
        try:
            call()
        except StoreClosed as error:
            assert "fork" in str(error)
        else:
            raise SystemExit("the child used the store")
    store.close()
    with open_store(sys.argv[1]) as own:
        own.tasks.add(Task(task_id="own", channel_id="c", description="d"))
    raise SystemExit(0)
assert os.waitpid(child, 0)[1] == 0
add("after")
print(sorted(task.task_id for task in store.tasks.scan()))
"""


def test_a_forked_process_opens_its_own(path: Path) -> None:
    assert output_of(FORK, path) == "['after', 'before', 'own']\n"
    assert integrity(path) == "ok"


FORK_INSIDE = """
import os, sys
from ciris_store_core import Task, open_store
from ciris_store_core.errors import StoreClosed
store = open_store(sys.argv[1])
add = lambda tx, n: tx.tasks.add(Task(task_id=n, channel_id="c", description="d"))
child = None
try:
    with store.transaction() as tx:
        add(tx, "before")
        child = os.fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
            add(tx, "after")
except StoreClosed as error:
    assert child == 0 and "fork" in str(error)
    raise SystemExit(0)
assert child
print(sorted(task.task_id for task in store.tasks.scan()))
"""


def test_a_transaction_belongs_to_the_process_that_began_it(path: Path) -> None:
    assert output_of(FORK_INSIDE, path) == "['after', 'before']\n"
    assert integrity(path) == "ok"


FORK_AND_BE_KILLED = """
import os, signal, sys
from ciris_store_core import Task, open_store
store = open_store(sys.argv[1])
with store.transaction() as tx:
    tx.tasks.add(Task(task_id="lost", channel_id="c", description="d"))
    if os.fork() == 0:
        os.close(1); os.close(2)
        sys.stdin.read()
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_child_of_a_killed_writer_does_not_keep_the_write_lock(path: Path) -> None:
    open_once(path).close()
    process = start(FORK_AND_BE_KILLED, path)
    process.wait(60)
    try:
        assert output_of(WRITE_ONE, path) == "written\n"
    finally:
        process.communicate()  # closes the input, which ends the child
