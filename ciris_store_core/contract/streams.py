"""Streams, for authors of backends [cap: streams]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ciris_store_core.models.paging import ResultPage
from ciris_store_core.models.payloads import Payload
from ciris_store_core.models.streams import EntryQuery, StoredEntry, StreamInfo, StreamKey, StreamQuery

_COUNTED_AT_ONCE = 1000


class StreamStore(ABC):
    """Streams by (namespace, name), each up to 8,192 bytes, and their entries by position, from 1 without gaps.

    The cost of a call does not grow with the length of the stream or the number of streams, and no call locks more
    than the streams that it names.
    """

    @abstractmethod
    def append(
        self, stream: StreamKey, entries: Sequence[StoredEntry], now: datetime, expected_position: int | None
    ) -> list[StoredEntry]:
        """Append entries in the order given; no id occurs twice. Required; a constant number of round trips.

        - The first append makes the stream.
        - Concurrent appenders to one stream wait for one another until the end of the transaction. No reader sees a
          position without those before it.
        - An entry whose id the stream has is not appended; in its place the stored one is returned.
        - With ``expected_position``, another position of the newest entry (0: of none): RevisionMismatch, and nothing
          is written; not judged if every id is stored already. If no entry is new, nothing changes.
        - Returns the entries with their positions, in the order given.
        """

    @abstractmethod
    def read(self, stream: StreamKey, query: EntryQuery) -> ResultPage[StoredEntry]:
        """Entries of a stream by position; of no stream: none. Required.

        - ``next_after`` is (position,) of the last row looked at, if there are more.
        - A row that cannot be read is in ``corrupt``, and the others are returned.
        """

    @abstractmethod
    def get(self, stream: StreamKey, ids: Sequence[str]) -> list[StoredEntry]:
        """The entries of these ids that exist, in no order. Required; one round trip."""

    @abstractmethod
    def pop(self, stream: StreamKey, now: datetime) -> StoredEntry | None:
        """Remove the newest entry and return it; None if there is none. Required.

        - Its position is given again to the next entry. No two callers get the same entry.
        """

    @abstractmethod
    def truncate(self, stream: StreamKey, before: int | None, after: int | None, now: datetime, limit: int) -> int:
        """Delete up to ``limit`` entries at positions below ``before``, oldest first, or above ``after``, newest first.

        Required. Returns how many. One of the two is given.

        - Below: later positions stay as they are, and the next append goes on behind the newest position that there
          was. Above: the deleted positions are given again, from the lowest on.
        - ``updated_at`` becomes ``now`` if an entry is deleted; likewise in ``pop``.
        """

    @abstractmethod
    def fork(self, source: StreamKey, target: StreamKey, up_to: int | None, now: datetime) -> int:
        """Make ``target`` a stream with the entries of ``source``, up to a position; returns how many. Required.

        - The entries keep positions, ids and times. Both streams go on independently: the target behind its newest
          entry, or, if it has none, at the source's first position.
        - A target that exists: AlreadyExists; a source that does not: NotFound; then nothing is written.
        - It is one moment of the source: an append that runs at the same time is in the target whole or not at all.
        """

    @abstractmethod
    def restore(self, info: StreamInfo, entries: Sequence[StoredEntry]) -> None:
        """Write entries with the positions that they have, and the stream's facts as given. Required, for copies.

        - Called in ascending order of positions, several times for a long stream; entries that exist: AlreadyExists.
        """

    @abstractmethod
    def delete(self, streams: Sequence[StreamKey]) -> int:
        """Delete streams with all their entries; returns how many existed. Required; constant round trips."""

    @abstractmethod
    def info(self, streams: Sequence[StreamKey]) -> list[StreamInfo]:
        """The facts of these streams, those that exist, in no order. Required; one round trip, reads no entry."""

    @abstractmethod
    def find(self, query: StreamQuery) -> ResultPage[StreamInfo]:
        """Streams by prefix, as ``StreamQuery`` orders them. Required; cost grows with the answer for order ``name``.

        - Sort keys for ``after``: ``name``: (path, name); ``updated``: (updated_at, path, name); see ``DocumentStore``.
        """

    def count(self, query: StreamQuery) -> int:
        """Return the number of matching streams, ``limit``, ``after`` and order aside. Default: reads their facts."""
        total, query = 0, replace(query, limit=_COUNTED_AT_ONCE, after=None)
        while True:
            page = self.find(query)
            total += len(page.items)
            if page.next_after is None:
                return total
            query = replace(query, after=page.next_after)

    @abstractmethod
    def find_encrypted(
        self, key_id: str, after: tuple[StreamKey, int] | None, limit: int
    ) -> list[tuple[StreamKey, StoredEntry]]:
        """Entries encrypted under that key, ascending by (path, name, position), from behind ``after``. Required."""

    @abstractmethod
    def reencrypt(self, stream: StreamKey, entry: StoredEntry, payload: Payload) -> bool:
        """Replace the payload if the stored body is still the entry's; else False. Required; one statement."""
