"""No statement reads a big table whole, and lists come out of indexes in order: shown by EXPLAIN."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.factories import T0
from ciris_store_core.contract import Backend
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.contract.registry import Registry
from ciris_store_core.sql import SqlSession
from ciris_store_core.url import resolve_url
from tests.support.explain import RecordingCursor, plans_of
from tests.support.explain_calls import ALLOWED, CALLS, ME, STRICT
from tests.support.explain_store import STREAMS, fill, multiply
from tests.support.pgserver import ExternalServer, execute


def open_backend(url: str) -> Backend:
    target = resolve_url(url)
    backend = Registry().spec_for(target.scheme).factory(target, BackendContext(ManualClock(T0)))
    backend.prepare(migrate=True)
    return backend


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    backend = open_backend(f"sqlite:///{tmp_path_factory.mktemp('explain') / 'a.db'}?synchronous=normal")
    fill(backend)
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def postgres(postgres_server: ExternalServer) -> Iterator[Backend]:
    url = postgres_server.create_database()
    backend = open_backend(url)
    fill(backend)
    multiply(url)
    execute(url, STREAMS)
    execute(url, "ANALYZE")
    yield backend
    backend.close()
    postgres_server.drop_database(url)


def problems_of(backend: Backend, name: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    plans = plans_of(backend, CALLS[name], monkeypatch)
    return [f"{problem}:\n{text}" for text, problems in plans.items() for problem in problems]


@pytest.mark.parametrize("name", STRICT)
def test_on_sqlite_nothing_is_scanned_or_sorted(name: str, sqlite: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    problems = problems_of(sqlite, name, monkeypatch)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_allowed_to_scan_does(name: str, sqlite: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no entry outlives its reason; and that a scan is seen at all."""
    assert problems_of(sqlite, name, monkeypatch)


@pytest.mark.postgres
@pytest.mark.parametrize("name", STRICT)
def test_on_postgres_nothing_is_scanned(name: str, postgres: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    problems = problems_of(postgres, name, monkeypatch)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("source", ["{tasks}", "{tasks} t", "{tasks} AS t"])
def test_a_scan_is_seen(source: str, sqlite: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    statement = f"SELECT description, task_id FROM {source} WHERE description = 'none'"
    ((problem,),) = plans_of(sqlite, lambda session: session.rows(statement), monkeypatch).values()
    assert problem.startswith("SCAN t")


def test_a_sort_is_seen(sqlite: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    def sort(session: SqlSession) -> None:
        session.rows("SELECT task_id FROM {tasks} WHERE agent_occurrence_id = ? ORDER BY description LIMIT 1", (ME,))

    assert list(plans_of(sqlite, sort, monkeypatch).values()) == [["USE TEMP B-TREE FOR ORDER BY"]]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("measurements to make hourly", "correlations_reducible_metrics"),
        ("hours to make daily", "correlations_reducible_hours"),
        ("log entries to count", "correlations_reducible_logs"),
    ],
)
def test_rollup_does_not_pass_over_what_stays_as_it_is(name: str, index: str, sqlite: Backend) -> None:
    """Most rows may not be reduced: an index that holds them, too, would be read whole in every pass."""
    with sqlite.session(write=True) as session:
        assert isinstance(session, SqlSession)
        recorder = session.cursor = RecordingCursor(session.cursor)
        try:
            CALLS[name](session)
        finally:
            session.cursor = recorder._cursor
        (statement,) = recorder.seen.values()
        plan = session.cursor.execute(f"EXPLAIN QUERY PLAN {statement.text}", statement.params).fetchall()
    assert index in str(plan)
