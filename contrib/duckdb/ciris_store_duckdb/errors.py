"""Translation of DuckDB's errors, by their class: it has no error codes."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import duckdb

from ciris_store_core.errors import (
    DatabaseError,
    InvalidURL,
    NotADatabase,
    OutcomeUnknown,
    ReadOnly,
    StorageFull,
    StoreError,
    TransactionError,
    Unavailable,
)

ROOM_TO_WRITE = 2**20
"""Bytes below which a disk counts as full."""

_MAGIC = slice(8, 12)


def ends_connection(error: Exception) -> bool:
    """Return True if no statement can succeed any more: DuckDB shuts the database down after such an error."""
    return isinstance(error, (duckdb.FatalException, duckdb.InternalException))


def translate(error: Exception, path: str, *, committing: bool) -> StoreError:
    """Return the store's error for one of DuckDB's."""
    match error:
        case duckdb.FatalException() if committing:
            return OutcomeUnknown(f"{path} failed while it stored a transaction. Open it again and read what is there.")
        case duckdb.FatalException():
            return Unavailable(f"{path} failed and was shut down; nothing was written. Open the store again.")
        case duckdb.TransactionException():
            return Unavailable("another transaction changed the same rows. Run it again.")
        case duckdb.OutOfMemoryException():
            return Unavailable("DuckDB came to its limit of memory; nothing was written. Make the call smaller.")
        case duckdb.InterruptException():
            return Unavailable("the statement was interrupted, and nothing of it was written. Run it again.")
        case duckdb.ConnectionException():
            return TransactionError("the connection was closed. Open the store again.")
        case duckdb.IOException():
            return _disk_failed(path)
    return DatabaseError(f"DuckDB refused the call ({type(error).__name__}: {error}). See __cause__ and report it.")


def _disk_failed(path: str) -> StoreError:
    with suppress(OSError):
        if shutil.disk_usage(Path(path).parent).free < ROOM_TO_WRITE:
            return StorageFull(f"no room left for {path}; stored data is intact. Make room, then try again.")
    return Unavailable(f"{path} could not be read or written; nothing of the call was stored. Check the disk.")


def cannot_open(error: Exception, path: str) -> StoreError:
    """Return the error that explains why a file cannot be opened; DuckDB has one error for all reasons."""
    if not isinstance(error, duckdb.IOException):
        return translate(error, path, committing=False)
    try:
        return _reason(Path(path))
    except OSError as problem:
        return ReadOnly(f"{path} cannot be reached ({problem.strerror}). Check the permissions of its folders.")


def _reason(file: Path) -> StoreError:
    if file.is_dir():
        return InvalidURL(f"{file} is a directory. Name a file in it.")
    if not file.parent.is_dir():
        return InvalidURL(f"there is no directory {file.parent}. Create it, or fix the URL.")
    if not file.exists():
        return ReadOnly(f"no file can be made in {file.parent}. Check the folder's permissions.")
    # Read only after DuckDB failed to open it: closing the file drops the locks that this process has on it.
    with file.open("rb") as stream:
        if stream.read(16)[_MAGIC] != b"DUCK":
            return NotADatabase(f"{file} is no DuckDB database and was not touched. Check the path.")
    return Unavailable(f"{file} is open in another process, and DuckDB lets one in at a time. Try again later.")
