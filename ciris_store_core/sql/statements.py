"""Small pieces that the statements of several aggregates share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ciris_store_core.errors import Conflict

if TYPE_CHECKING:
    from .session import SqlSession

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


def add_new(session: SqlSession, insert: str, existing: str, what: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows whose first column is their id; one that exists is a Conflict, and nothing is written.

    ``insert`` does nothing for a row that exists, so that no database error ends the caller's transaction.
    """
    if len(rows) == 1:
        if session.run(insert, rows[0]) == 0:
            raise Conflict(f"{what} {rows[0][0]!r} exists")
    elif rows:
        with session.atomic():
            found = session.rows(existing, (session.codec.texts_in([row[0] for row in rows]),))
            if found:
                raise Conflict(f"{what} exists: " + ", ".join(repr(row[0]) for row in found))
            if session.insert(insert, rows) != len(rows):
                raise Conflict(f"another caller added one of the same {what}s just now")
