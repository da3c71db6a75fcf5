"""Migrations of a PostgreSQL schema, run by one process at a time."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence

from ciris_store_core.errors import Unavailable
from ciris_store_core.sql import Migration, Migrator
from ciris_store_postgres.citus import DISTRIBUTE, require_coordinator
from ciris_store_postgres.session import PostgresSession

log = logging.getLogger(__name__)

TABLE_EXISTS = """
SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ? AND c.relname = ? AND c.relkind IN ('r', 'p')
"""

SCHEMA_EXISTS = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ?"

MAKE_SCHEMA = "CREATE SCHEMA {schema}"

# A transaction-level lock: a session-level one would stay on the server connection that a transaction pooler hands to
# another client, and would outlive a killed program until the server notices.
TRY_LOCK = "SELECT pg_catalog.pg_try_advisory_xact_lock(?)"

HOLDER = """
SELECT a.pid, a.usename, a.application_name
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_catalog.pg_database
    WHERE datname = current_database()) AND l.classid = ? AND l.objid = ? AND l.objsubid = 1
"""

# ALTER TABLE waits for an ACCESS EXCLUSIVE lock, and every later statement on the table, even a query, queues behind
# that request. The timeout bounds their wait. If the program is killed, it also ends the migration on the server, which
# releases the advisory lock. SET LOCAL ends with the transaction.
LIMIT_LOCKS = "SET LOCAL lock_timeout = '2s'"

_PAUSE_SECONDS = 1.0
"""Between two attempts, so that the statements that queued behind the first one can run."""
_LOCK_NOT_AVAILABLE = "55P03"

_POLL_SECONDS = 0.05
_SECONDS_BETWEEN_LOGS = 5.0


class PostgresMigrator(Migrator):
    """Migrator of one schema.

    Args:
        session: The session of a connection that no other thread uses.
        migrations: The migrations that this program knows.
        patience: Seconds to wait while another process migrates.
        monotonic: Clock that measures the wait.
        sleep: Function that sleeps for a number of seconds.
    """

    session: PostgresSession

    def __init__(
        self,
        session: PostgresSession,
        migrations: Sequence[Migration],
        *,
        patience: float = 60.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(session, migrations)
        self._schema = session.dialect.schema or "public"
        self._patience = patience
        self._monotonic = monotonic
        self._sleep = sleep

    def apply(self, migration: Migration) -> bool:
        """Apply a migration. Retry while a long transaction locks a table that the migration changes.

        Raises:
            Unavailable: The table stayed locked for ``patience`` seconds.
        """
        started = self._monotonic()
        while True:
            try:
                return super().apply(migration)
            except Unavailable as error:
                if getattr(error.__cause__, "pgcode", None) != _LOCK_NOT_AVAILABLE:
                    raise
                if self._monotonic() - started >= self._patience:
                    raise self._blocked(migration) from error
            log.info("migration %03d_%s waits for a transaction to end", migration.version, migration.name)
            self._sleep(_PAUSE_SECONDS)

    def _blocked(self, migration: Migration) -> Unavailable:
        error = Unavailable(
            f"migration {migration.version:03}_{migration.name} could not lock a table within {self._patience:g} s, "
            "because other transactions use it. End the longest of them (see pg_stat_activity), then open the store "
            "again."
        )
        error.retryable = False
        return error

    def table_exists(self, table: str) -> bool:
        """Return True if the table exists in the store's schema."""
        return self.session.row(TABLE_EXISTS, (self._schema, table)) is not None

    def lock(self) -> None:
        """Wait until no other process migrates this schema, then create the schema if it does not exist.

        The lock is polled: a call that blocks could not report the holder, and the watchdog would end it.

        Raises:
            Unavailable: Another process held the lock for ``patience`` seconds. The message names that process.
            NotSupported: The server is a worker of Citus.
        """
        if self.session.distributed:
            require_coordinator(self.session)
        key = _lock_key(self._schema)
        started = logged = self._monotonic()
        while not self._try_lock(key):
            now = self._monotonic()
            if now - started >= self._patience:
                raise self._lock_timeout(key)
            if logged == started or now - logged >= _SECONDS_BETWEEN_LOGS:
                logged = now
                log.info("waiting to migrate schema %s: the lock is held by %s", self._schema, self._holder(key))
            self._sleep(_POLL_SECONDS)
        self.session.run(LIMIT_LOCKS)
        for statement in self.preparation():
            self.session.run(statement)

    def preparation(self) -> Sequence[str]:
        """Return the statements that create the schema, if there is none."""
        # CREATE SCHEMA IF NOT EXISTS needs the right to create schemas even where the schema exists.
        if self.session.row(SCHEMA_EXISTS, (self._schema,)):
            return ()
        return (DISTRIBUTE, MAKE_SCHEMA) if self.session.distributed else (MAKE_SCHEMA,)

    def _try_lock(self, key: int) -> bool:
        row = self.session.row(TRY_LOCK, (key,))
        return row is not None and bool(row[0])

    def _lock_timeout(self, key: int) -> Unavailable:
        error = Unavailable(
            f"another process has been migrating schema {self._schema!r} for more than {self._patience:g} s: "
            f"{self._holder(key)}. Let it finish, or end it, then open the store again."
        )
        error.retryable = False
        return error

    def _holder(self, key: int) -> str:
        unsigned = key % 2**64
        row = self.session.row(HOLDER, (unsigned >> 32, unsigned % 2**32))
        if row is None:
            return "a process that has just ended"
        return f"server process {row[0]} of user {row[1]!r}, application {row[2]!r}"


def _lock_key(schema: str) -> int:
    """Return the number of a schema's advisory lock: eight bytes of a hash, unlikely to be used by other programs."""
    return int.from_bytes(hashlib.sha256(f"ciris-store migrations of {schema}".encode()).digest()[:8], signed=True)
