"""Reading of documents in pages that begin as small as the caller needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ciris_store_core import Document
from ciris_store_core.errors import Corrupt
from ciris_store_core.store import Documents
from ciris_store_langgraph.layout import Stored, split_key

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


def checkpoints_of(documents: Iterable[Document]) -> Iterator[Stored]:
    """Yield the checkpoints among documents in descending order, each with its writes.

    Writes whose checkpoint is not stored are left out.
    """
    current: Stored | None = None
    for document in documents:
        checkpoint_id, task = split_key(document.key)
        if current is not None and checkpoint_id != current.id:
            yield current
            current = None
        if task is None:
            current = Stored(checkpoint_id, document, [])
        elif current is not None:
            current.writes.append(document)
    if current is not None:
        yield current
