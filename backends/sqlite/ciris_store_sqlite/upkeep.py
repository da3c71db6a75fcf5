"""Looking after an SQLite database: its health and its backups."""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from ciris_store_core.errors import Corrupt, DatabaseError, StoreError, Unavailable
from ciris_store_core.models.operations import Diagnosis, Finding, Severity, TableSize
from ciris_store_core.sql import load_migrations
from ciris_store_core.sql.drift import foreign, missing
from ciris_store_core.sql.migrate import APPLIED
from ciris_store_sqlite.errors import translate
from ciris_store_sqlite.session import SqliteSession

OBJECTS = "SELECT name FROM sqlite_master WHERE type IN ('table', 'index', 'view', 'trigger')"

TRIGGERS_AND_VIEWS = "SELECT type, name, tbl_name FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY 1, 2"

# Each page belongs to a table, or to an index of one.
SIZES = """
SELECT m.tbl_name, sum(s.pgsize), sum(CASE WHEN m.type = 'index' THEN s.pgsize ELSE 0 END)
FROM dbstat('main', 1) s JOIN sqlite_master m ON m.name = s.name
GROUP BY m.tbl_name ORDER BY 2 DESC, 1
"""

PAGES_PER_STEP = 2000
"""So that a backup can be interrupted and shows how far it is."""

MUCH_WAL = 256 * 2**20
MUCH_FREE = 64 * 2**20


def diagnose(session: SqliteSession, *, thorough: bool, in_memory: bool) -> Diagnosis:
    """Return the problems of the database and the sizes of its tables."""
    findings = [*_damage(session, thorough), *_drift(session), *_room(session)]
    if not in_memory:
        findings += _files(Path(session.path))
    return Diagnosis(findings, _sizes(session))


def _damage(session: SqliteSession, thorough: bool) -> Iterator[Finding]:
    check = "integrity_check" if thorough else "quick_check"
    problems = [str(row[0]) for row in session.rows(f"PRAGMA {check}(20)") if row[0] != "ok"]
    if problems:
        fix = "keep a copy of the files, then restore a backup: ciris-store restore BACKUP URL"
        yield Finding("damaged", Severity.ERROR, f"{check} finds damage: {problems[0]}", fix, {"problems": problems})
    orphans = session.rows("PRAGMA foreign_key_check")
    if orphans:
        yield Finding("foreign_keys", Severity.ERROR, f"{len(orphans)} rows refer to rows that are gone")


def _drift(session: SqliteSession) -> Iterator[Finding]:
    applied = [row[0] for row in session.rows(APPLIED)]
    there = [row[0] for row in session.rows(OBJECTS)]
    migrations = load_migrations(__package__)
    yield from missing(migrations, applied, there, session.dialect.spelled)
    yield from foreign(migrations, [(row[0], row[1], row[2]) for row in session.rows(TRIGGERS_AND_VIEWS)])


def _room(session: SqliteSession) -> Iterator[Finding]:
    size, total, free = (_number(session, name) for name in ("page_size", "page_count", "freelist_count"))
    if free * size > MUCH_FREE and free * 4 > total:
        summary = f"{free * size // 2**20} MiB of the file's {total * size // 2**20} MiB are free"
        fix = "with no other program at it: sqlite3 FILE 'VACUUM'"
        yield Finding("free_space", Severity.INFO, summary, fix, {"free_bytes": free * size})


def _number(session: SqliteSession, pragma: str) -> int:
    return int(session.rows(f"PRAGMA {pragma}")[0][0])


def _files(path: Path) -> Iterator[Finding]:
    log = Path(f"{path}-wal")
    size = log.stat().st_size if log.exists() else 0
    if size > MUCH_WAL:
        fix = "find the reader that has been open for long, and end it: the log is cut back at the next write"
        summary = f"the write-ahead log has grown to {size // 2**20} MiB"
        yield Finding("large_wal", Severity.WARNING, summary, fix, {"bytes": size})
    if path.stat().st_mode & 0o077:
        summary = "other users of this host can open the database file"
        yield Finding("file_permissions", Severity.WARNING, summary, f"chmod 600 {shlex.quote(str(path))}")


def _sizes(session: SqliteSession) -> list[TableSize]:
    with suppress(DatabaseError):  # an SQLite built without the table that tells
        return [TableSize(*row) for row in session.rows(SIZES)]
    return []


# --- the write-ahead log ------------------------------------------------------------------------


def wal_size(session: SqliteSession) -> int:
    """Return the bytes of the write-ahead log."""
    try:
        return Path(f"{session.path}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def cut_wal(session: SqliteSession, busy_timeout: float) -> None:
    """Cut the log back, unless a reader needs it."""
    # Without waiting for readers: all writers would wait as well. The next one tries again.
    session.pragma("busy_timeout = 0")
    with suppress(StoreError):  # what was written is stored all the same
        session.pragma("wal_checkpoint(TRUNCATE)")
    session.pragma(f"busy_timeout = {round(busy_timeout * 1000)}")


# --- backups ----------------------------------------------------------------------------------


def backup(session: SqliteSession, path: Path, progress: Callable[[int, int], object]) -> None:
    """Copy the database as the session's transaction sees it, page by page, and check the copy."""
    # Its transaction has begun to read, so that no writer makes the copy begin anew.
    session.rows("SELECT count(*) FROM sqlite_master")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as target:
            session.connection.backup(target, pages=PAGES_PER_STEP, progress=partial(_tell, progress))
            _check(target.execute("PRAGMA quick_check(1)").fetchall(), path)
            # By itself, without files beside it, until a store opens it.
            target.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise translate(error, str(path)) from error
    finally:
        # SQLite keeps a journal that it could not roll back, as on a full disk. A copy does not need it.
        Path(f"{path}-journal").unlink(missing_ok=True)


def _tell(progress: Callable[[int, int], object], status: int, left: int, total: int) -> None:
    if status & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):  # the driver would try for ever
        raise Unavailable("another connection locks the database, so that it cannot be read. Try again later.")
    progress(total - left, total)


def _check(rows: Sequence[Sequence[object]], path: Path) -> None:
    if rows != [("ok",)]:
        raise Corrupt(f"the backup {path} is damaged, and so may be the database. Run 'ciris-store doctor'.")
