"""An open PostgreSQL database: a pool of connections, each with its session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from threading import get_ident
from traceback import clear_frames
from types import TracebackType
from typing import Any

from ciris_store_core.capabilities import Capability
from ciris_store_core.contract import Backend, Session
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.errors import InvalidURL, NotSupported, StoreError
from ciris_store_core.models.operations import Diagnosis, PendingMigration
from ciris_store_core.sql import ANY_RECORD, load_migrations
from ciris_store_core.sql.migrate import refuse_too_old
from ciris_store_core.url import StoreURL
from ciris_store_postgres.connect import ConnectOptions, Connector
from ciris_store_postgres.connection import PooledConnection
from ciris_store_postgres.diagnosis import diagnose
from ciris_store_postgres.dialect import PostgresDialect
from ciris_store_postgres.migrate import PostgresMigrator
from ciris_store_postgres.pool import ConnectionPool
from ciris_store_postgres.session import BEGIN, SNAPSHOT, PostgresSession
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
    }
)

OLDEST_SERVER = 140000
"""The first version with date_bin, as the driver counts them."""

# Asked together: another program may have migrated the database since this one opened it.
NOW = "SELECT pg_catalog.clock_timestamp(), (SELECT max(oldest_program) FROM {schema_migrations})"


class PostgresBackend(Backend):
    """A schema of a database on a server."""

    name = "PostgreSQL"
    capabilities = CAPABILITIES

    def __init__(self, url: StoreURL, context: BackendContext) -> None:
        """Read the URL; the server is contacted by ``prepare``."""
        self.options = options = ConnectOptions.from_url(url)
        self._may_migrate = context.migrate and options.migrate
        self._may_create = context.create and options.create
        self._dialect = PostgresDialect(options.schema)
        # One server has nothing to be compared with.
        self._timeline = Timeline() if len(url.hosts) > 1 else None
        self._watchdog = Watchdog(options.operation_timeout)
        self.pool = ConnectionPool(
            Connector(options).open,
            self._watchdog,
            size=options.pool_size,
            timeout=options.pool_timeout,
            idle_check=options.idle_check,
            max_lifetime=options.max_lifetime,
        )

    # --- opening ------------------------------------------------------------------------------

    def prepare(self, *, migrate: bool) -> None:
        """Connect, and bring the schema to this program's version."""
        with self._single(write=True) as session:
            _check_server(session.connection)
            migrator = self._migrator(session)
            if not self._may_create and not migrator.table_exists("schema_migrations"):
                raise InvalidURL(
                    f"there is no store in schema {self.options.schema!r}, and none is made here (create=false): "
                    "check the URL"
                )
            if migrate and self._may_migrate:
                migrator.migrate()
            else:
                migrator.require_current()

    def pending(self) -> Sequence[PendingMigration]:
        """The migrations that the schema lacks."""
        with self._single() as session:
            return self._migrator(session).plan()

    def _migrator(self, session: PostgresSession) -> PostgresMigrator:
        return PostgresMigrator(session, load_migrations(__package__), patience=self.options.migration_timeout)

    # --- sessions -----------------------------------------------------------------------------

    def session(self, *, write: bool, single: bool = False) -> AbstractContextManager[Session]:
        """A transaction; a single call does without where it is one statement."""
        return _Use(self, write, single)

    def snapshot(self) -> AbstractContextManager[Session]:
        """A reading transaction at the isolation level that keeps to one moment."""
        return _Use(self, False, False, SNAPSHOT)

    def _single(self, *, write: bool = False) -> AbstractContextManager[PostgresSession]:
        """The session that this thread has, else one for single statements."""
        # A thread that waited for a second connection would wait for itself where all are in use by such threads.
        own = self._own_session()
        return nullcontext(own) if own else _Use(self, write, True)

    def _own_session(self) -> PostgresSession | None:
        thread = get_ident()
        sessions = (connection.session for connection in self.pool.connections())
        return next((session for session in sessions if session and session.thread == thread), None)

    def session_of(self, connection: PooledConnection) -> PostgresSession:
        """The new session of a new connection."""
        try:
            session = PostgresSession(connection, self._dialect, self._watchdog.timeout)
            session.attach(connection, False)
            session.adapt()
            if self._timeline is not None:
                self._timeline.check(session)
        except BaseException:
            self.pool.release(connection, broken=True)
            raise
        connection.session = session
        return session

    # --- the rest -----------------------------------------------------------------------------

    def server_now(self) -> datetime:
        """The server's time, asked now: one round trip. The store asks once in a while and goes on by its own clock.

        Asked on the connection of the calling thread's transaction, if it has one open.
        """
        with self._single() as session:
            now: datetime
            now, oldest = session.rows(NOW)[0]
            refuse_too_old(session, oldest)
            return now

    def is_empty(self) -> bool:
        """Whether no record is stored."""
        with self._single() as session:
            return not session.rows(ANY_RECORD)[0][0]

    def info(self) -> Mapping[str, Any]:
        """Versions and settings."""
        with self._single() as session:
            applied = self._migrator(session).applied()
            raw = session.connection.raw
            return {
                "backend": self.name,
                "server_version": f"PostgreSQL {raw.get_parameter_status('server_version')}",
                "database": raw.info.dbname,
                "user": raw.info.user,
                "schema": self.options.schema,
                "schema_version": applied[-1].version if applied else 0,
            }

    def stats(self) -> Mapping[str, Any]:
        """Connections of this store."""
        return self.pool.stats()

    def diagnose(self, *, thorough: bool = False) -> Diagnosis:
        """What the server knows of the schema's health."""
        now = self.server_now()
        with self._single() as session:
            return diagnose(session, self.options.schema, now, thorough=thorough)

    def close(self) -> None:
        """Close all connections; those in use are given a few seconds. In a forked child nothing is touched."""
        self.pool.close()
        self._watchdog.close()


class _Use(AbstractContextManager[PostgresSession]):
    """One transaction: from taking a connection out to giving it back.

    On the way of every call, whose Python is cold after each wait for the server: a function more is half a
    microsecond more.
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
        # A context manager that somebody keeps must not keep the connection from being noticed as lost.
        self._connection = None

    def __del__(self) -> None:
        # An interrupt before the first line of __exit__ skips all of it.
        if getattr(self, "_connection", None) is not None and self._session is not None:
            self._session.detach()

    def _drop(self, *problems: BaseException | None) -> None:
        """Forget the connection. Unless it is back in the pool it is garbage then, and the pool notices that."""
        session, self._connection, self._session = self._session, None, None
        if session is not None and session.thread == get_ident():
            session.detach()
        for problem in problems:
            if problem is not None and not isinstance(problem, StoreError):
                clear_frames(problem.__traceback__)  # an interrupt that somebody keeps would keep it, too


def _check_server(connection: PooledConnection) -> None:
    raw = connection.raw
    if raw.server_version < OLDEST_SERVER:
        raise NotSupported(f"the server is PostgreSQL {raw.get_parameter_status('server_version')}: use 14 or newer")
    encoding = raw.get_parameter_status("server_encoding")
    if encoding not in ("UTF8", None):
        raise InvalidURL(f"the database's encoding is {encoding}: make one with ENCODING 'UTF8' TEMPLATE template0")
