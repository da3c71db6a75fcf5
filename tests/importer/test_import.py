"""An import takes what the engine stored, says what it fixed or could not take, and can be run again."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core import (
    ANY_OCCURRENCE,
    InvalidArgument,
    ManualClock,
    NotSupported,
    Store,
    TaskStatus,
    Unavailable,
    open_store,
)
from ciris_store_core.errors import InvalidURL, NotADatabase, SecretDetected
from ciris_store_core.importer import TABLES, ImportReport, engine_import, import_ciris, open_engine
from ciris_store_core.secrets.keys import KeyRing, SecretsConfig, new_key
from tests.importer.conftest import AT, Engine

NOON = datetime(2025, 10, 1, 12, tzinfo=UTC)


def run(engine: Engine, store: Store, **options: Any) -> ImportReport:
    with open_engine(engine.url) as old:
        return import_ciris(old, store, ImportReport("old", "new"), **options)


def counts(report: ImportReport) -> dict[str, tuple[int, ...]]:
    """Read, written, present, fixed and refused, of the tables that hold anything."""
    names = ("read", "written", "present", "fixed", "refused")
    return {each.table: tuple(getattr(each, name) for name in names) for each in report.tables if each.read}


def fill(engine: Engine, number: int = 3) -> None:
    for each in range(number):
        engine.add("graph_nodes", f"n{each}", attributes_json={"nr": each, "in": {"deep": [1, 2.5, None]}})
        engine.add("tasks", f"t{each}", status="completed", priority=each % 11)
        engine.add("thoughts", f"th{each}", source_task_id=f"t{each}")
        engine.add("service_correlations", f"c{each}", tags={"a.b": "1"})
        engine.add("feedback_mappings", f"f{each}", target_thought_id=f"th{each}", feedback_type="identity")
    for each in range(1, number):
        engine.add("graph_edges", f"e{each}", source_node_id="n0", target_node_id=f"n{each}", weight=0.5)


def test_everything_ordinary_is_taken_and_nothing_needs_fixing(engine: Engine, store: Store) -> None:
    fill(engine)
    report = run(engine, store)
    taken = (3, 3, 0, 0, 0)
    assert counts(report) == {
        "graph_nodes": taken,
        "graph_edges": (2, 2, 0, 0, 0),
        "tasks": taken,
        "thoughts": taken,
        "service_correlations": taken,
        "feedback_mappings": taken,
    }
    node = store.graph.get("n2", "local")
    assert (node.attributes, node.created_at, node.version) == ({"nr": 2, "in": {"deep": [1, 2.5, None]}}, NOON, 1)
    assert [edge.weight for edge in store.graph.neighbours("n0", "local")] == [0.5, 0.5]
    task = store.tasks.get("t1")
    assert (task.status, task.priority, task.context, task.metadata) == (TaskStatus.COMPLETED, 1, None, {})
    assert [thought.content for thought in store.thoughts.find(source_task_id="t1")] == ["hm"]
    assert store.correlations.get("c0").tags == {"a.b": "1"}
    [feedback] = store.correlations.find(thought_id="th1").items
    assert (feedback.correlation_type, feedback.request_data.parameters) == (
        "feedback_mapping",
        {"feedback_type": "identity"},
    )


def test_running_it_again_changes_nothing(engine: Engine, store: Store) -> None:
    fill(engine)
    run(engine, store)
    before = store.graph.get("n1", "local")
    assert all(found[1] == 0 and found[2] == found[0] for found in counts(run(engine, store)).values())
    assert store.graph.get("n1", "local") == before
    engine.add("tasks", "t9")
    assert counts(run(engine, store))["tasks"] == (4, 1, 3, 0, 0)


class Stopped(Exception):
    pass


def test_thoughts_come_after_their_tasks_and_not_without_them(engine: Engine, store: Store) -> None:
    engine.add("thoughts", "a-lost", source_task_id="gone")
    engine.add("thoughts", "b", source_task_id="t1")
    engine.add("thoughts", "c-lost", source_task_id="x" * 300)
    engine.add("tasks", "t1")
    engine.add("tasks", "x" * 300)
    lines: list[dict[str, Any]] = []
    report = run(engine, store, say=lines.append)
    assert counts(report)["thoughts"] == (3, 1, 0, 0, 2)
    reasons = {line["key"][0]: line["refused"][-1] for line in lines}
    assert "'gone', and there is no such task" in reasons["a-lost"]
    assert [thought.thought_id for thought in store.thoughts.scan(occurrence_id=ANY_OCCURRENCE)] == ["b"]


@pytest.mark.parametrize("after", [1, 5])
def test_what_was_interrupted_is_finished_by_the_next_run(
    after: int, engine: Engine, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_import, "BATCH", 2)
    fill(engine, 6)
    told: list[str] = []

    def stop(table: str, done: int, total: int) -> None:
        told.append(f"{table} {done}/{total}")
        if len(told) == after:
            raise Stopped

    with pytest.raises(Stopped):
        run(engine, store, progress=stop)
    again = counts(run(engine, store))
    assert {table: found[0] for table, found in again.items()} == {
        "graph_nodes": 6, "graph_edges": 5, "tasks": 6, "thoughts": 6, "service_correlations": 6,
        "feedback_mappings": 6,
    }  # fmt: skip
    assert sum(found[1] for found in again.values()) == 35 - sum(found[2] for found in again.values()) < 35
    assert told[0] == "graph_nodes 2/6"
    assert store.tasks.count(occurrence_id=ANY_OCCURRENCE) == 6 and store.graph.count() == 6


def test_what_the_store_knows_otherwise_is_left_and_reported(engine: Engine, store: Store) -> None:
    fill(engine)
    run(engine, store)
    store.tasks.update("t1", description="changed here")
    lines: list[dict[str, Any]] = []
    report = run(engine, store, say=lines.append)
    assert counts(report)["tasks"] == (3, 0, 2, 0, 1)
    assert lines == [{"table": "tasks", "key": ["t1"], "refused": ["stored already, and differs in description: left as it is"]}]  # fmt: skip  # noqa: E501
    assert store.tasks.get("t1").description == "changed here"


def test_other_tables_with_rows_are_named(engine: Engine, store: Store) -> None:
    engine.add("wa_cert", "wa-1")
    engine.add("schema_migrations", "001_initial_schema.sql")
    assert run(engine, store).left_behind == {"wa_cert": 1}


def test_shared_tasks_are_found_by_their_permanent_mark(engine: Engine, opened: Callable[..., Store]) -> None:
    now = ManualClock(NOON)
    store = opened(clock=now, server_clock=now)
    engine.add("tasks", "WAKEUP_RITUAL_SHARED_20251001", agent_occurrence_id="occurrence_1", status="completed")
    run(engine, store)
    assert store.shared_tasks.is_completed("wakeup_ritual")
    assert store.shared_tasks.try_claim("WAKEUP_RITUAL", "api", "again")[1] is False


def test_what_the_engine_counts_and_we_do_not_is_kept(engine: Engine, store: Store) -> None:
    engine.add("graph_nodes", "n1", version=57)
    engine.add("tasks", "t1", retry_count=2)
    report = run(engine, store)
    assert [each.fixed for each in report.tables] == [0] * 6
    assert store.graph.get("n1", "local").metadata == {"ciris_engine": {"version": 57}}
    assert store.tasks.get("t1").metadata == {"ciris_engine": {"retry_count": 2}}


def test_only_what_the_destination_refuses_is_refused(engine: Engine, store: Store) -> None:
    fill(engine)
    engine.add("graph_nodes", {"node_id": "x", "scope": "nowhere"})
    engine.add("graph_edges", "e8", source_node_id="n0", target_node_id="gone")
    engine.add("graph_edges", "e9", source_node_id="n0", target_node_id="n1", weight=0.9)
    engine.add("tasks", "x" * 300)
    lines: list[dict[str, Any]] = []
    report = run(engine, store, say=lines.append)
    assert counts(report)["graph_nodes"] == (4, 3, 0, 0, 1)
    assert counts(report)["graph_edges"] == (4, 2, 0, 0, 2)
    assert counts(report)["tasks"] == (4, 3, 0, 0, 1)
    assert report.refused == 4
    reasons = {line["key"][0]: line["refused"][-1] for line in lines}
    assert "scope" in reasons["x"]
    assert "gone" in reasons["e8"]
    assert "differs in" in reasons["e9"]
    assert "255" in reasons["x" * 300]
    edge = store.graph.get_edge("n0", "n1", "knows", "local")
    assert edge.weight == 0.5


# --- the old database ---------------------------------------------------------------------------


def trace(path: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.parent.iterdir()}


def test_a_file_and_its_folder_stay_as_they_are(sqlite_engine: Engine) -> None:
    fill(sqlite_engine)
    path = Path(sqlite_engine.url)
    before = trace(path)
    assert [*before] == [path.name]
    with open_store("memory://") as store:
        run(sqlite_engine, store)
        assert trace(path) == before


def test_what_is_in_the_log_alone_is_read_too(sqlite_engine: Engine) -> None:
    """A file that is open elsewhere, or was left by a crash."""
    fill(sqlite_engine)
    path = Path(sqlite_engine.url)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_autocheckpoint = 0")
        with other:
            other.execute("UPDATE tasks SET description = 'from the log' WHERE task_id = 't1'")
        before = trace(path)
        with open_store("memory://") as store:
            run(sqlite_engine, store)
            assert store.tasks.get("t1").description == "from the log"
        after = trace(path)
        assert {name: after[name] for name in (path.name, f"{path.name}-wal")} == {
            name: before[name] for name in (path.name, f"{path.name}-wal")
        }


def test_one_moment_is_read_whatever_the_engine_writes_meanwhile(
    engine: Engine, store: Store, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(engine_import, "BATCH", 1)
    fill(engine)
    if engine.url.endswith(".db"):
        request.getfixturevalue("opened_elsewhere")

    def write(table: str, done: int, total: int) -> None:
        if (table, done) == ("graph_nodes", 1):
            engine.add("tasks", "late")

    report = run(engine, store, progress=write)
    assert counts(report)["tasks"] == (3, 3, 0, 0, 0)
    assert counts(run(engine, store))["tasks"] == (4, 1, 3, 0, 0)


def test_a_program_that_opens_the_file_meanwhile_is_noticed(
    sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No program had it open, so no lock was taken."""
    monkeypatch.setattr(engine_import, "BATCH", 1)
    fill(sqlite_engine)

    def write(table: str, done: int, total: int) -> None:
        if (table, done) == ("graph_nodes", 1):
            sqlite_engine.add("tasks", "late")

    with open_store("memory://") as store:
        with pytest.raises(Unavailable, match="Run it again"):
            run(sqlite_engine, store, progress=write)
        assert counts(run(sqlite_engine, store))["tasks"] == (4, 4, 0, 0, 0)


def test_an_older_database_lacks_columns(tmp_path: Path) -> None:
    path = tmp_path / "older.db"
    with closing(sqlite3.connect(path)) as old, old:
        old.execute(
            "CREATE TABLE tasks (task_id TEXT, channel_id TEXT, description TEXT, status TEXT, created_at TEXT)"
        )
        old.execute("INSERT INTO tasks VALUES ('t1', 'api', 'do it', 'active', '2025-10-01 12:00:00')")
        old.execute("CREATE TABLE service_correlations (correlation_id TEXT)")
    with open_store("memory://") as store, open_engine(path) as engine:
        report = import_ciris(engine, store, ImportReport("old", "new"))
        assert counts(report) == {"tasks": (1, 1, 0, 1, 0)}
        task = store.tasks.get("t1")
        assert (task.agent_occurrence_id, task.created_at, task.updated_at) == ("default", NOON, NOON)


def test_other_databases_are_refused(tmp_path: Path, sqlite_engine: Engine) -> None:
    with open_store(f"sqlite:///{tmp_path}/store.db") as ours, open_store("memory://") as store:
        ours.server_now()
        for other, why in ((f"{tmp_path}/store.db", "a store already"), (f"{tmp_path}/empty.db", "no table")):
            if "empty" in other:
                Path(other).touch()
            with open_engine(other) as old, pytest.raises(InvalidArgument, match=why):
                import_ciris(old, store, ImportReport("", ""))
    (tmp_path / "text.db").write_text("no database at all, whatever its name is " * 20)
    with pytest.raises(NotADatabase):
        open_engine(tmp_path / "text.db")
    with pytest.raises(InvalidURL, match="there is no database"):
        open_engine(tmp_path / "gone.db")
    with pytest.raises(InvalidURL, match="directory"):
        open_engine(tmp_path)
    with pytest.raises(InvalidURL, match="no_such"):
        open_engine(f"sqlite:///{sqlite_engine.url}?no_such=1")
    with pytest.raises(NotSupported, match="memory://"):
        open_engine("memory://")


def test_a_server_that_is_away_is_an_error_of_the_import() -> None:
    with pytest.raises(Unavailable):
        open_engine("postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1")


def test_every_table_names_columns_that_the_engine_has() -> None:
    from tests.importer.conftest import columns

    for table in TABLES:
        assert {*table.key, *table.columns} == {name for name, _ in columns(table.name)}, table.name


def test_the_lines_of_a_report_are_json(engine: Engine, store: Store) -> None:
    engine.add("tasks", "t1", status="nonsense", priority=99)
    lines: list[dict[str, Any]] = []
    run(engine, store, say=lines.append)
    assert json.loads(json.dumps(lines)) == [
        {
            "table": "tasks",
            "key": ["t1"],
            "fixed": ["status: unknown, became pending", "priority: out of bounds, became 10"],
        }
    ]
    assert store.tasks.get("t1").metadata == {"ciris_engine": {"status": "nonsense", "priority": 99}}
    assert AT  # The times of ordinary rows.


# --- secrets ------------------------------------------------------------------------------------

TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


def test_without_a_key_nothing_is_imported_if_there_is_a_secret(
    engine: Engine, opened: Callable[..., Store], url: str
) -> None:
    """Otherwise the tasks with a secret are missing, and their thoughts are there."""
    fill(engine, 1)
    engine.add("tasks", "t9", description=f"use {TOKEN}")
    engine.add("thoughts", "th9", source_task_id="t9")
    with open_store(url) as without:
        with pytest.raises(SecretDetected, match=r"^1 rows hold secrets.*tasks 't9'.*--secrets=plain") as caught:
            run(engine, without)
        assert TOKEN not in str(caught.value) and without.is_empty()
    with open_store("memory://", secrets=False) as plain:
        assert counts(run(engine, plain))["thoughts"] == (2, 2, 0, 0, 0)
        assert plain.tasks.get("t9").description == f"use {TOKEN}"
    if url != "memory://":
        store = opened(secrets=SecretsConfig(keys=KeyRing(new_key())))
        assert counts(run(engine, store))["tasks"] == (2, 2, 0, 0, 0)
        assert counts(run(engine, store))["tasks"] == (2, 0, 2, 0, 0)
        assert TOKEN not in store.tasks.get("t9").description
