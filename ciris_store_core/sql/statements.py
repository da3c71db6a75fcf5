"""Text of SQL statements: conditions joined with AND, fragments filled in, INSERTs without their NULL columns.

There is no query builder. Each statement stands as whole text beside the store that runs it; the functions here only
complete it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import compress
from typing import Any

ANY_RECORD = """
SELECT EXISTS (SELECT 1 FROM {graph_nodes}) OR EXISTS (SELECT 1 FROM {correlations}) OR EXISTS (SELECT 1 FROM {tasks})
    OR EXISTS (SELECT 1 FROM {thoughts}) OR EXISTS (SELECT 1 FROM {occurrences}) OR EXISTS (SELECT 1 FROM {leases})
    OR EXISTS (SELECT 1 FROM {secrets}) OR EXISTS (SELECT 1 FROM {secret_access})
    OR EXISTS (SELECT 1 FROM {audit_chains}) OR EXISTS (SELECT 1 FROM {documents}) OR EXISTS (SELECT 1 FROM {streams})
"""
"""True if any record is stored: the opposite of ``Backend.is_empty``."""

LIVE = "(expires_at IS NULL OR expires_at > ?)"
"""The condition that a record has not expired by the bound time."""

_INSERT = re.compile(r"\s*(INSERT INTO \{\w+\}(?: AS \w+)?) \(([^)]+)\)\s+VALUES \([?,\s]+\)(.*)", re.DOTALL)


# --- conditions -------------------------------------------------------------------------------


def where_clause(conditions: Sequence[str]) -> str:
    """Return the WHERE clause of conditions that must all hold; empty if there are none."""
    return " WHERE " + " AND ".join(conditions) if conditions else ""


def match_members(column: str, members: Sequence[Any]) -> str:
    """Return a test for members of a closed enum, spelled out so that partial indexes apply."""
    values = [repr(str(member.value)) for member in members]
    return f"{column} = {values[0]}" if len(values) == 1 else f"{column} IN ({', '.join(values)})"


def collect_given(pairs: Iterable[tuple[str, Any]]) -> tuple[list[str], list[Any]]:
    """Return the conditions whose value is not None, and those values."""
    present = [(condition, value) for condition, value in pairs if value is not None]
    return [condition for condition, _ in present], [value for _, value in present]


def fill_in(statement: str, **parts: str) -> str:
    """Return the statement with each ``{name}`` among ``parts`` replaced; the dialect renders the other names."""
    for name, part in parts.items():
        statement = statement.replace(f"{{{name}}}", part)
    return statement


@lru_cache(maxsize=1000)
def set_columns(statement: str, columns: tuple[str, ...]) -> str:
    """Return the UPDATE with ``{assignments}`` replaced by one ``column = ?`` for each column."""
    return fill_in(statement, assignments=", ".join(f"{column} = ?" for column in columns))


# --- inserts ----------------------------------------------------------------------------------


@lru_cache(maxsize=100)
def _split_insert(statement: str) -> tuple[str, tuple[str, ...], str]:
    found = _INSERT.fullmatch(statement)
    if found is None:
        raise ValueError(f"not an INSERT with a list of columns and one list of VALUES: {statement}")
    return found[1], tuple(column.strip() for column in found[2].split(",")), found[3]


def insert_columns(statement: str) -> tuple[str, ...]:
    """Return the columns of an INSERT, in order."""
    return _split_insert(statement)[1]


@lru_cache(maxsize=1000)
def keep_columns(statement: str, kept: tuple[bool, ...]) -> str:
    """Return the INSERT with those of its columns that are marked; what follows its VALUES stays."""
    into, columns, rest = _split_insert(statement)
    names = list(compress(columns, kept))
    return f"{into} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}){rest}"


@lru_cache(maxsize=1000)
def replace_conflict_clause(statement: str, clause: str) -> str:
    """Return the INSERT with ``clause`` in place of what follows its VALUES."""
    into, columns, _ = _split_insert(statement)
    return f"{into} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) {clause}".rstrip()


@lru_cache(maxsize=1000)
def select_values(statement: str, source: str) -> str:
    """Return the INSERT with its VALUES as a SELECT from ``source``, so that it stores nothing if that has no row."""
    into, columns, rest = _split_insert(statement)
    return f"{into} ({', '.join(columns)}) SELECT {', '.join('?' * len(columns))} {source}{rest}"


@lru_cache(maxsize=1000)
def _spelled(statement: str, given: tuple[bool, ...]) -> str:
    first, *rest = statement.split("?")
    return first + "".join([("?" if bound else "NULL") + part for bound, part in zip(given, rest, strict=True)])


def spell_nulls(statement: str, values: Sequence[Any]) -> tuple[str, list[Any]]:
    """Return the statement with NULL in place of each ``?`` that binds None, and the other values.

    SQLite's driver looks for an adapter of every None that it binds.
    """
    given = tuple([value is not None for value in values])
    return _spelled(statement, given), list(compress(values, given))


def leave_out_nulls(statement: str, rows: Sequence[Sequence[Any]]) -> tuple[str, list[tuple[Any, ...]]]:
    """Return the INSERT without the columns that are NULL in all rows, and the rows without those values.

    Naming columns that are NULL costs a server more than anything else in the statement.
    """
    if len(rows) == 1:
        kept = tuple([value is not None for value in rows[0]])
    else:
        kept = tuple([values.count(None) < len(rows) for values in zip(*rows, strict=True)])
    return keep_columns(statement, kept), [tuple(compress(row, kept)) for row in rows]
