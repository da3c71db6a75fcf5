"""``ciris-store import-ciris``: what it prints, writes and answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ciris_store_core import open_store
from ciris_store_core.cli import Exit
from ciris_store_core.secrets.keys import new_key
from tests.cli.conftest import Command
from tests.importer.conftest import Engine, sqlite_engine

__all__ = ["sqlite_engine"]


def test_an_import_shows_counts_and_writes_a_report(command: Command, sqlite_engine: Engine, tmp_path: Path) -> None:
    sqlite_engine.add("tasks", "t1")
    sqlite_engine.add("tasks", "t2", status="odd")
    sqlite_engine.add("wa_cert", "wa")
    assert command("import-ciris", sqlite_engine.url, "new.db", "--report", "report.jsonl") == Exit.OK
    assert ["tasks", "2", "2", "0", "1", "0"] in [line.split() for line in command.out.splitlines()]
    assert "tasks: fixed: status: unknown, became pending" in command.out
    assert "left behind, for which a store has no place: wa_cert (1)" in command.out
    lines = [json.loads(line) for line in Path("report.jsonl").read_text().splitlines()]
    assert lines == [{"table": "tasks", "key": ["t2"], "fixed": ["status: unknown, became pending"]}]
    with open_store("new.db") as store:
        assert [task.task_id for task in store.tasks.find()] == ["t1", "t2"]


def test_an_import_prints_json_and_fails_where_a_row_was_refused(command: Command, sqlite_engine: Engine) -> None:
    sqlite_engine.add("tasks", "x" * 300)
    assert command("import-ciris", sqlite_engine.url, "new.db", "--json") == Exit.FAILED
    said = json.loads(command.out)
    tasks = next(table for table in said["tables"] if table["table"] == "tasks")
    assert (tasks["read"], tasks["written"], tasks["refused"]) == (1, 0, 1)
    assert said["target"] == "sqlite:///new.db"


def test_a_store_without_an_authority_takes_over_the_engines_identity(command: Command, sqlite_engine: Engine) -> None:
    sqlite_engine.add("graph_nodes", {"node_id": "self", "scope": "identity"})
    with open_store("founded.db") as store:
        store.authorities.bootstrap("0" * 64, "Wanda")
    assert command("import-ciris", sqlite_engine.url, "founded.db") != Exit.OK
    assert command("import-ciris", sqlite_engine.url, "new.db") == Exit.OK
    with open_store("new.db") as store, open_store("founded.db") as founded:
        assert store.graph.get("self", "identity") is not None and founded.graph.get("self", "identity") is None
        assert [entry.actor for entry in store.audit.scan() if entry.event_type == "write_approved"] == ["import-ciris"]


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("gone.db", "new.db", Exit.USAGE, "there is no database gone.db"),
        ("{engine}", "{engine}", Exit.USAGE, "the same database"),
        ("new.db", "other.db", Exit.USAGE, "a store already"),
        ("{engine}", "nowhere/new.db", Exit.USAGE, "there is no directory nowhere"),
        ("memory://", "new.db", Exit.USAGE, "cannot be read from"),
    ],
)
def test_mistakes_say_what_is_wrong(
    command: Command, sqlite_engine: Engine, old: str, new: str, code: Exit, message: str
) -> None:
    open_store("new.db").close()
    assert command("import-ciris", *(each.format(engine=sqlite_engine.url) for each in (old, new))) == code
    assert message in command.err and "Traceback" not in command.err


def test_a_report_that_cannot_be_written_ends_it_before_it_begins(command: Command, sqlite_engine: Engine) -> None:
    assert command("import-ciris", sqlite_engine.url, "new.db", "--report", "no/such/folder.jsonl") == Exit.USAGE
    assert "cannot be written" in command.err


def test_the_message_about_an_engine_database_names_this_command(command: Command, sqlite_engine: Engine) -> None:
    assert command("info", sqlite_engine.url) == Exit.MIGRATION_REQUIRED
    assert "ciris-store import-ciris" in command.err


def test_secrets_are_refused_encrypted_or_imported_as_they_are(
    command: Command, sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    sqlite_engine.add("tasks", "t1", description=f"use {token}")
    sqlite_engine.add("thoughts", "h", source_task_id="t1")
    assert command("import-ciris", sqlite_engine.url, "new.db") != Exit.OK
    assert "1 rows hold secrets" in command.err and token not in command.err
    with open_store("new.db") as store:
        assert store.is_empty()
    assert command("import-ciris", sqlite_engine.url, "new.db", "--secrets", "encrypt") != Exit.OK
    assert "--secrets=encrypt needs a key" in command.err
    assert command("import-ciris", sqlite_engine.url, "plain.db", "--secrets", "plain") == Exit.OK
    with open_store("plain.db", secrets=False) as store:
        assert store.tasks.get("t1").description == f"use {token}" and store.thoughts.count() == 1
    monkeypatch.setenv("CIRIS_SECRETS_KEY", new_key())
    assert command("import-ciris", sqlite_engine.url, "new.db", "--secrets=encrypt") == Exit.OK
    with open_store("new.db") as store:
        assert token not in store.tasks.get("t1").description and store.thoughts.count() == 1
