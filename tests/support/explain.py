"""What a database intends to do for each statement of the toolkit: plans, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from ciris_store_core.sql import SqlSession
from ciris_store_core.stores import Backend

BIG_TABLES = frozenset({"tasks", "thoughts", "correlations", "graph_nodes", "graph_edges"})
"""Tables that grow without bound: no statement may read one of them whole."""


@dataclass(frozen=True)
class Statement:
    """A statement as the driver got it, with the first values that it was run with."""

    text: str
    params: Sequence[Any]


class Undone(Exception):
    """Ends a transaction whose effects nobody wants."""


@contextmanager
def recording(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Statement]]:
    """Every distinct statement that sessions run, by its text."""
    seen: dict[str, Statement] = {}

    def note(session: SqlSession, statement: str, params: Sequence[Any]) -> None:
        text = session.dialect.render(statement)
        seen.setdefault(text, Statement(text, params))

    execute, run_many = SqlSession._execute, SqlSession.run_many

    def noting_execute(self: SqlSession, statement: str, params: Sequence[Any]) -> None:
        note(self, statement, params)
        execute(self, statement, params)

    def noting_run_many(self: SqlSession, statement: str, many: Sequence[Sequence[Any]]) -> int:
        note(self, statement, many[0])
        return run_many(self, statement, many)

    with monkeypatch.context() as patch:
        patch.setattr(SqlSession, "_execute", noting_execute)
        patch.setattr(SqlSession, "run_many", noting_run_many)
        yield seen


def plans_of(backend: Backend, call: Callable[[Any], object], monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The problems of each statement that a call runs, by its text; what the call wrote is undone."""
    try:
        with backend.session(write=True) as session:
            assert isinstance(session, SqlSession)
            with recording(monkeypatch) as seen:
                call(session)
            assert seen, "the call ran no statement"
            problems = {text: _problems(session, statement) for text, statement in seen.items()}
            raise Undone
    except Undone:
        return problems


def _problems(session: SqlSession, statement: Statement) -> list[str]:
    return (
        _sqlite_problems(session, statement)
        if session.dialect.name == "sqlite"
        else _postgres_problems(session, statement)
    )


# --- SQLite -----------------------------------------------------------------------------------

_ALIAS = re.compile(rf"\b(?:{'|'.join(sorted(BIG_TABLES))})\s+(?:AS\s+)?(\w+)", re.IGNORECASE)
_SCAN = re.compile(r"SCAN (\w+)")


def _sqlite_problems(session: SqlSession, statement: Statement) -> list[str]:
    session.cursor.execute(f"EXPLAIN QUERY PLAN {statement.text}", statement.params)
    lines = [row[3] for row in session.cursor.fetchall()]
    names = _names_of_big_tables(statement.text)
    scans = [line for line in lines if (match := _SCAN.match(line)) and match[1] in names]
    return scans + [line for line in lines if line.startswith("USE TEMP B-TREE FOR") and "ORDER BY" in line]


def _names_of_big_tables(text: str) -> set[str]:
    """The names by which a plan calls the big tables: their own, and what the statement calls them."""
    return BIG_TABLES | set(_ALIAS.findall(text))


# --- PostgreSQL -------------------------------------------------------------------------------


def _postgres_problems(session: SqlSession, statement: Statement) -> list[str]:
    if not re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", statement.text, re.IGNORECASE):
        return []
    session.cursor.execute(f"EXPLAIN (FORMAT JSON) {statement.text}", statement.params)
    (plan,) = session.cursor.fetchone()
    nodes = list(_nodes(plan[0]["Plan"]))
    scans = [node for node in nodes if node["Node Type"] == "Seq Scan" and node["Relation Name"] in BIG_TABLES]
    return [f"Seq Scan on {node['Relation Name']}" for node in scans]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)
