"""Many processes on one file: nothing lost, nobody starved, whoever is killed or stopped."""

from __future__ import annotations

import itertools
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backends.sqlite.tests import writers
from backends.sqlite.tests.support import ROOT, open_once, task
from ciris_store_core.errors import Unavailable
from ciris_store_core.sql import load_migrations

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
    """Commits of each of 16 processes that write for some seconds, and the errors that they had."""
    open_once(path).close()
    processes = [start(writers.compete, path, f"p{n}", seconds, fair) for n in range(16)]
    go(*processes)
    said = [finish(process, seconds + 60) for process in processes]
    commits = [len(acknowledged(lines)) for lines in said]
    errors = Counter(line for lines in said for line in lines if line.startswith("error"))
    total = check(path, set().union(*map(acknowledged, said)))
    assert total == sum(commits)
    print(
        f"\n16 processes, {seconds:g} s, {fair}: {sum(commits)} commits, 0 lost, {errors.total()} errors, "
        f"slowest {min(commits)}, fastest {max(commits)}"
    )
    return commits, errors


@pytest.mark.slow
def test_sixteen_writers_share_a_file(start: Start, path: Path) -> None:
    commits, errors = competition(start, path, 4)
    assert not errors
    assert min(commits) >= max(commits) / 2


@pytest.mark.soak
def test_sixteen_writers_share_a_file_for_long(start: Start, path: Path) -> None:
    commits, errors = competition(start, path, 20)
    assert not errors
    assert min(commits) >= max(commits) / 2


@pytest.mark.soak
def test_without_the_turn_sixteen_writers_starve_each_other(start: Start, path: Path) -> None:
    """The control: SQLite's own waiting loses nothing, but is far from fair."""
    commits, errors = competition(start, path, 20, "unfair")
    assert errors or min(commits) < max(commits) / 2


# --- kill -9 ----------------------------------------------------------------------------------


def kill_writers(start: Start, path: Path, times: int) -> None:
    randomness = random.Random(times)
    open_once(path).close()
    written: set[str] = set()
    for number in range(times):
        process = start(writers.write_until_killed, path, f"w{number}")
        go(process)
        time.sleep(randomness.uniform(0.0, 0.1))  # the moment is what the test is about
        process.kill()
        written |= acknowledged(finish(process))
        total = check(path, written)
    print(
        f"\n{times} writers killed: {len(written)} commits acknowledged, 0 lost, {total - len(written)} unacknowledged"
    )
    assert len(written) > times
    with open_once(path) as store:
        store.tasks.add(task("after"))


@pytest.mark.slow
def test_killed_writers_lose_nothing(start: Start, path: Path) -> None:
    kill_writers(start, path, 20)


@pytest.mark.soak
def test_many_killed_writers_lose_nothing(start: Start, path: Path) -> None:
    kill_writers(start, path, 100)


def test_a_lost_write_is_seen(path: Path) -> None:
    """The control of ``check``."""
    with open_once(path) as store:
        writers.write(store, "kept")
        assert check(path, {"kept"}) == 1
        with pytest.raises(AssertionError, match="1 acknowledged writes are lost"):
            check(path, {"kept", "lost"})
        store.thoughts.delete("kept 1")
        with pytest.raises(AssertionError, match="by half"):
            check(path, {"kept"})


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


@pytest.mark.slow
def test_a_start_killed_at_any_statement_is_finished_by_the_next(
    start: Start, tmp_path: Path, whole_schema: list[tuple[str, ...]]
) -> None:
    for survived in itertools.count():
        path = tmp_path / f"{survived}.db"
        process = start(writers.start_up_and_die, path, survived)
        lines = finish(process)
        with open_once(path) as store:
            writers.write(store, "first")
        assert schema(path) == whole_schema
        if lines:
            break
        assert process.returncode == -signal.SIGKILL
    migrations = load_migrations("ciris_store_sqlite")
    statements = sum(len(migration.statements) for migration in migrations)
    print(
        f"\nstarts killed at each of {survived} statements, {statements} of them of {len(migrations)} migrations: "
        "all finished by the next"
    )
    assert survived > statements


def start_together(start: Start, folder: Path, rounds: int, whole: list[tuple[str, ...]]) -> None:
    for number in range(rounds):
        path = folder / f"{number}.db"
        processes = [start(writers.start_up, path) for _ in range(8)]
        go(*processes)
        for process in processes:
            finish(process)
            assert process.returncode == 0
        assert check(path, set()) == 8
        assert schema(path) == whole
    print(f"\n{rounds} rounds of 8 processes on an empty file: {8 * rounds} clean starts")


@pytest.mark.slow
def test_eight_processes_start_at_once(start: Start, tmp_path: Path, whole_schema: list[tuple[str, ...]]) -> None:
    start_together(start, tmp_path, 5, whole_schema)


@pytest.mark.soak
def test_eight_processes_start_at_once_again_and_again(
    start: Start, tmp_path: Path, whole_schema: list[tuple[str, ...]]
) -> None:
    start_together(start, tmp_path, 20, whole_schema)


# --- stopped ----------------------------------------------------------------------------------


def test_a_stopped_writer_delays_the_others_no_longer_than_the_timeout(start: Start, path: Path) -> None:
    with open_once(path, busy_timeout=0.5) as store:
        holder = start(writers.hold_the_turn, path)
        assert line_of(holder) == "ready\n"
        os.kill(holder.pid, signal.SIGSTOP)
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(Unavailable):
                store.tasks.add(task("refused"))
            assert 0.4 < time.monotonic() - began < 1.5
            assert store.tasks.count() == 0, "readers need no turn"
        os.kill(holder.pid, signal.SIGCONT)
        assert holder.stdin is not None
        holder.stdin.write("go\n")
        finish(holder)
        store.tasks.add(task("accepted"))
        assert sorted(found.task_id for found in store.tasks.scan()) == ["accepted", "held"]


def test_a_killed_writer_passes_the_turn_on(start: Start, path: Path) -> None:
    open_once(path).close()
    holder = start(writers.hold_the_turn, path)
    assert line_of(holder) == "ready\n"
    holder.kill()
    with open_once(path, busy_timeout=5) as store:
        store.tasks.add(task("next"))
        assert [found.task_id for found in store.tasks.scan()] == ["next"]
