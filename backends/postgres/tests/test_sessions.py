"""Sessions: how many messages they send, what is undone, and who may use them."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from ciris_store_core.conformance.factories import T0, correlation, node, put, task
from ciris_store_core.errors import (
    Conflict,
    Corrupt,
    StoreClosed,
    StoreError,
    TransactionError,
)
from ciris_store_core.models import NodeKey
from ciris_store_core.models.correlations import CorrelationFilter
from ciris_store_core.models.enums import GraphScope
from ciris_store_postgres.backend import PostgresBackend
from tests.support.pgserver import execute

pytestmark = pytest.mark.postgres


LOCAL = GraphScope.LOCAL


# --- sessions -----------------------------------------------------------------------------------


def sent(session: Any) -> list[str]:
    """The texts that the session hands to the driver from now on."""
    texts: list[str] = []
    cursor = session.cursor

    class Spy:
        def __getattr__(self, name: str) -> Any:
            return getattr(cursor, name)

        def execute(self, text: str | bytes, params: Any = None) -> None:
            texts.append(text if isinstance(text, str) else text.decode())
            cursor.execute(text, params)

    session.cursor = Spy()
    return texts


def test_a_single_call_is_one_message(backend: PostgresBackend) -> None:
    calls: list[Callable[[Any], Any]] = [
        lambda s: s.graph.put_nodes([put(node("n", attributes={"a": 1}))], T0),
        lambda s: s.graph.put_nodes([put(node("n", attributes={"b": 1}))], T0),
        lambda s: s.graph.get_nodes([NodeKey("n", LOCAL)], T0),
        lambda s: s.tasks.add([task("t")]),
        lambda s: s.tasks.add_or_get(task("u")),
        lambda s: s.tasks.claim_next("w", "default", 5, T0),
        lambda s: s.tasks.release("w", T0, 5),
        lambda s: s.correlations.add([correlation("c")]),
        lambda s: s.correlations.update("c", {"updated_at": T0, "metadata": {"a": 1}}),
        lambda s: s.coordination.acquire_lease("l", "w", T0, T0),
    ]
    for call in calls:
        with backend.session(write=True, single=True) as session:
            texts = sent(session)
            call(session)
            assert len(texts) == 1
            assert "BEGIN" not in texts[0]
            session.cursor = session.cursor.__getattr__("connection").cursor()


def test_alone_a_row_is_inserted_plainly_and_in_a_transaction_so_that_it_may_fail(backend: PostgresBackend) -> None:
    with backend.session(write=True, single=True) as session:
        texts = sent(session)
        session.tasks.add([task("t")])
        assert "ON CONFLICT" not in texts[0]
        assert "outcome" not in texts[0]  # it is NULL
        session.cursor = session.cursor.__getattr__("connection").cursor()
    for again in (lambda s: s.tasks.add([task("t")]), lambda s: s.tasks.add([task("u"), task("t")])):
        with pytest.raises(Conflict, match="exist"), backend.session(write=True, single=True) as session:
            again(session)
    with backend.session(write=True) as session:
        texts = sent(session)
        with pytest.raises(Conflict, match="'t'"):
            session.tasks.add([task("t")])
        session.tasks.add([task("u")])
        assert all("ON CONFLICT" in text for text in texts)
        session.cursor = session.cursor.__getattr__("connection").cursor()
    with backend.session(write=False) as session:
        assert [each.task_id for each in session.tasks.get(["t", "u"], None)] == ["t", "u"]


def test_begin_and_savepoints_travel_with_statements(backend: PostgresBackend) -> None:
    with backend.session(write=True) as session:
        texts = sent(session)
        session.tasks.add([task("a")])
        with session.savepoint():
            session.tasks.add([task("b")])
        with session.savepoint():
            pass
        session.tasks.get(["a"], None)
    starts = [text.split(" ", 1)[0] for text in texts]
    assert starts == ["BEGIN", "SAVEPOINT", "RELEASE", "COMMIT"]
    assert [text.count(";") for text in texts] == [1, 1, 1, 0]


def test_a_transaction_that_does_nothing_sends_nothing(backend: PostgresBackend) -> None:
    with backend.session(write=True) as session:
        texts = sent(session)
        with session.savepoint():
            pass
    assert texts == []


def test_nested_savepoints_are_undone_alone(backend: PostgresBackend) -> None:
    with backend.session(write=True) as session:
        session.tasks.add([task("kept")])
        with pytest.raises(ZeroDivisionError), session.savepoint():
            session.tasks.add([task("outer")])
            with session.savepoint():
                session.tasks.add([task("inner")])
            _ = 1 / 0
        with pytest.raises(ZeroDivisionError), session.savepoint():
            _ = 1 / 0
        with session.savepoint(), pytest.raises(Conflict):
            session.correlations.add([correlation("x")])
            session.correlations.add([correlation("y"), correlation("x")])
    with backend.session(write=False) as session:
        assert [t.task_id for t in session.tasks.get(["kept", "outer", "inner"], None)] == ["kept"]
        assert session.correlations.count(CorrelationFilter()) == 1


def test_a_failed_statement_ends_the_transaction(backend: PostgresBackend) -> None:
    with pytest.raises(TransactionError), backend.session(write=True) as session:
        session.tasks.add([task("a")])
        with pytest.raises(StoreError):
            session.run("SELECT 1 / 0")
        with pytest.raises(TransactionError):
            session.tasks.add([task("b")])
    with backend.session(write=False) as session:
        assert session.tasks.get(["a", "b"], None) == []
    assert backend.stats()["idle"] == 1


def test_a_value_that_cannot_be_sent_does_not_end_the_transaction_unseen(backend: PostgresBackend) -> None:
    with pytest.raises(ZeroDivisionError), backend.session(write=True) as session:
        with pytest.raises(UnicodeEncodeError):
            session.tasks.get(["\ud800"], None)
        session.tasks.add([task("a")])
        _ = 1 / 0
    with backend.session(write=False) as session:
        assert session.tasks.get(["a"], None) == []


def test_a_time_that_no_program_can_read_is_told(url: str, backend: PostgresBackend) -> None:
    with backend.session(write=True) as session:
        session.tasks.add([task("a")])
    execute(url, "UPDATE tasks SET updated_at = 'infinity'")
    with pytest.raises(Corrupt), backend.session(write=False) as session:
        session.tasks.get(["a"], None)


def test_raising_and_leaving_returns_every_connection(backend: PostgresBackend) -> None:
    for error in (ValueError, KeyboardInterrupt, GeneratorExit):
        with pytest.raises(error), backend.session(write=True) as session:
            session.tasks.add([task("a")])
            raise error
    assert backend.stats()["in_use"] == 0
    assert backend.is_empty()


def test_closed_means_closed(make: Callable[..., PostgresBackend]) -> None:
    backend = make()
    backend.prepare(migrate=True)
    backend.close()
    backend.close()
    with pytest.raises(StoreClosed), backend.session(write=False):
        pass


def test_use_after_fork_is_refused(backend: PostgresBackend) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of threads
        child = os.fork()
    if child == 0:
        try:
            backend.server_now()
        except StoreClosed:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert backend.server_now().tzinfo is not None


def test_info_shows_no_password(url: str, make: Callable[..., PostgresBackend]) -> None:
    parts = urlsplit(url)
    backend = make(at=urlunsplit(parts._replace(netloc=f"postgres:s3cr3t@{parts.netloc.rpartition('@')[2]}")))
    backend.prepare(migrate=True)
    shown = f"{backend.info()} {backend.stats()} {backend!r} {backend.options!r}"
    assert "s3cr3t" not in shown
    assert "PostgreSQL" in shown


# --- what several writers do ----------------------------------------------------------------------


def run_all(*works: Callable[[], Any]) -> list[Any]:
    """Run each piece of work in a thread of its own, and return the results and errors."""
    results: list[Any] = [None] * len(works)

    def run(index: int) -> None:
        try:
            results[index] = works[index]()
        except StoreError as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_batches_of_the_same_new_nodes_in_any_order(backend: PostgresBackend) -> None:
    names = [f"n{i}" for i in range(50)]

    def write(number: int) -> None:
        order = names if number % 2 else names[::-1]
        with backend.session(write=True, single=True) as session:
            session.graph.put_nodes([put(node(name, attributes={f"k{number}": number})) for name in order], T0)

    results = run_all(*(lambda number=number: write(number) for number in range(8)))
    assert results == [None] * 8
    with backend.session(write=False) as session:
        nodes = session.graph.get_nodes([NodeKey(name, LOCAL) for name in names], None)
    assert {(len(n.attributes), n.revision) for n in nodes} == {(8, 8)}
    assert len(nodes) == 50


def test_200_callers_share_a_pool_of_10(make: Callable[..., PostgresBackend]) -> None:
    backend = make("?pool_size=10")
    backend.prepare(migrate=True)

    def add(number: int) -> None:
        with backend.session(write=True) as session:
            session.tasks.add([task(f"t{number}")])

    assert run_all(*(lambda number=number: add(number) for number in range(200))) == [None] * 200
    with backend.session(write=False) as session:
        assert sum(session.tasks.count_by_status(None).values()) == 200
    assert backend.stats()["opened_total"] <= 10
