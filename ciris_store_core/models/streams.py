"""Streams: append-only sequences of entries, and queries about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from ciris_store_core.models.base import Count, Record, Text, UtcDateTime
from ciris_store_core.models.documents import Namespace
from ciris_store_core.models.paging import PageRequest
from ciris_store_core.models.payloads import Payload


class StreamKey(NamedTuple):
    """Key of a stream."""

    namespace: Namespace
    name: str


class StreamEntry(Record):
    """One entry of a stream."""

    position: Count
    """Place in the stream, from 1, without gaps, in the order of commits."""
    id: Text | None = None
    """Id of the caller's, unique in the stream: an entry is appended once however often it is sent."""
    kind: Text = ""
    """Kind of the entry, a word of the caller's."""
    value: Any
    """The JSON value exactly as it was written, or bytes."""
    media_type: Text | None = None
    """Media type of bytes; None for JSON."""
    created_at: UtcDateTime


class StreamInfo(Record):
    """Facts about a stream."""

    namespace: tuple[Text, ...]
    name: Text
    length: Count
    """Number of entries that are stored."""
    first_position: Count
    """Position of the oldest stored entry, or that of the next one where none is stored."""
    last_position: Count
    """Position of the newest entry; 0 if there was none yet."""
    created_at: UtcDateTime
    updated_at: UtcDateTime
    """The time of the last append, or of another change."""


@dataclass(slots=True)
class StoredEntry:
    """An entry as backends store it."""

    payload: Payload
    created_at: datetime
    id: str | None = None
    kind: str = ""
    position: int = 0
    """Set by the backend."""


@dataclass(frozen=True, slots=True)
class EntryQuery:
    """Which entries of a stream to read, by position."""

    limit: int = 100
    after: int | None = None
    """Only entries behind this position, or before it where ``reverse``."""
    reverse: bool = False
    """Newest first."""


@dataclass(frozen=True, slots=True)
class StreamQuery(PageRequest):
    """Which streams to find."""

    prefix: Namespace = ()
    """Only streams whose namespace begins with these whole segments."""
    name_prefix: str | None = None
    """Only names that begin with this text. It has no wildcards."""
    order: Literal["name", "updated"] = "name"
    """name: by (path, name); updated: by (updated_at, path, name)."""
    descending: bool = False
    """Turn the whole order round, ties included."""
    updated_from: datetime | None = None
    """Only streams that changed then or later."""
