"""Streams, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ciris_store_core.contract.filters import path_sort_key, stream_matches, stream_sort_key
from ciris_store_core.contract.streams import StreamStore
from ciris_store_core.errors import AlreadyExists, NotFound, RevisionMismatch
from ciris_store_core.inmemory.tables import Tables, copied
from ciris_store_core.inmemory.tables import page as page_of
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.models.payloads import Payload
from ciris_store_core.models.streams import EntryQuery, StoredEntry, StreamInfo, StreamKey, StreamQuery


class MemoryStreams(StreamStore):
    """Streams in memory."""

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._streams, self._entries = tables.streams, tables.stream_entries

    def append(
        self, stream: StreamKey, entries: Sequence[StoredEntry], now: datetime, expected_position: int | None
    ) -> list[StoredEntry]:
        stored = {entry.id: entry for entry in self.get(stream, [entry.id for entry in entries if entry.id])}
        fresh = [entry for entry in entries if entry.id is None or entry.id not in stored]
        if not fresh:
            return [stored[entry.id] for entry in entries]
        info = self._streams.rows.get(stream)
        if expected_position not in (None, info.last_position if info else 0):
            raise _position_mismatch(stream, info, expected_position)
        if info is None:
            self._make(stream, now, 1, 0)
        result = [stored[entry.id] if entry.id in stored else self._add(stream, entry) for entry in entries]
        self._streams.change(stream, updated_at=now)
        return result

    def _add(self, stream: StreamKey, entry: StoredEntry) -> StoredEntry:
        position = self._streams.rows[stream].last_position + 1
        self._entries.put((stream, position), replace(entry, position=position))
        self._set_range(stream, self._streams.rows[stream].first_position, position)
        return self._entry(stream, position)

    def read(self, stream: StreamKey, query: EntryQuery) -> ResultPage[StoredEntry]:
        positions = self._positions(stream)
        if query.after is not None:
            after = query.after
            low, high = (positions.start, min(positions.stop, after)) if query.reverse else (after + 1, positions.stop)
            positions = range(max(low, positions.start), high)
        chosen = (positions[::-1] if query.reverse else positions)[: query.limit]
        more = len(positions) > len(chosen) > 0
        return ResultPage([self._entry(stream, each) for each in chosen], (chosen[-1],) if more else None)

    def get(self, stream: StreamKey, ids: Sequence[str]) -> list[StoredEntry]:
        wanted = set(ids)
        rows = ((each, self._entries.rows[stream, each]) for each in self._positions(stream))
        return [self._entry(stream, position) for position, entry in rows if entry.id in wanted]

    def pop(self, stream: StreamKey, now: datetime) -> StoredEntry | None:
        positions = self._positions(stream)
        if not positions:
            return None
        newest = self._entry(stream, positions[-1])
        self._remove(stream, now, newest=1)
        return newest

    def truncate(self, stream: StreamKey, before: int | None, after: int | None, now: datetime, limit: int) -> int:
        positions = self._positions(stream)
        if before is not None:
            return self._remove(stream, now, oldest=min(limit, sum(each < before for each in positions)))
        assert after is not None
        return self._remove(stream, now, newest=min(limit, sum(each > after for each in positions)))

    def _remove(self, stream: StreamKey, now: datetime, oldest: int = 0, newest: int = 0) -> int:
        if not oldest + newest:
            return 0
        positions = self._positions(stream)
        left = positions[oldest : len(positions) - newest]
        self._entries.delete((stream, each) for each in positions if each not in left)
        # A range without positions still has its start and stop, so the next position is known.
        self._set_range(stream, left.start, left.stop - 1)
        self._streams.change(stream, updated_at=now)
        return oldest + newest

    def fork(self, source: StreamKey, target: StreamKey, up_to: int | None, now: datetime) -> int:
        if source not in self._streams.rows:
            raise _no_stream(source)
        if target in self._streams.rows:
            raise _stream_exists(target)
        info = self._streams.rows[source]
        last = info.last_position if up_to is None else max(min(up_to, info.last_position), info.first_position - 1)
        positions = range(info.first_position, last + 1)
        self._make(target, now, info.first_position, last)
        for each in positions:
            self._entries.put((target, each), self._entries.rows[source, each])
        return len(positions)

    def restore(self, info: StreamInfo, entries: Sequence[StoredEntry]) -> None:
        stream = StreamKey(info.namespace, info.name)
        self._entries.add({(stream, entry.position): entry for entry in entries})
        self._streams.put(stream, info)

    def delete(self, streams: Sequence[StreamKey]) -> int:
        for stream in streams:
            self._entries.delete((stream, each) for each in self._positions(stream))
        return self._streams.delete(streams)

    def info(self, streams: Sequence[StreamKey]) -> list[StreamInfo]:
        return self._streams.pick(streams)

    def find(self, query: StreamQuery) -> ResultPage[StreamInfo]:
        found = (info for info in self._streams.rows.values() if stream_matches(info, query))
        columns = 2 if query.order == "name" else 3
        return page_of(found, query, lambda info: stream_sort_key(info, query), (query.descending,) * columns)

    def find_encrypted(
        self, key_id: str, after: tuple[StreamKey, int] | None, limit: int
    ) -> list[tuple[StreamKey, StoredEntry]]:
        found = [
            (stream, entry)
            for (stream, position), entry in self._entries.rows.items()
            if entry.payload.key_id == key_id
            and (after is None or (path_sort_key(stream), position) > (path_sort_key(after[0]), after[1]))
        ]
        found.sort(key=lambda row: (path_sort_key(row[0]), row[1].position))
        return [(stream, copied(entry)) for stream, entry in found[:limit]]

    def reencrypt(self, stream: StreamKey, entry: StoredEntry, payload: Payload) -> bool:
        stored = self._entries.rows.get((stream, entry.position))
        if stored is None or stored.payload.body != entry.payload.body:
            return False
        self._entries.change((stream, entry.position), payload=payload)
        return True

    def _make(self, stream: StreamKey, now: datetime, first: int, last: int) -> None:
        info = StreamInfo.trusted(
            {
                "namespace": stream.namespace,
                "name": stream.name,
                "length": last - first + 1,
                "first_position": first,
                "last_position": last,
                "created_at": now,
                "updated_at": now,
            }
        )
        self._streams.put(stream, info)

    def _set_range(self, stream: StreamKey, first: int, last: int) -> None:
        self._streams.change(stream, first_position=first, last_position=last, length=last - first + 1)

    def _positions(self, stream: StreamKey) -> range:
        info = self._streams.rows.get(stream)
        return range(info.first_position, info.last_position + 1) if info else range(0)

    def _entry(self, stream: StreamKey, position: int) -> StoredEntry:
        entry: StoredEntry = copied(self._entries.rows[stream, position])
        return entry


def _position_mismatch(stream: StreamKey, info: StreamInfo | None, expected: int | None) -> RevisionMismatch:
    return RevisionMismatch(
        f"stream {stream.name!r} of {stream.namespace!r} ends at position {info.last_position if info else 0}, "
        f"not {expected}",
        kind="stream",
        key=stream,
        hint="Read the new entries, decide, and append with the position of the last.",
    )


def _stream_exists(stream: StreamKey) -> AlreadyExists:
    return AlreadyExists(
        f"stream {stream.name!r} of {stream.namespace!r} already exists",
        kind="stream",
        key=stream,
        hint="Use another name, or delete it first.",
    )


def _no_stream(stream: StreamKey) -> NotFound:
    return NotFound(
        f"stream {stream.name!r} of {stream.namespace!r} does not exist",
        kind="stream",
        key=stream,
        hint="Append to it first.",
    )
