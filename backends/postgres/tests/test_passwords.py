"""Sources of a login, and absence of its password from all output."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest

from backends.postgres.tests.support import PLAIN, store_at
from ciris_store_core import Store
from ciris_store_core.conformance.factories import task
from ciris_store_core.errors import AccessDenied, StoreError, Unavailable
from ciris_store_core.url import resolve_url
from ciris_store_postgres.connect import ConnectOptions
from tests.support.pgserver import PostgresServer
from tests.support.tcpproxy import TcpProxy

pytestmark = pytest.mark.postgres

USER = "ann"
MARK = "Hunter2"
"""Text to search for; no quoting changes it."""
PASSWORD = f"p@ss:w\\ord'%20[]é{MARK}"
IN_FILE = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
"""Password in the format of .pgpass."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(fast=True) as server:
        server.create_role(USER, PASSWORD)
        yield server


@pytest.fixture(autouse=True)
def no_other_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine's own."""
    for name in ("PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGUSER", "PGHOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def database(server: PostgresServer) -> str:
    """The name of a database that the user may migrate."""
    name = server.create_database().rpartition("/")[2]
    server.execute(f"ALTER DATABASE {name} OWNER TO {USER}")
    return name


def password_file(path: Path, server: PostgresServer) -> Path:
    path.write_text(f"127.0.0.1:{server.port}:*:{USER}:{IN_FILE}\n")
    path.chmod(0o600)
    return path


def user_of(store: Store) -> str:
    return str(store.info()["user"])


# --- where it comes from --------------------------------------------------------------------------


def test_from_the_url(server: PostgresServer, database: str) -> None:
    with store_at(server.url(user=USER, password=PASSWORD, dbname=database)) as store:
        assert user_of(store) == USER


def test_from_the_password_file_of_the_home(server: PostgresServer, database: str, tmp_path: Path) -> None:
    url = server.url(user=USER, dbname=database)
    with pytest.raises(AccessDenied, match="asks for a password"):
        store_at(url)
    password_file(tmp_path / ".pgpass", server)
    with store_at(url) as store:
        assert user_of(store) == USER


def test_from_a_password_file_named_in_the_url(server: PostgresServer, database: str, tmp_path: Path) -> None:
    file = password_file(tmp_path / "passwords", server)
    with store_at(server.url(user=USER, dbname=database), passfile=quote(str(file))) as store:
        assert user_of(store) == USER


def test_from_a_password_file_named_by_a_variable(
    server: PostgresServer, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSFILE", str(password_file(tmp_path / "passwords", server)))
    with store_at(server.url(user=USER, dbname=database)) as store:
        assert user_of(store) == USER


def test_from_a_variable(server: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with store_at(server.url(user=USER, dbname=database)) as store:
        assert user_of(store) == USER


def test_from_a_service_file(
    server: PostgresServer, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = f"[agents]\nhost=127.0.0.1\nport={server.port}\nuser={USER}\npassword={PASSWORD}\ndbname={database}\n"
    (tmp_path / "services").write_text(section)
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    with store_at("postgresql://", service="agents") as store:
        assert (user_of(store), store.info()["database"]) == (USER, database)


def test_over_a_socket(server: PostgresServer, database: str) -> None:
    url = server.socket_url(user=USER, dbname=database)
    with store_at(url.partition("?")[0], host=quote(str(server.folder), safe=""), port=server.port) as store:
        assert user_of(store) == USER
        assert store._backend.options.keywords["host"] == str(server.folder)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("hostaddr", "127.0.0.1"), ("passfile", "/p"), ("service", "s"), ("require_auth", "scram-sha-256"),
        ("sslrootcert", "/r"), ("sslcert", "/c"), ("sslkey", "/k"), ("sslpassword", "p"), ("sslcrl", "/l"),
        ("sslcrldir", "/d"), ("ssl_min_protocol_version", "TLSv1.2"), ("ssl_max_protocol_version", "TLSv1.3"),
        ("krbsrvname", "k"), ("gsslib", "gssapi"), ("sslmode", "verify-full"), ("sslcertmode", "require"),
        ("sslnegotiation", "direct"), ("channel_binding", "require"), ("gssencmode", "disable"),
        ("load_balance_hosts", "random"), ("target_session_attrs", "primary"), ("application_name", "me"),
        ("connect_timeout", 3), ("keepalives_idle", 1), ("keepalives_interval", 2), ("keepalives_count", 4),
        ("tcp_user_timeout", 5),
    ],
)  # fmt: skip
def test_keywords_reach_libpq(keyword: str, value: str | int) -> None:
    text = quote(str(value), safe="")
    read = ConnectOptions.from_url(resolve_url(f"postgresql://ann@db/app?{keyword}={text}"))
    assert read.keywords[keyword] == value


@pytest.mark.parametrize(
    ("keyword", "value", "shown"),
    [("application_name", "greeter", "SELECT current_setting('application_name')"),
     ("target_session_attrs", "primary", "SELECT CASE WHEN pg_is_in_recovery() THEN '' ELSE 'primary' END")],
)  # fmt: skip
def test_keywords_take_effect(server: PostgresServer, keyword: str, value: str, shown: str) -> None:
    with store_at(server.url(), **{keyword: value}) as store, store._backend.session(write=False) as session:
        assert session.rows(shown) == [(value,)]  # type: ignore[attr-defined]


# --- that it is not shown -------------------------------------------------------------------------


def errors_of(server: PostgresServer, database: str) -> list[StoreError]:
    """Return the errors between opening a store and closing it."""
    found: list[StoreError] = []

    def attempt(url: str, **options: object) -> None:
        try:
            store_at(url, **options).close()
        except StoreError as error:
            found.append(error)

    good = {"user": USER, "password": PASSWORD}
    url = server.url(**good, dbname=database)
    attempt(server.url(user=USER, password=PASSWORD + "x", dbname=database))
    attempt(server.url(**good, dbname="no_such_database"))
    attempt(url, no_such_option=1)
    attempt(url, sslmode="require", sslpassword=quote(PASSWORD))
    attempt(server.url(user="nobody_here", password=PASSWORD, dbname=database))
    attempt(url, schema="pg_mine")
    with TcpProxy(url) as proxy:
        proxied = proxy.url_for(url)
        with store_at(proxied, **PLAIN) as store:
            proxy.drop_answer_to(b"INSERT INTO")
            with pytest.raises(StoreError) as unknown:
                store.tasks.add(task("lost"))
            proxy.refuse()
            proxy.reset()
            for _ in range(2):
                with suppress(Unavailable):
                    store.tasks.get("t")
            with pytest.raises(StoreError) as refused:
                store.tasks.get("t")
        attempt(proxied)
    return [*found, unknown.value, refused.value]


def test_neither_in_errors_nor_in_tracebacks_nor_in_logs(
    server: PostgresServer, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        errors = errors_of(server, database)
    assert len(errors) == 9
    for error in errors:
        shown = "".join(traceback.format_exception(error)) + repr(error) + str(error.__cause__)
        assert MARK not in shown, type(error)
    logged = "\n".join(f"{record.getMessage()} {record.args} {record.exc_text}" for record in caplog.records)
    assert "applying migration" in logged
    assert MARK not in logged


def test_local_variables_of_the_packages_do_not_show_it(server: PostgresServer, database: str) -> None:
    """For error reporters that print local variables; the frames of this test know the URL."""
    for error in errors_of(server, database):
        ours = traceback.TracebackException.from_exception(error, capture_locals=True)
        frames = [frame for frame in ours.stack if "ciris_store_postgres" in frame.filename]
        shown = "".join(f"{name}={value}\n" for frame in frames for name, value in (frame.locals or {}).items())
        assert MARK not in shown, type(error)


def test_not_by_the_open_store(server: PostgresServer, database: str) -> None:
    with store_at(server.url(user=USER, password=PASSWORD, dbname=database)) as store:
        backend = store._backend
        shown = f"{store!r} {store.info()} {store.stats()} {backend!r} {vars(backend)!r} {store.info()!r}"
    assert MARK not in shown


def test_the_control_what_the_driver_alone_shows(server: PostgresServer) -> None:
    with pytest.raises(psycopg2.OperationalError) as caught:
        psycopg2.connect(host="127.0.0.1", port=server.port, user="nobody_here", password=PASSWORD, dbname="x")
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames = [frame for frame in trace.stack if "psycopg2" in frame.filename]
    assert MARK in str([frame.locals for frame in frames])
