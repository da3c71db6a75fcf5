"""Connections from URLs, and the errors if there is none."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from ciris_store_core.errors import AccessDenied, InvalidURL, StoreError, Unavailable
from ciris_store_core.url import resolve_url
from ciris_store_postgres.connect import ConnectOptions, Connector
from ciris_store_postgres.connection import PooledConnection
from tests.support.pgserver import PostgresServer, execute
from tests.support.tcpproxy import TcpProxy

PASSWORD = "p@ss:w/rd%[]é"


def options(url: str) -> ConnectOptions:
    return ConnectOptions.from_url(resolve_url(url))


# --- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize("schema", ["pg_catalog", "pg_x", "pg_temp", "information_schema", "crdb_internal", "citus"])
def test_schemas_of_the_server_are_refused(schema: str) -> None:
    with pytest.raises(InvalidURL, match=f"schema '{schema}' belongs to the server. Choose another name"):
        options(f"postgresql://h/db?schema={schema}")


def test_defaults() -> None:
    read = options("postgresql://ann@db/app")
    assert read.keywords == {
        "user": "ann",
        "dbname": "app",
        "host": "db",
        "client_encoding": "UTF8",
        "application_name": "ciris-store",
        "connect_timeout": 10,
        "keepalives": 1,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    assert (read.pool_size, read.pool_timeout, read.idle_check, read.max_lifetime) == (10, 30.0, 30.0, 3600.0)
    assert (read.operation_timeout, read.schema, read.migrate, read.create) == (60.0, "public", True, True)


def test_options_are_read_with_their_types() -> None:
    read = options(
        "postgres://ann@db/app?pool_size=3&pool_timeout=1.5&idle_check=5&max_lifetime=0&operation_timeout=7"
        "&schema=agent_1&migrate=no&create=false&sslmode=require&keepalives=off&application_name=me&passfile=/p"
    )
    assert (read.pool_size, read.pool_timeout, read.idle_check, read.max_lifetime) == (3, 1.5, 5.0, 0.0)
    assert (read.operation_timeout, read.schema, read.migrate, read.create) == (7.0, "agent_1", False, False)
    chosen = {name: read.keywords[name] for name in ("sslmode", "keepalives", "application_name", "passfile")}
    assert chosen == {"sslmode": "require", "keepalives": 0, "application_name": "me", "passfile": "/p"}


def test_several_hosts_want_the_one_that_accepts_writes() -> None:
    keywords = options("postgresql://ann@a:1,b,[::1]:3/app").keywords
    assert (keywords["host"], keywords["port"]) == ("a,b,::1", "1,,3")
    assert keywords["target_session_attrs"] == "read-write"
    assert options("postgresql://a,b/app?target_session_attrs=any").keywords["target_session_attrs"] == "any"


@pytest.mark.parametrize(
    "query", ["options=-cfsync%3Doff", "pool_size=0", "sslmode=maybe", "schema=a;b", "pool_sze=3", "user=x"]
)
def test_bad_option_is_refused_by_name(query: str) -> None:
    with pytest.raises(InvalidURL, match=query.partition("=")[0]):
        options(f"postgresql://ann@db/app?{query}")


def test_password_is_not_shown() -> None:
    read = options("postgresql://ann:hunter2@db/app?sslpassword=hunter2")
    assert read.keywords["password"] == "hunter2"
    assert "hunter2" not in f"{read!r} {read} {read.keywords!r} {read.keywords}"


# --- a connection -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(fast=True) as server:
        server.create_role("ann", PASSWORD)
        yield server


@pytest.fixture(scope="module")
def database(server: PostgresServer) -> str:
    return server.create_database()


@pytest.fixture
def connection(database: str) -> Iterator[PooledConnection]:
    connection = Connector(options(database)).open()
    yield connection
    connection.close()


def value(connection: PooledConnection, statement: str, *arguments: Any) -> Any:
    with connection.raw.cursor() as cursor:
        cursor.execute(statement, arguments or None)
        return cursor.fetchone()[0]  # type: ignore[index]


@pytest.mark.postgres
def test_session_is_plain(connection: PooledConnection) -> None:
    assert connection.raw.autocommit
    assert connection.raw.encoding == "UTF8"
    assert value(connection, "SELECT current_setting('application_name')") == "ciris-store"
    changed = "SELECT array_agg(name) FROM pg_settings WHERE source = 'session'"
    assert value(connection, changed) is None


@pytest.mark.postgres
def test_json_comes_as_text_and_bytea_as_bytes(connection: PooledConnection) -> None:
    assert value(connection, 'SELECT \'{"b":1, "a":2.0}\'::json') == '{"b":1, "a":2.0}'
    assert value(connection, "SELECT '{\"a\": 2.0}'::jsonb") == '{"a": 2.0}'
    assert value(connection, "SELECT NULL::jsonb") is None
    everything = bytes(range(256))
    for output in ("hex", "escape"):
        value(connection, "SELECT set_config('bytea_output', %s, false)", output)
        assert value(connection, "SELECT %s::bytea", everything) == everything
    assert value(connection, "SELECT NULL::bytea") is None


@pytest.mark.postgres
def test_types_of_other_connections_are_left_alone(connection: PooledConnection, database: str) -> None:
    assert execute(database, "SELECT '{\"a\": 1}'::jsonb") == [({"a": 1},)]


@pytest.mark.postgres
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati", "Africa/Monrovia"])
@pytest.mark.parametrize(
    "moment",
    [
        datetime(2025, 7, 1, 12, 0, 0, 123456, UTC),
        datetime(2025, 11, 2, 5, 30, tzinfo=UTC),
        datetime(1900, 1, 1, 0, 0, 0, 1, UTC),
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ],
)
def test_times_come_in_utc_whatever_the_zone(connection: PooledConnection, zone: str, moment: datetime) -> None:
    value(connection, "SELECT set_config('TimeZone', %s, false)", zone)
    stored = value(connection, "SELECT %s", moment)
    assert stored == moment
    assert stored.tzinfo is UTC


@pytest.mark.postgres
@pytest.mark.parametrize("text", ["infinity", "-infinity", "0044-03-15 12:00+00 BC", "12000-01-01 00:00+00"])
def test_time_that_python_cannot_hold_is_an_error(connection: PooledConnection, text: str) -> None:
    with pytest.raises(psycopg2.DataError):
        value(connection, "SELECT %s::timestamptz", text)


# --- no connection ------------------------------------------------------------------------------


def refusal(url: str) -> StoreError:
    """The error of a login, after looking for the password wherever people might see it."""
    connector = Connector(options(url))
    with pytest.raises(StoreError) as caught:
        connector.open()
    # Without this test's own frame, which knows the URL.
    error = caught.value.with_traceback(caught.tb.tb_next)
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "connect.py" in shown
    assert PASSWORD not in shown and "wrong-w0rd" not in shown
    assert caught.value.__cause__ is not None
    return caught.value


@pytest.mark.postgres
def test_login_with_password(server: PostgresServer) -> None:
    connection = Connector(options(server.url(user="ann", password=PASSWORD))).open()
    assert value(connection, "SELECT current_user") == "ann"
    assert PASSWORD not in repr(connection.raw)
    connection.close()


@pytest.mark.postgres
def test_wrong_password(server: PostgresServer) -> None:
    error = refusal(server.url(user="ann", password="wrong-w0rd"))
    assert type(error) is AccessDenied
    assert "28P01" in str(error)


@pytest.mark.postgres
def test_no_password(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    error = refusal(server.url(user="ann"))
    assert type(error) is AccessDenied
    assert "asks for a password" in str(error)


@pytest.mark.postgres
@pytest.mark.parametrize("password", [None, PASSWORD])
def test_missing_database(server: PostgresServer, password: str | None) -> None:
    user = "postgres" if password is None else "ann"
    error = refusal(server.url(user=user, password=password, dbname="nowhere"))
    assert type(error) is InvalidURL
    assert "createdb nowhere" in str(error)


@pytest.mark.postgres
def test_database_that_the_user_may_not_enter(server: PostgresServer) -> None:
    database = server.create_database()
    name = database.rpartition("/")[2]
    server.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    error = refusal(server.url(user="ann", password=PASSWORD, dbname=name))
    assert type(error) is AccessDenied
    assert "GRANT CONNECT" in str(error)


@pytest.mark.postgres
def test_unknown_user(server: PostgresServer) -> None:
    error = refusal(server.url(user="nobody_here"))
    assert type(error) is AccessDenied
    assert "28000" in str(error)


@pytest.mark.postgres
def test_too_many_connections_is_retryable(server: PostgresServer) -> None:
    url = server.create_role("crowd")
    server.execute("ALTER ROLE crowd CONNECTION LIMIT 0")
    error = refusal(url)
    assert type(error) is Unavailable and error.retryable
    assert "53300" in str(error)


@pytest.mark.postgres
def test_proven_login_that_fails_later_is_an_outage(server: PostgresServer) -> None:
    url = server.create_role("bob", PASSWORD)
    connector = Connector(options(url))
    connector.open().close()
    server.execute("ALTER ROLE bob CONNECTION LIMIT 0")
    with pytest.raises(Unavailable):
        connector.open()


@pytest.mark.postgres
@pytest.mark.fault
def test_server_that_is_shutting_down() -> None:
    with PostgresServer(fast=True) as server:
        held = psycopg2.connect(server.url())
        server._process.send_signal(15)  # type: ignore[union-attr]
        deadline = time.monotonic() + 10
        while "57P03" not in (said := str(refusal(server.url()) if not _accepts(server) else "")):
            assert time.monotonic() < deadline, said
        held.close()


def _accepts(server: PostgresServer) -> bool:
    try:
        psycopg2.connect(server.url()).close()
    except psycopg2.OperationalError:
        return False
    return True


@pytest.mark.postgres
@pytest.mark.fault
def test_refused_connection_is_an_outage_at_once(server: PostgresServer) -> None:
    with TcpProxy(server.url()) as proxy:
        proxy.refuse()
        began = time.monotonic()
        error = refusal(proxy.url_for(server.url(user="ann", password=PASSWORD)))
        assert time.monotonic() - began < 1
        assert type(error) is Unavailable and error.retryable
        proxy.heal()
        Connector(options(proxy.url_for(server.url()))).open().close()


@pytest.mark.postgres
@pytest.mark.fault
def test_black_hole_ends_at_the_connect_timeout(server: PostgresServer) -> None:
    with TcpProxy(server.url()) as proxy:
        proxy.black_hole()
        began = time.monotonic()
        error = refusal(proxy.url_for(server.url()) + "?connect_timeout=2")
        assert type(error) is Unavailable
        assert time.monotonic() - began < 3


@pytest.mark.postgres
@pytest.mark.fault
def test_slow_network_is_only_slow(server: PostgresServer) -> None:
    with TcpProxy(server.url()) as proxy:
        connection = Connector(options(proxy.url_for(server.url()))).open()
        proxy.delay(0.1)
        began = time.monotonic()
        assert value(connection, "SELECT 1") == 1
        assert timedelta(seconds=time.monotonic() - began) >= timedelta(seconds=0.2)
        connection.close()


def test_host_that_no_one_knows() -> None:
    error = refusal("postgresql://ann:wrong-w0rd@no-such-host.invalid/app")
    assert type(error) is Unavailable
    assert "no-such-host.invalid" in str(error)
