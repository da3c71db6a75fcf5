"""A session on one SQLite connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar

from ciris_store_core.contract.aggregation import total_over
from ciris_store_core.errors import StoreError
from ciris_store_core.sql import SqlSession
from ciris_store_core.sql.correlations import SqlCorrelationStore
from ciris_store_sqlite.dialect import SqliteDialect
from ciris_store_sqlite.errors import translate
from ciris_store_sqlite.graph import SqliteGraphStore

_TERM, _COUNT = "coalesce(sample_sum, metric_value)", "coalesce(sample_count, 1)"


class SqliteCorrelationStore(SqlCorrelationStore):
    """Correlations, with a sum that is exact where floats cancel out."""

    exact_aggregates: ClassVar = {"sum": f"exact_sum({_TERM}, 0)", "avg": f"exact_sum({_TERM}, {_COUNT})"}


class ExactSum:
    """SQLite's sums lose what cancels out, before version 3.43; this function does not.

    It divides by the sum of its second argument, unless that is 0.
    """

    def __init__(self) -> None:
        self._values: list[float] = []
        self._count = 0

    def step(self, value: float, count: int) -> None:
        """Take one value, which stands for some samples."""
        self._values.append(value)
        self._count += count

    def finalize(self) -> float:
        """The sum or average, rounded once."""
        return total_over(self._values, self._count or 1)


class SqliteSession(SqlSession):
    """Transactions that write begin as writers, so that none fails half way because another wrote first."""

    graph_class = SqliteGraphStore
    correlations_class = SqliteCorrelationStore
    # The latter where the file is damaged: Python cannot read SQLite's message, which quotes the file.
    driver_error = (sqlite3.Error, UnicodeDecodeError)

    def __init__(self, connection: sqlite3.Connection, dialect: SqliteDialect, path: str) -> None:
        """On a connection of its own, in autocommit mode."""
        super().__init__(connection.cursor(), dialect)
        self.connection = connection
        connection.create_aggregate("exact_sum", 2, ExactSum)  # type: ignore[arg-type]  # of integers, it says
        self.path = path
        self.files: object = None
        """Which files beside the database it has open."""

    @property
    def is_clean(self) -> bool:
        """Whether SQLite, too, knows of no open transaction."""
        return not (self.broken or self.connection.in_transaction)

    def recover(self) -> bool:
        """Roll back what an interrupt left open; whether that made it clean."""
        with suppress(sqlite3.Error):
            self.cursor.close()
            self.cursor = self.connection.cursor()
            self.connection.rollback()
        self._reset()
        return self.is_clean

    def begin_text(self, *, write: bool) -> str:
        """With ``write``, the write lock is held from the beginning."""
        return "BEGIN IMMEDIATE" if write else "BEGIN"

    def rollback(self) -> None:
        """Undo the transaction, unless SQLite did so itself, as it does when the disk is full."""
        if self.connection.in_transaction:
            super().rollback()
        else:
            self._reset()

    def translate(self, error: Exception, *, committing: bool) -> StoreError:
        """By SQLite's error codes. A commit that fails has not happened, unless the disk failed in it."""
        assert isinstance(error, sqlite3.Error | UnicodeDecodeError)
        return translate(error, self.path, committing=committing)

    def pragma(self, text: str) -> Sequence[object]:
        """The first row of ``PRAGMA text``."""
        self._control(f"PRAGMA {text}")
        try:
            return self.cursor.fetchone() or ()
        except self.driver_error as error:  # some do their work only when their row is fetched
            raise self.translate(error, committing=False) from error

    def close(self) -> None:
        """Close the connection; calling it again does nothing."""
        # A cursor that keeps its last statement keeps the connection half open, with its files and its log.
        with suppress(sqlite3.ProgrammingError):
            self.cursor.close()
        self.connection.close()
