"""Driver errors to store errors, by SQLSTATE and by the state of the connection, never by message text."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg2

from ciris_store_core.errors import (
    AccessDenied,
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
    """What a SQLSTATE means to the caller of the store."""

    error: type[StoreError]
    text: str
    #: Whether the server's own sentence may be shown: it names tables or files, but never a stored value.
    quote: bool = False
    #: False for an ``Unavailable`` that running the same again would not cure.
    retryable: bool = True


_MIGRATE = _Meaning(
    MigrationRequired, "the schema is not the one that this program needs: run 'ciris-store migrate'", quote=True
)
_TRANSACTION = _Meaning(TransactionError, "the transaction can no longer be used: run the whole of it again")
_CONFLICT = _Meaning(Conflict, "another record with the same key exists")
_BUSY = _Meaning(Unavailable, "the server is short of a resource: run the call again later", quote=True)
_GOING = _Meaning(Unavailable, "the server is starting or stopping: run the call again later", quote=True)
_SLOW = _Meaning(
    Unavailable,
    "the database ended the statement or the transaction because of a time limit or an operator: raise the limit",
    quote=True,
    retryable=False,
)
_DAMAGED = _Meaning(Corrupt, "the database reports damaged data: stop writing and restore a backup", quote=True)

# A whole SQLSTATE wins over its class, the first two characters.
_MEANINGS = {
    "08": _Meaning(Unavailable, "the connection to the database failed: run the call again"),
    "0A": _Meaning(NotSupported, "this server cannot do that", quote=True),
    "21": _Meaning(InvalidArgument, "the same record stands twice in one call: give it once"),
    "22": _Meaning(InvalidArgument, "the database cannot store a value of the call: fix the value"),
    "23001": _Meaning(Conflict, "other records still need this one"),
    "23502": _Meaning(InvalidArgument, "a required value is missing"),
    "23503": _Meaning(NotFound, "a record that the call refers to does not exist: create it first"),
    "23505": _CONFLICT,
    "23514": _Meaning(InvalidArgument, "a value is outside of what the schema allows"),
    "23P01": _CONFLICT,
    "25006": _Meaning(ReadOnly, "the server is read-only: name the primary in the URL", quote=True),
    "25P02": _TRANSACTION,
    "25P03": _SLOW,
    "25P04": _SLOW,
    "28": _Meaning(AccessDenied, "the server refused the login: check user name, password and pg_hba.conf"),
    "3B": _TRANSACTION,
    "3D": _Meaning(InvalidURL, "the database that the URL names does not exist: make it, for instance with createdb"),
    "3F": _MIGRATE,
    "40": _Meaning(Unavailable, "another transaction got in the way: run the whole transaction again", quote=True),
    "40002": _CONFLICT,
    "42501": _Meaning(AccessDenied, "the database user lacks a right: grant it", quote=True),
    "42703": _MIGRATE,
    "42P01": _MIGRATE,
    "53": _BUSY,
    "53100": _Meaning(StorageFull, "the server's disk is full: make room, then run the call again", quote=True),
    "53300": _Meaning(
        Unavailable, "the server has no free connection: use smaller pools, or raise its max_connections", quote=True
    ),
    "54": _Meaning(InvalidArgument, "a value or the call is too large for the database: make it smaller"),
    "55006": _BUSY,
    "57P05": _Meaning(Unavailable, "the server ended a connection that was idle: run the call again", quote=True),
    "55P03": _Meaning(Unavailable, "a lock did not come free in time: run the call again", quote=True),
    "57": _GOING,
    "57014": _SLOW,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
_OTHER = _Meaning(DatabaseError, "the database refused for an unexpected reason: see __cause__ and report it")
_CLOSED = "the connection to the database was lost, and nothing was done: run the call again"
_UNKNOWN = (
    "the connection was lost after the write was sent, so it may or may not be stored: "
    "read it back, or repeat an add as in tasks.add(..., exist_ok=True)"
)

# The server itself says that it does not know (08007, 40003).
_UNKNOWN_STATES = frozenset({"08007", "40003"})
# Timeouts that end the session, and strike before it begins to commit: idle in a transaction, the transaction's, idle.
_CERTAIN_STATES = frozenset({"25P03", "25P04", "57P05"})


def translate(exc: psycopg2.Error, *, committing: bool = False, wrote: bool = False) -> StoreError:
    """The store's error for a driver's error; its ``__cause__`` is set to ``exc``.

    The connection may be unusable afterwards: whoever returns it to the pool need not know, the pool looks.

    Args:
        exc: What the driver raised.
        committing: COMMIT of a transaction was handed to the driver when it raised.
        wrote: A writing statement outside a transaction was, which commits by itself.

    Returns:
        ``OutcomeUnknown`` where the connection was lost and either flag is set; ``Unavailable`` where it was lost
        otherwise; else what the SQLSTATE means.
    """
    error = _translate(exc, committing or wrote)
    error.__cause__ = exc
    return error


def from_sqlstate(state: str, primary: str | None = None) -> StoreError:
    """The store's error for a SQLSTATE alone. ``primary`` is the server's sentence, shown where it is harmless."""
    meaning = _MEANINGS.get(state) or _MEANINGS.get(state[:2]) or _OTHER
    said = f": {primary}" if primary and meaning.quote else ""
    error = meaning.error(f"{meaning.text} (SQLSTATE {state}{said})")
    if not meaning.retryable:
        error.retryable = False
    return error


def _translate(exc: psycopg2.Error, could_be_stored: bool) -> StoreError:
    state: str | None = exc.pgcode
    if could_be_stored and _answer_is_lost(exc):
        return OutcomeUnknown(_UNKNOWN + (f" (SQLSTATE {state})" if state else ""))
    if state in _UNKNOWN_STATES:
        return OutcomeUnknown(f"{_UNKNOWN} (SQLSTATE {state})")
    if state:
        return from_sqlstate(state, exc.diag.message_primary)
    if _is_about_the_connection(exc):
        return Unavailable(_CLOSED)
    return DatabaseError("the driver refused the call: see __cause__ and report it")


def _answer_is_lost(exc: psycopg2.Error) -> bool:
    """Whether the driver got no definite answer to what it had sent."""
    if isinstance(exc, psycopg2.InterfaceError):
        # The driver looks at its own connection and raises this before it sends anything.
        return False
    if exc.pgcode is None:
        # The driver refuses a wrong call before it sends anything. Its other errors say nothing of what was done.
        return not isinstance(exc, (psycopg2.ProgrammingError, psycopg2.NotSupportedError, psycopg2.DataError))
    if exc.pgcode in _CERTAIN_STATES:
        return False
    # A session that the server ends may have committed already, for instance while it waited for a standby.
    return exc.pgcode.startswith("08") or exc.diag.severity_nonlocalized in ("FATAL", "PANIC")


def _is_about_the_connection(exc: psycopg2.Error) -> bool:
    """Whether an error without SQLSTATE comes from a connection that died, not from a wrong use of the driver."""
    # The driver raises a plain DatabaseError where it cannot tell more.
    return isinstance(exc, (psycopg2.OperationalError, psycopg2.InterfaceError)) or type(exc) is psycopg2.DatabaseError
