"""Lost answers to writes, 200 times: each raises OutcomeUnknown, and a retry is safe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from backends.postgres.tests.support import COMMIT, ONCE, PLAIN, store_at, wait_for
from ciris_store_core import RetryPolicy, Store, Transaction
from ciris_store_core.conformance.factories import correlation, task, thought
from ciris_store_core.errors import StoreError, Unavailable
from ciris_store_postgres import executor
from ciris_store_postgres.errors import translate
from tests.reliability.rows import counts, record
from tests.support.pgserver import ExternalServer, execute
from tests.support.tcpproxy import TcpProxy

pytestmark = [pytest.mark.postgres, pytest.mark.fault]

Write = Callable[[Store, str, bool], object]


def add_task(store: Store, name: str, again: bool) -> object:
    return store.tasks.add(task(name), exist_ok=again)


def add_thought(store: Store, name: str, again: bool) -> object:
    return store.thoughts.add(thought(name, "parent"), exist_ok=again)


def add_correlations(store: Store, name: str, again: bool) -> object:
    return store.correlations.add_many([correlation(name), correlation(f"{name}-2")], exist_ok=again)


def add_in_transaction(store: Store, name: str, again: bool) -> object:
    def both(tx: Transaction) -> None:
        tx.tasks.add(task(name), exist_ok=again)
        tx.thoughts.add(thought(f"{name}-h", name), exist_ok=again)

    return store.run(both)


#: How to write, the message whose answer is lost, and how many rows then have that name.
WRITES: list[tuple[Write, bytes, int]] = [
    (add_task, b"INSERT INTO", 1),
    (add_in_transaction, COMMIT, 2),
    (add_correlations, b"-2\t", 2),
    (add_thought, b"INSERT INTO", 1),
]
ROWS = """
SELECT (SELECT count(*) FROM tasks WHERE task_id LIKE '{0}%') + (SELECT count(*) FROM thoughts WHERE thought_id LIKE
'{0}%') + (SELECT count(*) FROM correlations WHERE correlation_id LIKE '{0}%')
"""


@pytest.fixture
def url(postgres_server: ExternalServer) -> Iterator[str]:
    url = postgres_server.create_database()
    with store_at(url) as store:
        store.tasks.add(task("parent"))
    yield url
    postgres_server.drop_database(url)


def rows(url: str, name: str) -> int:
    [(count,)] = execute(url, ROWS.format(name))
    return int(count)


def lose_answers(url: str, rounds: int, retry: RetryPolicy) -> Counter[str]:
    """Lose so many answers to writes; returns what the callers were told, and what was stored."""
    told: Counter[str] = Counter()
    with TcpProxy(url) as proxy, store_at(proxy.url_for(url), retry, **PLAIN) as store:
        for number in range(rounds):
            write, needle, expected = WRITES[number % len(WRITES)]
            name = f"w{number:05}"
            proxy.drop_answer_to(needle)
            told[_told(write, store, name)] += 1
            with suppress(AssertionError):
                wait_for(lambda name=name, expected=expected: rows(url, name) == expected)
                told["had been stored"] += 1
            _again(store, write, name)
            told["stored once after the retry"] += rows(url, name) == expected
        told["answers lost"] = proxy.cuts
    return told


def _told(write: Write, store: Store, name: str) -> str:
    try:
        write(store, name, False)
    except StoreError as error:
        return type(error).__name__
    return "success"


def _again(store: Store, write: Write, name: str) -> None:
    """As a caller does: the connection may turn out to be dead only now, which is no doubt."""
    for _ in range(3):
        with suppress(StoreError):
            write(store, name, True)
            return


@pytest.mark.parametrize("rounds", counts("lost-answer"))
def test_a_lost_answer_is_unknown_and_the_retry_is_safe(url: str, rounds: int) -> None:
    told = lose_answers(url, rounds, ONCE)
    expected = ("answers lost", "OutcomeUnknown", "had been stored", "stored once after the retry")
    record("lost-answer", "PostgreSQL", rounds, sum(rounds - told[each] for each in expected), note=f"{dict(told)}")
    assert told == dict.fromkeys(expected, rounds)


@pytest.mark.parametrize("rounds", [40])
def test_no_retry_of_the_store_hides_it(url: str, rounds: int) -> None:
    """The same with the retries that every store has: what may have been stored is never run again by itself."""
    told = lose_answers(url, rounds, RetryPolicy())
    assert told["OutcomeUnknown"] == told["stored once after the retry"] == rounds


def test_the_control_a_lost_connection_that_counts_as_nothing_done(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "translate", lambda error, committing: translate(error))
    told = lose_answers(url, 20, RetryPolicy())
    record("lost-answer", "PostgreSQL", 20, 20 - told["OutcomeUnknown"], control=True, note=f"{dict(told)}")
    assert told["OutcomeUnknown"] == 0
    assert told["AlreadyExists"] > 0


READS: list[tuple[Callable[[Store], object], bytes]] = [
    (lambda store: store.tasks.get("parent"), b"task_id = "),
    (lambda store: store.run(lambda tx: tx.tasks.get("parent")), b"task_id = "),
    (lambda store: store.server_now(), b"clock_timestamp"),
    (lambda store: read_only(store), COMMIT),
]
"""Reads, and the message whose answer is lost."""


def read_only(store: Store) -> None:
    with store._backend.session(write=False) as session:
        session.tasks.get(["parent"], None)


@pytest.mark.parametrize(("read", "needle"), READS, ids=["single", "in_a_transaction", "server_now", "commit"])
def test_a_lost_answer_to_a_read_is_no_doubt(url: str, read: Callable[[Store], object], needle: bytes) -> None:
    with TcpProxy(url) as proxy, store_at(proxy.url_for(url), ONCE, **PLAIN) as store:
        proxy.drop_answer_to(needle)
        with pytest.raises(Unavailable) as caught:
            read(store)
        assert caught.value.retryable and proxy.cuts == 1
        read(store)
