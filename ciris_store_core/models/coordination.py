"""Occurrences and leases."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from ciris_store_core.models.base import Count, Id, JsonObject, Record, UtcDateTime


class Occurrence(Record):
    """A running instance. It is alive while the store's clock is before ``expires_at``."""

    occurrence_id: Id
    started_at: UtcDateTime
    heartbeat_at: UtcDateTime
    expires_at: UtcDateTime
    metadata: JsonObject = Field(default_factory=dict)

    def alive(self, now: datetime) -> bool:
        """Return whether the occurrence is alive at ``now``."""
        return now < self.expires_at


class Lease(Record):
    """A named lock with owner and expiry. ``fence`` grows with every change of owner."""

    name: Id
    owner: Id
    fence: Count
    acquired_at: UtcDateTime
    expires_at: UtcDateTime
    metadata: JsonObject = Field(default_factory=dict)
