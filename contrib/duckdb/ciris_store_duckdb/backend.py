"""DuckDB backend: connections to one file, of which one at a time writes."""

from __future__ import annotations

import os
import stat
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import duckdb

from ciris_store_core.capabilities import Capability
from ciris_store_core.contract import Backend
from ciris_store_core.contract.fair_lock import FairLock, Ticket
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.errors import InvalidURL, MigrationRequired, StoreClosed, TransactionError, Unavailable
from ciris_store_core.models.operations import PendingMigration
from ciris_store_core.sql import ANY_RECORD, Migrator, load_migrations
from ciris_store_core.url import OptionReader, StoreURL
from ciris_store_duckdb.dialect import DuckDialect
from ciris_store_duckdb.errors import cannot_open
from ciris_store_duckdb.session import DuckSession

CAPABILITIES = frozenset({Capability.TRANSACTIONAL_DDL, Capability.DURABLE, Capability.DOCUMENTS, Capability.STREAMS})

# Statements reach no other file and load no extension. The same for every connection, as DuckDB demands of one process.
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "enable_external_access": False,
    "lock_configuration": True,
}

TABLE_EXISTS = "SELECT 1 FROM duckdb_tables() WHERE table_name = ? AND schema_name = current_schema()"


# The write lock of each file, for the threads of the process, whichever store they use.
_locks: WeakValueDictionary[str, FairLock] = WeakValueDictionary()
_locks_guard = threading.Lock()


class DuckMigrator(Migrator):
    """Migrator of a DuckDB database."""

    def lock(self) -> None:
        """Do nothing: a migration has the write lock, and no other process can open the file."""

    def table_exists(self, table: str) -> bool:
        """Return True if the table exists."""
        return self.session.row(TABLE_EXISTS, (table,)) is not None


class DuckBackend(Backend):
    """A database file. DuckDB lets one process open it."""

    name = "DuckDB"
    capabilities = CAPABILITIES

    def __init__(self, url: StoreURL, context: BackendContext) -> None:
        """Read the URL; the file is opened by ``prepare``."""
        options = OptionReader(url.options)
        self._busy_timeout = options.number("busy_timeout", 30.0, 0.0, 3600.0)
        self._create = options.boolean("create", context.create)
        self._migrate = options.boolean("migrate", context.migrate)
        options.finish()
        self.path = _path_of(url)
        self._clock = context.clock
        self.dialect = DuckDialect()
        with _locks_guard:
            self._write_lock = _locks.setdefault(str(Path(self.path).resolve()), FairLock())
        self._idle: deque[DuckSession] = deque()
        self._pid = os.getpid()
        self._closed = False

    def prepare(self, *, migrate: bool) -> None:
        allowed = migrate and self._migrate
        if not self._exists():
            self._check_may_create(allowed)
        try:
            self._bring_up_to_date(allowed)
        except BaseException:
            self.close()
            raise

    def pending(self) -> Sequence[PendingMigration]:
        """The migrations that the database lacks; a file that is not there is not made for it."""
        session = self._connect(self.path if self._exists() else ":memory:")
        try:
            return DuckMigrator(session, load_migrations(__package__)).plan()
        finally:
            session.connection.close()

    def _exists(self) -> bool:
        try:
            return Path(self.path).exists()
        except OSError:
            return True  # there is something in the way, and opening it will tell

    def _check_may_create(self, migrate: bool) -> None:
        if not self._create:
            raise InvalidURL(f"there is no database {self.path}, and none is made here (create=false). Check the path.")
        if not migrate:
            raise MigrationRequired(f"there is no database {self.path} yet. Run 'ciris-store migrate' to make it.")

    def _bring_up_to_date(self, migrate: bool) -> None:
        # A store that is opened while another one writes must not wait for it, unless there is something to migrate.
        with self._session() as session:
            if not DuckMigrator(session, load_migrations(__package__)).plan():
                return
        with self._hold_write_lock(), self._session() as session:
            migrator = DuckMigrator(session, load_migrations(__package__))
            if not migrate:
                migrator.require_current()
            migrator.migrate()
            self._keep_private()

    # --- sessions -----------------------------------------------------------------------------

    @contextmanager
    def session(self, *, write: bool, single: bool = False) -> Iterator[DuckSession]:
        """Begin a transaction on a snapshot. With ``single``, each statement is its own transaction.

        Writers queue. DuckDB would let several begin, and end with an error all but the first to touch a row.
        """
        lock = self._hold_write_lock() if write else nullcontext()
        with lock:
            with self._session() as session, nullcontext() if single else session.transaction(write=write):
                yield session
            if write:
                self._keep_private()

    def _keep_private(self) -> None:
        # DuckDB makes its files itself, by the umask of the process, and the log again after each checkpoint.
        for path in (self.path, f"{self.path}.wal"):
            with suppress(FileNotFoundError):
                if stat.S_IMODE(Path(path).stat().st_mode) & 0o077:
                    Path(path).chmod(0o600)

    @contextmanager
    def _hold_write_lock(self) -> Iterator[None]:
        if self._write_lock.is_mine():
            raise TransactionError("this thread is writing to this database already. Write outside of signal handlers.")
        ticket = Ticket()
        try:
            if not self._write_lock.acquire(ticket, self._busy_timeout):
                raise self._too_long()
            yield
        finally:
            self._write_lock.release(ticket)

    def _too_long(self) -> Unavailable:
        problem = Unavailable(f"{self.path} was being written for longer than busy_timeout. Run it again.")
        problem.waited = True
        return problem

    @contextmanager
    def _session(self) -> Iterator[DuckSession]:
        session = self._take()
        try:
            yield session
        finally:
            session.retire()
            self._release(session)

    def _take(self) -> DuckSession:
        self._check_open()
        try:
            session = self._idle.pop()
        except IndexError:
            session = self._connect(self.path)
        session.take()
        return session

    def _connect(self, path: str) -> DuckSession:
        try:
            connection = duckdb.connect(path, config=CONFIG)
        except duckdb.Error as error:
            raise cannot_open(error, self.path) from error
        return DuckSession(connection, self.dialect, self.path)

    def _release(self, session: DuckSession) -> None:
        if session.is_clean:
            self._idle.append(session)
        else:
            session.connection.close()
        if self._closed:  # perhaps by another thread, just now
            self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().connection.close()

    def _check_open(self) -> None:
        if self._pid != os.getpid():
            raise StoreClosed("this store was opened before fork(). Open one in this process.")
        if self._closed:
            raise StoreClosed("the store is closed. Open it again.")

    # --- the rest -----------------------------------------------------------------------------

    def server_now(self) -> datetime:
        """The host's time: there is no server."""
        self._check_open()
        return self._clock.now()

    def is_empty(self) -> bool:
        with self._session() as session:
            return not session.rows(ANY_RECORD)[0][0]

    def info(self) -> Mapping[str, Any]:
        with self._session() as session:
            applied = DuckMigrator(session, ()).applied()
        return {
            "backend": self.name,
            "server_version": f"DuckDB {duckdb.__version__}",
            "path": self.path,
            "schema_version": applied[-1].version,
            "survives_power_loss": True,
            "durability_settings": "none: the log is synced at each commit",
        }

    def close(self) -> None:
        """Close all connections; those in use are closed when their transaction ends."""
        if self._pid == os.getpid():
            self._closed = True
            self._close_idle()


def _path_of(url: StoreURL) -> str:
    if url.hosts or url.username or url.database in ("", ":memory:"):
        raise InvalidURL(
            "the DuckDB URL names no file. Write duckdb:///data/x.duckdb, or four slashes before an absolute path."
        )
    return url.database
