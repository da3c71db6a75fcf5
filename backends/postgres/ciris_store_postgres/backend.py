"""PostgreSQL backend: a pool of connections, each with its session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from threading import get_ident
from traceback import clear_frames
from types import TracebackType
from typing import Any, Protocol

from ciris_store_core.capabilities import Capability
from ciris_store_core.contract import Backend, Session
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.errors import InvalidURL, NotSupported, StoreError
from ciris_store_core.models.operations import Diagnosis, PendingMigration
from ciris_store_core.sql import ANY_RECORD, load_migrations
from ciris_store_core.sql.schema_version import refuse_too_old
from ciris_store_core.url import StoreURL
from ciris_store_postgres.connect import ConnectOptions, Connector
from ciris_store_postgres.connection import PooledConnection
from ciris_store_postgres.diagnosis import diagnose
from ciris_store_postgres.dialect import PostgresDialect
from ciris_store_postgres.executor import BEGIN, SNAPSHOT
from ciris_store_postgres.migrate import PostgresMigrator
from ciris_store_postgres.pool import ConnectionPool
from ciris_store_postgres.session import PostgresSession
from ciris_store_postgres.timeline import Timeline
from ciris_store_postgres.watchdog import Watchdog

CAPABILITIES = frozenset(
    {
        Capability.SAVEPOINTS,
        Capability.TRANSACTIONAL_DDL,
        Capability.FULL_TEXT,
        Capability.CONCURRENT_WRITERS,
        Capability.MULTI_PROCESS,
        Capability.DURABLE,
        Capability.DOCUMENTS,
        Capability.STREAMS,
    }
)

OLDEST_SERVER = 140000
"""The first version with ``date_bin``, in the driver's numbering."""

# One round trip for both: another program may have migrated the schema since this one opened it.
NOW = "SELECT pg_catalog.clock_timestamp(), (SELECT max(oldest_program) FROM {schema_migrations})"

DURABILITY = """
SELECT name, setting FROM pg_catalog.pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') ORDER BY name
"""


class Pool(Protocol):
    """Pool of connections, or one store's share of it. The methods are those of ``ConnectionPool``."""

    def acquire(self, timeout: float | None = None) -> PooledConnection:
        """Return a connection for the caller alone."""
        ...

    def release(self, connection: PooledConnection, *, broken: bool = False) -> None:
        """Return a connection to the pool."""
        ...

    def connections(self) -> list[PooledConnection]:
        """Return all connections, in use or idle."""
        ...

    def stats(self) -> dict[str, int]:
        """Return counts."""
        ...

    def close(self) -> None:
        """Refuse further use."""
        ...


def new_pool(options: ConnectOptions, watchdog: Watchdog) -> ConnectionPool:
    """Return a pool as the options of a URL describe it."""
    return ConnectionPool(
        Connector(options).open,
        watchdog,
        size=options.pool_size,
        timeout=options.pool_timeout,
        idle_check=options.idle_check,
        max_lifetime=options.max_lifetime,
    )


class PostgresBackend(Backend):
    """Store in one schema of a PostgreSQL database."""

    name = "PostgreSQL"
    capabilities = CAPABILITIES

    def __init__(
        self,
        url: StoreURL,
        context: BackendContext,
        *,
        pool: Pool | None = None,
        watchdog: Watchdog | None = None,
        timeline: Timeline | None = None,
    ) -> None:
        """Parse the URL; ``prepare`` contacts the server. Pool, watchdog and timeline may belong to several stores."""
        self.options = options = ConnectOptions.from_url(url)
        self._may_migrate = context.migrate and options.migrate
        self._may_create = context.create and options.create
        self.dialect = PostgresDialect(options.schema)
        # Timelines are compared only where a failover can happen, that is where the URL names several servers.
        self._timeline = timeline or (Timeline() if len(url.hosts) > 1 else None)
        self._watchdog = watchdog or Watchdog(options.operation_timeout)
        self.pool: Pool = pool or new_pool(options, self._watchdog)

    # --- opening ------------------------------------------------------------------------------

    def prepare(self, *, migrate: bool) -> None:
        """Connect, and migrate the schema to this program's version."""
        with self.single(write=True) as session:
            _check_server(session.connection)
            migrator = self._migrator(session)
            if not self._may_create and not migrator.table_exists("schema_migrations"):
                raise InvalidURL(
                    f"there is no store in schema {self.options.schema!r}, and create=false forbids to create one. "
                    "Check the URL."
                )
            if migrate and self._may_migrate:
                migrator.migrate()
            else:
                migrator.require_current()

    def pending(self) -> Sequence[PendingMigration]:
        """Return the migrations that the schema lacks."""
        with self.single() as session:
            return self._migrator(session).plan()

    def _migrator(self, session: PostgresSession) -> PostgresMigrator:
        return PostgresMigrator(session, load_migrations(__package__), patience=self.options.migration_timeout)

    # --- sessions -----------------------------------------------------------------------------

    def session(self, *, write: bool, single: bool = False) -> AbstractContextManager[Session]:
        """Begin a transaction. With ``single``, each statement is its own transaction."""
        return _SessionScope(self, write, single)

    def snapshot(self) -> AbstractContextManager[Session]:
        """Begin a reading transaction at REPEATABLE READ, whose statements all see the same snapshot."""
        return _SessionScope(self, False, False, SNAPSHOT)

    def single(self, *, write: bool = False) -> AbstractContextManager[PostgresSession]:
        """Return the session that this thread has in use, else one for single statements."""
        # Threads that each hold a connection and wait for a second one would block one another once the pool is empty.
        own = self._own_session()
        return nullcontext(own) if own else _SessionScope(self, write, True)

    def _own_session(self) -> PostgresSession | None:
        thread = get_ident()
        sessions = (connection.session for connection in self.pool.connections())
        # A shared pool has sessions of other stores, too.
        mine = (each for each in sessions if each and each.thread == thread and each.dialect is self.dialect)
        return next(mine, None)

    def session_of(self, connection: PooledConnection) -> PostgresSession:
        """Make the session of a new connection."""
        try:
            session = PostgresSession(connection, self.dialect, self._watchdog.timeout)
            session.attach(connection, False)
            session.adapt()
            if self._timeline is not None:
                self._timeline.check(session)
        except BaseException:
            self.pool.release(connection, broken=True)
            raise
        connection.session = session
        return session

    # --- information --------------------------------------------------------------------------

    def server_now(self) -> datetime:
        """Return the server's time in one round trip.

        If the calling thread has a transaction open, its connection is used. The store asks every few seconds and adds
        the time that its own clock measures in between.
        """
        with self.single() as session:
            now: datetime
            now, oldest = session.rows(NOW)[0]
            refuse_too_old(session.dialect, oldest)
            return now

    def is_empty(self) -> bool:
        with self.single() as session:
            return not session.rows(ANY_RECORD)[0][0]

    def info(self) -> Mapping[str, Any]:
        with self.single() as session:
            applied = self._migrator(session).applied()
            raw = session.connection.raw
            durable = dict(session.rows(DURABILITY))
            return {
                "backend": self.name,
                "server_version": f"PostgreSQL {raw.get_parameter_status('server_version')}",
                "database": raw.info.dbname,
                "user": raw.info.user,
                "schema": self.options.schema,
                "schema_version": applied[-1].version if applied else 0,
                "survives_power_loss": "off" not in durable.values(),
                "durability_settings": ", ".join(f"{name}={value}" for name, value in durable.items()),
            }

    def stats(self) -> Mapping[str, Any]:
        """Return the counts of the connection pool."""
        return self.pool.stats()

    def diagnose(self, *, thorough: bool = False) -> Diagnosis:
        """Return findings about the schema and the server."""
        now = self.server_now()
        with self.single() as session:
            return diagnose(session, self.options.schema, now, thorough=thorough)

    def close(self) -> None:
        """Close all connections. Those in use get a few seconds. In a forked child this does nothing."""
        self.pool.close()
        self._watchdog.close()


class _SessionScope(AbstractContextManager[PostgresSession]):
    """One use of a session: acquires a connection, begins and ends the transaction, releases the connection.

    Every call passes through here with cold caches, since it has just waited for the server: each further function call
    costs half a microsecond. So its steps are written out in the two methods.
    """

    __slots__ = ("_backend", "_begin", "_connection", "_session", "_single", "_write")

    def __init__(self, backend: PostgresBackend, write: bool, single: bool, begin: str = BEGIN) -> None:
        self._connection: Any = None
        self._session: Any = None
        self._begin = begin
        self._backend = backend
        self._write = write
        self._single = single

    def __enter__(self) -> PostgresSession:
        try:
            connection = self._connection = self._backend.pool.acquire()
            session: PostgresSession = connection.session or self._backend.session_of(connection)
            self._session = session
            if session.dialect is not self._backend.dialect:  # another store of a shared pool used it last
                session.use_dialect(self._backend.dialect)
            session.attach(connection, self._write)
            if not self._single:
                session.begin_with(self._begin)
        except BaseException as problem:
            self._drop(problem)
            raise
        return session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        session = self._session
        try:
            try:
                if not self._single:
                    session.end(error)
            finally:
                session.detach()
                self._backend.pool.release(self._connection, broken=session.broken)
        except BaseException as problem:
            self._drop(problem, error)
            raise
        # A reference that outlives the block would keep a connection that is lost later from becoming garbage.
        self._connection = None

    def __del__(self) -> None:
        # An interrupt before the first line of __exit__ skips the whole method.
        if getattr(self, "_connection", None) is not None and self._session is not None:
            self._session.detach()

    def _drop(self, *problems: BaseException | None) -> None:
        """Drop the connection. If it was not released it becomes garbage, and the pool frees its permit."""
        session, self._connection, self._session = self._session, None, None
        if session is not None and session.thread == get_ident():
            session.detach()
        for problem in problems:
            if problem is not None and not isinstance(problem, StoreError):
                clear_frames(problem.__traceback__)  # frames of an interrupt that is kept would keep the connection


def _check_server(connection: PooledConnection) -> None:
    raw = connection.raw
    if raw.server_version < OLDEST_SERVER:
        raise NotSupported(f"the server is PostgreSQL {raw.get_parameter_status('server_version')}. Use 14 or newer.")
    encoding = raw.get_parameter_status("server_encoding")
    if encoding not in ("UTF8", None):
        raise InvalidURL(
            f"the encoding of the database is {encoding}. Create one with ENCODING 'UTF8' TEMPLATE template0."
        )
