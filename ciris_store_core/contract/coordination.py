"""Occurrences and leases, for authors of backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime

from ciris_store_core.errors import AlreadyExists
from ciris_store_core.models.coordination import Lease, Occurrence


class CoordinationStore(ABC):
    """Occurrences by occurrence_id, leases by name."""

    @abstractmethod
    def put_occurrence(self, occurrence: Occurrence) -> None:
        """Store the occurrence, replacing the stored one of that id. Required; one statement."""

    @abstractmethod
    def heartbeat(self, occurrence_id: str, at: datetime, expires_at: datetime) -> bool:
        """Move ``heartbeat_at`` and ``expires_at``; False if it is not registered. Required; one statement.

        - Both are stored as given, earlier ones than the stored too: the last call counts.
        """

    @abstractmethod
    def list_occurrences(self, alive_at: datetime | None) -> list[Occurrence]:
        """All occurrences, or those alive at that time, by occurrence_id. Required."""

    @abstractmethod
    def remove_occurrence(self, occurrence_id: str) -> bool:
        """Delete the occurrence; False if it was not registered. Required."""

    @abstractmethod
    def acquire_lease(self, name: str, owner: str, now: datetime, expires_at: datetime) -> Lease | None:
        """Take the lease if it is free, expired by ``now``, or this owner's already; None if another holds it.

        Required.

        - Among concurrent callers at most one succeeds.
        - ``fence`` grows by 1 with every change of owner and every take-over of an expired lease, and stays when the
          holder acquires it again before it expires; ``acquired_at`` likewise.
        - ``expires_at`` is stored as given: a holder that acquires it again may shorten it.
        """

    @abstractmethod
    def renew_lease(self, name: str, owner: str, fence: int, now: datetime, expires_at: datetime) -> bool:
        """Extend the lease; False if it expired by ``now``, or owner or fence differ. Required; one statement."""

    @abstractmethod
    def release_lease(self, name: str, owner: str, fence: int, now: datetime) -> bool:
        """End the lease at ``now``; False if owner or fence differ or it expired. Required; one statement.

        - Its fence is kept, so that it goes on growing.
        """

    @abstractmethod
    def list_leases(self, held_at: datetime | None) -> list[Lease]:
        """All leases, or those not expired at that time, by name. Required."""

    def add_leases(self, leases: Sequence[Lease]) -> None:
        """Store leases exactly as given, their fences included. Default: over ``acquire_lease``, once a fence.

        - A name that exists: AlreadyExists, and nothing of the call is written.
        """
        taken = {lease.name for lease in self.list_leases(None)} & {lease.name for lease in leases}
        if taken:
            shown = ", ".join(map(repr, sorted(taken)[:3]))
            raise AlreadyExists(f"lease {shown} already exists", kind="lease", hint="Leave these leases out.")
        for lease in leases:
            # A lease that ends as it begins is free for the next, who gets the next fence.
            for _ in range(lease.fence - 1):
                self.acquire_lease(lease.name, lease.owner, lease.acquired_at, lease.acquired_at)
            self.acquire_lease(lease.name, lease.owner, lease.acquired_at, lease.expires_at)
