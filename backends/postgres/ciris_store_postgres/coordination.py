"""SQL of occurrences and leases on PostgreSQL: bounded waits, and one statement to acquire a lease."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ciris_store_core.errors import Unavailable
from ciris_store_core.models.coordination import Lease, Occurrence
from ciris_store_core.sql.coordination import SqlCoordinationStore
from ciris_store_core.sql.rows import read_all

if TYPE_CHECKING:
    from ciris_store_postgres.executor import PostgresExecutor

# If the lease is free or expired, it gets a new owner and the next fencing token. If the caller owns it, it is extended
# under the same token. If another owner holds it, WHERE leaves the row unchanged and nothing is returned. ON CONFLICT
# locks the row and evaluates WHERE on its newest version, so of two callers one acquires the lease.
ACQUIRE = """
INSERT INTO {leases} AS l (name, owner, fence, acquired_at, expires_at) VALUES (?, ?, 1, ?, ?)
ON CONFLICT (name) DO UPDATE
SET fence = CASE WHEN l.owner = excluded.owner AND l.expires_at > excluded.acquired_at THEN l.fence
        ELSE l.fence + 1 END,
    acquired_at = CASE WHEN l.owner = excluded.owner AND l.expires_at > excluded.acquired_at THEN l.acquired_at
        ELSE excluded.acquired_at END,
    owner = excluded.owner, expires_at = excluded.expires_at
WHERE l.owner = excluded.owner OR l.expires_at <= excluded.acquired_at
RETURNING name, owner, fence, acquired_at, expires_at, metadata
"""


# An earlier run of the same occurrence may be stopped in the middle of a transaction that holds the row of the
# occurrence or those of its tasks. The new run waits for them only this long. SET LOCAL ends with the transaction, so
# the limit covers the release of the tasks, which follows.
LIMIT_LOCKS = "SET LOCAL lock_timeout = '3s'; "

_LOCK_NOT_AVAILABLE = "55P03"


class PostgresCoordinationStore(SqlCoordinationStore):
    """Coordination store that bounds the waits of a registration, and acquires a lease in one statement."""

    executor: PostgresExecutor

    def put_occurrence(self, occurrence: Occurrence) -> None:
        """Store an occurrence; no later statement of the transaction waits longer than 3 s for a lock.

        Raises:
            Unavailable: Another transaction holds the row of the occurrence.
        """
        self.executor.send_with_next(LIMIT_LOCKS)
        try:
            super().put_occurrence(occurrence)
        except Unavailable as error:
            if getattr(error.__cause__, "pgcode", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise Unavailable(
                f"another run of occurrence {occurrence.occurrence_id!a} has a transaction open that holds its row. If "
                "its process is stopped, end it (see pg_stat_activity), then register again."
            ) from error.__cause__

    def acquire_lease(self, name: str, owner: str, now: datetime, expires_at: datetime) -> Lease | None:
        rows = self.executor.rows(ACQUIRE, (name, owner, now, expires_at))
        return read_all(rows, self._lease, "lease")[0] if rows else None
