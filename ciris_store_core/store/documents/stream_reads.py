"""Reading of streams, as users hold them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.paging import Page, ResultPage, encode_cursor
from ciris_store_core.models.streams import EntryQuery, StoredEntry, StreamEntry, StreamInfo, StreamKey, StreamQuery
from ciris_store_core.store.context import StoreContext
from ciris_store_core.store.documents.names import AnyNamespace, name_of, namespace_of
from ciris_store_core.store.documents.payload_coder import PayloadCoder, Place, read_each
from ciris_store_core.store.execution import Executor
from ciris_store_core.store.resource import (
    SCAN_SIZE,
    OnCorrupt,
    Resource,
    all_pages,
    page_of,
    position,
    raise_corrupt,
)
from ciris_store_core.validation.validator import MAX_LIMIT, limit_of, whole

LAST_POSITION = 2**63 - 1
_SHAPES: dict[str, tuple[type, ...]] = {"name": (str, str), "updated": (datetime, str, str)}

Entries = list[StreamEntry]


class StreamReads(Resource):
    """Streams to read: the first half of ``Streams``."""

    __slots__ = ("_coder",)

    def __init__(self, executor: Executor, ctx: StoreContext) -> None:
        """Called by the store."""
        super().__init__(executor, ctx)
        self._coder = PayloadCoder(executor, ctx)

    # --- reading ----------------------------------------------------------------------------------

    def read(
        self,
        namespace: AnyNamespace,
        name: str,
        *,
        after: int | None = None,
        limit: int = 100,
        reverse: bool = False,
        cursor: str | None = None,
    ) -> Page[StreamEntry]:
        """Return one page of the entries by position; of a stream that does not exist, none.

        Args:
            namespace: The namespace, whole.
            name: The name.
            after: Only entries behind this position, or before it where ``reverse``.
            limit: The longest page, 1 to 10,000 entries.
            reverse: Newest first.
            cursor: The ``next_cursor`` of the page before, in place of ``after``.
        """
        stream = self._key(namespace, name)
        if cursor is not None:
            (after,) = position(self._ctx, "streams.entries", (int,), cursor) or (None,)
        elif after is not None:
            whole(after, "after", 0, LAST_POSITION)
        found = self._find(stream, EntryQuery(limit_of(limit), after, bool(reverse)))
        items = read_each(found, lambda stored: self._read(stream, stored), lambda stored: str(stored.position))
        return Page(items, encode_cursor("streams.entries", found.next_after), found.corrupt)

    def _find(self, stream: StreamKey, query: EntryQuery) -> ResultPage[StoredEntry]:
        return self._x.read("streams.read", lambda session: session.streams.read(stream, query))

    def tail(self, namespace: AnyNamespace, name: str, n: int = 50) -> Entries:
        """Return the newest ``n`` entries, oldest of them first; ``n``: 1 to 10,000.

        Raises:
            Corrupt: One of them cannot be read.
        """
        stream = self._key(namespace, name)
        found = self._find(stream, EntryQuery(whole(n, "n", 1, MAX_LIMIT), reverse=True))
        for row in found.corrupt:
            raise_corrupt(row)
        return [self._read(stream, each) for each in reversed(found.items)]

    def last(self, namespace: AnyNamespace, name: str) -> StreamEntry | None:
        """Return the newest entry, or None."""
        found = self.tail(namespace, name, 1)
        return found[0] if found else None

    def get(self, namespace: AnyNamespace, name: str, id: str) -> StreamEntry | None:
        """Return the entry with that id, or None."""
        return self.get_many(namespace, name, [id]).get(id)

    def get_many(self, namespace: AnyNamespace, name: str, ids: Iterable[str]) -> dict[str, StreamEntry]:
        """Return the entries of these ids that exist, by id, in the order given. One round trip."""
        stream = self._key(namespace, name)
        if isinstance(ids, str):
            raise InvalidArgument("ids: expected several, not one text", hint="Put it into a list.")
        wanted = list(dict.fromkeys(name_of(id, "id") for id in ids))
        if not wanted:
            return {}
        found = self._x.read("streams.get", lambda session: session.streams.get(stream, wanted))
        known = {each.id: self._read(stream, each) for each in found}
        return {id: known[id] for id in wanted if id in known}

    def scan(
        self,
        namespace: AnyNamespace,
        name: str,
        *,
        after: int | None = None,
        reverse: bool = False,
        on_corrupt: OnCorrupt | None = None,
    ) -> Iterator[StreamEntry]:
        """Yield all entries by position, page by page, each page read when it is needed. See ``read``.

        ``on_corrupt``: called for every row that cannot be decoded; without it, such a row raises ``Corrupt``.
        """
        return all_pages(
            lambda cursor: self.read(namespace, name, after=after, limit=SCAN_SIZE, reverse=reverse, cursor=cursor),
            on_corrupt,
        )

    def info(self, namespace: AnyNamespace, name: str) -> StreamInfo | None:
        """Return the length of a stream and when it changed; None if it does not exist. Reads no entry."""
        stream = self._key(namespace, name)
        found = self._x.read("streams.info", lambda session: session.streams.info([stream]))
        return found[0] if found else None

    def find(
        self,
        prefix: AnyNamespace = (),
        *,
        name_prefix: str | None = None,
        order: Literal["name", "updated"] = "name",
        descending: bool = False,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[StreamInfo]:
        """Return one page of the streams below a prefix of whole segments.

        Args:
            prefix: ``("a", "b")`` finds streams in ``("a", "b")`` and ``("a", "b", "c")``, and not in ``("a", "bc")``.
            name_prefix: The beginning of the name. It has no wildcards.
            order: ``"name"``: by namespace, then name; ``"updated"``: by the time of the last change.
            descending: Turn the order round.
            limit: The longest page, 1 to 10,000 streams.
            cursor: The ``next_cursor`` of the page before, of the same arguments.
        """
        shape = _SHAPES.get(order)
        if shape is None:
            raise InvalidArgument(f"order must be 'name' or 'updated', not {order!a}")
        query = StreamQuery(
            limit_of(limit),
            position(self._ctx, f"streams.{order}", shape, cursor),
            namespace_of(prefix, prefix=True),
            None if name_prefix is None else name_of(name_prefix, "name_prefix"),
            order,
            bool(descending),
        )
        found = self._x.read("streams.find", lambda session: session.streams.find(query))
        return page_of(found, f"streams.{order}")

    def count(self, prefix: AnyNamespace = (), *, name_prefix: str | None = None) -> int:
        """Return the number of streams that ``find`` would find."""
        query = StreamQuery(
            1,
            None,
            namespace_of(prefix, prefix=True),
            None if name_prefix is None else name_of(name_prefix, "name_prefix"),
        )
        return self._x.read("streams.count", lambda session: session.streams.count(query))

    # --- inside -----------------------------------------------------------------------------------

    @staticmethod
    def _key(namespace: AnyNamespace, name: str) -> StreamKey:
        return StreamKey(namespace_of(namespace, name_of(name, "name")), str.__str__(name))

    def _read(self, stream: StreamKey, stored: StoredEntry) -> StreamEntry:
        value, media_type = self._coder.value(place_of(stream), stored.payload)
        return StreamEntry.trusted({
            "position": stored.position, "id": stored.id, "kind": stored.kind, "value": value,
            "media_type": media_type, "created_at": stored.created_at,
        })  # fmt: skip


def place_of(stream: StreamKey) -> Place:
    """Return the place of the values of a stream."""
    return Place("stream", *stream)
