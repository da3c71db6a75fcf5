"""What no statement may contain, so that the store works behind poolers and on a distributed server."""

from __future__ import annotations

import importlib
import pkgutil
import re
from types import ModuleType

import pytest

import ciris_store_core.sql
import ciris_store_postgres
from ciris_store_core.sql import load_migrations

_STATEMENT = re.compile(
    r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE|COPY|CREATE|ALTER|DROP|SET|BEGIN|MERGE|LOCK|TRUNCATE)\b", re.I
)

SESSION_STATE = r"""(?x)
    \bSET\s+(?!LOCAL)(SESSION|TIME\s+ZONE|search_path|[a-z_]+\s*(=|TO)\s*'?[a-z0-9]+'?\s*$)
    | \bLISTEN\b | \bPREPARE\b | \bDECLARE\b.*WITH\ HOLD | \bTEMP(ORARY)?\s+TABLE\b | \bpg_(try_)?advisory_lock
"""
SERVER_TIME = (
    r"\b(now|clock_timestamp|statement_timestamp|transaction_timestamp)\s*\(|\bcurrent_(timestamp|date|time)\b"
)
WRITES = r"\b(INSERT\s+INTO|UPDATE\s+[\"{\w]|DELETE\s+FROM|ON\s+CONFLICT)"


def modules(package: ModuleType) -> list[ModuleType]:
    names = [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
    return [importlib.import_module(name) for name in names if not name.endswith(".translate")]


def texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts(each)]
    return [text for each in value for text in texts(each)] if isinstance(value, tuple) else []


STATEMENTS = [
    (f"{module.__name__}.{name}", text)
    for module in [*modules(ciris_store_core.sql), *modules(ciris_store_postgres)]
    for name, value in vars(module).items()
    if not name.startswith("__")
    for text in texts(value)
    if _STATEMENT.match(text)
]
DDL = [
    (f"{migration.version:03}_{migration.name}", statement)
    for migration in load_migrations("ciris_store_postgres")
    for statement in migration.statements
]


def problems(statement: str) -> list[str]:
    """What is wrong with a statement."""
    rules = {
        "session state": re.search(SESSION_STATE, statement, re.I | re.M),
        "MERGE": re.search(r"\bMERGE\s+INTO\b", statement, re.I),
        "trigger": re.search(r"\bTRIGGER\b", statement, re.I),
        "the server's time in a write": re.search(WRITES, statement, re.I) and re.search(SERVER_TIME, statement, re.I),
        "SELECT *": re.search(r"\bSELECT\s+\*|\bRETURNING\s+\*", statement, re.I),
        "REPLACE": re.search(r"\bOR\s+REPLACE\b", statement, re.I),
    }
    return [name for name, found in rules.items() if found]


def test_statements_were_found() -> None:
    assert len(STATEMENTS) > 80
    assert len(DDL) > 30


@pytest.mark.parametrize(("name", "statement"), STATEMENTS + DDL, ids=[name for name, _ in STATEMENTS + DDL])
def test_nothing_forbidden(name: str, statement: str) -> None:
    assert problems(statement) == []


@pytest.mark.parametrize("statement", [text for _, text in DDL], ids=[name for name, _ in DDL])
def test_migrations_ask_no_clock(statement: str) -> None:
    assert not re.search(SERVER_TIME, statement, re.I)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("SET search_path = agent", "session state"),
        ("SET TIME ZONE 'UTC'", "session state"),
        ("SELECT pg_advisory_lock(1)", "session state"),
        ("CREATE TEMPORARY TABLE t (a int)", "session state"),
        ("LISTEN channel", "session state"),
        ("MERGE INTO tasks USING x", "MERGE"),
        ("CREATE TRIGGER t AFTER INSERT ON tasks", "trigger"),
        ("UPDATE {tasks} SET updated_at = now()", "the server's time in a write"),
        ("INSERT INTO {tasks} VALUES (CURRENT_TIMESTAMP)", "the server's time in a write"),
        ("SELECT * FROM {tasks}", "SELECT *"),
    ],
)
def test_the_rules_catch_what_they_are_for(statement: str, problem: str) -> None:
    assert problem in problems(statement)


@pytest.mark.parametrize("statement", ["SET LOCAL lock_timeout = '1s'", "SELECT clock_timestamp()"])
def test_the_rules_let_the_harmless_through(statement: str) -> None:
    assert problems(statement) == []


# --- the same schema as on SQLite -----------------------------------------------------------------


def tables(package: str) -> dict[str, list[str]]:
    """The columns of each table of the contract, in order."""
    found: dict[str, list[str]] = {}
    for migration in load_migrations(package):
        for statement in migration.statements:
            if made := re.match(r"(?:--.*\n)*CREATE TABLE \{(\w+)\} ?\((.*)\)", statement, re.S):
                found[made[1]] = re.findall(r"^\s*([a-z]\w*) ", made[2], re.M)
            elif added := re.match(r"ALTER TABLE \{(\w+)\} ADD COLUMN (\w+)", statement):
                found[added[1]].append(added[2])
    return found


def indexes(package: str) -> set[str]:
    statements = [statement for migration in load_migrations(package) for statement in migration.statements]
    return {text for each in statements for text in re.findall(r"CREATE INDEX [^;]*", each) if "USING gin" not in text}


def test_columns_and_indexes_are_those_of_sqlite() -> None:
    ours, theirs = tables("ciris_store_postgres"), tables("ciris_store_sqlite")
    theirs["graph_nodes"].remove("node_number")
    assert len(ours) == 13
    assert ours == theirs
    assert indexes("ciris_store_postgres") == indexes("ciris_store_sqlite")
