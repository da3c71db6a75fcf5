"""Translation of SQLite's errors, by error code."""

from __future__ import annotations

import getpass
import sqlite3
from pathlib import Path

from ciris_store_core.errors import (
    Corrupt,
    DatabaseError,
    InvalidArgument,
    InvalidURL,
    NotADatabase,
    OutcomeUnknown,
    ReadOnly,
    StorageFull,
    StoreError,
    TransactionError,
    Unavailable,
)


def translate(error: sqlite3.Error | UnicodeDecodeError, path: str, *, committing: bool = False) -> StoreError:
    """Return the store's error for one of SQLite's. Text that is not UTF-8 comes only from a damaged file."""
    if isinstance(error, UnicodeDecodeError):
        return _corrupt(path)
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return _without_code(error, path)
    if code == sqlite3.SQLITE_IOERR_WRITE:  # what SQLite makes of a quota, and of a limit to the size of files
        return StorageFull(
            f"{path} cannot be written, as over a quota or on a failing disk. Make room, or check the disk."
        )
    if code == sqlite3.SQLITE_IOERR_SHMSIZE:  # the file beside the log, whose size is all that can be lacking
        return StorageFull(f"no room left for {path}-shm; stored data is intact. Make room, then try again.")
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return _busy(path, waited=code == sqlite3.SQLITE_BUSY)
        case sqlite3.SQLITE_FULL:
            return StorageFull(f"no room left for {path}; stored data is intact. Make room, then try again.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return ReadOnly(
                f"{path} cannot be written by user {_user()}, and WAL mode writes the file and its folder. "
                "Allow that user to write both."
            )
        case sqlite3.SQLITE_CANTOPEN:
            return cannot_open(path)
        case sqlite3.SQLITE_NOTADB:
            return NotADatabase(f"{path} is not an SQLite database and was not touched. Check the path.")
        case sqlite3.SQLITE_CORRUPT:
            return _corrupt(path)
        case sqlite3.SQLITE_IOERR:
            return _disk_failed(
                f"the disk under {path} failed ({error.sqlite_errorname}). Check it before going on.", committing
            )
        case sqlite3.SQLITE_TOOBIG:
            return InvalidArgument("a value or statement is larger than SQLite takes. Make it smaller.")
        case sqlite3.SQLITE_INTERRUPT:
            return Unavailable("the statement was interrupted, and nothing of it was written. Run it again.")
    if str(error) == "malformed JSON":  # every text that the store binds is valid
        return Corrupt(
            f"a stored JSON text in {path} is damaged, so no condition on it can be judged. 'ciris-store doctor "
            "--thorough' names its row. Restore it from a backup, or delete it."
        )
    return DatabaseError(f"SQLite refused the call ({error.sqlite_errorname}: {error}). See __cause__ and report it.")


def _busy(path: str, *, waited: bool) -> Unavailable:
    problem = Unavailable(f"{path} is locked by another process for longer than busy_timeout. Run it again.")
    problem.waited = waited  # the extended codes are told at once
    return problem


def _disk_failed(message: str, committing: bool) -> StoreError:
    if committing:  # the log may hold the transaction all the same, and bring it back after a crash
        return OutcomeUnknown(message)
    problem = Unavailable(message)
    problem.retryable = False  # not by itself, over and over
    return problem


def _corrupt(path: str) -> Corrupt:
    return Corrupt(f"{path} is damaged. Keep a copy of it and its -wal file, then restore a backup.")


def _without_code(error: sqlite3.Error, path: str) -> StoreError:
    if isinstance(error, sqlite3.OperationalError):  # the driver's own: a stored text is no UTF-8
        return _corrupt(path)
    if isinstance(error, sqlite3.ProgrammingError):
        return TransactionError(
            "the connection was closed or used in a way that it does not allow. Open the store again."
        )
    return DatabaseError(f"SQLite refused the call ({type(error).__name__}). See __cause__ and report it.")


def cannot_open(path: str) -> StoreError:
    """Return the error that explains why a file cannot be opened; SQLite has one code for all reasons."""
    try:
        return _reason(path)
    except PermissionError:
        return ReadOnly(f"{path} cannot be reached by user {_user()}. Check the permissions of its folders.")
    except OSError as error:
        return InvalidURL(f"{path} is no path of a file ({error.strerror}). Check the path.")


def _reason(path: str) -> StoreError:
    file = Path(path)
    if file.is_dir():
        return InvalidURL(f"{path} is a directory. Name a file in it.")
    if not file.parent.is_dir():
        return InvalidURL(f"there is no directory {file.parent}. Create it, or fix the URL.")
    if file.exists():
        return ReadOnly(f"{path} cannot be opened by user {_user()}. Check its permissions and those of its folder.")
    return ReadOnly(f"no file can be made in {file.parent} by user {_user()}. Check the folder's permissions.")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "(unknown)"
