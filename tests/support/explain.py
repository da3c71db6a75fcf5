"""The query plan of each statement of the toolkit: plans, and what is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from ciris_store_core.contract import Backend
from ciris_store_core.sql import SqlSession

BIG_TABLES = frozenset(
    {
        "tasks", "thoughts", "correlations", "graph_nodes", "graph_edges", "documents", "document_parts", "streams",
        "stream_entries",
    }
)  # fmt: skip
"""Tables that grow without bound: no statement may read one of them whole."""


@dataclass(frozen=True)
class Statement:
    """A statement as the driver got it, with the first values that it was run with."""

    text: str
    params: Any


class Undone(Exception):
    """Ends a transaction whose effects are not wanted."""


class RecordingCursor:
    """Passes everything on to a cursor, and keeps every distinct statement that it runs."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self.seen: dict[str, Statement] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, text: str | bytes, params: Any = ()) -> Any:
        self._note(text, params)
        return self._cursor.execute(text, params)

    def executemany(self, text: str, many: Sequence[Any]) -> Any:
        self._note(text, many[0])
        return self._cursor.executemany(text, many)

    def _note(self, text: str | bytes, params: Any) -> None:
        text = _CONTROL.sub("", text if isinstance(text, str) else text.decode())
        if _EXPLAINED.match(text):
            self.seen.setdefault(text, Statement(text, params))


# BEGIN and savepoints may travel with the statement that follows them.
_CONTROL = re.compile(r"\A(?:(?:BEGIN|SAVEPOINT|RELEASE|ROLLBACK)\b[^;]*;\s*)+")
_EXPLAINED = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)


def plans_of(backend: Backend, call: Callable[[Any], object], monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The problems of each statement that a call runs, by its text; what the call wrote is undone."""
    try:
        with backend.session(write=True) as session:
            assert isinstance(session, SqlSession)
            with monkeypatch.context() as patch:
                recorder = RecordingCursor(session.cursor)
                patch.setattr(session, "cursor", recorder)
                call(session)
            assert recorder.seen, "the call ran no statement"
            problems = {text: _problems(session, statement) for text, statement in recorder.seen.items()}
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
    return {*BIG_TABLES, *_ALIAS.findall(text)}


# --- PostgreSQL -------------------------------------------------------------------------------


_NEXT_STATEMENT = re.compile(r";\s*(?=SELECT|INSERT|UPDATE|DELETE|WITH)", re.IGNORECASE)


def _postgres_problems(session: SqlSession, statement: Statement) -> list[str]:
    text = statement.text
    if statement.params:
        text = session.cursor.mogrify(text, statement.params).decode()
    # Several statements may travel in one message.
    return [problem for part in _NEXT_STATEMENT.split(text) for problem in _seq_scans(session, part)]


def _seq_scans(session: SqlSession, text: str) -> list[str]:
    session.cursor.execute(f"EXPLAIN (FORMAT JSON) {text}")
    (plan,) = session.cursor.fetchone()
    # A backend may have told its driver to leave JSON as text.
    nodes = list(_nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))
    scans = [node for node in nodes if node["Node Type"] == "Seq Scan" and node["Relation Name"] in BIG_TABLES]
    return [f"Seq Scan on {node['Relation Name']}" for node in scans]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)
