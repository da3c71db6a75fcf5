"""Databases in memory, transactions on them, and the backend that opens them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import Clock
from ciris_store_core.contract.backend import Backend, Session
from ciris_store_core.contract.fair_lock import FairLock, Ticket
from ciris_store_core.errors import MigrationRequired, StoreClosed, TransactionError, Unavailable
from ciris_store_core.inmemory.audit import MemoryAudit
from ciris_store_core.inmemory.coordination import MemoryCoordination
from ciris_store_core.inmemory.correlations import MemoryCorrelations
from ciris_store_core.inmemory.documents import MemoryDocuments
from ciris_store_core.inmemory.graph import MemoryGraph
from ciris_store_core.inmemory.secrets import MemorySecrets
from ciris_store_core.inmemory.streams import MemoryStreams
from ciris_store_core.inmemory.tables import TABLE_NAMES, Snapshot, Tables
from ciris_store_core.inmemory.tasks import MemoryTasks
from ciris_store_core.inmemory.thoughts import MemoryThoughts

CAPABILITIES = frozenset(
    {
        Capability.SAVEPOINTS,
        Capability.TRANSACTIONAL_DDL,
        Capability.FULL_TEXT,
        Capability.DOCUMENTS,
        Capability.STREAMS,
    }
)
WAIT_SECONDS = 30.0


class MemorySession(Session):
    """One transaction on a database in memory."""

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables
        self.graph = MemoryGraph(tables)
        self.correlations = MemoryCorrelations(tables)
        self.tasks = MemoryTasks(tables)
        self.thoughts = MemoryThoughts(tables)
        self.coordination = MemoryCoordination(tables)
        self.secrets = MemorySecrets(tables)
        self.audit = MemoryAudit(tables)
        self.documents = MemoryDocuments(tables)
        self.streams = MemoryStreams(tables)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        before = self._tables.snapshot()
        try:
            yield
        except BaseException:
            self._tables.restore(before)
            raise


class Database:
    """The committed rows, and the lock that admits one writer at a time.

    A commit replaces the snapshot as a whole. Readers work on the snapshot that they began with and need no lock.
    """

    def __init__(self) -> None:
        """An empty database, not prepared yet."""
        self.committed: Snapshot = [{} for _ in TABLE_NAMES]
        self.prepared = False
        self._lock = FairLock()

    @contextmanager
    def writing(self, wait_seconds: float) -> Iterator[None]:
        """Be the only writer during the block; ``Unavailable`` if another stays longer than ``wait_seconds``."""
        if self._lock.is_mine():
            # Waiting would be waiting for oneself.
            raise TransactionError("this thread is writing in another session of this database. Use that one.")
        ticket = Ticket()
        try:
            if not self._lock.acquire(ticket, wait_seconds):
                raise _too_long(wait_seconds)
            yield
        finally:
            self._lock.release(ticket)


def _too_long(seconds: float) -> Unavailable:
    problem = Unavailable(f"another transaction has been writing for over {seconds:g} s. Try again later.")
    problem.waited = True
    return problem


class MemoryBackend(Backend):
    """A backend on a database in memory."""

    name = "memory"
    capabilities = CAPABILITIES

    def __init__(
        self, clock: Clock, database: str = "", *, create: bool = True, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        """Open the process's database of that name, or a new, private one for the empty name.

        Args:
            clock: Gives ``server_now()``.
            database: Name of the database.
            create: False refuses, in ``prepare``, a database that was not there before.
            wait_seconds: How long a writer waits for the one before it.
        """
        self._clock = clock
        self._database_name = database
        self._create = create
        self._wait_seconds = wait_seconds
        self._process = os.getpid()
        self._database: Database | None = _database(database)

    def prepare(self, *, migrate: bool) -> None:
        """Mark a new database as ready; ``MigrationRequired`` if it is new and must not be made one."""
        database = self._opened()
        if not database.prepared and not (migrate and self._create):
            raise MigrationRequired("the database in memory is new and empty. Open it with create and migrate allowed.")
        database.prepared = True

    @contextmanager
    def session(self, *, write: bool, single: bool = False) -> Iterator[Session]:
        """A transaction on a snapshot; writers queue, each for ``wait_seconds`` at most."""
        database = self._opened()
        turn: AbstractContextManager[None] = database.writing(self._wait_seconds) if write else nullcontext()
        with turn:
            tables = Tables.of(database.committed, writable=write)
            try:
                yield MemorySession(tables)
                if write:
                    database.committed = tables.snapshot()
            finally:
                tables.end()

    def server_now(self) -> datetime:
        """The clock's time."""
        self._opened()
        return self._clock.now()

    def is_empty(self) -> bool:
        return not any(self._opened().committed)

    def info(self) -> Mapping[str, Any]:
        """The name of the database (None: a private one) and how long a writer waits, in seconds."""
        self._opened()
        return {
            "database": self._database_name or None,
            "wait_seconds": self._wait_seconds,
            "survives_power_loss": False,
            "durability_settings": "none: in memory",
        }

    def stats(self) -> Mapping[str, Any]:
        committed = self._opened().committed
        return {name: len(rows) for name, rows in zip(TABLE_NAMES, committed, strict=True)}

    def close(self) -> None:
        """Close the store. The database ends with the last open store of its name."""
        self._database = None

    def _opened(self) -> Database:
        database = self._database
        if database is None:
            raise StoreClosed("the store was closed", hint="Open a new one.")
        if self._process != os.getpid():
            raise StoreClosed("the store was opened before this process was forked", hint="Open a new one here.")
        return database


_named: WeakValueDictionary[tuple[int, str], Database] = WeakValueDictionary()
_naming = Lock()


def _database(name: str) -> Database:
    if not name:
        return Database()
    with _naming:
        # The process is part of the key: a forked child must not take its copy of the parent's database for the same.
        return _named.setdefault((os.getpid(), name), Database())
