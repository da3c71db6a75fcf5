"""SQLite backend: one connection that writes, and a bounded number that read."""

from __future__ import annotations

import os
import sqlite3
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from ciris_store_core.capabilities import Capability
from ciris_store_core.contract import Backend, Session
from ciris_store_core.contract.fair_lock import FairLock, Ticket
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.errors import NotSupported, PoolTimeout, ReadOnly, StoreClosed
from ciris_store_core.models.operations import Diagnosis, PendingMigration
from ciris_store_core.sql import ANY_RECORD, load_migrations
from ciris_store_core.url import StoreURL
from ciris_store_sqlite import forks, upkeep
from ciris_store_sqlite.dialect import SqliteDialect
from ciris_store_sqlite.errors import translate
from ciris_store_sqlite.files import agreed_time, has_content, identities_beside, identity, make_missing, replaced
from ciris_store_sqlite.migrate import SqliteMigrator
from ciris_store_sqlite.session import SqliteSession
from ciris_store_sqlite.settings import Settings
from ciris_store_sqlite.use import Use
from ciris_store_sqlite.write_lock import WriteLock, lock_path

CAPABILITIES = frozenset(
    {
        Capability.SAVEPOINTS,
        Capability.TRANSACTIONAL_DDL,
        Capability.FULL_TEXT,
        Capability.MULTI_PROCESS,
        Capability.DURABLE,
        Capability.DOCUMENTS,
        Capability.STREAMS,
    }
)

IN_FILES_ONLY = frozenset({Capability.DURABLE, Capability.MULTI_PROCESS})

WAL_LIMIT = 64 * 2**20
"""Bytes to which the write-ahead log is truncated."""

COMMITS_BETWEEN_WAL_CHECKS = 1000

STATEMENT_CACHE = 256

# Databases in memory are shared by name within the process, and so must be the write lock of each.
_memory_locks: WeakValueDictionary[str, WriteLock] = WeakValueDictionary()


class SqliteBackend(Backend):
    """Backend on a database file, or on a database in memory."""

    name = "SQLite"

    def __init__(self, url: StoreURL, context: BackendContext) -> None:
        """Parse the URL. ``prepare`` opens the file."""
        self.settings = Settings.from_url(url, context)
        self._clock = context.clock
        self.capabilities = CAPABILITIES - IN_FILES_ONLY if self._in_memory else CAPABILITIES
        self.dialect = SqliteDialect()
        if self._in_memory:
            self._write_lock = _memory_locks.setdefault(self.settings.name, WriteLock(None, self.settings.busy_timeout))
        else:
            self._write_lock = WriteLock(lock_path(self.settings.path), self.settings.busy_timeout)
        self._writer: SqliteSession | None = None
        self._idle: deque[SqliteSession] = deque()
        self._readers = FairLock(self.settings.pool_size)
        self.sessions: WeakSet[SqliteSession] = WeakSet()
        self._file_identity: tuple[int, int] | None = None
        self._commits = 0
        self._pid = os.getpid()
        self._closed = False
        self._prepared = False
        if not self._in_memory:
            forks.watch(self)

    @property
    def _in_memory(self) -> bool:
        return self.settings.in_memory

    # --- opening ------------------------------------------------------------------------------

    def prepare(self, *, migrate: bool) -> None:
        if not self._in_memory:
            make_missing(self.settings)
            self._file_identity = identity(self.settings.path)
        try:
            session = self._writer = self._open()
            migrator = SqliteMigrator(session, load_migrations(__package__))
            # Files of other programs are refused here, before the file is changed or a lock file is created. A store
            # that is up to date opens without the write lock, so that a slow writer blocks no reader.
            if self._in_memory or migrator.pending() or session.pragma("journal_mode") != ("wal",):
                self._set_up_locked(session, migrator, migrate=migrate and self.settings.migrate)
            self._watch_files(session)
            session.retire()
            self._prepared = True
        except BaseException:
            self.close()
            if self._writer is not None:
                self._discard_writer(self._writer)
            raise

    def pending(self) -> Sequence[PendingMigration]:
        """Return the migrations that the database lacks; a file that does not exist is not created."""
        session = self._open() if self._in_memory or has_content(self.settings.path) else self._connected(":memory:")
        try:
            session.take()
            return SqliteMigrator(session, load_migrations(__package__)).plan()
        finally:
            self._discard(session)

    def _set_up_locked(self, session: SqliteSession, migrator: SqliteMigrator, *, migrate: bool) -> None:
        if not migrate:
            migrator.require_current()
        ticket = Ticket()
        try:
            self._acquire_write_lock(ticket)
            if not self._in_memory and session.pragma("journal_mode = WAL") != ("wal",):
                raise NotSupported(
                    f"the file system of {self.settings.path} cannot share a write-ahead log between processes. "
                    "Put the database on a local disk."
                )
            migrator.migrate()
        finally:
            self._write_lock.release(ticket)

    def _open(self) -> SqliteSession:
        session = self._connected(self.settings.uri)
        try:
            self._set_up(session)
            self._watch_files(session)
        except BaseException:
            self._discard(session)
            raise
        return session

    def _connected(self, uri: str) -> SqliteSession:
        if not self._in_memory:
            forks.refuse_inherited(self.settings.path)
        try:
            connection = sqlite3.connect(
                uri,
                uri=True,
                timeout=self.settings.busy_timeout,
                isolation_level=None,
                check_same_thread=False,  # a session is handed from thread to thread, never used by two at once
                cached_statements=STATEMENT_CACHE,
            )
        except sqlite3.Error as error:
            raise translate(error, self.settings.path) from error
        session = SqliteSession(connection, self.dialect, self.settings.path)
        self.sessions.add(session)
        return session

    def _set_up(self, session: SqliteSession) -> None:
        settings = [f"synchronous = {self.settings.synchronous}", "foreign_keys = ON", "trusted_schema = OFF"]
        if not self._in_memory:
            settings.append(f"journal_size_limit = {WAL_LIMIT}")
        for setting in settings:
            session.pragma(setting)

    # --- sessions -----------------------------------------------------------------------------

    def session(self, *, write: bool, single: bool = False) -> AbstractContextManager[Session]:
        """Begin a transaction. With ``single``, each statement is its own transaction."""
        # The memory VFS allows no reader beside a writer, so all callers queue for the one connection.
        return Use(self, write or self._in_memory, single)

    def check_out(self, use: Use) -> SqliteSession:
        """Acquire a session for one transaction. After any exception, ``check_in`` frees its permit."""
        if self._closed or self.forked:
            raise self.unusable()
        if use.write:
            self._acquire_write_lock(use.ticket)
            return self._checked_writer()
        if not self._readers.acquire(use.ticket, self.settings.busy_timeout):
            raise PoolTimeout(
                f"all {self.settings.pool_size} reading connections were in use for {self.settings.busy_timeout:g} s. "
                "Raise pool_size in the URL, or shorten transactions."
            )
        session = self._idle.pop() if self._idle else self._another_reader()  # as many users as places, at most
        session.take()
        return session

    def _another_reader(self) -> SqliteSession:
        # Otherwise it would read another file than the rest of the store, or fail for want of one.
        if self._file_identity is not None and identity(self.settings.path) != self._file_identity:
            raise replaced(self.settings.path)
        return self._open()

    def check_in(self, use: Use) -> None:
        """Release a session. Idempotent: an interrupt within it may make it run again."""
        # Taken from the use first: a second call after an interrupt must not release the session again, or two callers
        # would get it.
        session, use.session = use.session, None
        if use.write:
            try:
                if session is not None:
                    self._after_write(session)
            finally:
                self._write_lock.release(use.ticket)
            return
        try:
            if session is not None:
                self._after_read(session)
        finally:
            self._readers.release(use.ticket)

    def _after_read(self, session: SqliteSession) -> None:
        session.retire()
        if session.is_clean:
            self._idle.append(session)
        else:
            self._discard(session)
        if self._closed:  # another thread may have closed the store just now
            self._discard_idle()

    def _acquire_write_lock(self, ticket: Ticket) -> None:
        try:
            self._write_lock.acquire(ticket)
        except OSError as error:
            raise ReadOnly(f"no lock file can be made beside {self.settings.path}. Check the permissions.") from error

    def _checked_writer(self) -> SqliteSession:
        session = self._writer
        if session is not None and not session.is_clean:  # an interrupted thread left it so
            self._discard_writer(session)
        # A file that was deleted or replaced still accepts writes, which no later opening would find.
        if self._file_identity is not None and identity(self.settings.path) != self._file_identity:
            raise replaced(self.settings.path)
        session = self._writer = self._writer or self._open()
        # With another log, or another index of it, this session and other processes would not see each other's writes.
        if self._file_identity is not None and session.files != identities_beside(self.settings.path):
            raise replaced(f"the -wal or -shm file of {self.settings.path}")
        # The session is marked as in use before ``_closed`` is read, while ``close`` sets ``_closed`` and then looks
        # for sessions in use: whatever the order, one of the two sees the other and closes the session.
        session.take()
        if self._closed:
            self._discard_writer(session)
            raise self.unusable()
        return session

    def _watch_files(self, session: SqliteSession) -> None:
        if not self._in_memory:
            session.pragma("schema_version")  # opens the log and its index
            session.files = identities_beside(self.settings.path)

    def _after_write(self, session: SqliteSession) -> None:
        session.retire()
        self._commits += 1
        is_time = self._commits % COMMITS_BETWEEN_WAL_CHECKS == 0 and session.is_clean
        if is_time and upkeep.wal_size(session) > WAL_LIMIT:
            upkeep.cut_wal(session, self.settings.busy_timeout)
        if self._closed or not session.is_clean:
            self._discard_writer(session)

    def _discard(self, session: SqliteSession) -> None:
        session.close()
        self.sessions.discard(session)

    def _discard_writer(self, session: SqliteSession) -> None:
        # A database in memory ends with its last connection.
        if self._in_memory and not self._closed and session.recover():
            return
        self._writer = None
        self._discard(session)

    def _discard_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._discard(self._idle.pop())

    @property
    def forked(self) -> bool:
        """True in a child of the process that opened the store."""
        return self._pid != os.getpid()

    def unusable(self) -> StoreClosed:
        """Return the error that explains why no call is accepted."""
        if self.forked:
            return StoreClosed("this store was opened before fork(). Open one in this process.")
        return StoreClosed("the store is closed. Open it again.")

    # --- information --------------------------------------------------------------------------

    def server_now(self) -> datetime:
        """Return the time that all hosts agree on that share the file: that of its file system."""
        if self._closed or self.forked:
            raise self.unusable()
        return self._clock.now() if self._in_memory else agreed_time(self._clock, lock_path(self.settings.path))

    def is_empty(self) -> bool:
        with Use(self, self._in_memory, True) as session:
            return not session.rows(ANY_RECORD)[0][0]

    def info(self) -> Mapping[str, Any]:
        with Use(self, self._in_memory, True) as session:
            applied = SqliteMigrator(session, ()).applied()
        return {
            "backend": self.name,
            "server_version": f"SQLite {sqlite3.sqlite_version}",
            "path": self.settings.path,
            "schema_version": applied[-1].version,
            "synchronous": self.settings.synchronous,
            "survives_power_loss": self.settings.synchronous == "full" and not self._in_memory,
            "durability_settings": f"synchronous={self.settings.synchronous}",
        }

    def stats(self) -> Mapping[str, Any]:
        return {"connections": len(self.sessions), "idle_readers": len(self._idle), "writes": self._commits}

    def diagnose(self, *, thorough: bool = False) -> Diagnosis:
        with Use(self, self._in_memory, True) as session:
            return upkeep.diagnose(session, thorough=thorough, in_memory=self._in_memory)

    def backup(self, path: Path, progress: Callable[[int, int], object]) -> None:
        """Write a database file with all that is committed now."""
        # For a database in memory there is one connection, and a transaction on it would block its own backup.
        with Use(self, self._in_memory, self._in_memory) as session:
            upkeep.backup(session, path, progress)

    def close(self) -> None:
        """Close all connections; those in use are closed when their transaction ends."""
        if self.forked:
            return
        self._closed = True
        self._discard_idle()
        if not self._in_memory:
            self._write_lock.close()
        writer, ticket = self._writer, Ticket()
        try:
            if writer is not None and (not writer.in_use or self._write_lock.try_threads(ticket, 0)):
                self._discard_writer(writer)
        finally:
            self._write_lock.release(ticket)

    def __del__(self) -> None:
        """Close a store that its caller never closed."""
        if getattr(self, "_prepared", False) and not (self._closed or self.forked):
            warnings.warn(f"unclosed store {self.settings.path}: close it", ResourceWarning, source=self, stacklevel=1)
            self.close()

    def connections(self) -> list[SqliteSession]:
        """Return the sessions of all open connections."""
        return list(self.sessions)

    # --- forks --------------------------------------------------------------------------------

    def keep_out(self, tickets: Sequence[Ticket], deadline: float) -> bool:
        """Acquire every permit, the writer's with the first ticket; return True if all were acquired in time."""
        writer, *readers = tickets
        return (
            self._prepared
            and not (self.forked or self._readers.is_mine())
            and self._write_lock.try_threads(writer, deadline - time.monotonic())
            and all(self._readers.acquire(ticket, deadline - time.monotonic()) for ticket in readers)
        )

    def let_in(self, tickets: Sequence[Ticket]) -> None:
        """Release the tickets."""
        writer, *readers = tickets
        self._write_lock.release(writer)
        for ticket in readers:
            self._readers.release(ticket)

    def close_connections(self) -> None:
        """Close all connections, none of which may be in use."""
        self._writer = None
        self._idle.clear()
        for session in list(self.sessions):
            self._discard(session)
