"""The pool, on a real server."""

from __future__ import annotations

import gc
import io
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg2
import pytest

from backends.postgres.tests.pooled import SetClock, ask, end_backends, in_threads, wait_until
from ciris_store_core.errors import PoolTimeout, StoreClosed, Unavailable
from ciris_store_core.url import resolve_url
from ciris_store_postgres.connect import ConnectOptions, Connector
from ciris_store_postgres.connection import PooledConnection
from ciris_store_postgres.pool import ConnectionPool
from ciris_store_postgres.watchdog import Watchdog
from tests.support.pgserver import shared_server

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = shared_server()
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def make_pool(url: str) -> Iterator[Callable[..., ConnectionPool]]:
    watchdog = Watchdog(30)
    pools: list[ConnectionPool] = []

    def make(**options: Any) -> ConnectionPool:
        connector = Connector(ConnectOptions.from_url(resolve_url(url)))
        pools.append(ConnectionPool(connector.open, watchdog, **options))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close(timeout=0)
    watchdog.close()


# --- bounds and order ---------------------------------------------------------------------------


def test_200_callers_share_10_connections(make_pool: Callable[..., ConnectionPool]) -> None:
    pool = make_pool(size=10)
    pids: list[int] = []

    def work(_: int) -> None:
        for _ in range(3):
            with pool.connection() as connection:
                pids.append(ask(connection))

    in_threads(200, work)
    assert len(pids) == 600
    assert len(set(pids)) <= 10
    stats = pool.stats()
    assert (stats["in_use"], stats["waiting"], stats["discarded_total"]) == (0, 0, 0)
    assert stats["idle"] == stats["opened_total"] <= 10


def test_no_two_threads_hold_one_connection(make_pool: Callable[..., ConnectionPool]) -> None:
    pool = make_pool(size=3)
    held: set[int] = set()
    clashes: list[int] = []

    def work(_: int) -> None:
        for _ in range(200):
            with pool.connection() as connection:
                if id(connection) in held:
                    clashes.append(id(connection))
                held.add(id(connection))
                ask(connection, "SELECT 1")
                held.discard(id(connection))

    in_threads(8, work)
    assert clashes == []
    assert pool.stats()["opened_total"] == 3


def test_waiting_threads_are_served_in_order(make_pool: Callable[..., ConnectionPool]) -> None:
    pool = make_pool(size=1)
    order: list[int] = []

    def work(number: int) -> None:
        with pool.connection():
            order.append(number)

    threads = []
    with pool.connection():
        for number in range(12):
            threads.append(threading.Thread(target=work, args=(number,)))
            threads[-1].start()
            wait_until(lambda wanted=number + 1: pool.stats()["waiting"] == wanted)
    for thread in threads:
        thread.join(10)
    assert order == list(range(12))


def test_timeout_says_what_to_enlarge(make_pool: Callable[..., ConnectionPool]) -> None:
    pool = make_pool(size=1, timeout=0.2)
    with pool.connection():
        began = time.monotonic()
        with pytest.raises(PoolTimeout, match=r"within 0\.2 s \(pool_size=1\).*pool_size.*pool_timeout") as caught:
            pool.acquire()
        assert 0.2 <= time.monotonic() - began < 1.2
        assert not caught.value.retryable
        assert pool.stats()["waiting"] == 0
    with pool.connection(timeout=0) as connection:
        assert ask(connection, "SELECT 1") == 1


def test_idle_connections_are_reused_last_in_first_out(make_pool: Callable[..., ConnectionPool]) -> None:
    pool = make_pool(size=3)
    first, second = pool.acquire(), pool.acquire()
    pool.release(first)
    pool.release(second)
    assert pool.acquire() is second
    assert pool.acquire() is first


def test_session_stays_with_the_connection(make_pool: Callable[..., ConnectionPool]) -> None:
    pool = make_pool(size=1)
    with pool.connection() as connection:
        assert connection.session is None
        connection.session = marker = object()
    with pool.connection() as connection:
        assert connection.session is marker


# --- dead and old connections -------------------------------------------------------------------


def test_connection_that_died_while_idle_is_replaced(make_pool: Callable[..., ConnectionPool], url: str) -> None:
    clock = SetClock()
    pool = make_pool(size=1, idle_check=30, clock=clock)
    with pool.connection() as connection:
        old = ask(connection)
    end_backends(url, [old])
    clock.seconds += 31
    with pool.connection() as connection:
        assert ask(connection) != old
    assert pool.stats() == {
        "size": 1, "in_use": 0, "idle": 1, "waiting": 0, "opened_total": 2, "discarded_total": 1
    }  # fmt: skip


def test_living_idle_connection_is_kept_after_its_check(make_pool: Callable[..., ConnectionPool]) -> None:
    clock = SetClock()
    pool = make_pool(size=1, idle_check=30, clock=clock)
    with pool.connection() as connection:
        pid = ask(connection)
    clock.seconds += 31
    with pool.connection() as connection:
        assert ask(connection) == pid


def test_one_dead_connection_makes_the_other_idle_ones_suspect(
    make_pool: Callable[..., ConnectionPool], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        PooledConnection, "has_input", lambda connection: False
    )  # as if the network had swallowed the end
    pool = make_pool(size=4)
    connections = [pool.acquire() for _ in range(4)]
    pids = [ask(connection) for connection in connections]
    for connection in connections:
        pool.release(connection)
    end_backends(url, pids)
    with pytest.raises(psycopg2.OperationalError), pool.connection() as connection:
        ask(connection)
    leases = [pool.acquire() for _ in range(4)]
    assert all(ask(connection, "SELECT 1") == 1 for connection in leases)
    assert pool.stats()["discarded_total"] == 4
    for connection in leases:
        pool.release(connection)


def test_connection_past_its_lifetime_is_replaced(make_pool: Callable[..., ConnectionPool]) -> None:
    clock = SetClock()
    pool = make_pool(size=1, max_lifetime=100, idle_check=1e9, clock=clock)
    pids = []
    for step in (0, 89, 22):
        clock.seconds += step
        with pool.connection() as connection:
            pids.append(ask(connection))
    assert pids[0] == pids[1] != pids[2]


def test_connection_returned_as_broken_is_closed(make_pool: Callable[..., ConnectionPool]) -> None:
    pool = make_pool(size=1)
    connection = pool.acquire()
    pool.release(connection, broken=True)
    assert connection.raw.closed
    assert pool.acquire() is not connection


def test_opener_that_fails_gives_its_place_back(make_pool: Callable[..., ConnectionPool], url: str) -> None:
    failures = [Unavailable("no"), KeyboardInterrupt()]
    opener = Connector(ConnectOptions.from_url(resolve_url(url))).open

    def open_at_third() -> PooledConnection:
        if failures:
            raise failures.pop()
        return opener()

    pool = ConnectionPool(open_at_third, Watchdog(30), size=1, timeout=0)
    for kind in (KeyboardInterrupt, Unavailable):
        with pytest.raises(kind):
            pool.acquire()
    with pool.connection() as connection:
        assert ask(connection, "SELECT 1") == 1
    pool.close()


# --- the state in which one comes back ----------------------------------------------------------


@pytest.mark.parametrize("then", ["SELECT 1", "SELECT 1/0"])
def test_open_transaction_is_rolled_back(make_pool: Callable[..., ConnectionPool], then: str) -> None:
    pool = make_pool(size=1)
    with suppress(psycopg2.Error), pool.connection() as connection:
        pid = ask(connection)
        ask(connection, "BEGIN")
        ask(connection, "CREATE TABLE half (id int)")
        ask(connection, then)
    with pool.connection() as connection:
        assert ask(connection) == pid
        assert ask(connection, "SELECT to_regclass('half')") is None


def test_connection_in_the_middle_of_a_copy_is_closed(make_pool: Callable[..., ConnectionPool]) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise KeyboardInterrupt

    pool = make_pool(size=1)
    with pytest.raises(KeyboardInterrupt), pool.connection() as connection:
        connection.raw.cursor().copy_expert("COPY (SELECT generate_series(1, 500000)) TO STDOUT", Full())
    with pool.connection() as connection:
        assert ask(connection, "SELECT 1") == 1


def test_connection_lost_by_its_user_frees_its_place(make_pool: Callable[..., ConnectionPool]) -> None:
    pool = make_pool(size=1, timeout=10)
    connection = pool.acquire()
    connection.session = [connection]
    pid = ask(connection)
    served: list[int] = []
    waiting = threading.Thread(target=lambda: served.append(ask(pool.acquire())))
    waiting.start()
    wait_until(lambda: pool.stats()["waiting"] == 1)
    del connection
    gc.collect()
    waiting.join(10)
    assert served and served != [pid]


def test_interrupted_wait_leaves_the_queue(make_pool: Callable[..., ConnectionPool]) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    pool = make_pool(size=1, timeout=10)
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pool.connection():
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(KeyboardInterrupt):
                pool.acquire()
            assert pool.stats()["waiting"] == 0
    finally:
        signal.signal(signal.SIGALRM, previous)
    with pool.connection(timeout=0) as connection:
        assert ask(connection, "SELECT 1") == 1


# An interrupt in the middle of opening leaves a socket to the garbage collector, which closes it and warns.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_interrupts_at_any_point_leak_nothing(make_pool: Callable[..., ConnectionPool]) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    pool = make_pool(size=2, timeout=5)
    previous = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for round_ in range(150):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + round_ * 7e-6)
                while True:
                    with pool.connection():
                        pass
            except KeyboardInterrupt:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    gc.collect()
    assert interrupted == 150
    assert pool.stats()["in_use"] == 0
    leases = [pool.acquire(timeout=1) for _ in range(2)]
    assert [ask(connection, "SELECT 1") for connection in leases] == [1, 1]


# --- the end ------------------------------------------------------------------------------------


def test_close_ends_idle_waiting_and_later_use(make_pool: Callable[..., ConnectionPool], url: str) -> None:
    pool = make_pool(size=2)
    held, idle = pool.acquire(), pool.acquire()
    pool.release(idle)
    other = pool.acquire()
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            pool.acquire()
        except StoreClosed as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: pool.stats()["waiting"] == 1)
    closing = threading.Thread(target=pool.close)
    closing.start()
    waiting.join(10)
    assert len(errors) == 1
    assert ask(held, "SELECT 1") == 1
    pool.release(held)
    pool.release(other)
    closing.join(10)
    assert held.raw.closed and other.raw.closed
    with pytest.raises(StoreClosed):
        pool.acquire()
    pool.close()


def test_close_cuts_what_does_not_come_back(make_pool: Callable[..., ConnectionPool]) -> None:
    pool = make_pool(size=1)
    connection = pool.acquire()
    pool.close(timeout=0)
    with pytest.raises(psycopg2.OperationalError):
        ask(connection, "SELECT 1")
    pool.release(connection)
    assert connection.raw.closed
    assert pool.stats()["in_use"] == 0


def test_forked_child_is_refused_and_leaves_the_parent_alone(make_pool: Callable[..., ConnectionPool]) -> None:
    pool = make_pool(size=2)
    pool.release(pool.acquire())
    held = pool.acquire()
    pid = ask(held)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            pool.acquire()
        except StoreClosed as error:
            pool.release(held)
            pool.close()
            code = 0 if "fork" in str(error) else 2
            del pool, held
            gc.collect()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ask(held) == pid
    pool.release(held)
    assert pool.acquire() is held
