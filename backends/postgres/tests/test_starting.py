"""First start: of eight processes at the same moment, and of one that is killed at each step of a migration."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ciris_store_core.sql import load_migrations
from tests.reliability.rows import counts, record
from tests.support.pgserver import ExternalServer, execute

pytestmark = [pytest.mark.postgres, pytest.mark.fault]

PROCESSES = 8
MIGRATIONS = load_migrations("ciris_store_postgres")
VERSIONS = [(migration.version,) for migration in MIGRATIONS]
DDL = [statement for migration in MIGRATIONS for statement in migration.statements]
UP = f"{len(VERSIONS)} True"

# Opens each URL that it reads. With the argument "unlocked", migrations do without their lock: the control.
STARTER = """
import sys
from ciris_store_core.clock import SystemClock
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.url import resolve_url
from ciris_store_postgres.backend import PostgresBackend
from ciris_store_postgres.migrate import PostgresMigrator
if sys.argv[1:] == ["unlocked"]:
    PostgresMigrator.lock = lambda self: None
print("ready", flush=True)
for line in sys.stdin:
    backend = PostgresBackend(resolve_url(line.strip()), BackendContext(SystemClock()))
    try:
        backend.prepare(migrate=True)
        print(backend.info()["schema_version"], backend.is_empty(), flush=True)
    except Exception as error:
        print("failed", type(error).__name__, error, flush=True)
    backend.close()
"""


@contextmanager
def starters(*arguments: str, program: str = STARTER, count: int = PROCESSES) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that wait for a URL."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment,
        )
        for _ in range(count)
    ]  # fmt: skip
    try:
        assert [_say(process) for process in processes] == ["ready"] * count
        yield processes
    finally:
        for process in processes:
            process.communicate(timeout=30)


def start_all(processes: list[subprocess.Popen[str]], url: str) -> list[str]:
    """Return the output of each process after it opened the store."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(url + "\n")
    return [_say(process) for process in processes]


def _say(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.slow
@pytest.mark.parametrize("rounds", counts("first-start"))
def test_eight_processes_start_on_an_empty_database(postgres_server: ExternalServer, rounds: int) -> None:
    clean = 0
    with starters() as processes:
        for number in range(rounds):
            url = postgres_server.create_database()
            schema, target = ("public", url) if number % 2 else ("agent", f"{url}?schema=agent")
            said = start_all(processes, target)
            assert said == [UP] * PROCESSES
            assert execute(url, f"SELECT version FROM {schema}.schema_migrations ORDER BY 1") == VERSIONS
            clean += len(said)
            postgres_server.drop_database(url)
    record("first-start", "PostgreSQL", rounds, PROCESSES * rounds - clean, note=f"{clean:,} processes came up")


def test_the_control_migrations_without_their_lock(postgres_server: ExternalServer) -> None:
    url = postgres_server.create_database()
    with starters("unlocked") as processes:
        said = start_all(processes, url)
    postgres_server.drop_database(url)
    record(
        "first-start", "PostgreSQL", 1, PROCESSES - said.count(UP), control=True, note="migrations without their lock"
    )
    assert said != [UP] * PROCESSES


# --- killed within a migration --------------------------------------------------------------------

# Reads a number and a URL: a child of its own opens the URL and kills itself before the statement of that number.
# With the argument "loose", each statement of a migration is run for itself: the control.
MORTAL = """
import os, signal, sys
from contextlib import nullcontext
from ciris_store_core.sql import SqlSession
from ciris_store_core.clock import SystemClock
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.url import resolve_url
from ciris_store_postgres.backend import PostgresBackend
from ciris_store_postgres.session import PostgresSession

if sys.argv[1:] == ["loose"]:
    SqlSession.transaction = lambda self, *, write: nullcontext()

def start(last, url):
    run, done = PostgresSession.run, [0]
    def run_or_die(session, *arguments):
        if done[0] == last:
            os.kill(os.getpid(), signal.SIGKILL)
        done[0] += 1
        return run(session, *arguments)
    PostgresSession.run = run_or_die
    backend = PostgresBackend(resolve_url(url), BackendContext(SystemClock()))
    backend.prepare(migrate=True)
    backend.close()

print("ready", flush=True)
for line in sys.stdin:
    last, url = line.split()
    child = os.fork()
    if child == 0:
        start(int(last), url)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

SHAPE = """
SELECT coalesce(string_agg(line, E'\\n' ORDER BY line), '') FROM (
    SELECT concat(table_name, '.', column_name, ' ', data_type) AS line FROM information_schema.columns
    WHERE table_schema = '{0}'
    UNION ALL SELECT replace(indexdef, '{0}', '') FROM pg_indexes WHERE schemaname = '{0}'
    UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = to_regnamespace('{0}')
) lines
"""


def shape(url: str, schema: str) -> tuple[int, str]:
    """The newest migration on record, and all columns, indexes and functions."""
    [(there,)] = execute(url, f"SELECT to_regclass('{schema}.schema_migrations') IS NOT NULL")
    version = execute(url, f"SELECT max(version) FROM {schema}.schema_migrations")[0][0] if there else 0
    return version, execute(url, SHAPE.format(schema))[0][0]


@pytest.mark.slow
def test_killed_before_each_statement_of_each_migration(postgres_server: ExternalServer) -> None:
    """The old schema or the new one, never something between; and the next start finishes."""
    url = postgres_server.create_database()
    shapes: dict[int, set[str]] = {}
    ends: set[tuple[int, str]] = set()
    kills = 0
    with starters(program=MORTAL, count=1) as [process]:
        while _start_and_die(process, kills, f"{url}?schema=s{kills}") == -9:
            version, found = shape(url, f"s{kills}")
            shapes.setdefault(version, set()).add(found)
            assert _start_and_die(process, -1, f"{url}?schema=s{kills}") == 0
            ends.add(shape(url, f"s{kills}"))
            kills += 1
    postgres_server.drop_database(url)
    between = sum(map(len, shapes.values())) - len(VERSIONS)
    record("killed-migration", "PostgreSQL", kills, between + len(ends) - 1)
    assert kills > len(DDL)
    assert sorted(shapes) == list(range(len(VERSIONS)))
    assert [len(each) for each in shapes.values()] == [1] * len(VERSIONS)
    assert [version for version, _ in ends] == [len(VERSIONS)]


def test_the_control_migrations_that_are_no_transaction(postgres_server: ExternalServer) -> None:
    url = postgres_server.create_database()
    kills, failed = 6, 0
    with starters("loose", program=MORTAL, count=1) as [process]:
        for kill in range(kills):
            assert _start_and_die(process, 10 + kill, f"{url}?schema=s{kill}") == -9
            failed += _start_and_die(process, -1, f"{url}?schema=s{kill}") != 0
    postgres_server.drop_database(url)
    record("killed-migration", "PostgreSQL", kills, failed, control=True, note="statement by statement")
    assert failed > 0


def _start_and_die(process: subprocess.Popen[str], last: int, url: str) -> int:
    assert process.stdin is not None
    process.stdin.write(f"{last} {url}\n")
    return int(_say(process))
