"""Session on one SQLite connection."""

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
from ciris_store_sqlite.documents import SqliteDocumentStore
from ciris_store_sqlite.errors import translate
from ciris_store_sqlite.graph import SqliteGraphStore

_TERM, _COUNT = "coalesce(sample_sum, metric_value)", "coalesce(sample_count, 1)"


class SqliteCorrelationStore(SqlCorrelationStore):
    """Store of correlations, with a sum that is exact where floats cancel out."""

    exact_aggregates: ClassVar = {"sum": f"exact_sum({_TERM}, 0)", "avg": f"exact_sum({_TERM}, {_COUNT})"}


class ExactSum:
    """Aggregate function for an exact sum: before version 3.43, SQLite's own loses terms that cancel out.

    It divides by the sum of its second argument, unless that is 0.
    """

    def __init__(self) -> None:
        self._values: list[float] = []
        self._count = 0

    def step(self, value: float, count: int) -> None:
        """Add one value, which stands for ``count`` samples."""
        self._values.append(value)
        self._count += count

    def finalize(self) -> float:
        """Return the sum or average, rounded once."""
        return total_over(self._values, self._count or 1)


class SqliteSession(SqlSession):
    """Session that begins a writing transaction with SQLite's write lock.

    A transaction that reads first and locks at its first write would fail there if another one wrote in between.
    """

    graph_class = SqliteGraphStore
    correlations_class = SqliteCorrelationStore
    documents_class = SqliteDocumentStore
    # UnicodeDecodeError comes from a damaged file: SQLite's message quotes it, and Python cannot decode the message.
    driver_error = (sqlite3.Error, UnicodeDecodeError)

    def __init__(self, connection: sqlite3.Connection, dialect: SqliteDialect, path: str) -> None:
        """On a connection of its own, in autocommit mode."""
        super().__init__(connection.cursor(), dialect)
        self.connection = connection
        connection.create_aggregate("exact_sum", 2, ExactSum)  # type: ignore[arg-type]  # of integers, it says
        connection.create_function("exact_number", 1, float, deterministic=True)
        self.path = path
        self.files: object = None
        """Identities of the log and its index that the connection has open."""

    @property
    def is_clean(self) -> bool:
        """True if SQLite, too, knows of no open transaction."""
        return not (self.broken or self.connection.in_transaction)

    def recover(self) -> bool:
        """Roll back a transaction that an interrupt left open; return True if the session is clean after it."""
        with suppress(sqlite3.Error):
            self.cursor.close()
            self.cursor = self.connection.cursor()
            self.connection.rollback()
        self._reset()
        return self.is_clean

    def begin_text(self, *, write: bool) -> str:
        """Return the statement that starts a transaction; with ``write``, it acquires the write lock."""
        return "BEGIN IMMEDIATE" if write else "BEGIN"

    def rollback(self) -> None:
        """Roll the transaction back, unless SQLite did so itself, as it does if the disk is full."""
        if self.connection.in_transaction:
            super().rollback()
        else:
            self._reset()

    def translate(self, error: Exception, *, committing: bool) -> StoreError:
        """Translate by SQLite's error codes. A failed commit has stored nothing, unless the disk failed in it."""
        assert isinstance(error, sqlite3.Error | UnicodeDecodeError)
        return translate(error, self.path, committing=committing)

    def pragma(self, text: str) -> Sequence[object]:
        """Return the first row of ``PRAGMA text``."""
        self._control(f"PRAGMA {text}")
        try:
            return self.cursor.fetchone() or ()
        except self.driver_error as error:  # some pragmas do their work only when their row is fetched
            raise self.translate(error, committing=False) from error

    def close(self) -> None:
        # A cursor with an unfinished statement would keep the connection, its files and its log half open.
        with suppress(sqlite3.ProgrammingError):
            self.cursor.close()
        self.connection.close()
