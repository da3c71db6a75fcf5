"""Start-up: migrations, schemas and roles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import urlsplit, urlunsplit

import pytest

from ciris_store_core.conformance.factories import T0, correlation, node, put, task
from ciris_store_core.errors import (
    AccessDenied,
    IncompatibleSchema,
    InvalidURL,
    MigrationRequired,
    StoreError,
    Unavailable,
)
from ciris_store_core.models.graph import SearchQuery
from ciris_store_core.sql import load_migrations
from ciris_store_postgres.backend import PostgresBackend
from ciris_store_postgres.migrate import PostgresMigrator, _lock_key
from tests.support.pgserver import ExternalServer, execute

pytestmark = pytest.mark.postgres

TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = '{}'"


def as_role(url: str, role: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}"))


# --- start-up -----------------------------------------------------------------------------------


def test_opening_again_changes_nothing(url: str, make: Callable[..., PostgresBackend]) -> None:
    make().prepare(migrate=True)
    before = execute(url, "SELECT version, name, applied_at FROM schema_migrations ORDER BY 1")
    make().prepare(migrate=True)
    make("?migrate=false").prepare(migrate=True)
    assert execute(url, "SELECT version, name, applied_at FROM schema_migrations ORDER BY 1") == before


def test_migrations_have_the_numbers_and_names_of_sqlite() -> None:
    ours, theirs = load_migrations("ciris_store_postgres"), load_migrations("ciris_store_sqlite")
    assert [(m.version, m.name, m.oldest_program) for m in ours] == [
        (m.version, m.name, m.oldest_program) for m in theirs
    ]


@pytest.mark.parametrize("options", ["", "?schema=agent"])
def test_without_migrate_an_empty_database_is_left_alone(
    url: str, make: Callable[..., PostgresBackend], options: str
) -> None:
    for attempt in (make(options, migrate=False), make(options)):
        with pytest.raises(MigrationRequired, match="001_initial_schema"):
            attempt.prepare(migrate=False)
    assert execute(url, TABLES.format("public")) == [(0,)]
    assert execute(url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'agent'") == [(0,)]


def test_create_false_refuses_an_empty_database(url: str, make: Callable[..., PostgresBackend]) -> None:
    for attempt in (make("?create=false"), make(create=False)):
        with pytest.raises(InvalidURL, match="create=false"):
            attempt.prepare(migrate=True)
    assert execute(url, TABLES.format("public")) == [(0,)]
    make().prepare(migrate=True)
    make("?create=false").prepare(migrate=True)


def test_a_failing_migration_changes_nothing(url: str, make: Callable[..., PostgresBackend]) -> None:
    execute(url, "CREATE TABLE thoughts (id text)")
    with pytest.raises(StoreError):
        make().prepare(migrate=True)
    assert execute(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [("thoughts",)]


def test_another_programs_database_is_not_touched(url: str, make: Callable[..., PostgresBackend]) -> None:
    execute(url, "CREATE TABLE service_correlations (id text)")
    with pytest.raises(MigrationRequired, match="import-ciris"):
        make().prepare(migrate=True)
    assert execute(url, TABLES.format("public")) == [(1,)]


def test_a_newer_schema_is_refused(url: str, backend: PostgresBackend, make: Callable[..., PostgresBackend]) -> None:
    execute(url, "INSERT INTO schema_migrations VALUES (999, 'later', '2025-01-01 00:00+00', 999)")
    with pytest.raises(IncompatibleSchema, match="programs older than 999 may not use"):
        make().prepare(migrate=True)


def test_a_lock_held_too_long_names_its_holder(url: str, make: Callable[..., PostgresBackend]) -> None:
    holder = make("?application_name=slow-migrator")
    with holder.session(write=True) as session:
        assert isinstance(
            session.rows("SELECT pg_advisory_xact_lock(?), pg_backend_pid()", (_lock_key("public"),)), list
        )
        [(pid,)] = session.rows("SELECT pg_backend_pid()")
        with pytest.raises(Unavailable, match="slow-migrator") as caught:
            make("?migration_timeout=0.2").prepare(migrate=True)
    assert f"server process {pid} of user 'postgres', application 'slow-migrator'" in str(caught.value)
    assert not caught.value.retryable
    make("?migration_timeout=0.2").prepare(migrate=True)


def test_who_waits_for_the_lock_says_so(
    url: str, make: Callable[..., PostgresBackend], caplog: pytest.LogCaptureFixture
) -> None:
    holder, waiting = make("?application_name=slow-migrator"), make()
    seconds = iter(range(1000))
    with holder.session(write=True) as session, waiting.session(write=True) as other, caplog.at_level("INFO"):
        session.rows("SELECT pg_advisory_xact_lock(?)", (_lock_key("public"),))
        migrator = PostgresMigrator(
            other, [], patience=20, monotonic=lambda: float(next(seconds)), sleep=lambda _: None
        )
        with pytest.raises(Unavailable):
            migrator.lock()
    said = [record.getMessage() for record in caplog.records if "slow-migrator" in record.getMessage()]
    assert 2 <= len(said) <= 6


def test_schemas_of_one_database_do_not_meet(url: str, make: Callable[..., PostgresBackend]) -> None:
    one, two = make("?schema=agent_one"), make("?schema=agent_two")
    for each in (one, two):
        each.prepare(migrate=True)
    with one.session(write=True) as session:
        session.graph.put_nodes([put(node("n", attributes={"t": "cat"}))], T0)
        session.tasks.add([task("t"), task("u")])
        session.correlations.add([correlation("a"), correlation("b")])
    assert two.is_empty()
    assert not one.is_empty()
    assert execute(url, TABLES.format("public")) == [(0,)]
    assert one.info()["schema"] == "agent_one"
    with one.session(write=False) as session:
        assert [hit.node.id for hit in session.graph.search(SearchQuery(("cat",)))] == ["n"]


# --- roles --------------------------------------------------------------------------------------

GRANTS = """
GRANT USAGE ON SCHEMA agent TO {0};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA agent TO {0};
"""


@pytest.fixture
def roles(postgres_server: ExternalServer, url: str) -> Iterator[tuple[str, str]]:
    name = urlsplit(url).path.lstrip("/")
    owner, runtime = f"{name}_owner", f"{name}_runtime"
    for role in (owner, runtime):
        execute(url, f"CREATE ROLE {role} LOGIN")
    execute(url, f"CREATE SCHEMA agent AUTHORIZATION {owner}")
    yield owner, runtime
    postgres_server.drop_database(url)
    for role in (owner, runtime):
        execute(postgres_server._url, f"DROP ROLE {role}")


def test_a_pair_of_roles(url: str, roles: tuple[str, str], make: Callable[..., PostgresBackend]) -> None:
    owner, runtime = roles
    # The owner of the schema may not create others, and need not.
    make("?schema=agent", at=as_role(url, owner)).prepare(migrate=True)
    execute(url, GRANTS.format(runtime))
    with closing(make("?schema=agent&migrate=false", at=as_role(url, runtime))) as backend:
        backend.prepare(migrate=True)
        with backend.session(write=True) as session:
            session.graph.put_nodes([put(node("n", attributes={"t": "cat"}))], T0)
            session.tasks.add([task("t")])
            assert [t.task_id for t in session.tasks.claim_next("w", "default", 1, T0)] == ["t"]
            assert len(session.graph.search(SearchQuery(("cat",)))) == 1
            session.audit.head("c")
        assert not backend.is_empty()
    make("?schema=agent", at=as_role(url, owner)).close()


def test_a_role_that_may_not_make_tables_is_told(
    url: str, roles: tuple[str, str], make: Callable[..., PostgresBackend]
) -> None:
    attempt = make("?schema=agent", at=as_role(url, roles[1]))
    with pytest.raises(AccessDenied):
        attempt.prepare(migrate=True)
    attempt.close()
    assert execute(url, TABLES.format("agent")) == [(0,)]


def test_a_database_that_does_not_exist(url: str, make: Callable[..., PostgresBackend]) -> None:
    with pytest.raises(InvalidURL, match="no_such"):
        make(at=urlunsplit(urlsplit(url)._replace(path="/no_such"))).prepare(migrate=True)
