"""Translation of driver errors, by SQLSTATE and by the state of the connection, never by message text."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg2

from ciris_store_core.errors import (
    AccessDenied,
    AlreadyExists,
    Conflict,
    Corrupt,
    DatabaseError,
    InvalidArgument,
    InvalidURL,
    MigrationRequired,
    NotFound,
    NotSupported,
    OutcomeUnknown,
    ReadOnly,
    StorageFull,
    StoreError,
    TransactionError,
    Unavailable,
)


@dataclass(frozen=True, slots=True)
class _Meaning:
    """Meaning of a SQLSTATE for the caller of the store."""

    error: type[StoreError]
    text: str
    hint: str | None = None
    quote: bool = False
    """True if the server's own message may be shown: it names tables or files, never a stored value."""
    retryable: bool = True
    """False for an ``Unavailable`` that a retry would not cure."""


_MIGRATE = _Meaning(
    MigrationRequired, "the schema is not the one that this program needs", "Run 'ciris-store migrate'.", quote=True
)
_TRANSACTION = _Meaning(TransactionError, "the transaction is aborted", "Run the whole of it again.")
_CONFLICT = _Meaning(Conflict, "another record with the same key exists", "Read it and decide, or use another id.")
_EXISTS = _Meaning(AlreadyExists, "another record with the same key exists", "Read it and decide, or use another id.")
_BUSY = _Meaning(Unavailable, "the server is short of a resource", "Run the call again later.", quote=True)
_GOING = _Meaning(Unavailable, "the server is starting or stopping", "Run the call again later.", quote=True)
_SLOW = _Meaning(
    Unavailable,
    "a time limit or an operator ended the statement or the transaction",
    "Raise the limit.",
    quote=True,
    retryable=False,
)
_DAMAGED = _Meaning(Corrupt, "the database reports damaged data", "Stop writing and restore a backup.", quote=True)

# A whole SQLSTATE takes precedence over its class, the first two characters.
_MEANINGS = {
    "08": _Meaning(Unavailable, "the connection to the database failed", "Run the call again."),
    "0A": _Meaning(NotSupported, "this server cannot do that", "Upgrade the server.", quote=True),
    "21": _Meaning(InvalidArgument, "the call names the same record twice", "Name it once."),
    "22": _Meaning(InvalidArgument, "the database cannot store a value of the call", "Fix the value."),
    "23001": _Meaning(Conflict, "other records still refer to this one", "Delete these first."),
    "23502": _Meaning(InvalidArgument, "a required value is missing", "Add it."),
    "23503": _Meaning(NotFound, "a record that the call refers to does not exist", "Create it first."),
    "23505": _EXISTS,
    "23514": _Meaning(InvalidArgument, "a value is outside the range that the schema allows", "Fix the value."),
    "23P01": _CONFLICT,
    "25006": _Meaning(ReadOnly, "the server is read-only", "Name the primary in the URL.", quote=True),
    "25P02": _TRANSACTION,
    "25P03": _SLOW,
    "25P04": _SLOW,
    "28": _Meaning(AccessDenied, "the server refused the login", "Check user name, password and pg_hba.conf."),
    "3B": _TRANSACTION,
    "3D": _Meaning(InvalidURL, "the database of the URL does not exist", "Create it, for instance with createdb."),
    "3F": _MIGRATE,
    "40": _Meaning(
        Unavailable, "the transaction conflicts with another one", "Run the whole transaction again.", quote=True
    ),
    "40002": _CONFLICT,
    "42501": _Meaning(AccessDenied, "the database user lacks a right", "Grant it.", quote=True),
    "42703": _MIGRATE,
    "42P01": _MIGRATE,
    "53": _BUSY,
    "53100": _Meaning(StorageFull, "the server's disk is full", "Free space, then run the call again.", quote=True),
    "53300": _Meaning(
        Unavailable, "the server has no free connection", "Use smaller pools, or raise its max_connections.", quote=True
    ),
    "54": _Meaning(InvalidArgument, "a value or the call is too large for the database", "Make it smaller."),
    "55006": _BUSY,
    "57P05": _Meaning(Unavailable, "the server ended an idle connection", "Run the call again.", quote=True),
    "55P03": _Meaning(
        Unavailable,
        "another transaction did not release a lock in time",
        "If its process is stopped, end it (see pg_stat_activity), then run the call again.",
        quote=True,
    ),
    "57": _GOING,
    "57014": _SLOW,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
_OTHER = _Meaning(DatabaseError, "the database raised an unexpected error", "See __cause__ and report it.")
_CLOSED = "the connection to the database was lost, and nothing was done. Run the call again."
_UNKNOWN = "the server gave no definite answer to the write, so it may or may not be stored"
_READ_BACK = "Read it back, or repeat an add as in tasks.add(..., exist_ok=True)."

# With these states the server itself reports that the outcome is unknown.
_UNKNOWN_STATES = frozenset({"08007", "40003"})
# Timeouts that end the session before a commit can start: idle_in_transaction_session_timeout, transaction_timeout and
# idle_session_timeout. So nothing was stored.
_CERTAIN_STATES = frozenset({"25P03", "25P04", "57P05"})


def translate(exc: psycopg2.Error, *, committing: bool = False, wrote: bool = False) -> StoreError:
    """Return the store's error for a driver's error, with ``exc`` as its ``__cause__``.

    The connection may be unusable afterwards. Callers need not know: the pool checks each connection on release.

    Args:
        exc: The driver's error.
        committing: True if the COMMIT of a transaction had been passed to the driver.
        wrote: True if a writing statement outside a transaction had been passed to the driver; it commits by itself.

    Returns:
        If the connection was lost: ``OutcomeUnknown`` if either flag is set, else ``Unavailable``. Otherwise the
        meaning of the SQLSTATE; if it has none, ``OutcomeUnknown`` if either flag is set, else ``DatabaseError``.
    """
    error = _translate(exc, committing or wrote)
    error.__cause__ = exc
    return error


def from_sqlstate(state: str, primary: str | None = None) -> StoreError:
    """Return the store's error for a SQLSTATE. ``primary``, the server's message, is shown where it holds no values."""
    meaning = _meaning(state)
    said = f": {primary}" if primary and meaning.quote else ""
    error = meaning.error(f"{meaning.text} (SQLSTATE {state}{said})", hint=meaning.hint)
    if not meaning.retryable:
        error.retryable = False
    return error


def _translate(exc: psycopg2.Error, could_be_stored: bool) -> StoreError:
    state: str | None = exc.pgcode
    if could_be_stored and _answer_is_lost(exc):
        return OutcomeUnknown(_UNKNOWN + (f" (SQLSTATE {state})" if state else ""), hint=_READ_BACK)
    if state in _UNKNOWN_STATES or (could_be_stored and state and _is_unexpected(state)):
        return OutcomeUnknown(f"{_UNKNOWN} (SQLSTATE {state})", hint=_READ_BACK)
    if state:
        return from_sqlstate(state, exc.diag.message_primary)
    if _is_about_the_connection(exc):
        return Unavailable(_CLOSED)
    return DatabaseError("the driver refused the call. See __cause__ and report it.")


def _is_unexpected(state: str) -> bool:
    """Return True if a SQLSTATE does not tell whether the statement that it answers had committed.

    A coordinator of Citus answers XX000 to a COMMIT if it loses the node that commits, which may have stored the rows.
    """
    return _meaning(state) is _OTHER and not state.startswith("42")


def _meaning(state: str) -> _Meaning:
    return _MEANINGS.get(state) or _MEANINGS.get(state[:2]) or _OTHER


def _answer_is_lost(exc: psycopg2.Error) -> bool:
    """Return True if the driver got no definite answer to a statement that it had sent."""
    if isinstance(exc, psycopg2.InterfaceError):
        # The driver checks its connection and raises this before it sends anything.
        return False
    if exc.pgcode is None:
        # The driver raises these three for a wrong call, before it sends anything. Its other errors do not tell.
        return not isinstance(exc, (psycopg2.ProgrammingError, psycopg2.NotSupportedError, psycopg2.DataError))
    if exc.pgcode in _CERTAIN_STATES:
        return False
    # A session that the server ends may have committed already, for example while it waited for a standby.
    return exc.pgcode.startswith("08") or exc.diag.severity_nonlocalized in ("FATAL", "PANIC")


def _is_about_the_connection(exc: psycopg2.Error) -> bool:
    """Return True if an error without SQLSTATE comes from a lost connection, not from a wrong use of the driver."""
    # For some lost connections the driver raises a plain DatabaseError, not one of its subclasses.
    return isinstance(exc, (psycopg2.OperationalError, psycopg2.InterfaceError)) or type(exc) is psycopg2.DatabaseError
