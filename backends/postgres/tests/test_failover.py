"""Failover under load: the standby is promoted, no acknowledged write is lost, and writes continue.

Every second time the link to the standby breaks shortly before. A primary that does not wait for its standby loses
acknowledged writes then, which shows that the test can fail.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass

import pytest

from backends.postgres.tests.support import KILL, Load, add_surely, store_at, task_ids, wait_for
from ciris_store_core.clock import SystemClock
from ciris_store_core.conformance.factories import task
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.errors import TransactionError, Unavailable
from ciris_store_core.url import resolve_url
from ciris_store_postgres.backend import PostgresBackend
from ciris_store_postgres.timeline import Timeline
from tests.reliability.rows import counts, record
from tests.support.pgserver import PostgresServer, execute, server_url
from tests.support.tcpproxy import TcpProxy

pytestmark = [pytest.mark.postgres, pytest.mark.fault]

PROMPT = 5.0
"""Seconds after promotion within which writes go on."""
WRITES = 100
"""How many are acknowledged before the fault, and again after it."""
STORES, WRITERS = 2, 4
CUT_SECONDS = 0.3
"""How long the link to the standby is broken before the primary dies."""


@dataclass
class Loss:
    """Outcome of the loss of a primary."""

    acknowledged: int
    lost: int
    seconds: float
    """From the end of the promotion to the first write after it."""
    outage: float
    """From the primary's death to that write."""
    told: dict[str, int]


class Pair:
    """A primary and its standby; after a failover the promoted one gets a new standby."""

    def __init__(self, *, synchronous: bool) -> None:
        self._synchronous = synchronous
        self._open = ExitStack()
        self.primary = self._open.enter_context(PostgresServer())
        self.database = self.primary.create_database().rpartition("/")[2]
        store_at(self.primary.url(dbname=self.database)).close()
        self._add_standby()

    def _add_standby(self) -> None:
        self.link = self._open.enter_context(TcpProxy(self.primary.url()))
        standby = self.primary.make_standby(synchronous=self._synchronous, port=self.link.port)
        self.standby = self._open.enter_context(standby)

    def url(self) -> str:
        return server_url([self.primary, self.standby], dbname=self.database)

    def go_on(self) -> None:
        self.primary.remove()
        self.primary = self.standby
        self._add_standby()

    def close(self) -> None:
        self._open.close()


@contextmanager
def pair(*, synchronous: bool) -> Iterator[Pair]:
    servers = Pair(synchronous=synchronous)
    try:
        yield servers
    finally:
        servers.close()


def lose_primary(servers: Pair, prefix: str, *, cut_first: bool) -> Loss:
    with ExitStack() as stack:
        stores = [stack.enter_context(store_at(servers.url(), None, connect_timeout=2)) for _ in range(STORES)]
        with Load(stores, WRITERS, prefix) as load:
            wait_for(lambda: len(load.acknowledged) > WRITES)
            if cut_first:
                servers.link.black_hole()
                time.sleep(CUT_SECONDS)
            died = time.monotonic()
            servers.primary.kill()
            with pytest.raises(Unavailable, match="read-write"):
                store_at(servers.url())
            servers.standby.promote()
            promoted = time.monotonic()
            wait_for(lambda: len(load.since(promoted)) > WRITES, 30)
        assert load.wrong == []
        assert all(store.stats()["in_use"] == 0 for store in stores)
    lost = load.lost(task_ids(servers.standby.url(dbname=servers.database)))
    seconds = min(load.since(promoted))
    return Loss(len(load.acknowledged), len(lost), seconds, promoted - died + seconds, load.told())


@pytest.mark.parametrize("rounds", counts("lost-primary", pytest.mark.slow))
def test_loss_of_the_primary(rounds: int) -> None:
    losses = []
    with pair(synchronous=True) as servers:
        for number in range(rounds):
            if number:
                servers.go_on()
            losses.append(lose_primary(servers, f"r{number}", cut_first=bool(number % 2)))
            print(losses[-1])
    slowest = max(loss.seconds for loss in losses)
    acknowledged = sum(loss.acknowledged for loss in losses)
    note = f"{acknowledged:,} writes acknowledged, the next at most {slowest:.2f} s after promotion"
    record("lost-primary", "PostgreSQL", rounds, sum(loss.lost for loss in losses), note=note)
    assert [loss.lost for loss in losses] == [0] * rounds
    assert slowest < PROMPT


@pytest.mark.slow
def test_the_control_a_standby_that_nobody_waits_for() -> None:
    with pair(synchronous=False) as servers:
        loss = lose_primary(servers, "c", cut_first=True)
    record("lost-primary", "PostgreSQL", 1, loss.lost, control=True, note="an asynchronous standby")
    assert loss.lost > 0


@pytest.mark.slow
def test_an_old_primary_that_comes_back_is_refused() -> None:
    with pair(synchronous=True) as servers, store_at(servers.url(), None) as store:
        store.tasks.add(task("before"))
        servers.primary.kill()
        servers.standby.promote()
        add_surely(store, "after")
        servers.primary.start()
        execute(servers.standby.url(dbname=servers.database), KILL)
        with pytest.raises(Unavailable, match=r"timeline 1.* timeline 2"):
            store.tasks.get("after")
        assert store.stats()["in_use"] == 0
        servers.primary.kill()
        assert store.tasks.get("after") is not None
        assert task_ids(servers.standby.url(dbname=servers.database)) == {"before", "after"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """On a server of our own, since the tests change their role."""
    with PostgresServer(fast=True) as server:
        yield server.create_database()


def test_any_role_may_ask_for_the_timeline(url: str) -> None:
    backend = PostgresBackend(resolve_url(url), BackendContext(SystemClock()))
    timeline = Timeline()
    with closing(backend), backend.session(write=True) as session:
        session.run("SET LOCAL ROLE pg_monitor")
        timeline.check(session)
    assert min(timeline.timelines.values()) > 0


def test_a_server_that_cannot_say_is_let_through(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for statement in ("SELECT no_such_function()", "SELECT pg_read_file('/etc/passwd')"):
        monkeypatch.setattr("ciris_store_postgres.timeline.TIMELINE", statement)
        backend = PostgresBackend(resolve_url(url), BackendContext(SystemClock()))
        timeline = Timeline()
        with closing(backend), suppress(TransactionError), backend.session(write=True) as session:
            session.run("SET LOCAL ROLE pg_signal_backend")
            timeline.check(session)
        assert timeline.timelines == {}


def test_another_cluster_is_followed_and_said(caplog: pytest.LogCaptureFixture) -> None:
    timeline = Timeline()
    timeline._compare(1, 7)
    timeline._compare(2, 3)
    assert timeline.timelines == {1: 7, 2: 3}
    assert "not replicas of one another" in caplog.text
    for system, older in ((2, 2), (1, 6)):
        with pytest.raises(Unavailable):
            timeline._compare(system, older)


def test_the_nodes_of_a_cluster_are_no_reason_to_warn(caplog: pytest.LogCaptureFixture) -> None:
    timeline = Timeline()
    for system, newest in ((1, 7), (2, 3), (1, 7)):
        timeline._compare(system, newest, expected=True)
    assert caplog.text == ""
    with pytest.raises(Unavailable):
        timeline._compare(1, 6, expected=True)
