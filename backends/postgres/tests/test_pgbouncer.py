"""Behind PgBouncer in transaction mode, with two connections for everybody: all works, and nothing is left behind.

PgBouncer is not on PyPI, so this is a part of the long run only: ``apt-get install pgbouncer`` first.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest
from psycopg2 import extensions

from backends.postgres.tests.support import Load, store_at, task_ids, wait_for
from tests.reliability.rows import record
from tests.support.pgbouncer import PgBouncer
from tests.support.pgserver import PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.soak]

POOL = 2

# Writes what became of each clause; in a process of its own, since it runs pytest.
SUITE = """
import json, sys
from ciris_store_core.conformance.runner import run
report = run(sys.argv[1])
assert not report.problem, report.problem
json.dump([(clause.id, clause.status, clause.why) for clause in report.clauses], sys.stdout)
"""

# PgBouncer itself synchronizes these settings between a client and its server connection.
LEFT_BEHIND = """
SELECT 'setting ' || name FROM pg_settings WHERE source = 'session' AND name NOT IN
    ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')
UNION ALL SELECT 'prepared statement ' || name FROM pg_prepared_statements
UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE is_holdable
UNION ALL SELECT 'channel ' || name FROM pg_listening_channels() AS name
UNION ALL SELECT 'temporary table ' || relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()
UNION ALL SELECT 'advisory lock' FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
"""

LEAKS = {
    "SET work_mem = '5MB'": "setting work_mem",
    "PREPARE ready AS SELECT 1": "prepared statement ready",
    "LISTEN news": "channel news",
    "CREATE TEMPORARY TABLE scratch (a int)": "temporary table scratch",
    "SELECT pg_advisory_lock(1)": "advisory lock",
}

_STATEMENT = re.compile(r" LOG:  statement: (.*?)(?=^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\Z)", re.S | re.M)
_LEAVES_STATE = re.compile(
    r"\s*(?:SET\s+(?!LOCAL\b)|PREPARE\b|LISTEN\b|CREATE\s+(?:LOCAL\s+|GLOBAL\s+)?TEMP|DECLARE\b.*WITH\s+HOLD|LOAD\b)"
    r"|.*\bpg_(?:try_)?advisory_lock|.*\bset_config\([^)]*false",
    re.I | re.S,
)
_OF_THE_POOLER = re.compile(r"SET (application_name|client_encoding|DateStyle|TimeZone|standard_conforming_strings)=")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(fast=True, settings="log_statement = all\n") as server:
        yield server


@pytest.fixture(scope="module")
def pooler(server: PostgresServer) -> Iterator[PgBouncer]:
    with PgBouncer(server, POOL) as pooler:
        yield pooler


@pytest.fixture
def url(server: PostgresServer, pooler: PgBouncer) -> str:
    """An empty database, through the pooler."""
    return pooler.url_for(server.create_database())


@contextmanager
def every_connection(url: str) -> Iterator[list[extensions.cursor]]:
    """A cursor on each of the connections that the pooler has, since each is kept within a transaction."""
    with closing(psycopg2.connect(url)) as one, closing(psycopg2.connect(url)) as two:
        cursors = [one.cursor(), two.cursor()]
        pids = {_first(cursor, "SELECT pg_backend_pid()")[0] for cursor in cursors}
        assert len(pids) == POOL
        yield cursors


def _first(cursor: extensions.cursor, statement: str) -> list[str]:
    cursor.execute(statement)
    return [row[0] for row in cursor.fetchall()]


def left_behind(url: str) -> list[str]:
    with every_connection(url) as cursors:
        return [found for cursor in cursors for found in _first(cursor, LEFT_BEHIND)]


def state_leaving(log: str) -> list[str]:
    """The statements of a server's log that leave something behind in a connection."""
    pieces = [piece.strip() for found in _STATEMENT.findall(log) for piece in found.split(";")]
    return [piece for piece in pieces if _LEAVES_STATE.match(piece) and not _OF_THE_POOLER.match(piece)]


def test_the_suite_passes_and_leaves_nothing_behind(server: PostgresServer, url: str) -> None:
    before = len(server.log())
    done = subprocess.run([sys.executable, "-c", SUITE, url], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    clauses = json.loads(done.stdout)
    log = server.log()[before:]
    failed = [clause for clause in clauses if clause[1] != "passed"]
    statements, states = len(_STATEMENT.findall(log)), dict(Counter(status for _, status, _ in clauses))
    left = len(left_behind(url)) + len(state_leaving(log))
    note = f"{len(clauses)} clauses {states}, {statements:,} statements seen"
    record("pgbouncer", "PostgreSQL", 1, len(failed) + left, note=note)
    assert failed == []
    assert len(clauses) > 200
    assert left_behind(url) == []
    assert len(_STATEMENT.findall(log)) > 1000
    assert state_leaving(log) == []


def test_many_callers_share_two_connections(url: str) -> None:
    stores = [store_at(url, None, pool_size=10) for _ in range(4)]
    with Load(stores, 10, "t") as load:
        wait_for(lambda: len(load.acknowledged) > 2000, 60)
    for store in stores:
        store.close()
    note = f"40 callers through {POOL} connections: {len(load.acknowledged):,} writes"
    record("pgbouncer", "PostgreSQL", 1, len(load.errors) + len(load.wrong), note=note)
    assert (load.errors, load.wrong) == ([], [])
    assert {name for _, name in load.acknowledged} == task_ids(url)
    assert left_behind(url) == []


@pytest.mark.parametrize("leak", LEAKS)
def test_the_control_a_client_that_leaves_something_behind(server: PostgresServer, url: str, leak: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        before = len(server.log())
        connection.cursor().execute(leak)
        log = server.log()[before:]
    left = left_behind(url)
    record("pgbouncer", "PostgreSQL", 1, len(left), control=True, note=f"a client that says {leak}")
    assert left == [LEAKS[leak]]
    assert state_leaving(log) == [leak]
