"""Networks and servers that fail: each error says whether the call can be run again, and the pool heals."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from ciris_store_core.clock import SystemClock
from ciris_store_core.conformance.factories import T0, correlation, task
from ciris_store_core.contract import Session
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.errors import OutcomeUnknown, StoreError, Unavailable
from ciris_store_core.models import NodeKey
from ciris_store_core.models.enums import GraphScope
from ciris_store_core.opening import open_store
from ciris_store_core.store.store import Transaction
from ciris_store_core.url import resolve_url
from ciris_store_postgres.backend import PostgresBackend
from tests.support.pgserver import ExternalServer, execute
from tests.support.tcpproxy import TcpProxy

pytestmark = [pytest.mark.postgres, pytest.mark.fault]

ROUNDS = 5
TIMEOUT = 1.0
"""Seconds of ``operation_timeout`` in tests that wait for it."""
COMMIT = b"COMMIT\0"
"""The message, not the word: BEGIN says READ COMMITTED."""
KILL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
NODE = [NodeKey("n", GraphScope.LOCAL)]


def open_at(url: str, **options: Any) -> PostgresBackend:
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return PostgresBackend(resolve_url(f"{url}?{query}"), BackendContext(SystemClock()))


@pytest.fixture
def direct(postgres_server: ExternalServer) -> Iterator[str]:
    """The URL of a database with a schema, not through the proxy."""
    url = postgres_server.create_database()
    backend = open_at(url)
    backend.prepare(migrate=True)
    backend.close()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def proxy(direct: str) -> Iterator[TcpProxy]:
    with TcpProxy(direct) as proxy:
        yield proxy


@pytest.fixture
def backend(proxy: TcpProxy, direct: str) -> Iterator[PostgresBackend]:
    backend = open_at(
        proxy.url_for(direct), sslmode="disable", gssencmode="disable", operation_timeout=TIMEOUT, connect_timeout=2
    )
    backend.prepare(migrate=True)
    yield backend
    proxy.heal()
    backend.close()


def add_in_transaction(backend: PostgresBackend, name: str) -> None:
    with backend.session(write=True) as session:
        session.tasks.add([task(name)])


def add_single(backend: PostgresBackend, name: str) -> None:
    with backend.session(write=True, single=True) as session:
        session.tasks.add([task(name)])


def add_by_copy(backend: PostgresBackend, name: str) -> None:
    with backend.session(write=True, single=True) as session:
        session.correlations.add([correlation(name), correlation(f"{name}-2")])


def read_single(backend: PostgresBackend) -> None:
    with backend.session(write=False, single=True) as session:
        session.graph.get_nodes(NODE, None)


def read_in_transaction(backend: PostgresBackend) -> None:
    with backend.session(write=False) as session:
        session.graph.get_nodes(NODE, None)


def stored(url: str, name: str) -> int:
    [(count,)] = execute(
        url,
        f"SELECT (SELECT count(*) FROM tasks WHERE task_id = '{name}') "
        f"+ (SELECT count(*) FROM correlations WHERE correlation_id = '{name}')",
    )
    return int(count)


def heals(backend: PostgresBackend) -> bool:
    """Return True if calls succeed again once the broken connections were noticed."""
    for _ in range(3):
        with suppress(Unavailable):
            read_single(backend)
    read_single(backend)
    return backend.stats()["in_use"] == 0


# --- the answer is lost -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "needle"),
    [(add_in_transaction, COMMIT), (add_single, b"INSERT INTO"), (add_by_copy, b"-2\t")],
    ids=["commit", "single", "copy"],
)
def test_a_lost_answer_to_a_write_is_unknown(
    backend: PostgresBackend, proxy: TcpProxy, direct: str, write: Callable[[PostgresBackend, str], None], needle: bytes
) -> None:
    for number in range(ROUNDS):
        proxy.drop_answer_to(needle)
        with pytest.raises(OutcomeUnknown):
            write(backend, f"t{number}")
        proxy.heal()
        assert heals(backend)
        wait_for(lambda number=number: stored(direct, f"t{number}") == 1)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize("read", [read_single, read_in_transaction])
@pytest.mark.parametrize("needle", [b"SELECT", COMMIT])
def test_a_lost_answer_to_a_read_is_no_doubt(
    backend: PostgresBackend, proxy: TcpProxy, read: Callable[[PostgresBackend], None], needle: bytes
) -> None:
    if read is read_single and needle == COMMIT:
        needle = b"graph_nodes"
    proxy.drop_answer_to(needle)
    with pytest.raises(Unavailable) as caught:
        read(backend)
    assert caught.value.retryable
    proxy.heal()
    assert heals(backend)


@pytest.mark.parametrize("needle", [b"BEGIN", b"INSERT"])
def test_a_connection_lost_before_commit_wrote_nothing(
    backend: PostgresBackend, proxy: TcpProxy, direct: str, needle: bytes
) -> None:
    proxy.drop_answer_to(needle)
    with pytest.raises(Unavailable) as caught:
        add_in_transaction(backend, "t")
    assert caught.value.retryable
    proxy.heal()
    assert heals(backend)
    assert stored(direct, "t") == 0


def test_the_retry_of_an_unknown_write_is_safe(backend: PostgresBackend, proxy: TcpProxy) -> None:
    def add(session: Session) -> bool:
        return session.tasks.add_or_get(task("t"))[1]

    proxy.drop_answer_to(b"INSERT INTO")
    with pytest.raises(OutcomeUnknown), backend.session(write=True, single=True) as session:
        add(session)
    proxy.heal()
    with backend.session(write=True, single=True) as session:
        assert add(session) is False


# --- connections are cut, refused, swallowed ------------------------------------------------------


def test_reset_connections_are_replaced(backend: PostgresBackend, proxy: TcpProxy) -> None:
    for _ in range(ROUNDS):
        with pytest.raises(Unavailable) as caught, backend.session(write=True) as session:
            session.tasks.add([task("t")])
            proxy.reset()
            session.tasks.get(["t"], None)
        assert caught.value.retryable
        assert heals(backend)


def test_a_savepoint_does_not_hide_a_lost_connection(backend: PostgresBackend, proxy: TcpProxy) -> None:
    with pytest.raises(StoreError), backend.session(write=True) as session:
        session.tasks.add([task("t")])
        with suppress(Unavailable), session.savepoint():
            proxy.reset()
            session.tasks.add([task("u")])
        session.tasks.get(["t"], None)
    assert heals(backend)
    with backend.session(write=False) as session:
        assert session.tasks.get(["t", "u"], None) == []


def test_refused_connections(backend: PostgresBackend, proxy: TcpProxy) -> None:
    proxy.refuse()
    proxy.reset()
    with suppress(Unavailable):
        read_single(backend)  # finds the dead connection
    with pytest.raises(Unavailable) as caught:
        read_single(backend)
    assert caught.value.retryable
    proxy.heal()
    assert heals(backend)


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (read_single, Unavailable),
        (read_in_transaction, Unavailable),
        (lambda backend: add_in_transaction(backend, "t"), Unavailable),
        (lambda backend: add_single(backend, "t"), OutcomeUnknown),
    ],
    ids=["read", "read-transaction", "transaction", "single"],
)
def test_a_black_hole_ends_with_an_error_in_time(
    backend: PostgresBackend, proxy: TcpProxy, work: Callable[[PostgresBackend], None], expected: type[StoreError]
) -> None:
    proxy.black_hole()
    started = time.monotonic()
    with pytest.raises(expected) as caught:
        work(backend)
    assert time.monotonic() - started < TIMEOUT + 1
    assert not caught.value.retryable
    proxy.heal()
    assert heals(backend)


def test_a_black_hole_at_commit_is_unknown(backend: PostgresBackend, proxy: TcpProxy) -> None:
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown), backend.session(write=True) as session:
        session.tasks.add([task("t")])
        proxy.black_hole()
    assert time.monotonic() - started < TIMEOUT + 1
    proxy.heal()
    assert heals(backend)


def test_without_a_watchdog_a_black_hole_lasts(proxy: TcpProxy, direct: str) -> None:
    """The control: what the watchdog is for."""
    backend = open_at(proxy.url_for(direct), sslmode="disable", gssencmode="disable", operation_timeout=0)
    backend.prepare(migrate=True)
    proxy.black_hole()
    thread = threading.Thread(target=lambda: suppressed(read_single, backend))
    thread.start()
    thread.join(TIMEOUT + 1)
    assert thread.is_alive()
    proxy.reset()
    thread.join(10)
    assert not thread.is_alive()
    proxy.heal()
    backend.close()


def suppressed(work: Callable[[PostgresBackend], None], backend: PostgresBackend) -> None:
    with suppress(StoreError):
        work(backend)


# --- backends and servers are killed --------------------------------------------------------------


def test_killed_server_processes(backend: PostgresBackend, direct: str) -> None:
    for number in range(ROUNDS):
        with pytest.raises(Unavailable) as caught, backend.session(write=True) as session:
            session.tasks.add([task(f"t{number}")])
            execute(direct, KILL)
            session.tasks.get(["t"], None)
        assert caught.value.retryable
        assert heals(backend)
        assert stored(direct, f"t{number}") == 0


def test_deadlocks_may_be_run_again(direct: str) -> None:
    backend = open_at(direct)
    with backend.session(write=True) as session:
        session.tasks.add([task("a"), task("b")])
    barrier = threading.Barrier(2)
    errors: list[StoreError] = []

    def update(first: str, second: str) -> None:
        try:
            with backend.session(write=True) as session:
                session.tasks.update(first, {"updated_at": T0}, None, None)
                barrier.wait(10)
                session.tasks.update(second, {"updated_at": T0}, None, None)
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=update, args=order) for order in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    backend.close()
    assert [(type(error), error.retryable) for error in errors] == [(Unavailable, True)]


def test_the_store_runs_a_deadlocked_transaction_again(direct: str) -> None:
    runs: list[str] = []
    barrier = threading.Barrier(2)

    def update(tx: Transaction, first: str, second: str) -> None:
        tx.tasks.update(first, description=f"{first} first")
        runs.append(first)
        if len(runs) <= 2:
            barrier.wait(10)
        tx.tasks.update(second, description=f"{first} first")

    with open_store(direct) as store:
        store.tasks.add_many([task("a"), task("b")])
        orders = (("a", "b"), ("b", "a"))
        threads = [threading.Thread(target=store.run, args=(update, *order)) for order in orders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        descriptions = {task.description for task in store.tasks.get_many(["a", "b"]).values()}
    assert len(runs) == 3
    assert descriptions == {f"{runs[-1]} first"}
