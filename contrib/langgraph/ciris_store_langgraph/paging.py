"""Reading of documents in pages that begin as small as the caller needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ciris_store_core import Document
from ciris_store_core.errors import Corrupt
from ciris_store_core.store import Documents

_LARGEST = 1000


def in_pages(documents: Documents, prefix: Sequence[str], *, first: int | None, **options: Any) -> Iterator[Document]:
    """Yield documents as ``scan`` does. The first page has ``first`` of them, and each later one twice as many."""
    size, cursor = min(max(first or 100, 1), _LARGEST), None
    while True:
        page = documents.find(tuple(prefix), limit=size, cursor=cursor, **options)
        for row in page.corrupt:
            raise Corrupt(f"the stored row {row.key!r} cannot be read ({row.error}). Repair it.")
        yield from page.items
        if (cursor := page.next_cursor) is None:
            return
        size = min(size * 2, _LARGEST)


class InStep:
    """Documents in descending order of the last segment of their namespaces, read beside a listing in that order."""

    def __init__(self, found: Iterator[Document]) -> None:
        """Take the documents, of which as many are read as the listing needs."""
        self._found = found
        self._next = next(found, None)

    def of(self, segment: str) -> list[Document]:
        """Return the documents of a segment; later calls may only ask for lesser ones."""
        chosen = []
        while self._next is not None and self._next.namespace[-1] >= segment:
            if self._next.namespace[-1] == segment:
                chosen.append(self._next)
            self._next = next(self._found, None)
        return chosen
