"""Session on one DuckDB connection."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import duckdb

from ciris_store_core.errors import StoreError
from ciris_store_core.sql import Dialect, SqlSession
from ciris_store_duckdb.correlations import DuckCorrelationStore
from ciris_store_duckdb.errors import ends_connection, translate
from ciris_store_duckdb.graph import DuckGraphStore

ROWS_AT_ONCE = 50
"""Rows in one INSERT. DuckDB is slow to begin a statement: fifty rows at once take a tenth of the time."""

_ONE_ROW = re.compile(r"VALUES\s+(\([\s?,]+\))")


class DuckSession(SqlSession):
    """Session without savepoints. A statement that changes rows returns their number as a row."""

    graph_class = DuckGraphStore
    correlations_class = DuckCorrelationStore
    driver_error = duckdb.Error
    has_savepoints = False

    def __init__(self, connection: duckdb.DuckDBPyConnection, dialect: Dialect, path: str) -> None:
        """On a connection of its own."""
        super().__init__(connection, dialect)
        self.connection = connection
        self.path = path

    def translate(self, error: Exception, *, committing: bool) -> StoreError:
        """Translate by the class of the error."""
        self.broken = self.broken or ends_connection(error)
        return translate(error, self.path, committing=committing)

    def run(self, statement: str, params: Sequence[Any] = ()) -> int:
        """Return the number of rows that a statement changed."""
        answer = self.row(statement, params)
        return int(answer[0]) if answer else 0

    def run_many(self, statement: str, many: Sequence[Sequence[Any]]) -> int:
        """Return the number of rows that a statement changed in all; executemany reports only the last."""
        return sum(self.run(statement, params) for params in many)

    def insert(self, statement: str, many: Sequence[Sequence[Any]]) -> int:
        """Return the number of rows that an INSERT stored."""
        if _ONE_ROW.search(statement) is None:
            return self.run_many(statement, many)
        starts = range(0, len(many), ROWS_AT_ONCE)
        return sum(self._insert_together(statement, many[start : start + ROWS_AT_ONCE]) for start in starts)

    def _insert_together(self, statement: str, rows: Sequence[Sequence[Any]]) -> int:
        together = _ONE_ROW.sub(lambda found: "VALUES " + ", ".join([found[1]] * len(rows)), statement)
        return self.run(together, [value for row in rows for value in row])
