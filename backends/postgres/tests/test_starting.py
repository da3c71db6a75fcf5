"""Eight processes start at the same moment on an empty database: each migration is applied once, and all come up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from backends.postgres.tests.support import counts
from ciris_store_core.sql import load_migrations
from tests.support.pgserver import ExternalServer, execute

pytestmark = [pytest.mark.postgres, pytest.mark.fault]

PROCESSES = 8
VERSIONS = [(migration.version,) for migration in load_migrations("ciris_store_postgres")]
UP = f"{len(VERSIONS)} True"

# Opens each URL that it reads. With the argument "unlocked", migrations do without their lock: the control.
STARTER = """
import sys
from ciris_store_core.clock import SystemClock
from ciris_store_core.hookspecs import BackendContext
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
def starters(*arguments: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that wait for a URL."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment,
        )
        for _ in range(PROCESSES)
    ]  # fmt: skip
    try:
        assert [_say(process) for process in processes] == ["ready"] * PROCESSES
        yield processes
    finally:
        for process in processes:
            process.communicate(timeout=30)


def start_all(processes: list[subprocess.Popen[str]], url: str) -> list[str]:
    """What each says after it opened the store."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(url + "\n")
    return [_say(process) for process in processes]


def _say(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.slow
@pytest.mark.parametrize("rounds", counts(20, 200))
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
    print(f"{PROCESSES} processes, {rounds} empty databases: {clean} clean starts")


def test_the_control_migrations_without_their_lock(postgres_server: ExternalServer) -> None:
    url = postgres_server.create_database()
    with starters("unlocked") as processes:
        said = start_all(processes, url)
    postgres_server.drop_database(url)
    print(f"without the lock: {said.count(UP)} of {PROCESSES} came up")
    assert said != [UP] * PROCESSES
