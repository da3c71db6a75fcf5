"""File of the database: its creation, identity and time."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ciris_store_core.clock import Clock, SystemClock
from ciris_store_core.errors import InvalidURL, NotADatabase, StoreClosed
from ciris_store_sqlite.errors import cannot_open
from ciris_store_sqlite.settings import Settings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# File systems round their times, the coarsest to two seconds.
_AGREEING = timedelta(seconds=5)

SMALLEST_PAGE = 512
"""Bytes of the smallest database that is not empty."""


def has_content(name: str) -> bool:
    """Return True if the path has content that SQLite can be asked to open."""
    try:
        path = Path(name)
        return path.exists() and (not path.is_file() or path.stat().st_size > 0)
    except OSError as error:
        raise cannot_open(name) from error


def make_missing(settings: Settings) -> None:
    """Create the file if it is missing and the settings allow it; refuse a file that cannot be a database."""
    try:
        _make_missing(settings)
    except OSError as error:
        raise cannot_open(settings.path) from error


def _make_missing(settings: Settings) -> None:
    path = Path(settings.path)
    if settings.make_directory:
        path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        raise cannot_open(settings.path)
    size = path.stat().st_size if path.exists() else 0
    if size == 0 and not settings.create:
        raise InvalidURL(
            f"there is no database {path}, and none is made here (create=false). Check the path and CIRIS_DB_URL."
        )
    if 0 < size < SMALLEST_PAGE:
        # SQLite takes a file of one byte for an empty one, and would overwrite it.
        raise NotADatabase(f"{path} is too small to be an SQLite database and was not touched. Check the path.")
    if not path.exists():
        # Never opened once it exists: closing it would drop the locks of every connection of this process to it.
        with suppress(FileExistsError):  # another one made it just now
            path.resolve().touch(0o600, exist_ok=False)


def identity(path: str) -> tuple[int, int] | None:
    """Return the identity of the file that has the name now; None if there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - on the way of every write, and several times faster
    except FileNotFoundError:
        return None
    return (status.st_dev, status.st_ino)


def agreed_time(clock: Clock, path: str) -> datetime:
    """Return the clock's time, or the file system's where they differ and the clock is the host's own.

    A host whose clock is wrong would acquire leases that other hosts still have, and delete records that are not old.
    The hosts that share a file share its file system, which sets the time of each change. ``path``: a file to touch.
    """
    now = clock.now()
    if type(clock) is not SystemClock:
        return now
    try:
        os.utime(path)
        shared = _EPOCH + timedelta(microseconds=Path(path).stat().st_mtime_ns // 1000)
    except OSError:  # not there yet, or not ours to write
        return now
    return now if abs(now - shared) < _AGREEING else shared


def identities_beside(path: str) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """Return the identities of the write-ahead log and its index."""
    return identity(f"{path}-wal"), identity(f"{path}-shm")


def replaced(what: str) -> StoreClosed:
    """Return the error for a file that is no longer the one that is open."""
    return StoreClosed(
        f"{what} was deleted or replaced while it was open. Open the store again; a program that uses the functions of "
        "ciris_store_core.persistence calls initialize_database again."
    )


def filesystem_of(path: str) -> str:
    """Name the type of file system that holds a path, as far as the host tells."""
    folder, best = str(Path(path).resolve()), ("", "of unknown type")
    with suppress(OSError):
        for line in Path("/proc/self/mounts").read_text(errors="replace").splitlines():
            _, point, kind, *_ = line.split(" ")
            if Path(folder).is_relative_to(point) and len(point) >= len(best[0]):
                best = (point, f"{kind} at {point}")
    return best[1]
