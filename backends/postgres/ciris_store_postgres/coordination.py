"""The SQL of leases on PostgreSQL: one statement to acquire a lease."""

from __future__ import annotations

from datetime import datetime

from ciris_store_core.models.coordination import Lease
from ciris_store_core.sql.coordination import SqlCoordinationStore
from ciris_store_core.sql.rows import read_all

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


class PostgresCoordinationStore(SqlCoordinationStore):
    """Coordination store that acquires a lease in one statement."""

    def acquire_lease(self, name: str, owner: str, now: datetime, expires_at: datetime) -> Lease | None:
        """Acquire a lease that is free, expired or the caller's own."""
        rows = self.executor.rows(ACQUIRE, (name, owner, now, expires_at))
        return read_all(rows, self._lease, "lease")[0] if rows else None
