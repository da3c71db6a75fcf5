"""Pages of results, and the cursors that lead from one to the next."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from ciris_store_core.errors import InvalidArgument

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_encode = json.JSONEncoder(separators=(",", ":")).encode  # shorter than the text of json.dumps

SortKey = tuple[Any, ...]
"""Values of the sort columns of a row, in order: texts, integers and datetimes."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Limit of a page, and the row that it starts after."""

    limit: int = 100
    after: SortKey | None = None


@dataclass(frozen=True, slots=True)
class CorruptRow:
    """A stored row that cannot be decoded, reported by a page beside the readable rows."""

    key: str
    error: str


@dataclass(slots=True)
class Page(Generic[T]):
    """One page of a listing. Iterating it gives its items."""

    items: list[T]
    next_cursor: str | None = None
    """Pass it as ``cursor`` to get the next page; None on the last."""
    corrupt: list[CorruptRow] = field(default_factory=list)

    def __iter__(self) -> Iterator[T]:
        """The items, in order."""
        return iter(self.items)

    def __len__(self) -> int:
        """The number of items."""
        return len(self.items)

    def __getitem__(self, index: int) -> T:
        """One item."""
        return self.items[index]


@dataclass(slots=True)
class ResultPage(Generic[T]):
    """One page as a backend returns it."""

    items: list[T]
    next_after: SortKey | None = None
    """Sort key of the last row looked at, if there are more; None otherwise."""
    corrupt: list[CorruptRow] = field(default_factory=list)


def encode_cursor(listing: str, after: SortKey | None) -> str | None:
    """Return an opaque text for a position in the listing of that name."""
    if after is None:
        return None
    values = [["t", (v - _EPOCH) // _MICROSECOND] if isinstance(v, datetime) else ["v", v] for v in after]
    return base64.urlsafe_b64encode(_encode([listing, values]).encode()).decode().rstrip("=")


def decode_cursor(listing: str, cursor: str | None) -> SortKey | None:
    """Return the position of a cursor; raise ``InvalidArgument`` if it is malformed or of another listing."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        name, values = json.loads(raw)
        after = tuple(_EPOCH + _MICROSECOND * v if kind == "t" else v for kind, v in values)
    except (ValueError, TypeError, OverflowError, binascii.Error, AttributeError, RecursionError):
        raise InvalidArgument("the cursor is not one of this store's. Pass on page.next_cursor as it is.") from None
    if name != listing:
        raise InvalidArgument(f"the cursor belongs to another listing than {listing}. Start without one.")
    return after
