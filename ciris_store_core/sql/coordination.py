"""SQL of occurrences and leases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ciris_store_core.contract.coordination import CoordinationStore
from ciris_store_core.models.coordination import Lease, Occurrence
from ciris_store_core.sql.codec import object_out
from ciris_store_core.sql.inserting import insert_new
from ciris_store_core.sql.rows import Row, read_all
from ciris_store_core.sql.schema_version import OLDEST, refuse_too_old
from ciris_store_core.sql.statements import fill_in, where_clause

if TYPE_CHECKING:
    from ciris_store_core.sql.executor import SqlExecutor

PUT_OCCURRENCE = """
INSERT INTO {occurrences} (occurrence_id, started_at, heartbeat_at, expires_at, metadata)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (occurrence_id) DO UPDATE SET started_at = excluded.started_at, heartbeat_at = excluded.heartbeat_at,
    expires_at = excluded.expires_at, metadata = excluded.metadata
"""

# Another program may have migrated the database since this one opened it. An older program must not report itself alive
# under a schema that it may not use, so the check is part of the write.
HEARTBEAT = """
UPDATE {occurrences} SET heartbeat_at = ?, expires_at = ?
WHERE occurrence_id = ? AND NOT EXISTS (SELECT 1 FROM {schema_migrations} WHERE oldest_program > ?)
"""

FIND_OCCURRENCES = "SELECT {occurrence_columns} FROM {occurrences} {where} ORDER BY occurrence_id"

REMOVE_OCCURRENCE = "DELETE FROM {occurrences} WHERE occurrence_id = ?"

INSERT_LEASE = """
INSERT INTO {leases} (name, owner, fence, acquired_at, expires_at, metadata) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO NOTHING
"""

EXISTING_LEASES = "SELECT name FROM {leases} WHERE name {in_texts} ORDER BY name LIMIT 3"

GET_LEASE = "SELECT {lease_columns} FROM {leases} WHERE name = ?"

FIND_LEASES = "SELECT {lease_columns} FROM {leases} {where} ORDER BY name"

# A new lease is inserted as an expired one, so that one conditional update acquires it for every caller.
MAKE_LEASE = """
INSERT INTO {leases} (name, owner, fence, acquired_at, expires_at) VALUES (?, ?, 0, ?, ?)
ON CONFLICT (name) DO NOTHING
"""

# The owner's lease is extended under the same fence; a free or expired one is acquired under the next. The condition
# and the change are one statement: of two concurrent callers, the second waits for the row of the first and then finds
# the condition false. The row is never deleted, since its fence must go on growing.
ACQUIRE_LEASE = """
UPDATE {leases}
SET fence = CASE WHEN owner = ? AND expires_at > ? THEN fence ELSE fence + 1 END,
    acquired_at = CASE WHEN owner = ? AND expires_at > ? THEN acquired_at ELSE ? END,
    owner = ?, expires_at = ?
WHERE name = ? AND (owner = ? OR expires_at <= ?)
"""

RENEW_LEASE = "UPDATE {leases} SET expires_at = ? WHERE name = ? AND owner = ? AND fence = ? AND expires_at > ?"


class SqlCoordinationStore(CoordinationStore):
    """Store of occurrences and leases in two tables."""

    def __init__(self, executor: SqlExecutor) -> None:
        """Run the statements on that executor."""
        self.executor = executor
        self.codec = executor.codec

    def _occurrence(self, row: Row) -> Occurrence:
        time = self.codec.time_out
        return Occurrence.trusted(
            {
                "occurrence_id": row[0],
                "started_at": time(row[1]),
                "heartbeat_at": time(row[2]),
                "expires_at": time(row[3]),
                "metadata": object_out(row[4]),
            }
        )

    def _lease(self, row: Row) -> Lease:
        time = self.codec.time_out
        return Lease.trusted(
            {
                "name": row[0],
                "owner": row[1],
                "fence": row[2],
                "acquired_at": time(row[3]),
                "expires_at": time(row[4]),
                "metadata": object_out(row[5]),
            }
        )

    def put_occurrence(self, occurrence: Occurrence) -> None:
        time = self.codec.time_in
        times = (time(occurrence.started_at), time(occurrence.heartbeat_at), time(occurrence.expires_at))
        metadata = self.codec.object_in(occurrence.metadata)
        self.executor.run(PUT_OCCURRENCE, (occurrence.occurrence_id, *times, metadata))

    def heartbeat(self, occurrence_id: str, at: datetime, expires_at: datetime) -> bool:
        times = (self.codec.time_in(at), self.codec.time_in(expires_at))
        if self.executor.run(HEARTBEAT, (*times, occurrence_id, self.executor.dialect.program)) > 0:
            return True
        # No row was changed: either the occurrence is not registered, or this program is too old for the schema.
        refuse_too_old(self.executor.dialect, (self.executor.row(OLDEST) or (None,))[0])
        return False

    def list_occurrences(self, alive_at: datetime | None) -> list[Occurrence]:
        conditions = [] if alive_at is None else ["expires_at > ?"]
        params = () if alive_at is None else (self.codec.time_in(alive_at),)
        rows = self.executor.rows(fill_in(FIND_OCCURRENCES, where=where_clause(conditions)), params)
        return read_all(rows, self._occurrence, "occurrence")

    def remove_occurrence(self, occurrence_id: str) -> bool:
        return self.executor.run(REMOVE_OCCURRENCE, (occurrence_id,)) > 0

    def acquire_lease(self, name: str, owner: str, now: datetime, expires_at: datetime) -> Lease | None:
        moment, end = self.codec.time_in(now), self.codec.time_in(expires_at)
        with self.executor.atomic():
            self.executor.run(MAKE_LEASE, (name, owner, moment, moment))
            taken = self.executor.run(
                ACQUIRE_LEASE, (owner, moment, owner, moment, moment, owner, end, name, owner, moment)
            )
            if not taken:
                return None
            return read_all(self.executor.rows(GET_LEASE, (name,)), self._lease, "lease")[0]

    def renew_lease(self, name: str, owner: str, fence: int, now: datetime, expires_at: datetime) -> bool:
        end, moment = self.codec.time_in(expires_at), self.codec.time_in(now)
        return self.executor.run(RENEW_LEASE, (end, name, owner, fence, moment)) > 0

    def release_lease(self, name: str, owner: str, fence: int, now: datetime) -> bool:
        return self.renew_lease(name, owner, fence, now, now)

    def list_leases(self, held_at: datetime | None) -> list[Lease]:
        conditions = [] if held_at is None else ["expires_at > ?"]
        params = () if held_at is None else (self.codec.time_in(held_at),)
        rows = self.executor.rows(fill_in(FIND_LEASES, where=where_clause(conditions)), params)
        return read_all(rows, self._lease, "lease")

    def add_leases(self, leases: Sequence[Lease]) -> None:
        time = self.codec.time_in
        rows = [
            (x.name, x.owner, x.fence, time(x.acquired_at), time(x.expires_at), self.codec.object_in(x.metadata))
            for x in leases
        ]
        insert_new(self.executor, INSERT_LEASE, EXISTING_LEASES, "lease", rows)
