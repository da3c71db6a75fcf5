"""A database file that another program wrote, open for reading."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ciris_store_core.contract.foreign import ForeignDatabase
from ciris_store_core.errors import InvalidURL, StoreClosed, Unavailable
from ciris_store_core.url import StoreURL
from ciris_store_core.url_options import OptionReader
from ciris_store_sqlite.errors import cannot_open, translate

BATCH = 1000

# The offset of the write version in the file's header, and the version that means a write-ahead log.
_WRITE_VERSION, _WAL = 18, 2


class SqliteForeign(ForeignDatabase):
    """One connection, which cannot write, in one reading transaction."""

    def __init__(self, url: StoreURL) -> None:
        """Open the file; ``InvalidURL`` if there is none."""
        options = OptionReader(url.options)
        timeout = options.number("busy_timeout", 30.0, 0.0, 3600.0)
        options.finish()
        self._path = url.database
        file = Path(self._path)
        if not file.exists():
            raise InvalidURL(f"there is no database {file}. Check the path.")
        if not file.is_file():
            raise cannot_open(self._path)
        self._unlocked = _can_read_unlocked(file)
        self._state = _state(file)
        mode = "mode=ro&immutable=1" if self._unlocked else "mode=ro"
        self._connection: sqlite3.Connection | None = self._connect(f"file:{quote(self._path)}?{mode}", timeout)

    def _connect(self, uri: str, timeout: float) -> sqlite3.Connection:
        connection = None
        try:
            connection = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)
            connection.text_factory = _text
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("BEGIN")
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()  # From here on one state is seen.
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            raise translate(error, self._path) from error
        return connection

    def tables(self) -> list[str]:
        statement = (
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name"
        )
        return [name for (name,) in self._query(statement)]

    def columns(self, table: str) -> list[str]:
        return [name for (name,) in self._query("SELECT name FROM pragma_table_info(?) ORDER BY cid", (table,))]

    def count(self, table: str) -> int:
        [(number,)] = self._query(f"SELECT count(*) FROM {_quoted(table)}")
        return int(number)

    def rows(self, table: str, columns: Sequence[str], order: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        listed, sorted_by = ", ".join(map(_quoted, columns)), ", ".join(map(_quoted, order))
        return self._query(f"SELECT {listed} FROM {_quoted(table)} ORDER BY {sorted_by}")

    def _query(self, statement: str, params: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        if self._connection is None:
            raise StoreClosed("the database is closed. Open it again.")
        try:
            cursor = self._connection.execute(statement, params)
            while found := cursor.fetchmany(BATCH):
                self._check_unchanged()
                yield from found
        except sqlite3.Error as error:
            self._check_unchanged()
            raise translate(error, self._path) from error

    def _check_unchanged(self) -> None:
        """Raise ``Unavailable`` if another program began to write: without a lock, that is seen only after a read."""
        if self._unlocked and _state(Path(self._path)) != self._state:
            problem = Unavailable(f"another program opened {self._path} while it was being read. Run it again.")
            problem.retryable = False  # not by itself: the rows read so far are no longer of one state
            raise problem

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _can_read_unlocked(file: Path) -> bool:
    """Return True if the file can be read without a lock, and so without a trace.

    Readers of a file with a write-ahead log lock by means of the log's files, which they create beside it. An existing
    log belongs to a process that has the file open, or that died with it open; it has to be read too.
    """
    try:
        with file.open("rb") as opened:
            uses_log = opened.read(_WRITE_VERSION + 1)[_WRITE_VERSION:] == bytes([_WAL])
    except OSError as error:
        raise cannot_open(str(file)) from error
    return uses_log and not _log(file).exists()


def _state(file: Path) -> tuple[int, int, bool]:
    """Return the properties of the file that change when another program begins to write."""
    status = file.stat()
    return (status.st_mtime_ns, status.st_size, _log(file).exists())


def _log(file: Path) -> Path:
    return Path(f"{file}-wal")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
