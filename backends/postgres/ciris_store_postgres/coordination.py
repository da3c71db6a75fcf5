"""Occurrences and leases, where PostgreSQL can do better than the portable statements."""

from __future__ import annotations

from datetime import datetime

from ciris_store_core.models.coordination import Lease
from ciris_store_core.sql.coordination import SqlCoordinationStore
from ciris_store_core.sql.rows import read_all

# A free lease is taken under the next fence, the holder's own is extended under the same; one that another holds is
# left alone, and nothing is returned.
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
    """Takes leases in one statement."""

    def acquire_lease(self, name: str, owner: str, now: datetime, expires_at: datetime) -> Lease | None:
        """Take a lease that is free, expired or one's own."""
        rows = self.executor.rows(ACQUIRE, (name, owner, now, expires_at))
        return read_all(rows, self._lease, "lease")[0] if rows else None
