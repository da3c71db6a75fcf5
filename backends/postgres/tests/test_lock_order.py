"""Lock order: concurrent writers of the same rows never deadlock."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest

from ciris_store_core.conformance.factories import correlation, edge, node, task, thought
from ciris_store_core.conformance.support import race
from ciris_store_core.contract import Session
from ciris_store_core.errors import StoreError, Unavailable
from ciris_store_core.models import Task
from ciris_store_core.sql import SqlSession
from ciris_store_core.store.store import Store
from ciris_store_core.store.work import tasks
from ciris_store_postgres.session import PostgresSession

from .support import store_at

pytestmark = pytest.mark.postgres

IDS = [f"k{number:02}" for number in range(40)]
SECONDS = 1.5

Call = Callable[[Store, list[str]], Any]


def some() -> list[str]:
    """Some of the ids, in a random order."""
    return random.sample(IDS, 20)


def edges(ids: list[str]) -> list[Any]:
    return [edge(a, b) for a, b in pairwise(ids)]


CALLS: dict[str, list[Call]] = {
    "nodes": [
        lambda store, ids: store.graph.put_many(map(node, ids)),
        lambda store, ids: store.graph.put_many(map(node, ids), insert=True),
        lambda store, ids: store.graph.delete_many((id, "local") for id in ids),
    ],
    "edges": [
        lambda store, ids: store.graph.put_many(map(node, ids)),
        lambda store, ids: store.graph.put_edge_many(edges(ids)),
        lambda store, ids: store.graph.delete_edge_many((*each.key[:3], "local") for each in edges(ids)),
        lambda store, ids: store.graph.delete_many((id, "local") for id in ids[:5]),
    ],
    "tasks": [
        lambda store, ids: store.tasks.add_many(task(id, parent_task_id=random.choice(IDS)) for id in ids),
        lambda store, ids: store.tasks.add_many((task(id) for id in ids), exist_ok=True),
        lambda store, ids: store.tasks.delete_many(ids[:8]),
        lambda store, ids: store.tasks.claim_next("w", 5),
        lambda store, ids: store.thoughts.add_many(thought(id, random.choice(IDS)) for id in ids),
        lambda store, ids: store.thoughts.delete_many(ids),
    ],
    "correlations": [
        lambda store, ids: store.correlations.add_many(map(correlation, ids)),
        lambda store, ids: store.correlations.add_many(map(correlation, ids), exist_ok=True),
        lambda store, ids: store.correlations.delete_many(ids),
    ],
}  # fmt: skip


def one_by_one(session: PostgresSession, statement: str, many: Sequence[Sequence[Any]]) -> int:
    """As a driver without lists of VALUES does."""
    return sum(session.run(statement, values) for values in many)


@pytest.fixture(params=["own", "portable"])
def store(request: pytest.FixtureRequest, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store that runs nothing again, with the statements of this backend and with those of the toolkit."""
    if request.param == "portable":
        for name in ("graph_class", "tasks_class", "thoughts_class", "correlations_class"):
            monkeypatch.setattr(PostgresSession, name, getattr(SqlSession, name))
        monkeypatch.setattr(PostgresSession, "run_many", one_by_one)
    with store_at(url, pool_size=10) as opened:
        yield opened


@pytest.mark.parametrize("kind", CALLS)
def test_writers_of_the_same_rows_never_deadlock(store: Store, kind: str) -> None:
    """Eight threads add, change and delete the same 40 ids in random orders."""
    end = time.monotonic() + SECONDS

    def work(number: int) -> Counter[str]:
        outcomes: Counter[str] = Counter()
        while time.monotonic() < end:
            try:
                random.choice(CALLS[kind])(store, some())
                outcomes["done"] += 1
            except StoreError as error:
                outcomes[type(error.__cause__ or error).__name__] += 1
        return outcomes

    outcomes = sum(race(8, work), Counter())
    assert outcomes["done"] > 8
    assert outcomes.keys() <= {"done", "AlreadyExists", "NotFound", "UniqueViolation", "Unavailable"}, outcomes


def test_a_record_that_others_add_and_delete_all_the_time_is_no_conflict(url: str, monkeypatch: Any) -> None:
    """With ``exist_ok`` a call looks again as often as others interfere, within bounds."""
    with store_at(url) as store, store_at(url) as other:
        looks = iter(range(100))
        look = tasks._stored

        def interfering(session: Session, ids: list[str]) -> list[Task]:
            other.tasks.delete("t")
            found = look(session, ids)
            if next(looks) < often:
                other.tasks.add(task("t"))
            return found

        monkeypatch.setattr(tasks, "_stored", interfering)
        often = 3
        assert store.tasks.add(task("t"), exist_ok=True).task_id == "t"
        often = 100
        with pytest.raises(Unavailable, match="10 times"):
            store.tasks.add(task("t"), exist_ok=True)


def test_add_or_get_gives_up_where_it_can_not_see_the_stored_task(url: str) -> None:
    """Under REPEATABLE READ a transaction never sees a task that another one added after it began."""
    with store_at(url) as store, store_at(url) as other, store._executor.backend.session(write=True) as session:
        session.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert session.tasks.get(["t"], None) == []
        other.tasks.add(task("t"))
        with pytest.raises(Unavailable):
            session.tasks.add_or_get(task("t"))
        session.rollback()
