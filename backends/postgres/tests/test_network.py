"""Networks that fail, 20 times each: a typed error in time, nothing wrong stored, and the pool heals."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from backends.postgres.tests.support import PLAIN, store_at, task_ids
from ciris_store_core import Store
from ciris_store_core.conformance.factories import task
from ciris_store_core.errors import OutcomeUnknown, StoreError, Unavailable
from ciris_store_postgres.connection import PooledConnection
from ciris_store_postgres.pool import ConnectionPool
from tests.reliability.rows import counts, record
from tests.support.pgserver import ExternalServer
from tests.support.tcpproxy import TcpProxy

pytestmark = [pytest.mark.postgres, pytest.mark.fault]

TIMEOUT = 0.3
"""Seconds of ``operation_timeout``."""
CONNECT_TIMEOUT = 2
"""Seconds; libpq knows no less."""
GRACE = 1.0
POOL = 3

Strike = Callable[[], None]
Work = Callable[[Store, str, Strike], object]


# --- what is being done when it strikes -----------------------------------------------------------


def read(store: Store, name: str, strike: Strike) -> object:
    strike()
    return store.tasks.get("t")


def write(store: Store, name: str, strike: Strike) -> object:
    strike()
    return store.tasks.add(task(name))


def write_in_transaction(store: Store, name: str, strike: Strike) -> None:
    with store.transaction() as tx:
        tx.tasks.add(task(name))
        strike()
        tx.tasks.get("t")


def commit(store: Store, name: str, strike: Strike) -> None:
    with store.transaction() as tx:
        tx.tasks.add(task(name))
        strike()


WORK: list[Work] = [read, write, write_in_transaction, commit]
MAY_BE_UNKNOWN = {write, commit}
ON_IDLE_CONNECTION = {read, write}
"""Struck before a connection is acquired."""


# --- what strikes ---------------------------------------------------------------------------------


def reset(proxy: TcpProxy) -> None:
    proxy.reset()


def refuse(proxy: TcpProxy) -> None:
    proxy.refuse()
    proxy.reset()


def slow(proxy: TcpProxy) -> None:
    proxy.delay(TIMEOUT * 4)


def black_hole(proxy: TcpProxy) -> None:
    proxy.black_hole()


FAULTS = [reset, refuse, slow, black_hole]


@dataclass
class Outcome:
    """Outcome of a call."""

    told: str
    """The error's class; ``done``; ``late`` if the call was still out when it should have been over."""
    seconds: float
    stored: bool
    healed: bool

    def wrong(self, work: Work, strike: Callable[[TcpProxy], None]) -> bool:
        if self.told == "done":
            # Only a connection that was idle when it was reset is replaced before anything is sent over it.
            in_time = strike is reset and work in ON_IDLE_CONNECTION
            return not in_time or not self.healed or self.stored != (work is write)
        allowed = {Unavailable.__name__} | ({OutcomeUnknown.__name__} if work in MAY_BE_UNKNOWN else set())
        return self.told not in allowed or not self.healed or (self.told == Unavailable.__name__ and self.stored)


@pytest.fixture
def url(postgres_server: ExternalServer) -> Iterator[str]:
    url = postgres_server.create_database()
    store_at(url).close()
    yield url
    postgres_server.drop_database(url)


def attempt(call: Callable[[], object], deadline: float, free: Callable[[], None]) -> tuple[str, float]:
    """Make a call in a thread of its own: what it came to, and in how many seconds."""
    told = ["late"]

    def run() -> None:
        try:
            call()
            told.append("done")
        except StoreError as error:
            told.append(type(error).__name__)

    began = time.monotonic()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(deadline)
    result = told[-1], time.monotonic() - began
    if thread.is_alive():
        free()
        thread.join(30)
    assert not thread.is_alive()
    return result


def heals(store: Store) -> bool:
    """Return True if every call succeeds after as many calls as the pool has connections."""
    told = [attempt(lambda: store.tasks.get("t"), CONNECT_TIMEOUT + GRACE, lambda: None)[0] for _ in range(POOL + 3)]
    return told[POOL:] == ["done"] * 3 and store.stats()["in_use"] == 0


def suffer(url: str, strike: Callable[[TcpProxy], None], rounds: int, timeout: float = TIMEOUT) -> list[Outcome]:
    """Let it strike in the middle of calls, and look after each whether the store works again."""
    options = {"operation_timeout": timeout, "connect_timeout": CONNECT_TIMEOUT, "pool_size": POOL, **PLAIN}
    outcomes = []
    with TcpProxy(url) as proxy, store_at(proxy.url_for(url), **options) as store:
        for number in range(rounds):
            work, name = WORK[number % len(WORK)], f"w{number}"
            told, seconds = attempt(
                lambda work=work, name=name: work(store, name, lambda: strike(proxy)), TIMEOUT + GRACE, proxy.reset
            )
            proxy.heal()
            outcomes.append(Outcome(told, seconds, False, heals(store)))
            if not outcomes[-1].healed:
                break
    stored = task_ids(url)
    for number, outcome in enumerate(outcomes):
        outcome.stored = f"w{number}" in stored
    return outcomes


def wrong_ones(outcomes: list[Outcome], strike: Callable[[TcpProxy], None]) -> list[Outcome]:
    return [outcome for number, outcome in enumerate(outcomes) if outcome.wrong(WORK[number % len(WORK)], strike)]


@pytest.mark.parametrize("rounds", counts("network"))
@pytest.mark.parametrize("strike", FAULTS)
def test_typed_errors_in_time_and_a_pool_that_heals(url: str, strike: Callable[[TcpProxy], None], rounds: int) -> None:
    outcomes = suffer(url, strike, rounds)
    told = dict(Counter(outcome.told for outcome in outcomes))
    wrong = wrong_ones(outcomes, strike)
    note = f"{strike.__name__}: told {told}, at most {max(o.seconds for o in outcomes):.2f} s"
    record("network", "PostgreSQL", rounds, len(wrong), note=note)
    assert wrong == []
    assert len(outcomes) == rounds


@pytest.mark.parametrize("rounds", counts("network"))
def test_a_network_that_is_only_slow_enough(url: str, rounds: int) -> None:
    with TcpProxy(url) as proxy, store_at(proxy.url_for(url), operation_timeout=TIMEOUT * 4, **PLAIN) as store:
        proxy.delay(TIMEOUT / 20)
        for number in range(rounds):
            store.tasks.add(task(f"w{number}"))
    stored = len(task_ids(url))
    record("network", "PostgreSQL", rounds, rounds - stored, note="a little slow")
    assert stored == rounds


@pytest.mark.parametrize("rounds", [1, pytest.param(50, id="long", marks=pytest.mark.soak)])
@pytest.mark.parametrize("strike", [refuse, black_hole])
def test_a_server_that_cannot_be_reached(url: str, strike: Callable[[TcpProxy], None], rounds: int) -> None:
    """With no connection left: each call has to open one."""
    options = {"connect_timeout": CONNECT_TIMEOUT, "operation_timeout": TIMEOUT, **PLAIN}
    for _ in range(rounds):
        with TcpProxy(url) as proxy, store_at(proxy.url_for(url), **options) as store:
            strike(proxy)
            attempt(lambda store=store: store.tasks.get("t"), TIMEOUT + GRACE, proxy.reset)
            assert store.stats()["idle"] == 0
            told, _ = attempt(lambda store=store: store.tasks.get("t"), CONNECT_TIMEOUT + GRACE, proxy.reset)
            assert told == Unavailable.__name__
            proxy.heal()
            assert heals(store)
    record("network", "PostgreSQL", rounds, 0, note=f"{strike.__name__}, with no connection left")


@pytest.mark.parametrize("strike", [slow, black_hole])
def test_the_control_no_watchdog(url: str, strike: Callable[[TcpProxy], None]) -> None:
    outcomes = suffer(url, strike, 2, timeout=0)
    record("network", "PostgreSQL", 2, len(wrong_ones(outcomes, strike)), control=True, note="no watchdog")
    assert [outcome.told for outcome in wrong_ones(outcomes, strike)] == ["late", "late"]


@pytest.mark.parametrize("strike", [reset, refuse])
def test_the_control_a_pool_that_keeps_dead_connections(
    url: str, strike: Callable[[TcpProxy], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ConnectionPool, "_release_unclean", lambda pool, connection, broken: pool._return(connection))
    monkeypatch.setattr(PooledConnection, "has_input", lambda connection: False)
    outcomes = suffer(url, strike, 2)
    record(
        "network", "PostgreSQL", 2, len(wrong_ones(outcomes, strike)), control=True, note="a pool that keeps the dead"
    )
    assert [outcome.healed for outcome in wrong_ones(outcomes, strike)] == [False]
