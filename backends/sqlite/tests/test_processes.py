"""Many processes on one file: no write is lost and no process starves, whichever process is killed or stopped."""

from __future__ import annotations

import itertools
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from backends.sqlite.tests import writers
from backends.sqlite.tests.support import ROOT, open_once
from ciris_store_core.errors import StoreError, Unavailable
from ciris_store_core.sql import load_migrations
from tests.reliability.rows import counts, record
from tests.scenarios.processes import Team, processes
from tests.support.factories import task

STARTERS = 8

Process = subprocess.Popen[str]
Start = Callable[..., Process]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.db"


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program of ``writers.py``; none outlives the test."""
    started: list[Process] = []

    def start_one(program: Callable[..., None], *args: object) -> Process:
        command = [sys.executable, writers.__file__, program.__name__, *map(str, args)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


def line_of(process: Process, seconds: float = 60) -> str:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], seconds)[0], "a process says nothing"
    return process.stdout.readline()


def go(*processes: Process) -> None:
    """Wait until all are ready, and let them run."""
    for process in processes:
        assert line_of(process) == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def finish(process: Process, seconds: float = 60) -> list[str]:
    """The lines that a process said to its end."""
    return process.communicate(timeout=seconds)[0].splitlines()


def acknowledged(lines: list[str]) -> set[str]:
    return {line.removeprefix("done ") for line in lines if line.startswith("done ")}


def check(path: Path, written: set[str]) -> int:
    """Every write that was acknowledged is there, no transaction is there by half; returns how many tasks there are."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        tasks = {row[0] for row in connection.execute("SELECT task_id FROM tasks")}
        thoughts = Counter(row[0] for row in connection.execute("SELECT source_task_id FROM thoughts"))
    assert not written - tasks, f"{len(written - tasks)} acknowledged writes are lost"
    assert thoughts == dict.fromkeys(tasks, 2), "a transaction is there by half"
    return len(tasks)


# --- fairness ---------------------------------------------------------------------------------


def competition(start: Start, path: Path, seconds: float, fair: str = "fair") -> tuple[list[int], Counter[str]]:
    """Return the commits of each of 16 processes that write for some seconds, and their errors."""
    open_once(path).close()
    processes = [start(writers.compete, path, f"p{n}", seconds, fair) for n in range(16)]
    go(*processes)
    with ThreadPoolExecutor(len(processes)) as listeners:  # a process without a listener stops once its pipe is full
        said = list(listeners.map(lambda process: finish(process, seconds + 60), processes))
    commits = [len(acknowledged(lines)) for lines in said]
    errors = Counter(line for lines in said for line in lines if line.startswith("error"))
    total = check(path, set().union(*map(acknowledged, said)))
    assert total == sum(commits)
    print(
        f"\n16 processes, {seconds:g} s, {fair}: {sum(commits)} commits, 0 lost, {errors.total()} errors, "
        f"slowest {min(commits)}, fastest {max(commits)}"
    )
    return commits, errors


def unfair(commits: list[int], errors: Counter[str]) -> int:
    """Return the number of errors, plus that of processes with less than half the commits of the fastest."""
    return errors.total() + sum(each < max(commits) / 2 for each in commits)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", counts("writers"))
def test_sixteen_writers_share_a_file(start: Start, path: Path, seconds: int, request: pytest.FixtureRequest) -> None:
    commits, errors = competition(start, path, seconds)
    note = f"{sum(commits):,} commits, slowest process {min(commits):,}, fastest {max(commits):,}"
    record("writers", "SQLite", seconds, unfair(commits, errors), note=note)
    assert not errors and min(commits) > 0
    if request.node.get_closest_marker("soak"):  # in a few seconds, on a busy machine, the scheduler decides
        assert unfair(commits, errors) == 0


@pytest.mark.soak
def test_the_control_without_the_write_lock_sixteen_writers_starve_each_other(start: Start, path: Path) -> None:
    """SQLite's own waiting loses no write, but is far from fair."""
    commits, errors = competition(start, path, 20, "unfair")
    note = f"SQLite's own waiting: slowest process {min(commits):,}, fastest {max(commits):,}"
    record("writers", "SQLite", 20, unfair(commits, errors), control=True, note=note)
    assert unfair(commits, errors) > 0


# --- starting ---------------------------------------------------------------------------------


def schema(path: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        versions = connection.execute("SELECT version, name FROM schema_migrations ORDER BY version").fetchall()
        objects = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    return versions + objects


@pytest.fixture(scope="module")
def whole_schema(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, ...]]:
    path = tmp_path_factory.mktemp("whole") / "whole.db"
    open_once(path).close()
    return schema(path)


def killed_starts(folder: Path, whole: list[tuple[str, ...]], *, loose: bool = False) -> tuple[int, int]:
    """Kill a start after each of its statements. Return their number, and that of starts that the next did not fix."""
    wrong = 0
    for first in itertools.count(0, STARTERS):
        numbers = range(first, first + STARTERS)
        paths = [folder / f"{number}.db" for number in numbers]
        with Team(writers.start_up_and_die, [(str(folder / f"{n}.db"), n, loose) for n in numbers]) as team:
            for member in team.members:
                member.join(60)
            codes = [member.exitcode for member in team.members]
        killed = codes.count(-signal.SIGKILL)
        assert codes == [-signal.SIGKILL] * killed + [0] * (STARTERS - killed)
        wrong += sum(not fixes(path, whole) for path in paths[:killed])
        if killed < STARTERS:
            return first + killed, wrong
    raise AssertionError


def fixes(path: Path, whole: list[tuple[str, ...]]) -> bool:
    """Return True if the next start completes the schema that it finds."""
    with suppress(StoreError), open_once(path, synchronous="normal") as store:
        writers.write(store, "first")
    return schema(path) == whole


@pytest.mark.slow
def test_a_start_killed_at_any_statement_is_finished_by_the_next(
    tmp_path: Path, whole_schema: list[tuple[str, ...]]
) -> None:
    statements, wrong = killed_starts(tmp_path, whole_schema)
    record("killed-migration", "SQLite", statements, wrong)
    assert wrong == 0
    assert statements > sum(len(migration.statements) for migration in load_migrations("ciris_store_sqlite"))


@pytest.mark.soak
def test_the_control_migrations_that_are_no_transaction(tmp_path: Path, whole_schema: list[tuple[str, ...]]) -> None:
    statements, wrong = killed_starts(tmp_path, whole_schema, loose=True)
    record("killed-migration", "SQLite", statements, wrong, control=True, note="statement by statement")
    assert wrong > 0


def start_together(folder: Path, rounds: int, whole: list[tuple[str, ...]], *, loose: bool = False) -> int:
    """Start 8 processes at once on an empty file, again and again. Return the number that did not come up."""
    failed = 0
    barrier = processes.Barrier(STARTERS)
    with Team(writers.start_up, [(barrier, loose)] * STARTERS) as team:
        for number in range(rounds):
            path = folder / f"{number}.db"
            for pipe in team.pipes:
                pipe.send(str(path))
            said = team.hear_all()
            failed += STARTERS - said.count("up")
            assert loose or (check(path, set()) == STARTERS and schema(path) == whole)
    return failed


@pytest.mark.slow
@pytest.mark.parametrize("rounds", counts("first-start"))
def test_eight_processes_start_at_once(tmp_path: Path, whole_schema: list[tuple[str, ...]], rounds: int) -> None:
    failed = start_together(tmp_path, rounds, whole_schema)
    record("first-start", "SQLite", rounds, failed, note=f"{STARTERS * rounds - failed:,} processes came up")
    assert failed == 0


@pytest.mark.slow
def test_the_control_starts_without_transactions(tmp_path: Path, whole_schema: list[tuple[str, ...]]) -> None:
    failed = start_together(tmp_path, 3, whole_schema, loose=True)
    record("first-start", "SQLite", 3, failed, control=True, note="migrations statement by statement")
    assert failed > 0


# --- stopped ----------------------------------------------------------------------------------


def test_a_stopped_writer_delays_the_others_no_longer_than_the_timeout(start: Start, path: Path) -> None:
    with open_once(path, busy_timeout=0.5) as store:
        holder = start(writers.hold_the_write_lock, path)
        assert line_of(holder) == "ready\n"
        os.kill(holder.pid, signal.SIGSTOP)
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(Unavailable):
                store.tasks.add(task("refused"))
            assert 0.4 < time.monotonic() - began < 1.5
            assert store.tasks.count() == 0, "readers need no write lock"
        os.kill(holder.pid, signal.SIGCONT)
        assert holder.stdin is not None
        holder.stdin.write("go\n")
        finish(holder)
        store.tasks.add(task("accepted"))
        assert sorted(found.task_id for found in store.tasks.scan()) == ["accepted", "held"]


def test_a_killed_writer_passes_the_write_lock_on(start: Start, path: Path) -> None:
    open_once(path).close()
    holder = start(writers.hold_the_write_lock, path)
    assert line_of(holder) == "ready\n"
    holder.kill()
    with open_once(path, busy_timeout=5) as store:
        store.tasks.add(task("next"))
        assert [found.task_id for found in store.tasks.scan()] == ["next"]
