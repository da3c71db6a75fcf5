"""Small pieces that the statements of several aggregates share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import compress
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from ciris_store_core.errors import AlreadyExists

if TYPE_CHECKING:
    from ciris_store_core.sql.session import SqlSession

ANY_RECORD = """
SELECT EXISTS (SELECT 1 FROM {graph_nodes}) OR EXISTS (SELECT 1 FROM {correlations}) OR EXISTS (SELECT 1 FROM {tasks})
    OR EXISTS (SELECT 1 FROM {thoughts}) OR EXISTS (SELECT 1 FROM {occurrences}) OR EXISTS (SELECT 1 FROM {leases})
    OR EXISTS (SELECT 1 FROM {secrets}) OR EXISTS (SELECT 1 FROM {secret_access})
    OR EXISTS (SELECT 1 FROM {audit_chains})
"""
"""Whether anything is stored: the one row of ``Backend.is_empty``, reversed."""


def all_of(conditions: Sequence[str]) -> str:
    """The WHERE clause of conditions that must all hold."""
    return " WHERE " + " AND ".join(conditions) if conditions else ""


def one_of(column: str, members: Sequence[Any]) -> str:
    """A test for members of a closed enum, spelled out so that partial indexes apply."""
    values = [repr(str(member.value)) for member in members]
    return f"{column} = {values[0]}" if len(values) == 1 else f"{column} IN ({', '.join(values)})"


def given(pairs: Iterable[tuple[str, Any]]) -> tuple[list[str], list[Any]]:
    """The conditions whose value is not None, and those values."""
    present = [(condition, value) for condition, value in pairs if value is not None]
    return [condition for condition, _ in present], [value for _, value in present]


@lru_cache(maxsize=1000)
def update_of(table: str, key: str, columns: tuple[str, ...], guards: tuple[str, ...]) -> str:
    """The UPDATE of some columns of the row with that key, where it meets the guards; binds all of them in order."""
    assignments = ", ".join(f"{column} = ?" for column in columns)
    conditions = " AND ".join(f"{column} = ?" for column in (key, *guards))
    return f"UPDATE {{{table}}} SET {assignments} WHERE {conditions}"


@lru_cache(maxsize=1000)
def insert_of(table: str, columns: tuple[str, ...], key: str | None) -> str:
    """The INSERT of some columns; with ``key``, the columns of the table's key, it does nothing where that exists."""
    values = ", ".join("?" * len(columns))
    otherwise = f" ON CONFLICT ({key}) DO NOTHING" if key else ""
    return f"INSERT INTO {{{table}}} ({', '.join(columns)}) VALUES ({values}){otherwise}"


@lru_cache(maxsize=100)
def existing_of(table: str, key: str) -> str:
    """The first of some keys that exist; binds a list of texts."""
    return f"SELECT {key} FROM {{{table}}} WHERE {key} {{in_texts}} ORDER BY {key} LIMIT 3"


def filled(columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """The columns that are not NULL in all rows, and what the rows hold in those.

    Naming columns that are NULL costs a server more than anything else in the statement.
    """
    if len(rows) == 1:
        some = [value is not None for value in rows[0]]
    else:
        some = [values.count(None) < len(rows) for values in zip(*rows, strict=True)]
    return tuple(compress(columns, some)), [tuple(compress(row, some)) for row in rows]


# What may be added again with ``exist_ok``; the others have no such parameter.
_REPEATABLE = frozenset({"task", "thought", "correlation"})


def _taken(what: str, ids: Sequence[str]) -> AlreadyExists:
    key = ids[0] if len(ids) == 1 else None
    again = f", or call {what}s.add(..., exist_ok=True) to accept an identical record" if what in _REPEATABLE else ""
    message = f"{what} {', '.join(map(repr, ids))} already exists"
    return AlreadyExists(message, kind=what, key=key, hint=f"Use another id{again}.")


def add_new(
    session: SqlSession, table: str, columns: tuple[str, ...], what: str, rows: Sequence[Sequence[Any]]
) -> None:
    """Insert rows whose first column is their id; one that exists raises ``AlreadyExists``, and nothing is written."""
    key = columns[0]
    if len(rows) == 1:
        if not session.insert_new(table, key, columns, rows[0]):
            raise _taken(what, [rows[0][0]])
    elif rows:
        with session.atomic():
            found = session.rows(existing_of(table, key), (session.codec.texts_in([row[0] for row in rows]),))
            if found:
                raise _taken(what, [row[0] for row in found])
            columns, rows = filled(columns, rows)
            if session.dialect.locks_rows:
                rows.sort(key=itemgetter(0))  # a caller that inserts the same ids waits for this one, not in a circle
            if session.insert(insert_of(table, columns, key), rows) != len(rows):
                raise AlreadyExists(
                    f"another caller added one of the same {what}s just now", kind=what, hint="Read them and decide."
                )
