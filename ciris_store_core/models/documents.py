"""Documents: JSON values or bytes under a namespace and a key, and queries about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pydantic import Field

from ciris_store_core.models.base import Count, Finite, JsonObject, Record, Text, UtcDateTime
from ciris_store_core.models.document_filters import Filter
from ciris_store_core.models.paging import PageRequest
from ciris_store_core.models.payloads import Payload

Namespace = tuple[str, ...]
"""Path of 1 to 32 segments. A prefix of one may have no segment."""


class DocumentKey(NamedTuple):
    """Key of a document."""

    namespace: Namespace
    key: str


class Document(Record):
    """A JSON value, or bytes, under a namespace and a key."""

    namespace: tuple[Text, ...]
    key: Text
    value: Any
    """The JSON value exactly as it was written, or bytes."""
    media_type: Text | None = None
    """Media type of bytes; None for JSON."""
    metadata: JsonObject = Field(default_factory=dict)
    """Facts about the value, such as its source. Filters do not see them, and secrets are not looked for in them."""
    revision: Count
    """Number of writes of the stored row, from 1."""
    created_at: UtcDateTime
    updated_at: UtcDateTime
    expires_at: UtcDateTime | None = None
    """The time from which the document counts as absent; None: never."""
    ttl: Finite | None = None
    """Seconds that a write, a ``touch`` or a refreshing read adds to its time; None: the document does not expire."""


@dataclass(slots=True)
class StoredDocument:
    """A document as backends store it."""

    namespace: Namespace
    key: str
    payload: Payload
    created_at: datetime
    updated_at: datetime
    revision: int = 1
    expires_at: datetime | None = None
    ttl: float | None = None
    metadata: dict[str, Any] | None = None
    """None, as an empty object, is stored as nothing."""

    @property
    def id(self) -> DocumentKey:
        """The document's key."""
        return DocumentKey(self.namespace, self.key)


@dataclass(slots=True)
class DocumentWrite:
    """One write of a document, which replaces the stored one."""

    document: StoredDocument
    mode: Literal["put", "insert", "restore"] = "put"
    """insert: a stored document raises ``AlreadyExists``; restore: likewise, and the revision is as given."""
    expected_revision: int | None = None
    """Write only if the stored revision is this (0: only if there is none), else raise ``RevisionMismatch``."""


DocumentOrder = Literal["key", "created", "updated"]


@dataclass(frozen=True, slots=True)
class DocumentQuery(PageRequest):
    """Which documents to find, and in which order."""

    prefix: Namespace = ()
    """Only documents whose namespace begins with these whole segments."""
    filter: Filter | None = None
    """Only JSON values that meet it; bytes and encrypted values meet none, not even ``~`` of one."""
    key_prefix: str | None = None
    """Only keys that begin with this text. It has no wildcards."""
    order: DocumentOrder = "key"
    """key: by (path, key); created, updated: by that time, then (path, key). See ``models.paths``."""
    descending: bool = False
    """Turn the whole order round, ties included."""
    now: datetime | None = None
    """Leave out documents that expired by then; None finds them too."""
    updated_from: datetime | None = None
    """Only documents that were written then or later."""


@dataclass(frozen=True, slots=True)
class NamespaceQuery(PageRequest):
    """Which namespaces to list."""

    prefix: tuple[str | None, ...] = ()
    """Only namespaces that begin with these segments; None stands for any one segment."""
    suffix: tuple[str | None, ...] = ()
    """Only namespaces that end with these segments, judged before they are shortened; None: any one segment."""
    max_depth: int | None = None
    """Shorten the namespaces to so many segments; each is listed once."""
    now: datetime | None = None
    """Leave out namespaces without a document that has not expired by then."""
