"""Occurrences and leases, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ciris_store_core.contract.coordination import CoordinationStore
from ciris_store_core.inmemory.tables import Tables, copied
from ciris_store_core.models.coordination import Lease, Occurrence


class MemoryCoordination(CoordinationStore):
    """Occurrences and leases in memory."""

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._occurrences, self._leases = tables.occurrences, tables.leases

    def put_occurrence(self, occurrence: Occurrence) -> None:
        self._occurrences.put(occurrence.occurrence_id, occurrence)

    def heartbeat(self, occurrence_id: str, at: datetime, expires_at: datetime) -> bool:
        if occurrence_id not in self._occurrences.rows:
            return False
        self._occurrences.change(occurrence_id, heartbeat_at=at, expires_at=expires_at)
        return True

    def list_occurrences(self, alive_at: datetime | None) -> list[Occurrence]:
        rows = self._occurrences.rows
        return [copied(rows[key]) for key in sorted(rows) if alive_at is None or rows[key].alive(alive_at)]

    def remove_occurrence(self, occurrence_id: str) -> bool:
        return self._occurrences.delete([occurrence_id]) == 1

    def acquire_lease(self, name: str, owner: str, now: datetime, expires_at: datetime) -> Lease | None:
        stored = self._leases.rows.get(name)
        if stored is None:
            lease = Lease(name=name, owner=owner, fence=1, acquired_at=now, expires_at=expires_at)
        elif stored.expires_at <= now:
            lease = stored.replaced(owner=owner, fence=stored.fence + 1, acquired_at=now, expires_at=expires_at)
        elif stored.owner == owner:
            lease = stored.replaced(expires_at=expires_at)
        else:
            return None
        self._leases.put(name, lease)
        return copied(lease)  # type: ignore[no-any-return]

    def add_leases(self, leases: Sequence[Lease]) -> None:
        self._leases.add({lease.name: lease for lease in leases})

    def renew_lease(self, name: str, owner: str, fence: int, now: datetime, expires_at: datetime) -> bool:
        lease = self._leases.rows.get(name)
        if lease is None or (lease.owner, lease.fence) != (owner, fence) or lease.expires_at <= now:
            return False
        self._leases.change(name, expires_at=expires_at)
        return True

    def release_lease(self, name: str, owner: str, fence: int, now: datetime) -> bool:
        return self.renew_lease(name, owner, fence, now, expires_at=now)

    def list_leases(self, held_at: datetime | None) -> list[Lease]:
        rows = self._leases.rows
        return [copied(rows[key]) for key in sorted(rows) if held_at is None or held_at < rows[key].expires_at]


def alive_owners(tables: Tables, at: datetime) -> set[str]:
    """The occurrences that are alive at that time."""
    return {row.occurrence_id for row in tables.occurrences.rows.values() if row.alive(at)}
