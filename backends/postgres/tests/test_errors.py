"""Translation of the driver's errors on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import psycopg2
import pytest
from psycopg2 import extensions

from ciris_store_core import errors
from ciris_store_core.errors import StoreError
from ciris_store_postgres.errors import from_sqlstate, translate
from tests.support.pgserver import PostgresServer, execute, shared_server
from tests.support.tcpproxy import TcpProxy

pytestmark = pytest.mark.postgres

SECRET = "s3cret-value"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = shared_server()
    url = server.create_database()
    execute(url, "CREATE TABLE parent (id text PRIMARY KEY, n int NOT NULL DEFAULT 1 CHECK (n > 0))")
    execute(url, "CREATE TABLE child (id text REFERENCES parent DEFERRABLE)")
    execute(url, f"INSERT INTO parent VALUES ('{SECRET}')")
    yield url
    server.drop_database(url)


def connect(url: str) -> extensions.connection:
    raw: extensions.connection = psycopg2.connect(url)
    raw.autocommit = True
    return raw


@pytest.fixture
def raw(url: str) -> Iterator[extensions.connection]:
    raw = connect(url)
    yield raw
    raw.close()


def failure(raw: extensions.connection, *statements: str) -> psycopg2.Error:
    """The error of the last statement; the others must work."""
    cursor = raw.cursor()
    for statement in statements[:-1]:
        cursor.execute(statement)
    with pytest.raises(psycopg2.Error) as caught:
        cursor.execute(statements[-1])
    return caught.value


@pytest.mark.parametrize(
    ("statements", "kind"),
    [
        ([f"INSERT INTO parent VALUES ('{SECRET}')"], errors.AlreadyExists),
        (["INSERT INTO child VALUES ('s3cret-value-2')"], errors.NotFound),
        (["INSERT INTO parent VALUES (NULL)"], errors.InvalidArgument),
        (["INSERT INTO parent VALUES ('x', -1)"], errors.InvalidArgument),
        ([f"SELECT '{SECRET}'::int"], errors.InvalidArgument),
        (["SELECT 'NaN'::json"], errors.InvalidArgument),
        (['SELECT \'{"a": "\\u0000"}\'::jsonb'], errors.InvalidArgument),
        (["SELECT 1 / 0"], errors.InvalidArgument),
        (["SELECT 99999999999::int8::int"], errors.InvalidArgument),
        (
            ["INSERT INTO parent VALUES ('y'), ('y') ON CONFLICT (id) DO UPDATE SET n = excluded.n"],
            errors.InvalidArgument,
        ),
        (
            ["INSERT INTO parent SELECT string_agg(md5(i::text), '') FROM generate_series(1, 500) AS i"],
            errors.InvalidArgument,
        ),
        (["SELECT * FROM nothing_here"], errors.MigrationRequired),
        (["SELECT nothing_here FROM parent"], errors.MigrationRequired),
        (["CREATE TABLE nothing_here.t (id int)"], errors.MigrationRequired),
        (["BEGIN READ ONLY", "DELETE FROM child"], errors.ReadOnly),
        (["BEGIN", "SAVEPOINT a", "ROLLBACK TO b"], errors.TransactionError),
        (["SET ROLE pg_monitor", "SELECT * FROM parent"], errors.AccessDenied),
        (["SELECT * FROM nothing_here("], errors.DatabaseError),
    ],
)
def test_refused_statement(raw: extensions.connection, statements: list[str], kind: type[StoreError]) -> None:
    exc = failure(raw, *statements)
    error = translate(exc, committing=True, wrote=True)
    assert type(error) is kind
    assert error.__cause__ is exc
    assert not error.retryable
    assert SECRET not in str(error)
    assert str(exc.pgcode) in str(error)


def test_failed_commit_is_definite(raw: extensions.connection) -> None:
    begin = ["BEGIN", "SET CONSTRAINTS ALL DEFERRED", "INSERT INTO child VALUES ('z')"]
    assert type(translate(failure(raw, *begin, "COMMIT"), committing=True)) is errors.NotFound


def test_statement_after_a_failed_one(raw: extensions.connection) -> None:
    failure(raw, "BEGIN", "SELECT 1/0")
    assert type(translate(failure(raw, "SELECT 1"))) is errors.TransactionError


@pytest.mark.parametrize(
    ("state", "kind", "retryable"),
    [
        ("08006", errors.Unavailable, True),
        ("08007", errors.OutcomeUnknown, False),
        ("0A000", errors.NotSupported, False),
        ("23001", errors.Conflict, False),
        ("23P01", errors.Conflict, False),
        ("28P01", errors.AccessDenied, False),
        ("3D000", errors.InvalidURL, False),
        ("40001", errors.Unavailable, True),
        ("40003", errors.OutcomeUnknown, False),
        ("40P01", errors.Unavailable, True),
        ("53100", errors.StorageFull, False),
        ("53200", errors.Unavailable, True),
        ("53300", errors.Unavailable, True),
        ("54000", errors.InvalidArgument, False),
        ("57P03", errors.Unavailable, True),
        ("XX000", errors.DatabaseError, False),
        ("XX001", errors.Corrupt, False),
        ("XX002", errors.Corrupt, False),
        ("ZZ999", errors.DatabaseError, False),
    ],
)
def test_state_that_a_server_reports(
    raw: extensions.connection, state: str, kind: type[StoreError], retryable: bool
) -> None:
    exc = failure(raw, f"DO $$ BEGIN RAISE 'because' USING ERRCODE = '{state}'; END $$")
    error = translate(exc)
    assert (type(error), error.retryable) == (kind, retryable)
    assert state in str(error)


def test_timeouts_and_cancels_are_not_retried_but_locks_are(raw: extensions.connection, url: str) -> None:
    slow = translate(failure(raw, "BEGIN", "SET LOCAL statement_timeout = 20", "SELECT pg_sleep(5)"), wrote=True)
    assert (type(slow), slow.retryable) == (errors.Unavailable, False)
    raw.cursor().execute("ROLLBACK")
    other = connect(url)
    other.cursor().execute("BEGIN; LOCK TABLE child")
    locked = translate(failure(raw, "BEGIN", "SET LOCAL lock_timeout = 20", "SELECT * FROM child"))
    assert (type(locked), locked.retryable) == (errors.Unavailable, True)
    other.close()


def test_serialization_failure_is_retryable(raw: extensions.connection, url: str) -> None:
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ"
    cursor = raw.cursor()
    cursor.execute(begin)
    cursor.execute("SELECT * FROM parent")
    execute(url, "UPDATE parent SET n = n + 1")
    error = translate(failure(raw, "UPDATE parent SET n = n + 1"))
    assert (type(error), error.retryable) == (errors.Unavailable, True)


def test_changed_state_keeps_retryable_of_the_class() -> None:
    assert not from_sqlstate("57014").retryable
    assert errors.Unavailable("x").retryable


# --- lost connections ---------------------------------------------------------------------------

LOST = [
    ({}, errors.Unavailable),
    ({"committing": True}, errors.OutcomeUnknown),
    ({"wrote": True}, errors.OutcomeUnknown),
]


@pytest.mark.parametrize(("flags", "kind"), LOST)
def test_session_ended_by_an_operator(
    raw: extensions.connection, url: str, flags: dict[str, bool], kind: type[StoreError]
) -> None:
    execute(url, f"SELECT pg_terminate_backend({raw.info.backend_pid}, 5000)")
    error = translate(failure(raw, "SELECT 1"), **flags)
    assert type(error) is kind
    assert error.retryable == (kind is errors.Unavailable)


@pytest.mark.parametrize(("flags", "kind"), LOST)
@pytest.mark.fault
def test_reset_connection(url: str, flags: dict[str, bool], kind: type[StoreError]) -> None:
    with TcpProxy(url) as proxy:
        raw = connect(proxy.url_for(url))
        proxy.reset()
        assert type(translate(failure(raw, "SELECT 1"), **flags)) is kind
        # The driver knows by now that the connection is closed, and sends nothing.
        with pytest.raises(psycopg2.InterfaceError) as caught:
            raw.cursor()
        assert type(translate(caught.value, **flags)) is errors.Unavailable


@pytest.mark.fault
def test_lost_answer_to_commit_is_unknown_and_was_committed(url: str) -> None:
    execute(url, "CREATE TABLE kept (id int)")
    with TcpProxy(url) as proxy:
        raw = connect(proxy.url_for(url))
        proxy.drop_answer_to(b"COMMIT")
        exc = failure(raw, "BEGIN", "INSERT INTO kept VALUES (1)", "COMMIT")
        assert type(translate(exc, committing=True)) is errors.OutcomeUnknown
        assert proxy.cuts == 1
    assert execute(url, "SELECT id FROM kept") == [(1,)]


@pytest.mark.fault
def test_commit_that_never_arrived_is_unknown_too_and_was_not_committed(url: str) -> None:
    execute(url, "CREATE TABLE unkept (id int)")
    with TcpProxy(url) as proxy:
        raw = connect(proxy.url_for(url))
        proxy.cut_before(b"COMMIT")
        exc = failure(raw, "BEGIN", "INSERT INTO unkept VALUES (1)", "COMMIT")
        assert type(translate(exc, committing=True)) is errors.OutcomeUnknown
        assert proxy.cuts == 1
    assert execute(url, "SELECT id FROM unkept") == []


@pytest.mark.fault
def test_crash_of_the_server_and_its_return() -> None:
    with PostgresServer() as server:
        url = server.create_database()
        execute(url, "CREATE TABLE kept (id int)")
        execute(url, "INSERT INTO kept VALUES (1)")
        raw = connect(url)
        server.kill()
        assert type(translate(failure(raw, "SELECT 1"), committing=True)) is errors.OutcomeUnknown
        with suppress(psycopg2.Error):
            raw.close()
        server.start()
        assert execute(url, "SELECT id FROM kept") == [(1,)]


def test_wrong_use_of_the_driver_is_a_bug_not_an_outage(raw: extensions.connection) -> None:
    cursor = raw.cursor()
    with pytest.raises(psycopg2.ProgrammingError) as caught:
        cursor.fetchall()
    assert type(translate(caught.value, wrote=True)) is errors.DatabaseError
