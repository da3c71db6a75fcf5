"""Nodes that were stored before their words were get them when the store is opened."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from ciris_store_core import open_store
from tests.support.pgserver import ExternalServer

NODES = 1300

INSERT = (
    "INSERT INTO graph_nodes (id, scope, type, attributes, version, revision, created_at, updated_at) "
    "VALUES ('{id}', 'local', 'concept', '{{\"t\": \"Älteres 東京都 n{id}\"}}', 1, 1, {at}, {at})"
)

OLDER = """
import sys
from ciris_store_sqlite import backend as lite
from ciris_store_postgres import backend as post
from ciris_store_core.sql import load_migrations
from ciris_store_core import open_store
lite.load_migrations = post.load_migrations = lambda package: load_migrations(package)[:7]
open_store(sys.argv[1]).close()
"""

OPEN = """
import sys
from ciris_store_core import open_store
with open_store(sys.argv[1]) as store:
    print(len(store.graph.search("alteres 京都", limit=10_000)))
"""

# Ends without a word after its second batch of nodes, as one that is killed does.
DIES = """
import os, sys
from ciris_store_core import open_store
from ciris_store_core.sql.migrate import Migrator
sound, calls = Migrator._add_missing_words, []
def dying(self):
    calls.append(1)
    if len(calls) == 3:
        os._exit(9)
    return sound(self)
Migrator._add_missing_words = dying
open_store(sys.argv[1])
"""

Execute = Callable[[str], list[tuple[object, ...]]]


def start(program: str, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program, url], stdout=subprocess.PIPE, text=True)


def ended(program: subprocess.Popen[str]) -> tuple[str, int]:
    """Return its output and its exit code."""
    with program:
        return program.communicate(timeout=100)[0], program.returncode


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Execute]]:
    """A store of the schema before words, full of nodes."""
    if request.param == "sqlite":
        path = tmp_path / "a.db"
        url, connect, now = f"sqlite:///{path}", lambda: sqlite3.connect(path, isolation_level=None), "1"
    else:
        server: ExternalServer = request.getfixturevalue("postgres_server")
        url, now = server.create_database(), "now()"

        def connect() -> psycopg2.extensions.connection:
            connection = psycopg2.connect(url)
            connection.autocommit = True
            return connection

    def execute(text: str) -> list[tuple[object, ...]]:
        with closing(connect()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else []

    assert ended(start(OLDER, url)) == ("", 0)
    values = ",".join(INSERT.format(id=number, at=now).split("VALUES")[1] for number in range(NODES))
    execute(INSERT.split("VALUES")[0] + "VALUES" + values)
    yield url, execute


WITH_WORDS = {"sqlite": "SELECT count(*) FROM graph_words", "postgresql": "SELECT count(words) FROM graph_nodes"}


def test_several_programs_at_once_add_the_words(older: tuple[str, Execute]) -> None:
    url, _execute = older
    programs = [start(OPEN, url) for _ in range(3)]
    assert [ended(program) for program in programs] == [(f"{NODES}\n", 0)] * 3
    with open_store(url) as store:
        assert [hit.node.id for hit in store.graph.search("n77")] == ["77"]
        assert store.graph.delete("77", "local") == 1 and store.graph.search("n77") == []


def test_what_a_killed_program_did_is_kept(older: tuple[str, Execute]) -> None:
    url, execute = older
    assert ended(start(DIES, url)) == ("", 9)
    assert execute(WITH_WORDS[url.split(":")[0]]) == [(1000,)]
    assert ended(start(OPEN, url)) == (f"{NODES}\n", 0)
