"""Kills of server processes and servers under load: no acknowledged write is lost, and every caller finishes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from backends.postgres.tests.support import KILL, Load, add_surely, store_at, task_ids, wait_for
from ciris_store_core import RetryPolicy, Store, Transaction
from ciris_store_core.conformance.factories import task
from tests.reliability.rows import counts, record
from tests.support.pgserver import ExternalServer, PostgresServer, execute

pytestmark = [pytest.mark.postgres, pytest.mark.fault]

PROMPT = 5.0
"""Seconds after the server's return within which writes go on."""
WRITES = 50
CALLERS = 200
EVERY_SECOND = 1.0


# --- a whole server is killed ---------------------------------------------------------------------


@dataclass
class Crash:
    """Outcome of a crash."""

    acknowledged: int
    lost: int
    seconds: float
    """From the server's return to the next write."""


def crash(server: PostgresServer, url: str, prefix: str) -> Crash:
    with store_at(url, None) as store, Load([store], 4, prefix) as load:
        wait_for(lambda: len(load.acknowledged) > WRITES)
        server.kill()
        server.start()
        returned = time.monotonic()
        wait_for(lambda: len(load.since(returned)) > WRITES)
    assert load.wrong == []
    return Crash(len(load.acknowledged), len(load.lost(task_ids(url))), load.since(returned)[0])


@pytest.mark.slow
@pytest.mark.parametrize("rounds", counts("killed-server"))
def test_a_server_that_is_killed_loses_nothing(rounds: int) -> None:
    with PostgresServer() as server:
        url = server.create_database()
        store_at(url).close()
        crashes = [crash(server, url, f"r{number}") for number in range(rounds)]
    acknowledged, slowest = sum(each.acknowledged for each in crashes), max(each.seconds for each in crashes)
    lost = sum(each.lost for each in crashes)
    note = f"{acknowledged:,} writes acknowledged, back in at most {slowest:.2f} s"
    record("killed-server", "PostgreSQL", rounds, lost, note=note)
    assert lost == 0
    assert slowest < PROMPT


def test_the_control_a_server_that_does_not_wait_for_its_disk() -> None:
    with PostgresServer(settings="synchronous_commit = off\nwal_writer_delay = 10s\n") as server:
        url = server.create_database()
        store_at(url).close()
        execute(url, "CHECKPOINT")
        loss = crash(server, url, "c")
    record("killed-server", "PostgreSQL", 1, loss.lost, control=True, note="synchronous_commit = off")
    assert loss.lost > 0


# --- its processes are killed, one after the other or all at once ---------------------------------


@pytest.fixture
def url(postgres_server: ExternalServer) -> Iterator[str]:
    url = postgres_server.create_database()
    store_at(url).close()
    yield url
    postgres_server.drop_database(url)


@dataclass
class Crowd:
    """Outcome of many concurrent callers."""

    done: list[str]
    wrong: list[BaseException]
    killed: int
    in_use: int
    """Connections that were never released."""


def crowd(url: str, retry: RetryPolicy, seconds: float, pause: float) -> Crowd:
    """Let 200 callers add tasks through a pool of 10 for so long, while server processes are killed."""
    done: list[str] = []
    wrong: list[BaseException] = []
    over = time.monotonic() + seconds

    def add_all(store: Store, caller: int) -> None:
        number = 0
        try:
            while number < 10 or time.monotonic() < over:
                number += 1
                add_surely(store, f"t{caller}-{number}")
                done.append(f"t{caller}-{number}")
        except BaseException as error:
            wrong.append(error)

    with store_at(url, retry, pool_size=10) as store:
        threads = [threading.Thread(target=add_all, args=(store, caller)) for caller in range(CALLERS)]
        for thread in threads:
            thread.start()
        killed = 0
        while any(thread.is_alive() for thread in threads):
            time.sleep(pause)
            killed += len(execute(url, KILL))
        return Crowd(done, wrong, killed, store.stats()["in_use"])


def test_200_callers_while_server_processes_are_killed_all_the_time(url: str) -> None:
    result = crowd(url, RetryPolicy(attempts=50, longest_delay=0.1), seconds=0, pause=0.05)
    assert (result.wrong, result.in_use) == ([], 0)
    assert result.killed > 10
    assert sorted(result.done) == sorted(task_ids(url))
    assert len(result.done) == 10 * CALLERS


@pytest.mark.slow
@pytest.mark.parametrize("seconds", counts("killed-connections"))
def test_200_callers_while_server_processes_are_killed_every_second(url: str, seconds: int) -> None:
    result = crowd(url, RetryPolicy(), seconds, EVERY_SECOND)
    note = f"{result.killed:,} server processes killed, {len(result.done):,} writes"
    record("killed-connections", "PostgreSQL", seconds, len(result.wrong), note=note)
    assert (result.wrong, result.in_use) == ([], 0)
    assert result.killed >= seconds
    assert sorted(result.done) == sorted(task_ids(url))


def test_the_control_callers_without_retries(url: str) -> None:
    result = crowd(url, RetryPolicy(attempts=1), seconds=2, pause=0.05)
    record("killed-connections", "PostgreSQL", 2, len(result.wrong), control=True, note="callers without retries")
    assert result.wrong
    assert set(result.done) <= task_ids(url)


def test_a_killed_process_writes_nothing_of_its_transaction(url: str) -> None:
    with store_at(url, None) as store:
        runs = 0

        def both(tx: Transaction) -> None:
            nonlocal runs
            runs += 1
            tx.tasks.add(task(f"a{runs}"))
            if runs == 1:
                execute(url, KILL)
            tx.tasks.add(task(f"b{runs}"))

        store.run(both)
    assert task_ids(url) == {"a2", "b2"}
