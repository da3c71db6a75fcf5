"""Row-level security for scope IDENTITY: the SQL of docs/howto/identity.md, run as it stands there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from backends.postgres.tests.support import store_at
from backends.postgres.tests.test_roles import Roles
from ciris_store_core import AccessDenied, GraphNode, GraphScope, SigningKey, Store, approved
from tests.support.pgserver import PostgresServer, execute
from tests.support.snippets import blocks_of

pytestmark = pytest.mark.postgres

PAGE = Path(__file__).resolve().parents[3] / "docs/howto/identity.md"
[SQL] = [block.code for block in blocks_of(PAGE) if block.language == "sql"]
KEY = SigningKey.generate()
NODE = GraphNode(id="self", type="identity", scope="identity", attributes={"name": "Ada"})


@pytest.fixture(scope="module")
def roles() -> Iterator[Roles]:
    with PostgresServer(fast=True) as server:
        roles = Roles(server)
        with store_at(roles.owner, schema="agent") as store:
            store.authorities.bootstrap(KEY.public_key, "Wanda", identity=[NODE])
        execute(roles.superuser, SQL)
        roles.owner = server.url(
            user="steward", password="change me as well", dbname=roles.superuser.rpartition("/")[2]
        )
        yield roles


def put_approved(store: Store, **attributes: str) -> GraphNode:
    node = NODE.replaced(attributes=attributes)
    with pytest.raises(AccessDenied) as caught:
        store.graph.put(node)
    with approved(caught.value.request.approve(KEY)):
        return store.graph.put(node)


def test_the_agents_role_cannot_write_identity_by_sql_either(roles: Roles) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(roles.agent, "INSERT INTO agent.graph_nodes SELECT * FROM agent.graph_nodes WHERE scope = 'identity'")
    assert execute(roles.agent, "UPDATE agent.graph_nodes SET version = 2 WHERE id = 'self' RETURNING id") == []
    assert execute(roles.agent, "DELETE FROM agent.graph_nodes RETURNING id") == []
    with store_at(roles.agent, schema="agent", migrate="false") as store:
        with pytest.raises(AccessDenied, match="42501"):
            put_approved(store, name="Eve")
        stored = store.graph.get("self", "identity")
        assert stored is not None and stored.attributes == {"name": "Ada"}, "it can be read"
        assert store.graph.put(NODE.replaced(scope=GraphScope.LOCAL)).revision == 1
        assert not store.audit.verify().problems


def test_the_stewards_role_can(roles: Roles) -> None:
    with store_at(roles.owner, schema="agent", migrate="false") as store:
        assert put_approved(store, name="Ada Lovelace").revision == 2
