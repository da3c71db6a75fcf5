"""The audit trail: hash chains, one per occurrence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ciris_store_core.models.base import Id, JsonObject, Record, Text, UtcDateTime, utc_now
from ciris_store_core.models.ids import uuid7
from ciris_store_core.models.paging import PageRequest


class AuditEntry(Record):
    """One entry of a chain. ``sequence`` counts from 1 within the chain, without gaps."""

    chain: Id
    """The occurrence that the chain belongs to."""
    sequence: Annotated[int, Field(ge=1)]
    entry_id: Id = Field(default_factory=uuid7)
    event_type: Id
    actor: Id
    at: UtcDateTime = Field(default_factory=utc_now)
    payload: JsonObject = Field(default_factory=dict)
    previous_hash: Text
    entry_hash: Text
    signature: Text | None = None
    signing_key_id: Id | None = None
    metadata: JsonObject = Field(default_factory=dict)


class AuditAnchor(Record):
    """The beginning of a chain whose first entries were pruned."""

    chain: Id
    sequence: Annotated[int, Field(ge=1)]
    """The last removed entry's number."""
    entry_hash: Text
    """Its hash, which the first remaining entry names as the previous one."""
    removed_count: Annotated[int, Field(ge=1)]
    at: UtcDateTime = Field(default_factory=utc_now)
    signature: Text | None = None
    signing_key_id: Id | None = None
    metadata: JsonObject = Field(default_factory=dict)


class ChainHead(Record):
    """The end of a chain at some time."""

    chain: Id
    sequence: Annotated[int, Field(ge=1)]
    entry_hash: Text


class AuditCheckpoint(Record):
    """The ends of all chains at some time. Kept outside of the database, it shows if entries were cut off since."""

    heads: list[ChainHead]
    store: Id | None = None
    """The store's id."""
    at: UtcDateTime = Field(default_factory=utc_now)
    signature: Text | None = None
    signing_key_id: Id | None = None


@dataclass(frozen=True, slots=True)
class AuditQuery(PageRequest):
    """Which entries to list: by chain, then sequence, ascending."""

    chain: str | None = None
