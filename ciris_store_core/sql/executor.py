"""Statements and transactions on one connection, for every SQL backend that follows the DB-API.

An executor is made once per connection and used again for each transaction, so that nothing is built per call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ciris_store_core.errors import StoreError, TransactionError
from ciris_store_core.sql.dialect import Dialect
from ciris_store_core.sql.rows import Row
from ciris_store_core.sql.statements import leave_out_nulls, select_values

_OVER = TransactionError("over")


class SqlExecutor(ABC):
    """Executor of the toolkit's statements. Backends say how to begin, commit and translate errors."""

    driver_error: type[Exception] | tuple[type[Exception], ...]
    """Root of the driver's exceptions."""

    has_savepoints = True

    broken = False
    """True once the connection cannot be used again."""

    def __init__(self, cursor: Any, dialect: Dialect) -> None:
        """Run on one cursor, whose connection is in autocommit mode: BEGIN and COMMIT are sent from here."""
        self.cursor = cursor
        self.dialect = dialect
        self.codec = dialect.codec
        self._rendered = dialect.rendered
        self._in_transaction = False
        self._aborted: StoreError | None = None
        self._depth = 0
        self._number = 0

    # --- what a backend says ------------------------------------------------------------------

    @abstractmethod
    def translate(self, error: Exception, *, committing: bool) -> StoreError:
        """Return the store's error for one of the driver's."""

    def begin(self, *, write: bool) -> None:
        """Start a transaction."""
        # Marked before BEGIN is sent, and until the end of the transaction is acknowledged. Wherever an interrupt
        # strikes, the session then counts as one with an open transaction, and is discarded.
        self._in_transaction = True
        try:
            self._control(self.begin_text(write=write))
        except StoreError:
            self._in_transaction = False
            raise

    def begin_text(self, *, write: bool) -> str:
        """Return the statement that starts a transaction."""
        return "BEGIN"

    @property
    def in_use(self) -> bool:
        """True while a caller uses the session."""
        return self._aborted is not _OVER

    @property
    def is_clean(self) -> bool:
        """True if the connection may serve another caller. Backends discard a session that is not known to be clean.

        An interrupt can leave a transaction open between any two calls. Override it where the driver can be asked.
        """
        return not (self.broken or self._in_transaction)

    def take(self) -> None:
        """Reset the state for the next caller."""
        self._reset()

    def retire(self) -> None:
        """Refuse every call until the next ``take``: a handle that outlives its transaction then does no harm."""
        self._aborted = _OVER

    # --- statements ---------------------------------------------------------------------------

    def rows(self, statement: str, params: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a query."""
        self._execute(statement, params)
        try:
            return self.cursor.fetchall()  # type: ignore[no-any-return]
        except self.driver_error as error:  # SQLite reads pages of a damaged file only now
            raise self._failed(error) from error

    def row(self, statement: str, params: Sequence[Any] = ()) -> Row | None:
        """Return the first row of a query, or None."""
        self._execute(statement, params)
        try:
            return self.cursor.fetchone()  # type: ignore[no-any-return]
        except self.driver_error as error:
            raise self._failed(error) from error

    def run(self, statement: str, params: Sequence[Any] = ()) -> int:
        """Return the number of rows that a statement changed."""
        self._execute(statement, params)
        return self.cursor.rowcount  # type: ignore[no-any-return]

    def run_many(self, statement: str, many: Sequence[Sequence[Any]]) -> int:
        """Run a statement once for each set of values; return the number of rows that it changed in all."""
        self._check()
        try:
            self.cursor.executemany(self._rendered.get(statement) or self.dialect.render(statement), many)
        except self.driver_error as error:
            raise self._failed(error) from error
        return self.cursor.rowcount  # type: ignore[no-any-return]

    def insert(self, statement: str, many: Sequence[Sequence[Any]]) -> int:
        """Return the number of rows that an INSERT ... ON CONFLICT DO NOTHING stored, of one or many."""
        if len(many) == 1:
            return self.run(statement, many[0])
        return self.run_many(statement, many)

    def insert_new(self, statement: str, row: Sequence[Any], *, source: str = "", params: Sequence[Any] = ()) -> bool:
        """Run an INSERT ... ON CONFLICT DO NOTHING for one row; return False if its key exists.

        ``source``, a FROM clause that binds ``params``, must have a row; otherwise return False, too.
        """
        statement, rows = leave_out_nulls(statement, (row,))
        if source:
            statement = select_values(statement, source)
        return self.run(statement, (*rows[0], *params)) == 1

    def _execute(self, statement: str, params: Sequence[Any]) -> None:
        if self._aborted is not None:
            self._check()
        try:
            self.cursor.execute(self._rendered.get(statement) or self.dialect.render(statement), params)
        except self.driver_error as error:
            raise self._failed(error) from error

    def _control(self, text: str, *, committing: bool = False) -> None:
        try:
            self.cursor.execute(text)
        except self.driver_error as error:
            raise self.translate(error, committing=committing) from error

    def _failed(self, error: Exception) -> StoreError:
        # After an error, databases differ in what is left of the transaction: PostgreSQL refuses further statements,
        # and SQLite may have rolled all of it back and would commit the next statement by itself. So the transaction is
        # aborted here, and nothing more runs in it.
        problem = self.translate(error, committing=not self._in_transaction)
        if self._in_transaction:
            self._aborted = problem
        return problem

    def _check(self) -> None:
        if self._aborted is _OVER:
            raise TransactionError("the transaction is over. Begin a new one.")
        if self._aborted is not None:
            raise TransactionError(
                "an earlier failure aborted this transaction. Leave its block and run it again as a whole."
            ) from self._aborted

    # --- transactions -------------------------------------------------------------------------

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[None]:
        """Commit at the end of the block; roll back on any ``BaseException``."""
        # A generator that an interrupt abandoned is closed when it is collected, perhaps within a later transaction of
        # the same session. The number tells that transaction from this one, so that only this one is rolled back.
        self._check()  # otherwise its rollback would make a session usable whose transaction is over
        number = self._number
        self.begin(write=write)
        try:
            yield
        except BaseException as error:
            if number == self._number:
                self.end(error)
            raise
        self.end(None)

    def end(self, error: BaseException | None) -> None:
        """Commit; roll back if the block raised. Roll back and raise ``TransactionError`` if it was aborted."""
        if error is not None:
            self.rollback()
        elif self._aborted is not None:
            aborted = self._aborted
            self.rollback()
            message = "an earlier failure aborted this transaction, and nothing of it was stored. Run it again."
            raise TransactionError(message) from aborted
        else:
            self.commit()

    def commit(self) -> None:
        """Commit the transaction."""
        try:
            self._control("COMMIT", committing=True)
        except StoreError:
            self.rollback()
            raise
        self._reset()

    def rollback(self) -> None:
        """Roll the transaction back. Never raise: if it fails, mark the connection as broken."""
        try:
            self._control("ROLLBACK")
        except StoreError:
            self.broken = True
        self._reset()

    def _reset(self) -> None:
        self._number += 1
        self._in_transaction = False
        self._aborted = None
        self._depth = 0

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Begin a nested part that is rolled back alone if it raises [cap: savepoints]."""
        self._check()
        if not self.has_savepoints:
            with self._aborting():
                yield
            return
        number = self._number
        self._depth += 1
        name = f"s{self._depth}"
        self._control(f"SAVEPOINT {name}")
        try:
            yield
            self._check()
        except BaseException:
            # Not if this block was abandoned and is collected within a later transaction: see ``transaction``.
            if number == self._number:
                self._undo_to(name)
            raise
        else:
            self._control(f"RELEASE SAVEPOINT {name}")
        finally:
            if number == self._number:
                self._depth = max(0, self._depth - 1)

    def _undo_to(self, name: str) -> None:
        try:
            self._control(f"ROLLBACK TO SAVEPOINT {name}")
            self._control(f"RELEASE SAVEPOINT {name}")
        except StoreError as problem:
            self._aborted = problem  # the database rolled back the whole transaction, or the connection is lost
        else:
            self._aborted = None

    @contextmanager
    def _aborting(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._aborted = error if isinstance(error, StoreError) else TransactionError("a nested part failed")
            raise

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Make the statements of one call atomic.

        Outside a transaction it is one of its own; inside, a savepoint, so that a failing call writes nothing.
        """
        # A transaction would reset the state of a session that was retired, and so let its handle write again.
        self._check()
        with self.savepoint() if self._in_transaction else self.transaction(write=True):
            yield
