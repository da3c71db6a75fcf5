"""Occurrences and leases, where PostgreSQL can do better than the portable statements."""

from __future__ import annotations

from datetime import datetime

from ciris_store_core.models.coordination import Lease
from ciris_store_core.sql.coordination import HEARTBEAT, SqlCoordinationStore
from ciris_store_core.sql.migrate import OLDEST, refuse_too_old
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


HEARTBEAT_AND_OLDEST = f"{HEARTBEAT} RETURNING ({OLDEST})"


class PostgresCoordinationStore(SqlCoordinationStore):
    """Takes leases, and looks after the schema in a heartbeat, in one statement each."""

    def heartbeat(self, occurrence_id: str, at: datetime, expires_at: datetime) -> bool:
        """Extend the life of an occurrence, unless the schema is no longer one that this program may use."""
        row = self.session.row(HEARTBEAT_AND_OLDEST, (at, expires_at, occurrence_id))
        refuse_too_old(self.session, row[0] if row else None)
        return row is not None

    def acquire_lease(self, name: str, owner: str, now: datetime, expires_at: datetime) -> Lease | None:
        """Take a lease that is free, expired or one's own."""
        rows = self.session.rows(ACQUIRE, (name, owner, now, expires_at))
        return read_all(rows, self._lease, "lease")[0] if rows else None
