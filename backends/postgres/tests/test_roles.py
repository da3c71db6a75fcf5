"""The pair of roles of docs/howto/postgresql.md: the SQL of that page, run as it stands there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import errors as driver_errors

from backends.postgres.tests.support import store_at, wait_for
from ciris_store_core import GraphNode, Store
from ciris_store_core.conformance.factories import T0, correlation, task, thought
from ciris_store_core.errors import AccessDenied, MigrationRequired
from ciris_store_core.sql import SqlSession, load_migrations
from tests.support.pgserver import PostgresServer, execute
from tests.support.snippets import blocks_of

pytestmark = pytest.mark.postgres

PAGE = Path(__file__).resolve().parents[3] / "docs/howto/postgresql.md"
SQL = [block.code for block in blocks_of(PAGE) if block.language == "sql"]
NEWEST = load_migrations("ciris_store_postgres")[-1]

EXPECTED = {"SELECT", "INSERT", "UPDATE", "DELETE"}
RIGHTS = "SELECT table_name, privilege_type FROM information_schema.table_privileges WHERE grantee = 'agent'"


def block_with(text: str) -> str:
    [found] = [code for code in SQL if text in code]
    return found


class Roles:
    """A database with the two roles."""

    def __init__(self, server: PostgresServer) -> None:
        self.superuser = server.create_database()
        name = self.superuser.rpartition("/")[2]
        execute(self.superuser, block_with("CREATE ROLE"))
        execute(self.superuser, block_with("statement_timeout"))
        self.owner = server.url(user="agent_owner", password="change me", dbname=name)
        self.agent = server.url(user="agent", password="change me too", dbname=name)


@pytest.fixture
def roles() -> Iterator[Roles]:
    with PostgresServer(fast=True) as server:
        roles = Roles(server)
        store_at(roles.owner, schema="agent").close()
        yield roles


def use(store: Store) -> None:
    """A bit of everything that an agent does."""
    store.tasks.add(task("t"))
    store.thoughts.add(thought("h", "t"))
    store.correlations.add_many([correlation("a"), correlation("b")])
    store.graph.put(GraphNode(id="n", type="concept", scope="local", attributes={"likes": "trains"}))
    assert [hit.node.id for hit in store.graph.search("trains")] == ["n"]
    with store.for_occurrence("o") as handle:
        assert [claimed.task.task_id for claimed in handle.claim_next()] == ["t"]
    with store.leases.lock("l", "o", ttl_seconds=30):
        pass
    with store.transaction() as tx:
        assert tx.tasks.delete("t") == 1
    with store._backend.session(write=True) as session:
        session.audit.head("c")
        session.secrets.delete(["s"])
        session.coordination.list_occurrences(T0)


def test_the_agents_role_does_all_that_an_agent_does(roles: Roles) -> None:
    with store_at(roles.agent, schema="agent", migrate="false") as store:
        use(store)
    assert execute(roles.superuser, "SELECT count(*) FROM pg_tables WHERE tableowner = 'agent'") == [(0,)]


def test_the_agents_role_has_these_rights_and_no_others(roles: Roles) -> None:
    rights: dict[str, set[str]] = {}
    for table, right in execute(roles.superuser, RIGHTS):
        rights.setdefault(table, set()).add(right)
    assert len(rights) == 16
    assert all(each == EXPECTED for each in rights.values())


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE agent.t (a int)", "ALTER TABLE {tasks} ADD COLUMN a int", "DROP TABLE {tasks}", "TRUNCATE {tasks}"],
)
def test_the_agents_role_can_do_no_ddl(roles: Roles, statement: str) -> None:
    with store_at(roles.agent, schema="agent", migrate="false") as store:
        with pytest.raises(AccessDenied), store._backend.session(write=True) as session:
            assert isinstance(session, SqlSession)
            session.run(statement)
        assert store.is_empty()


@pytest.mark.parametrize("statement", ["CREATE SCHEMA mine", "CREATE TABLE public.t (a int)"])
def test_nor_make_a_place_of_its_own(roles: Roles, statement: str) -> None:
    with closing(psycopg2.connect(roles.agent)) as connection, pytest.raises(driver_errors.InsufficientPrivilege):
        connection.cursor().execute(statement)
    with pytest.raises(AccessDenied):
        store_at(roles.agent, schema="mine")


def test_a_migration_that_is_missing(roles: Roles) -> None:
    execute(roles.superuser, f"DELETE FROM agent.schema_migrations WHERE version = {NEWEST.version}")
    with pytest.raises(MigrationRequired, match=NEWEST.name):
        store_at(roles.agent, schema="agent", migrate="false")
    with pytest.raises(AccessDenied):
        store_at(roles.agent, schema="agent")


def test_tables_that_were_there_before(roles: Roles) -> None:
    execute(roles.superuser, "REVOKE ALL ON ALL TABLES IN SCHEMA agent FROM agent")
    with pytest.raises(AccessDenied):
        store_at(roles.agent, schema="agent", migrate="false")
    execute(roles.superuser, block_with("ON ALL TABLES"))
    with store_at(roles.agent, schema="agent", migrate="false") as store:
        use(store)


def test_the_timeouts_of_the_role_are_in_force(roles: Roles) -> None:
    assert execute(roles.agent, "SHOW statement_timeout") == [("1min",)]


def test_the_setting_for_a_synchronous_standby(roles: Roles) -> None:
    for statement in block_with("synchronous_standby_names").split(";")[:-1]:
        execute(roles.superuser, statement)
    wait_for(lambda: execute(roles.superuser, "SHOW synchronous_standby_names") == [("ANY 1 (*)",)])
