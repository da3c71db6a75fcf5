"""Reading of one chunk ahead, so that the source is read while the target writes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

from ciris_store_core.models.graph import GraphNode
from ciris_store_core.transfer.record_kinds import RecordKind
from ciris_store_core.transfer.store_reader import Chunk, Reader


class ReadAhead:
    """A reader that runs in a thread of its own, since its session belongs to one thread."""

    def __init__(self, reader: Reader, thread: ThreadPoolExecutor) -> None:
        """Wrap ``reader``; ``thread`` has the one thread that opened it."""
        self._reader = reader
        self._thread = thread
        self.identity = reader.identity

    def total(self, kind: RecordKind) -> int | None:
        """Return the number of records of a kind, if the reader knows it."""
        return self._thread.submit(self._reader.total, kind).result()

    def root(self) -> GraphNode | None:
        """Return the reader's root node."""
        return self._thread.submit(self._reader.root).result()

    def stores(self) -> tuple[str, ...]:
        """Return the reader's store ids."""
        return self._thread.submit(self._reader.stores).result()

    def chunks(self, position: str | None) -> Iterator[Chunk]:
        """Yield the reader's chunks; while one is used, the next one is read."""
        source = self._reader.chunks(position)
        following = self._thread.submit(next, source, None)
        while (chunk := following.result()) is not None:
            following = self._thread.submit(next, source, None)
            yield chunk


@contextmanager
def read_ahead(opened: AbstractContextManager[Reader]) -> Iterator[ReadAhead]:
    """Open a reader in a thread of its own, and close it there."""
    with ThreadPoolExecutor(1, "ciris-store-read-ahead") as thread:
        reader = thread.submit(opened.__enter__).result()
        try:
            yield ReadAhead(reader, thread)
        finally:
            thread.submit(opened.__exit__, None, None, None).result()
