"""The primary is lost under load and its standby promoted: nothing acknowledged is lost, and writes go on.

Every second time the link to the standby breaks shortly before. What is then acknowledged by a primary that does not
wait for its standby is lost, which shows that the test would notice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from backends.postgres.tests.support import Load, counts, store_at, task_ids, wait_for
from tests.support.pgserver import PostgresServer, server_url
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
    """How the loss of one primary went."""

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
            servers.standby.promote()
            promoted = time.monotonic()
            wait_for(lambda: len(load.since(promoted)) > WRITES, 30)
        assert load.wrong == []
        assert all(store.stats()["in_use"] == 0 for store in stores)
    lost = load.lost(task_ids(servers.standby.url(dbname=servers.database)))
    seconds = min(load.since(promoted))
    return Loss(len(load.acknowledged), len(lost), seconds, promoted - died + seconds, load.told())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rounds", counts(3, 30, pytest.mark.slow))
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
    print(
        f"{rounds} primaries lost: {acknowledged} writes acknowledged, {sum(loss.lost for loss in losses)} lost, "
        f"writes went on {slowest:.2f} s after promotion at the latest"
    )
    assert [loss.lost for loss in losses] == [0] * rounds
    assert slowest < PROMPT


@pytest.mark.slow
def test_the_control_a_standby_that_nobody_waits_for() -> None:
    with pair(synchronous=False) as servers:
        loss = lose_primary(servers, "c", cut_first=True)
    print(f"asynchronous standby: {loss}")
    assert loss.lost > 0
