"""Operations that would block forever, ended by the watchdog."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator

import psycopg2
import pytest

from ciris_store_core.errors import OutcomeUnknown, Unavailable
from ciris_store_core.url import resolve_url
from ciris_store_postgres.connect import ConnectOptions, Connector
from ciris_store_postgres.connection import NEVER
from ciris_store_postgres.errors import translate
from ciris_store_postgres.pool import ConnectionPool
from ciris_store_postgres.watchdog import Watchdog
from tests.support.pgserver import PostgresServer, execute, shared_server
from tests.support.tcpproxy import TcpProxy

pytestmark = [pytest.mark.postgres, pytest.mark.fault]

DEADLINE = 0.4


@pytest.fixture
def url() -> Iterator[str]:
    server = shared_server()
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def proxy(url: str) -> Iterator[TcpProxy]:
    with TcpProxy(url) as proxy:
        yield proxy


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    watchdog = Watchdog(DEADLINE)
    yield watchdog
    watchdog.close()


@pytest.fixture
def pool(url: str, proxy: TcpProxy, watchdog: Watchdog) -> Iterator[ConnectionPool]:
    options = ConnectOptions.from_url(resolve_url(proxy.url_for(url) + "?connect_timeout=2"))
    pool = ConnectionPool(Connector(options).open, watchdog, size=2)
    yield pool
    proxy.heal()
    pool.close(timeout=0)


@pytest.mark.parametrize("committing", [False, True])
def test_black_holed_operation_ends_at_its_deadline(
    pool: ConnectionPool, proxy: TcpProxy, watchdog: Watchdog, committing: bool
) -> None:
    with pool.connection() as connection:
        proxy.black_hole()
        began = time.monotonic()
        with pytest.raises(psycopg2.Error) as caught, watchdog.guard(connection):
            connection.raw.cursor().execute("SELECT 1")
        assert DEADLINE <= time.monotonic() - began < DEADLINE + 1
        error = translate(caught.value, committing=committing)
        assert type(error) is (OutcomeUnknown if committing else Unavailable)
        assert connection.was_shut_down
    assert connection.raw.closed
    proxy.heal()
    with pool.connection() as connection:
        connection.raw.cursor().execute("SELECT 1")


def test_without_the_watchdog_it_would_hang(pool: ConnectionPool, proxy: TcpProxy) -> None:
    connection = pool.acquire()
    proxy.black_hole()
    ended = threading.Event()

    def work() -> None:
        with pytest.raises(psycopg2.Error):
            connection.raw.cursor().execute("SELECT 1")
        ended.set()

    threading.Thread(target=work).start()
    assert not ended.wait(DEADLINE * 3)
    connection.shut_down()
    assert ended.wait(5)
    pool.release(connection)


def test_check_of_a_black_holed_idle_connection_is_bounded(
    url: str, proxy: TcpProxy, watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ciris_store_postgres.pool._CHECK_SECONDS", DEADLINE)
    options = ConnectOptions.from_url(resolve_url(proxy.url_for(url) + "?connect_timeout=2"))
    pool = ConnectionPool(Connector(options).open, watchdog, size=1, idle_check=0)
    pool.release(pool.acquire())
    proxy.black_hole()
    began = time.monotonic()
    with pytest.raises(Unavailable):
        pool.acquire()
    assert time.monotonic() - began < DEADLINE + 2 + 1
    proxy.heal()
    with pool.connection() as connection:
        connection.raw.cursor().execute("SELECT 1")
    pool.close()


def test_operation_in_time_is_not_cut(pool: ConnectionPool, watchdog: Watchdog) -> None:
    with pool.connection() as connection:
        for _ in range(3):
            with watchdog.guard(connection):
                connection.raw.cursor().execute("SELECT pg_sleep(%s)", (DEADLINE / 2,))
            assert connection.deadline == NEVER
        assert not connection.was_shut_down


def test_cut_commit_that_waits_for_its_standby_is_unknown_not_cancelled() -> None:
    with PostgresServer(fast=True, settings="synchronous_standby_names = 'nobody'\n") as server:
        execute(server.url(), "CREATE TABLE sent (id int)")
        watchdog = Watchdog(DEADLINE)
        pool = ConnectionPool(Connector(ConnectOptions.from_url(resolve_url(server.url()))).open, watchdog)
        with pool.connection() as connection, connection.raw.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SET LOCAL synchronous_commit = on")
            cursor.execute("INSERT INTO sent VALUES (1)")
            with pytest.raises(psycopg2.Error) as caught, watchdog.guard(connection):
                cursor.execute("COMMIT")
        assert isinstance(translate(caught.value, committing=True), OutcomeUnknown)
        pool.close()
        watchdog.close()


def test_thread_ends_with_the_watchdog() -> None:
    server = shared_server()
    url = server.create_database()
    watchdog = Watchdog(60)
    connection = Connector(ConnectOptions.from_url(resolve_url(url))).open()
    watchdog.watch(connection)
    thread = watchdog._thread
    assert thread is not None and thread.daemon
    gone = weakref.ref(watchdog)
    del watchdog
    gc.collect()
    thread.join(5)
    assert gone() is None
    assert not thread.is_alive()
    connection.close()
    server.drop_database(url)
