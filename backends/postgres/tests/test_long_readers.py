"""Changes of the schema behind a long transaction: they wait in short intervals, so that other statements can run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import psycopg2
import pytest

from backends.postgres.tests.support import store_at, task_ids, wait_for
from ciris_store_core.conformance.factories import task
from ciris_store_core.errors import StoreError, Unavailable
from ciris_store_core.models.documents import DocumentQuery
from ciris_store_core.sql import Migration, load_migrations
from ciris_store_postgres.backend import PostgresBackend
from ciris_store_postgres.migrate import PostgresMigrator
from ciris_store_postgres.session import PostgresSession
from tests.support.pgserver import execute

pytestmark = [pytest.mark.postgres, pytest.mark.fault]

KNOWN = load_migrations("ciris_store_postgres")
NEXT = Migration(len(KNOWN) + 1, "add_a_column", 1, ("ALTER TABLE {tasks} ADD COLUMN added int",))

_LOCKS = (
    "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE d.datname = current_database() AND "
)
WAITING = f"{_LOCKS} NOT granted"
INDEXES = "SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'documents_at_%'"
ADVISORY = f"{_LOCKS} locktype = 'advisory'"


def migrator(session: PostgresSession, patience: float = 60.0) -> PostgresMigrator:
    return PostgresMigrator(session, [*KNOWN, NEXT], patience=patience)


@contextmanager
def long_reader(url: str) -> Iterator[Callable[[], None]]:
    """A transaction that has read tasks and stays open; gives what ends it."""
    raw = psycopg2.connect(url)
    try:
        raw.cursor().execute("SELECT count(*) FROM tasks")
        yield raw.rollback
    finally:
        raw.close()


def test_everybody_goes_on_while_a_migration_waits(url: str, backend: PostgresBackend) -> None:
    done: list[Migration] = []

    def migrate() -> None:
        with backend.single(write=True) as session:
            done.extend(migrator(session).migrate())

    with store_at(url, operation_timeout=8) as store, long_reader(url) as end_reader:
        thread = threading.Thread(target=migrate)
        thread.start()
        wait_for(lambda: execute(url, WAITING) != [(0,)])
        began = time.monotonic()
        store.tasks.add(task("t"))
        took = time.monotonic() - began
        end_reader()
        thread.join(30)
    assert task_ids(url) == {"t"}
    assert took < 6
    assert done == [NEXT]


def test_a_migration_that_is_cut_off_does_not_keep_its_lock(url: str, backend: PostgresBackend) -> None:
    with long_reader(url), backend.single(write=True) as session:

        def migrate() -> None:
            with suppress(StoreError):
                migrator(session).migrate()

        thread = threading.Thread(target=migrate)
        thread.start()
        wait_for(lambda: execute(url, WAITING) != [(0,)])
        session.connection.shut_down()
        thread.join(10)
        assert not thread.is_alive()
        wait_for(lambda: execute(url, ADVISORY) == [(0,)], 6)


def test_a_reader_that_does_not_end_is_told(url: str, backend: PostgresBackend) -> None:
    with (
        long_reader(url),
        backend.single(write=True) as session,
        pytest.raises(Unavailable, match="other transactions") as told,
    ):
        migrator(session, patience=1.0).migrate()
    assert not told.value.retryable
    assert execute(url, ADVISORY) == [(0,)]


def test_a_dropped_index_waits_only_seconds_for_a_reader(url: str, backend: PostgresBackend) -> None:
    with backend.session(write=True) as session:
        session.documents.create_index(("x",))
    assert execute(url, INDEXES) == [(1,)]
    for single in (True, False):
        with backend.session(write=False) as reader, pytest.raises(Unavailable, match="did not release a lock"):
            reader.documents.count(DocumentQuery(1))
            _drop_in_thread(backend, single=single)
    _drop_in_thread(backend, single=True)
    assert execute(url, INDEXES) == [(0,)]


def _drop_in_thread(backend: PostgresBackend, *, single: bool) -> None:
    def drop() -> None:
        with backend.session(write=True, single=single) as session:
            session.documents.drop_index(("x",))

    with ThreadPoolExecutor(1) as pool:
        pool.submit(drop).result(20)
