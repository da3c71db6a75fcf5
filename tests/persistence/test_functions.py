"""Common properties of all functions: which there are, whose store they use, their async counterparts."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ciris_store_core import (
    InvalidArgument,
    ManualClock,
    NotSupported,
    StoreError,
    Task,
    TestSeams,
    open_store,
    persistence,
)
from ciris_store_core.errors import StoreClosed
from ciris_store_core.persistence import (
    add_task,
    analytics,
    count_tasks,
    db,
    get_all_tasks,
    get_store,
    initialize_database,
    maintenance,
    models,
    run_migrations,
    unsupported,
)
from ciris_store_core.persistence.models import correlations, deferral, graph, queue_status, tasks, thoughts
from tests.support.factories import task
from tests.support.snippets import rows_of

MODULES = [tasks, thoughts, graph, correlations, queue_status, deferral, analytics, maintenance, db.core]
"""Those whose functions reach a database."""


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    persistence.close_stores()


def functions(module: ModuleType) -> dict[str, object]:
    found = {name: value for name, value in vars(module).items() if inspect.isfunction(value)}
    return {name: value for name, value in found.items() if value.__module__ == module.__name__ and name[0] != "_"}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.removeprefix("ciris_store_core."))
def test_every_function_has_a_counterpart_and_is_handed_on(module: ModuleType) -> None:
    local = {"maintenance_service", "get_sqlite_db_full_path"}  # They ask no database.
    names = {name for name, value in functions(module).items() if not inspect.iscoroutinefunction(value)} - local
    assert names
    for name in names:
        other = getattr(module, f"async_{name}")
        assert inspect.iscoroutinefunction(other) and other.__name__ == f"async_{name}"
        assert inspect.signature(other) == inspect.signature(getattr(module, name))
        assert {name, f"async_{name}"} <= set(module.__all__)
    assert set(functions(module)) <= set(module.__all__) <= set(persistence.__all__)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.removeprefix("ciris_store_core."))
def test_every_function_takes_a_db_path_last(module: ModuleType) -> None:
    later_by_design = {  # As the engine has them.
        "update_thought_status",
        "get_thoughts_by_status",
    }
    for name, function in functions(module).items():
        kinds = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
        positional = [each.name for each in kinds if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
        assert (
            "db_path" in positional if name.removeprefix("async_") in later_by_design else positional[-1] == "db_path"
        ), name


def test_no_name_is_handed_on_twice() -> None:
    assert len(persistence.__all__) == len(set(persistence.__all__))
    assert len(models.__all__) == len(set(models.__all__))


def refusals() -> list[Callable[..., None]]:
    return [value for name, value in vars(unsupported).items() if inspect.isfunction(value) and name[0] != "_"]


def test_what_is_left_out_says_what_to_do() -> None:
    assert len(refusals()) > 10
    for refuse in refusals():
        with pytest.raises(NotSupported, match=refuse.__name__):
            refuse("anything", at="all")
        assert refuse is getattr(persistence, refuse.__name__)


# --- whose store --------------------------------------------------------------------------------


def test_in_memory_is_one_database_per_process_and_name() -> None:
    persistence.add_task(task("t1"), ":memory:")
    assert persistence.task_exists("t1", db_path=":memory:")
    assert persistence.task_exists("t1", db_path="sqlite:///:memory:")
    persistence.add_task(task("t2"), "memory://one")
    assert persistence.task_exists("t2", "memory://one") and not persistence.task_exists("t2", "memory://two")


def test_the_variable_decides_where_no_path_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRIS_DB_URL", f"sqlite:///{tmp_path}/one.db")
    persistence.add_task(task("t1"))
    monkeypatch.setenv("CIRIS_DB_URL", f"sqlite:///{tmp_path}/two.db")
    assert not persistence.task_exists("t1")
    assert persistence.task_exists("t1", f"{tmp_path}/one.db")
    assert persistence.get_sqlite_db_full_path() == f"{tmp_path}/two.db"


def test_a_relative_path_is_relative_to_where_the_process_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    persistence.add_task(task("t1"), "agent.db")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert not persistence.task_exists("t1", "agent.db")
    assert persistence.get_sqlite_db_full_path("agent.db") == f"{tmp_path}/other/agent.db"


def test_threads_that_come_at_once_share_one_store(tmp_path: Path) -> None:
    start, seen = threading.Barrier(8), []

    def ask() -> None:
        start.wait()
        seen.append(persistence.get_store(f"{tmp_path}/agent.db"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(seen) == 8 and len(set(map(id, seen))) == 1


def test_a_store_of_the_caller_stands_in_for_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRIS_DB_URL", f"sqlite:///{tmp_path}/default.db")
    clock = ManualClock()
    with open_store("memory://", testing=TestSeams(clock=clock)) as mine:
        with persistence.use_store(mine) as used:
            assert used is mine
            persistence.add_task(task("t1"))
            assert asyncio.run(persistence.async_get_task_by_id("t1")).created_at == clock.now()
            assert not persistence.task_exists("t1", f"{tmp_path}/default.db")
        assert not persistence.task_exists("t1")
        assert mine.tasks.get("t1") is not None


def test_a_store_that_could_not_be_opened_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "later" / "agent.db"
    with pytest.raises(StoreError):
        persistence.count_tasks(db_path=str(path))
    path.parent.mkdir()
    assert persistence.count_tasks(db_path=str(path)) == 0


def test_after_closing_the_next_call_opens_again(tmp_path: Path) -> None:
    path = f"{tmp_path}/agent.db"
    persistence.add_task(task("t1"), path)
    before = persistence.get_store(path)
    persistence.close_stores()
    assert persistence.task_exists("t1", path)
    assert persistence.get_store(path) is not before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_opens_a_store_of_its_own(tmp_path: Path) -> None:
    program = """
import os, sys
from ciris_store_core import Task, persistence as p
path = sys.argv[1]
p.add_task(Task(task_id="parent", channel_id="c", description="d"), path)
child = os.fork()
if child == 0:
    p.add_task(Task(task_id="child", channel_id="c", description="d"), path)
    os._exit(0 if p.count_tasks(db_path=path) == 2 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print(p.count_tasks(db_path=path))
"""
    command = [sys.executable, "-W", "error", "-c", program, f"{tmp_path}/agent.db"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_counterparts_run_on_a_bounded_number_of_threads(tmp_path: Path) -> None:
    async def many() -> int:
        calls = (persistence.async_task_exists(f"t{n}", f"{tmp_path}/agent.db") for n in range(200))
        return sum(await asyncio.gather(*calls))

    before = threading.active_count()
    assert asyncio.run(many()) == 0
    assert threading.active_count() - before <= 10


# --- the database -------------------------------------------------------------------------------


def test_initialising_makes_the_database_ready(tmp_path: Path) -> None:
    path = f"{tmp_path}/agent.db"
    persistence.initialize_database(path)
    persistence.run_migrations(path)
    assert Path(path).exists()
    facts = persistence.get_connection_diagnostics(path)
    assert facts["backend"] == "SQLite" and "stats" in facts
    for nowhere in ("memory://", ":memory:", "postgresql://host/db"):
        with pytest.raises(InvalidArgument):
            persistence.get_sqlite_db_full_path(nowhere)


def test_maintenance_runs_on_the_store_of_the_functions(tmp_path: Path) -> None:
    path = f"{tmp_path}/agent.db"
    persistence.add_task(Task(task_id="t", channel_id="c", description="d", parent_task_id="gone"), path)
    report = persistence.perform_maintenance(path, dry_run=True, archive_dir=None)
    assert report.dry_run and report.removed == 0  # Younger than the guard.
    assert asyncio.run(persistence.async_perform_maintenance(path, archive_dir=None)).skipped is False


# --- the page about them --------------------------------------------------------------------------

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "functions.md"


def test_the_page_lists_every_function_under_its_module() -> None:
    listed = {row[0]: set(re.findall(r"\w+", row[1])) for row in rows_of(PAGE, "Every function")}
    for module in MODULES:
        name = module.__name__.removeprefix("ciris_store_core.persistence.").replace("db.core", "db")
        assert listed[name] == {each for each in functions(module) if not each.startswith("async_")}, name


def test_the_page_lists_every_function_that_is_left_out() -> None:
    listed = {name for row in rows_of(PAGE, "Unsupported functions") for name in re.findall(r"\w+", row[0])}
    assert listed == {value.__name__ for value in refusals()}


def _delete(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def test_a_deleted_file_is_made_again_by_initialize_database(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    initialize_database(path)
    assert add_task(Task(task_id="t1", channel_id="c", description="d"), path) == "t1"
    _delete(tmp_path)
    for call in (
        lambda: count_tasks(db_path=path),
        lambda: add_task(Task(task_id="t2", channel_id="c", description="d"), path),
    ):
        with pytest.raises(StoreClosed, match=r"was deleted or replaced .* calls initialize_database again"):
            call()
    initialize_database(path)
    assert count_tasks(db_path=path) == 0
    assert add_task(Task(task_id="t2", channel_id="c", description="d"), path) == "t2"
    store = get_store(path)
    initialize_database(path)
    assert get_store(path) is store
    (tmp_path / "kept").mkdir()
    for file in tmp_path.glob("agent.db*"):
        file.rename(tmp_path / "kept" / file.name)
    with open_store(path) as other:
        other.tasks.add(Task(task_id="t3", channel_id="c", description="d"))
    run_migrations(path)
    assert [task.task_id for task in get_all_tasks(db_path=path)] == ["t3"]
