"""migrate --plan and --sql, doctor."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from ciris_store_core import open_store
from ciris_store_core.cli import Exit
from ciris_store_core.conformance import factories as make
from tests.cli.conftest import Command
from tests.transfer.conftest import Stores, fill

OBJECTS = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2"


def test_the_plan_of_a_new_database_is_everything(
    command: Command, stores: Stores, kind: str, request: pytest.FixtureRequest
) -> None:
    is_new = kind != "postgres"  # there, tests get a store that has its schema
    url = stores.url(kind) if is_new else request.getfixturevalue("postgres_server").create_database()
    code = Exit.OK if kind == "memory" else Exit.MIGRATION_REQUIRED
    plan = command.json("migrate", "--plan", url, code=code)
    assert [each["version"] for each in plan] == list(range(1, len(plan) + 1))
    assert bool(plan) == (kind != "memory")
    assert command("migrate", "--plan", url) == code
    assert ("initial_schema" if plan else "up to date") in command.out
    assert command("migrate", "--status", url) != Exit.OK or kind == "memory"


def test_the_plan_of_a_current_database_is_empty(command: Command, stores: Stores, kind: str) -> None:
    url = stores.url(kind)
    with open_store(url):
        assert command.json("migrate", "--plan", url) == []
        assert command.json("migrate", "--plan", "--sql", url) == []


def test_looking_at_the_plan_makes_no_file(command: Command, tmp_path: Path) -> None:
    assert command("migrate", "--plan", "new.db") == Exit.MIGRATION_REQUIRED
    assert command("migrate", "--sql", "new.db") == Exit.OK
    assert list(tmp_path.iterdir()) == []


def test_the_printed_statements_make_the_schema_of_sqlite(command: Command, tmp_path: Path) -> None:
    assert command("migrate", "--sql", "planned.db") == Exit.OK
    with closing(sqlite3.connect(":memory:")) as planned:
        planned.executescript(command.out)
        made_by_hand = planned.execute(OBJECTS).fetchall()
    assert command("migrate", "real.db") == Exit.OK
    with closing(sqlite3.connect("real.db")) as real:
        assert made_by_hand == real.execute(OBJECTS).fetchall()


def test_the_printed_statements_make_the_schema_of_postgres(command: Command, stores: Stores) -> None:
    planned, real = stores.url("postgres"), stores.url("postgres")
    assert command("migrate", "--sql", f"{planned}?schema=agent") == Exit.OK
    assert 'CREATE SCHEMA "agent"' in command.out
    with open_store(f"{real}?schema=agent"):
        pass
    columns = "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'agent'"
    indexes = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'agent'"
    found = []
    for url, script in ((planned, command.out), (real, "SELECT 1")):
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(script)
            connection.commit()
            for query in (columns, indexes):
                cursor.execute(query)
                found.append(sorted(cursor.fetchall()))
    assert found[:2] == found[2:] and found[0]


# --- doctor -----------------------------------------------------------------------------------


def test_doctor_finds_nothing_wrong_with_a_sound_store(command: Command, stores: Stores, kind: str) -> None:
    url = stores.url(kind)
    with open_store(url) as store:
        store.tasks.add(make.task(created_at=store.server_now(), updated_at=store.server_now()))
        assert command("doctor", "--thorough", url) == Exit.OK
        assert "0 errors" in command.out or "nothing is wrong" in command.out
        report = command.json("doctor", url)
    assert report["ok"] and report["growth"]["tasks"] == {"records": 1, "last_day": 1, "last_week": 1}
    assert kind == "memory" or {table["name"] for table in report["tables"]} >= {"tasks", "thoughts", "graph_nodes"}


def test_doctor_warns_of_what_is_stuck(command: Command, stores: Stores, kind: str) -> None:
    url = stores.url(kind)
    with open_store(url) as store:
        store.leases.acquire("job", "gone", ttl_seconds=10 * 86400)
        assert command("doctor", url) == Exit.OK
        assert "the lease 'job' of 'gone'" in " ".join(command.out.split())
        assert command("doctor", "--strict", url) == Exit.FAILED
        [finding] = [each for each in command.json("doctor", url)["findings"] if each["code"] == "stuck_lease"]
        assert command(*finding["fix"].split("ciris-store ")[1].split(), url) == Exit.OK
        assert "stuck_lease" not in [each["code"] for each in command.json("doctor", url)["findings"]]


def test_doctor_fails_for_a_missing_table_or_index(command: Command, stores: Stores) -> None:
    url = f"sqlite:///{Path.cwd()}/x.db"
    fill(stores.open(url))
    with closing(sqlite3.connect("x.db")) as connection:
        connection.execute("DROP INDEX tasks_by_status")
        connection.execute("DROP TRIGGER graph_node_added")
    report = command.json("doctor", url, code=Exit.FAILED)
    found = {finding["code"]: finding for finding in report["findings"]}
    assert not report["ok"]
    assert found["missing_trigger"]["severity"] == "error"
    assert found["missing_index"]["severity"] == "warning"
    with closing(sqlite3.connect("x.db")) as connection:
        for code in ("missing_index", "missing_trigger"):
            connection.executescript(found[code]["fix"])
    assert command("doctor", url) == Exit.OK


def foreign_parts(report: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    found = [each for each in report["findings"] if each["code"].startswith("foreign_")]
    return {each["code"]: (each["severity"], each["data"]["name"], each["data"]["table"]) for each in found}


def test_doctor_reports_foreign_triggers_and_views_in_a_file(command: Command, stores: Stores) -> None:
    url = f"sqlite:///{Path.cwd()}/x.db"
    fill(stores.open(url))
    assert foreign_parts(command.json("doctor", url)) == {}
    with closing(sqlite3.connect("x.db")) as connection:
        connection.execute("CREATE TRIGGER loses_tasks BEFORE INSERT ON tasks BEGIN SELECT RAISE(IGNORE); END")
        connection.execute("CREATE VIEW all_tasks AS SELECT * FROM tasks")
    assert foreign_parts(command.json("doctor", url)) == {
        "foreign_trigger": ("warning", "loses_tasks", "tasks"),
        "foreign_view": ("info", "all_tasks", "all_tasks"),
    }


def test_doctor_reports_foreign_triggers_and_views_of_postgres(command: Command, stores: Stores) -> None:
    url = stores.url("postgres")
    fill(stores.open(url))
    assert foreign_parts(command.json("doctor", url)) == {}
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
        cursor.execute("CREATE TRIGGER loses_tasks BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION lose()")
        cursor.execute("CREATE VIEW all_tasks AS SELECT * FROM tasks")
        cursor.execute("CREATE TABLE of_others (id int)")
        cursor.execute("CREATE TRIGGER of_others BEFORE INSERT ON of_others FOR EACH ROW EXECUTE FUNCTION lose()")
    assert foreign_parts(command.json("doctor", url)) == {
        "foreign_trigger": ("warning", "loses_tasks", "tasks"),
        "foreign_view": ("info", "public.all_tasks", "tasks"),
    }


def test_doctor_finds_damage_in_a_file(command: Command, stores: Stores, tmp_path: Path) -> None:
    store = stores.open("damaged.db")
    fill(store, 300)
    store.close()
    with closing(sqlite3.connect("damaged.db")) as connection:
        [page] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'tasks_by_status'").fetchone()
        [size] = connection.execute("PRAGMA page_size").fetchone()
    with (tmp_path / "damaged.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\x55" * size)
    assert command("doctor", "damaged.db") in (Exit.FAILED, Exit.BAD_DATABASE)
    assert "damage" in command.out + command.err


def test_doctor_says_that_a_file_is_open_to_others(command: Command, stores: Stores, tmp_path: Path) -> None:
    stores.open("x.db")
    (tmp_path / "x.db").chmod(0o644)
    [finding] = command.json("doctor", "x.db")["findings"]
    assert (finding["code"], finding["fix"]) == ("file_permissions", "chmod 600 x.db")


def test_doctor_finds_what_is_wrong_with_a_schema_of_postgres(command: Command, stores: Stores) -> None:
    url = stores.url("postgres")
    fill(stores.open(url))
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("DROP INDEX tasks_by_status")
        cursor.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'thoughts_by_task'::regclass")
        found = {each["code"]: each for each in command.json("doctor", url, code=Exit.FAILED)["findings"]}
        assert found["invalid_index"]["data"] == {"name": "thoughts_by_task"}
        for code in ("invalid_index", "missing_index"):
            cursor.execute(found[code]["fix"])
    assert command("doctor", url) == Exit.OK


def test_doctor_finds_transactions_that_are_open_for_long(
    command: Command, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    from ciris_store_postgres import diagnosis

    url = stores.url("postgres")
    stores.open(url)
    monkeypatch.setattr(diagnosis, "LONG_TRANSACTION", timedelta(0))
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone() or ()
        found = [each for each in command.json("doctor", url)["findings"] if each["code"] == "long_transaction"]
        assert pid in [each["data"]["pid"] for each in found]
        assert found[0]["fix"] == f"SELECT pg_terminate_backend({found[0]['data']['pid']});"
