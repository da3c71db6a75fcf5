"""A session on one PostgreSQL connection."""

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
from ciris_store_core.sql import SqlSession
from ciris_store_core.sql.statements import leave_out_nulls, replace_conflict_clause
from ciris_store_postgres.audit import PostgresAuditStore
from ciris_store_postgres.connection import NEVER, PooledConnection
from ciris_store_postgres.coordination import PostgresCoordinationStore
from ciris_store_postgres.correlations import PostgresCorrelationStore
from ciris_store_postgres.dialect import PostgresDialect
from ciris_store_postgres.errors import translate
from ciris_store_postgres.graph import PostgresGraphStore
from ciris_store_postgres.tasks import PostgresTaskStore
from ciris_store_postgres.thoughts import PostgresThoughtStore

# What is sent is written into the server's log and its views, so it says what it needs and nothing else.
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED; "

SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
"""Every statement sees what was committed when the first one ran."""

SETTINGS = """
SELECT pg_catalog.current_setting('default_transaction_isolation') <> 'read committed',
    CAST(pg_catalog.current_setting('extra_float_digits') AS integer) < 1,
    pg_catalog.current_setting('client_min_messages') IN ('error', 'fatal', 'panic')
"""
"""Which defaults of the server, the database or the role must not apply to the store's statements."""

# Sent with the statements that they are for, and over with their transaction: a transaction pooler would give the
# next statement to another server process, and this one to another client.
_LEVEL = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; "
_DIGITS = "SET LOCAL extra_float_digits = 1; "
_WARNINGS = "SET LOCAL client_min_messages = warning; "

STANDBYS = "SELECT pg_catalog.current_setting('synchronous_standby_names')"

# The driver shows no SQLSTATE of a warning, and no severity in another language than the server's.
_NO_WARNINGS = ("DEBUG", "INFO", "LOG", "NOTICE")

ROWS_PER_STATEMENT = 1000
"""How many rows one INSERT gets: more are neither faster nor kind to the server's memory."""

COPY_CHUNK = 2**16
"""Bytes that are handed to the driver at a time."""


class PostgresSession(SqlSession):
    """Sends as few messages as it can: BEGIN and savepoints travel with the statement that follows them."""

    graph_class = PostgresGraphStore
    correlations_class = PostgresCorrelationStore
    tasks_class = PostgresTaskStore
    thoughts_class = PostgresThoughtStore
    coordination_class = PostgresCoordinationStore
    audit_class = PostgresAuditStore
    driver_error = psycopg2.Error

    def __init__(self, connection: PooledConnection, dialect: PostgresDialect, timeout: float) -> None:
        """For the life of a connection. ``timeout``: seconds that the watchdog leaves each statement."""
        super().__init__(connection.raw.cursor(), dialect)
        self.timeout = timeout
        self._alone = self._local = self._unsent = ""
        self._write = True
        self._notices = connection.raw.notices
        self._connection: PooledConnection | None = None
        self._forked = False
        self.thread: int | None = None
        """Who uses it."""

    # The connection holds its session. The session holds the connection only while it is in use, so that a connection
    # that its user lost is garbage at once.

    def attach(self, connection: PooledConnection, write: bool) -> None:
        """The connection was taken out of the pool for a call or a transaction, which may write or not."""
        # Whatever an interrupt left behind of the use before: the pool has looked at the connection, not at this.
        self._in_transaction = False
        self._aborted = None
        self._depth = 0
        self._unsent = self._alone
        self._write = write
        self.thread = get_ident()
        self._connection = connection

    def detach(self) -> None:
        """The connection goes back to the pool."""
        self.thread = None
        self._connection = None

    def adapt(self) -> None:
        """Find out what has to be sent with each transaction, and with each statement that is none."""
        [(level, digits, warnings)] = self.rows(SETTINGS)
        self._local = _DIGITS * digits + _WARNINGS * warnings
        self._alone = _LEVEL * level + self._local

    def abandon(self) -> None:
        """In the child of a fork: the connection, and the transaction on it, are the parent's."""
        self._forked = True
        self._connection = None

    @property
    def connection(self) -> PooledConnection:
        """The connection in use."""
        if self._connection is not None:
            return self._connection
        if self._forked:
            raise TransactionError(
                "the transaction belongs to the process that this one was forked from: open a store in this process"
            )
        raise TransactionError("the session is over: begin a new one")

    # --- statements ---------------------------------------------------------------------------

    def rows(self, statement: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        self._execute(statement, params)
        try:
            return self.cursor.fetchall()  # type: ignore[no-any-return]
        except psycopg2.DataError as error:
            raise Corrupt("a stored time is outside of the years 1 to 9999: fix or delete its row by hand") from error

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
        # Kept when a value cannot even be written out, or the next statement would run outside of its transaction.
        self._unsent = "" if self._in_transaction else self._alone
        if self._notices:
            self._look_at_notices(committed=text == "COMMIT" or not self._in_transaction)

    def _look_at_notices(self, *, committed: bool) -> None:
        """Raise if the server told that it no longer waits for its standby: a warning, and the commit succeeds."""
        warned = any(not notice.startswith(_NO_WARNINGS) and "\n" in notice.rstrip() for notice in self._notices)
        self._notices.clear()
        if committed and warned and self._write and self._has_standbys():
            raise OutcomeUnknown(
                "the wait for the synchronous standby was cancelled: the write is stored on this server, and may be "
                "lost if the standby takes over; read it back, or repeat an add as in tasks.add(..., exist_ok=True)"
            )

    def _has_standbys(self) -> bool:
        with self.connection.raw.cursor() as cursor:  # what the session's own says of its statement is still needed
            cursor.execute(STANDBYS)
            return cursor.fetchall() != [("",)]

    def _with_unsent(self, text: str | bytes) -> str | bytes:
        return self._unsent + text if isinstance(text, str) else self._unsent.encode() + text

    def insert_new(self, statement: str, row: Sequence[Any]) -> bool:
        """Whether a row was stored; False where its key exists."""
        if self._in_transaction:
            return super().insert_new(statement, row)
        # A statement of its own may fail without harm, and does without ON CONFLICT, which costs a tenth of the call.
        statement, rows = leave_out_nulls(replace_conflict_clause(statement, ""), (row,))
        try:
            return self.run(statement, rows[0]) == 1
        except AlreadyExists:
            return False

    def run_many(self, statement: str, many: Sequence[Sequence[Any]]) -> int:
        """How many rows an INSERT with one list of VALUES stored, for many rows."""
        stored = 0
        for start in range(0, len(many), ROWS_PER_STATEMENT):
            self._send_values(statement, many[start : start + ROWS_PER_STATEMENT], ())
            stored += self.cursor.rowcount
        return stored

    def insert_returning(
        self, statement: str, rows: Sequence[Sequence[Any]], params: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        """What an INSERT with one list of VALUES returns for some rows; ``params`` are bound after the values."""
        if len(rows) == 1:
            return self.rows(statement, (*rows[0], *params))
        self._send_values(statement, rows, params)
        return self.cursor.fetchall()  # type: ignore[no-any-return]

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
        """Run a COPY ... FROM STDIN; ``source`` is a file of the rows."""
        self._check()
        if self._unsent and not self._in_transaction:
            with self.transaction(write=True):
                self.copy(statement, source)
            return
        if self._unsent:
            self.run("SELECT 1")  # a message of COPY holds nothing else
        connection = self.connection
        connection.deadline = monotonic() + self.timeout
        try:
            self.cursor.copy_expert(self.dialect.render(statement), source, size=COPY_CHUNK)
            connection.raw.poll()  # without it, the driver shows notices of COPY only after the next statement
        except psycopg2.Error as error:
            raise self._failed(error) from error
        finally:
            connection.deadline = NEVER
        if self._notices:
            self._look_at_notices(committed=not self._in_transaction)

    # --- errors -------------------------------------------------------------------------------

    def translate(self, error: Exception, *, committing: bool) -> StoreError:
        """By SQLSTATE. Where nothing was to be written, nothing can be in doubt."""
        assert isinstance(error, psycopg2.Error)
        problem = translate(error, committing=committing and self._write)
        if type(problem) is Unavailable and self.connection.was_shut_down:
            problem = Unavailable(
                f"the database gave no answer within {self.timeout:g} s, and nothing was done: "
                "see what it waits for, or raise operation_timeout in the URL"
            )
            problem.retryable = False
        return problem

    # --- transactions -------------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        """Whether statements belong to a transaction, not each to one of its own."""
        return self._in_transaction

    def begin(self, *, write: bool) -> None:
        """Start a transaction, with its first statement."""
        self.begin_with(BEGIN)

    def begin_with(self, text: str) -> None:
        """Start a transaction in that way, with its first statement."""
        self._unsent = text + self._local
        self._in_transaction = True

    def commit(self) -> None:
        """End the transaction, keeping what it did."""
        if self._unsent.startswith("BEGIN"):
            self._reset()
            return
        try:
            if self.connection.has_input():
                self._control("SELECT 1")  # before COMMIT was sent, it is certain that nothing is stored
            self._control("COMMIT", committing=True)
        except StoreError:
            self.rollback()
            raise
        self._reset()
        # The server commits no transaction in which a statement failed, and reports no error then.
        if self.cursor.statusmessage != "COMMIT":
            raise TransactionError("the server rolled the transaction back: nothing of it was stored")

    def rollback(self) -> None:
        """Undo the transaction, if there is one. The connection is dropped where that cannot be told."""
        self._unsent = ""
        if self._connection is None:  # of the parent's
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
        """A part that is undone alone."""
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
        self._unsent = ""  # releases of savepoints within this one
        try:
            self._control(f"ROLLBACK TO {release.removeprefix('RELEASE ')}{release}")
        except StoreError as problem:
            self._aborted = problem  # the whole transaction is gone, or the connection
        else:
            self._aborted = None


@cache
def _around_values(statement: str) -> tuple[str, str, str]:
    """An INSERT in three parts: what is before its list of values, the list, and what is after it."""
    before, row, after = re.split(r"(?<=VALUES )(\(\s*\?(?:,\s*\?)*\s*\))", statement)
    return before, row, after
