"""Executor of statements and transactions on one PostgreSQL connection."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from threading import get_ident
from time import monotonic
from typing import Any

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR, TRANSACTION_STATUS_INTRANS

from ciris_store_core.errors import AlreadyExists, Corrupt, OutcomeUnknown, StoreError, TransactionError, Unavailable
from ciris_store_core.sql import Dialect, SqlExecutor
from ciris_store_core.sql.statements import replace_conflict_clause
from ciris_store_postgres.connection import NEVER, PooledConnection
from ciris_store_postgres.dialect import PostgresDialect
from ciris_store_postgres.errors import translate

# READ COMMITTED is named, since a role or database may have another default. Each statement sees all that was committed
# before it began, and re-checks rows that it waited for. The server logs this text, so it says no more than that.
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED; "

SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
"""Every statement sees the snapshot of the first one."""

SETTINGS = """
SELECT pg_catalog.current_setting('default_transaction_isolation') <> 'read committed',
    CAST(pg_catalog.current_setting('extra_float_digits') AS integer) < 1,
    pg_catalog.current_setting('client_min_messages') IN ('error', 'fatal', 'panic'),
    EXISTS (SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'citus')
"""
"""Defaults of the server, the database or the role that must not apply to the store's statements; the last column
says that the database is a node of Citus."""

# Sent with each transaction, and in effect until it ends. A session-level SET would stay on the server connection that
# a transaction pooler hands to another client, while the next statement of this one runs on a third connection.
_LEVEL = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; "
_DIGITS = "SET LOCAL extra_float_digits = 1; "
_WARNINGS = "SET LOCAL client_min_messages = warning; "

STANDBYS = "SELECT pg_catalog.current_setting('synchronous_standby_names')"

# The driver shows no SQLSTATE of a warning, and no severity in another language than the server's.
_NO_WARNINGS = ("DEBUG", "INFO", "LOG", "NOTICE")

ROWS_PER_STATEMENT = 1000
"""Rows per INSERT. More are not faster, and cost memory on the server."""

COPY_CHUNK = 2**16
"""Bytes that are passed to the driver at a time."""


class PostgresExecutor(SqlExecutor):
    """Executor that sends few messages: BEGIN and SAVEPOINT are sent with the statement that follows them."""

    driver_error = psycopg2.Error

    def __init__(self, connection: PooledConnection, dialect: PostgresDialect, timeout: float) -> None:
        """Use one connection for its whole life. The watchdog limits each statement to ``timeout`` seconds."""
        super().__init__(connection.raw.cursor(), dialect)
        self.timeout = timeout
        self._alone = self._local = self._unsent = ""
        self._write = True
        self._notices = connection.raw.notices
        self._connection: PooledConnection | None = None
        self._forked = False
        self.distributed = False
        """True if the database is a node of a Citus cluster."""
        self.thread: int | None = None
        """The thread that uses it."""

    # The connection refers to its session for good, the session to its connection only while it is in use. So a
    # connection that its user lost without a release is garbage at once, and the pool notices.

    def attach(self, connection: PooledConnection, write: bool) -> None:
        """Begin a use: the connection was acquired for a call or a transaction, which may write or not."""
        # An interrupt may have left state of the previous use. The pool has checked the connection, but not this
        # object.
        self._in_transaction = False
        self._aborted = None
        self._depth = 0
        self._unsent = self._alone
        self._write = write
        self.thread = get_ident()
        self._connection = connection

    def detach(self) -> None:
        """End a use, before the connection is released."""
        self.thread = None
        self._connection = None

    def adapt(self) -> None:
        """Find the settings to send with each transaction and with each statement outside of one, and the server."""
        [(level, digits, warnings, self.distributed)] = self.rows(SETTINGS)
        self._local = _DIGITS * digits + _WARNINGS * warnings
        self._alone = _LEVEL * level + self._local

    def use_dialect(self, dialect: Dialect) -> None:
        """Run the statements of another store on this connection from now on."""
        self.dialect = dialect
        self._rendered = dialect.rendered

    def abandon(self) -> None:
        """Give up the connection in the child of a fork: it belongs to the parent, like the transaction on it."""
        self._forked = True
        self._connection = None

    @property
    def connection(self) -> PooledConnection:
        """Return the connection in use."""
        if self._connection is not None:
            return self._connection
        if self._forked:
            raise TransactionError(
                "the transaction belongs to the process that this one was forked from. Open a store in this process."
            )
        raise TransactionError("the session has ended. Begin a new one.")

    # --- statements ---------------------------------------------------------------------------

    def rows(self, statement: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        self._execute(statement, params)
        try:
            return self.cursor.fetchall()  # type: ignore[no-any-return]
        except psycopg2.DataError as error:
            raise Corrupt("a stored time is outside of the years 1 to 9999. Fix or delete its row by hand.") from error
        except psycopg2.Error as error:
            raise self._failed(error) from error

    def _execute(self, statement: str, params: Sequence[Any]) -> None:
        if self._aborted is not None:
            self._check()
        text = self._rendered.get(statement) or self.dialect.render(statement)
        try:
            self._send(text, params)
        except psycopg2.Error as error:
            raise self._failed(error) from error

    def _control(self, text: str, *, committing: bool = False) -> None:
        try:
            self._send(text, None)
        except psycopg2.Error as error:
            raise self.translate(error, committing=committing) from error

    def _send(self, text: str | bytes, params: Sequence[Any] | None) -> None:
        connection = self._connection or self.connection
        connection.deadline = monotonic() + self.timeout
        try:
            self.cursor.execute(self._with_unsent(text) if self._unsent else text, params)
        except psycopg2.Error:
            self._unsent = "" if self._in_transaction else self._alone
            raise
        finally:
            connection.deadline = NEVER
        # Not cleared if the driver raises another error for a value, before it sends anything: BEGIN still has to be
        # sent, or the next statement would run outside of its transaction.
        self._unsent = "" if self._in_transaction else self._alone
        if self._notices:
            self._look_at_notices(committed=text == "COMMIT" or not self._in_transaction)

    def _look_at_notices(self, *, committed: bool) -> None:
        """Raise ``OutcomeUnknown`` if the commit stopped waiting for its standby, which is only a warning."""
        warned = any(not notice.startswith(_NO_WARNINGS) and "\n" in notice.rstrip() for notice in self._notices)
        self._notices.clear()
        if committed and warned and self._write and self._has_standbys():
            raise OutcomeUnknown(
                "the wait for the synchronous standby was cancelled: the write is stored on this server, but may be "
                "lost if the standby takes over. Read it back, or repeat an add as in tasks.add(..., exist_ok=True)."
            )

    def _has_standbys(self) -> bool:
        with self.connection.raw.cursor() as cursor:  # the result on the executor's own cursor is still needed
            cursor.execute(STANDBYS)
            return cursor.fetchall() != [("",)]

    def send_with_next(self, text: str) -> None:
        """Send a setting of the transaction in one message with the next statement."""
        self._unsent += text

    def _with_unsent(self, text: str | bytes) -> str | bytes:
        return self._unsent + text if isinstance(text, str) else self._unsent.encode() + text

    def insert_new(self, statement: str, row: Sequence[Any], *, source: str = "", params: Sequence[Any] = ()) -> bool:
        """Insert a row. Return False if its key exists, or ``source`` has no row."""
        if self._in_transaction:
            return super().insert_new(statement, row, source=source, params=params)
        # Outside a transaction a failed statement does no harm, so the key's constraint reports the conflict: ON
        # CONFLICT costs a tenth of the call.
        statement = replace_conflict_clause(statement, "")
        try:
            return super().insert_new(statement, row, source=source, params=params)
        except AlreadyExists:
            return False

    def run_many(self, statement: str, many: Sequence[Sequence[Any]]) -> int:
        """Run an INSERT with one list of VALUES for many rows. Return the number of stored rows."""
        stored = 0
        for start in range(0, len(many), ROWS_PER_STATEMENT):
            self._send_values(statement, many[start : start + ROWS_PER_STATEMENT], ())
            stored += self.cursor.rowcount
        return stored

    def insert_returning(
        self, statement: str, rows: Sequence[Sequence[Any]], params: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        """Run an INSERT with one list of VALUES, and return its rows. ``params`` are bound after the values."""
        if len(rows) == 1:
            return self.rows(statement, (*rows[0], *params))
        self._send_values(statement, rows, params)
        try:
            return self.cursor.fetchall()  # type: ignore[no-any-return]
        except psycopg2.Error as error:
            raise self._failed(error) from error

    def _send_values(self, statement: str, rows: Sequence[Sequence[Any]], params: Sequence[Any]) -> None:
        self._check()
        before, row, after = map(self.dialect.render, _around_values(statement))
        mogrify = self.cursor.mogrify
        try:
            values = b",".join([mogrify(row, values) for values in rows])
            self._send(mogrify(before, ()) + values + (mogrify(after, params) if after else b""), None)
        except psycopg2.Error as error:
            raise self._failed(error) from error

    def copy(self, statement: str, source: Any) -> None:
        """Run a COPY ... FROM STDIN with the rows of the file ``source``."""
        self._check()
        # COPY must be alone in its message. So settings that are still to be sent go ahead in a transaction, and a
        # BEGIN that is still to be sent goes ahead with a SELECT.
        if self._unsent and not self._in_transaction:
            with self.transaction(write=True):
                self.copy(statement, source)
            return
        if self._unsent:
            self.run("SELECT 1")
        connection = self.connection
        connection.deadline = monotonic() + self.timeout
        try:
            self.cursor.copy_expert(self.dialect.render(statement), source, size=COPY_CHUNK)
            connection.raw.poll()  # otherwise the driver delivers notices of COPY only with the next statement
        except psycopg2.Error as error:
            raise self._failed(error) from error
        finally:
            connection.deadline = NEVER
        if self._notices:
            self._look_at_notices(committed=not self._in_transaction)

    # --- errors -------------------------------------------------------------------------------

    def translate(self, error: Exception, *, committing: bool) -> StoreError:
        """Translate by SQLSTATE. The outcome of a read transaction is never in doubt."""
        assert isinstance(error, psycopg2.Error)
        problem = translate(error, committing=committing and self._write)
        if type(problem) is Unavailable and self.connection.was_shut_down:
            problem = Unavailable(
                f"the database gave no answer within {self.timeout:g} s, and nothing was done. "
                "Find the lock or load that it waits for, or raise operation_timeout in the URL."
            )
            problem.retryable = False
        return problem

    # --- transactions -------------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        """Return True between the begin and the end of a transaction."""
        return self._in_transaction

    def begin(self, *, write: bool) -> None:
        """Start a transaction. BEGIN is sent with the first statement."""
        self.begin_with(BEGIN)

    def begin_with(self, text: str) -> None:
        """Start a transaction with another BEGIN, which is sent with the first statement."""
        self._unsent = text + self._local
        self._in_transaction = True

    def commit(self) -> None:
        """Commit the transaction."""
        if self._unsent.startswith("BEGIN"):
            self._reset()
            return
        try:
            if self.connection.has_input():
                # Unread input means that the server probably closed the connection. A failure of this SELECT proves
                # that nothing is stored; a failure of COMMIT would leave the outcome unknown.
                self._control("SELECT 1")
            self._control("COMMIT", committing=True)
        except StoreError:
            self.rollback()
            raise
        self._reset()
        # The server commits no transaction in which a statement failed, and reports no error then.
        if self.cursor.statusmessage != "COMMIT":
            raise TransactionError("the server rolled the transaction back, so nothing of it was stored. Run it again.")

    def rollback(self) -> None:
        """Roll back the transaction, if any. If the state of the connection is unknown, mark it as broken."""
        self._unsent = ""
        if self._connection is None:  # the parent of a fork owns the transaction
            self._reset()
            return
        status = self._connection.raw.get_transaction_status()
        if status in (TRANSACTION_STATUS_INTRANS, TRANSACTION_STATUS_INERROR):
            super().rollback()
            return
        if status != TRANSACTION_STATUS_IDLE:
            self.broken = True
        self._reset()

    def _reset(self) -> None:
        super()._reset()
        self._unsent = self._alone

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Begin a part that can be rolled back alone."""
        self._check()
        self._depth += 1
        begin = f"SAVEPOINT s{self._depth}; "
        release = f"RELEASE SAVEPOINT s{self._depth}; "
        self._unsent += begin
        try:
            yield
            self._check()
        except BaseException:
            if self._unsent.endswith(begin):
                self._unsent = self._unsent.removesuffix(begin)
            else:
                self._undo(release)
            raise
        else:
            if self._unsent.endswith(begin):
                self._unsent = self._unsent.removesuffix(begin)
            else:
                self._unsent += release
        finally:
            self._depth = max(0, self._depth - 1)

    def _undo(self, release: str) -> None:
        self._unsent = ""  # RELEASE of savepoints within this one, which end with it
        try:
            self._control(f"ROLLBACK TO {release.removeprefix('RELEASE ')}{release}")
        except StoreError as problem:
            self._aborted = problem  # the transaction is aborted, or the connection lost
        else:
            self._aborted = None


@cache
def _around_values(statement: str) -> tuple[str, str, str]:
    """Split an INSERT at its list of VALUES into the text before, the list, and the text after."""
    before, row, after = re.split(r"(?<=VALUES )(\(\s*\?(?:,\s*\?)*\s*\))", statement)
    return before, row, after
