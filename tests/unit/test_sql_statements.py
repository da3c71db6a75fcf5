"""Statements of the SQL toolkit: whole text, and the shorter text that is made of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from ciris_store_core.sql import audit, columns, coordination, correlations, graph, secrets, statements, tasks, thoughts

ROOT = Path(__file__).resolve().parents[2]
INSERTS = {
    "tasks": tasks.INSERT,
    "thoughts": thoughts.INSERT,
    "nodes": graph.INSERT,
    "correlations": correlations.INSERT,
    "metrics": correlations.INSERT_METRIC,
    "secrets": secrets.INSERT,
    "access": secrets.INSERT_ACCESS,
    "entries": audit.APPEND,
    "leases": coordination.INSERT_LEASE,
}


def one_line(statement: str) -> str:
    return " ".join(statement.split()).replace("( ", "(").replace(" )", ")")


@pytest.mark.parametrize("insert", INSERTS.values(), ids=INSERTS)
def test_an_insert_of_all_columns_is_the_whole_statement(insert: str) -> None:
    row = ["x"] * len(statements.insert_columns(insert))
    made, rows = statements.leave_out_nulls(insert, [row])
    assert one_line(made) == one_line(insert)
    assert rows == [tuple(row)]


@pytest.mark.parametrize("insert", INSERTS.values(), ids=INSERTS)
def test_an_insert_binds_one_value_for_each_column(insert: str) -> None:
    assert insert.count("?") == len(statements.insert_columns(insert))


def test_columns_that_are_null_in_all_rows_are_left_out() -> None:
    insert = "INSERT INTO {t} (a, b, c) VALUES (?, ?, ?) ON CONFLICT (a) DO NOTHING"
    made, rows = statements.leave_out_nulls(insert, [(1, None, None), (2, None, 3)])
    assert made == "INSERT INTO {t} (a, c) VALUES (?, ?) ON CONFLICT (a) DO NOTHING"
    assert rows == [(1, None), (2, 3)]


@pytest.mark.parametrize(
    ("insert", "listed"),
    [
        (tasks.INSERT, columns.TASK_COLUMNS),
        (thoughts.INSERT, columns.THOUGHT_COLUMNS),
        (graph.INSERT, columns.NODE_COLUMNS),
        (correlations.INSERT, columns.CORRELATION_COLUMNS),
        (secrets.INSERT, columns.SECRET_COLUMNS),
        (secrets.INSERT_ACCESS, columns.ACCESS_COLUMNS),
        (audit.APPEND, columns.ENTRY_COLUMNS),
        (coordination.INSERT_LEASE, columns.LEASE_COLUMNS),
    ],
)
def test_the_columns_that_are_read_are_the_first_that_are_written(insert: str, listed: str) -> None:
    names = listed.split(", ")
    assert list(statements.insert_columns(insert))[: len(names)] == names


def imports_of(file: Path, package: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and f"{node.module}.".startswith(f"{package}."):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    ("folder", "package"),
    [
        ("ciris_store_core/sql", "ciris_store_core.sql"),
        ("backends/sqlite/ciris_store_sqlite", "ciris_store_sqlite"),
        ("contrib/duckdb/ciris_store_duckdb", "ciris_store_duckdb"),
    ],
)
def test_no_module_imports_itself_over_others(folder: str, package: str) -> None:
    imported = {f"{package}.{file.stem}": set(imports_of(file, package)) for file in (ROOT / folder).glob("*.py")}
    while leaves := {name for name, names in imported.items() if not names & imported.keys()}:
        for name in leaves:
            del imported[name]
    assert not imported


def test_none_becomes_null_and_is_not_bound() -> None:
    made, values = statements.spell_nulls("UPDATE t SET a = ?, b = ?, c = ? WHERE d = ?", (None, 0, None, ""))
    assert (made, values) == ("UPDATE t SET a = NULL, b = ?, c = NULL WHERE d = ?", [0, ""])
    with pytest.raises(ValueError, match="zip"):
        statements.spell_nulls("a = ?", (1, None))
