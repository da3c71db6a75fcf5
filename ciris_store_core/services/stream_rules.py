"""Retention of streams: their oldest entries are deleted by count, age or both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ciris_store_core.clock import before
from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.streams import StreamInfo
from ciris_store_core.services.periodic import Keep
from ciris_store_core.store import Store

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class StreamRule:
    """Which entries of the streams below a prefix are kept; ``()`` means all streams."""

    prefix: tuple[str, ...]
    keep: int | None = None
    """The newest so many."""
    keep_for: timedelta | None = None
    """Those that are no older."""

    def __post_init__(self) -> None:
        """Raise ``InvalidArgument`` unless there is a bound, and each is more than 0."""
        if self.keep is None and self.keep_for is None:
            raise InvalidArgument("a StreamRule has neither keep nor keep_for. Pass one of them.")
        if (self.keep is not None and self.keep < 1) or (self.keep_for is not None and self.keep_for <= timedelta(0)):
            raise InvalidArgument("keep and keep_for of a StreamRule must be more than 0")


def trim(store: Store, rule: StreamRule, now: datetime, keep: Keep, *, dry_run: bool) -> int:
    """Delete the entries that the rule does not keep; return how many. ``keep`` is called before every stream."""
    total, cursor = 0, None
    while True:
        page = store.streams.find(rule.prefix, limit=_PAGE, cursor=cursor)
        for stream in page:
            keep()
            bound = _first_kept(store, stream, rule, now)
            if bound > stream.first_position and dry_run:
                total += bound - stream.first_position
            elif bound > stream.first_position:
                total += store.streams.truncate(stream.namespace, stream.name, before=bound)
        cursor = page.next_cursor
        if cursor is None:
            return total


def _first_kept(store: Store, stream: StreamInfo, rule: StreamRule, now: datetime) -> int:
    bound = stream.first_position
    if rule.keep is not None:
        bound = max(bound, stream.last_position - rule.keep + 1)
    if rule.keep_for is None:
        return bound
    oldest = before(now, rule.keep_for)
    for entry in store.streams.scan(stream.namespace, stream.name, after=bound - 1, on_corrupt=lambda row: None):
        if entry.created_at >= oldest:
            return entry.position
        bound = entry.position + 1
    return bound
