"""Documents, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from ciris_store_core.contract.documents import DocumentStore
from ciris_store_core.contract.filters import (
    DOCUMENT_ORDERS,
    document_matches,
    has_expired,
    namespace_matches,
    path_sort_key,
)
from ciris_store_core.errors import AlreadyExists, RevisionMismatch
from ciris_store_core.inmemory.tables import Tables, copied, ordered
from ciris_store_core.inmemory.tables import page as page_of
from ciris_store_core.models.documents import (
    DocumentKey,
    DocumentQuery,
    DocumentWrite,
    Namespace,
    NamespaceQuery,
    StoredDocument,
)
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.models.paths import index_key, path_of
from ciris_store_core.models.payloads import Payload


class MemoryDocuments(DocumentStore):
    """Documents in memory."""

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._documents = tables.documents

    def put(self, writes: Sequence[DocumentWrite], now: datetime) -> list[StoredDocument]:
        for write in writes:
            self._check(write, now)
        for write in writes:
            stored = self._documents.rows.get(write.document.id)
            self._documents.put(write.document.id, _written(write, stored, now))
        return self._documents.pick(write.document.id for write in writes)

    def _check(self, write: DocumentWrite, now: datetime) -> None:
        stored = self._documents.rows.get(write.document.id)
        living = None if stored is None or has_expired(stored, now) else stored
        if write.expected_revision not in (None, living.revision if living else 0):
            raise revision_mismatch(write, living)
        exists = stored if write.mode == "restore" else living if write.mode == "insert" else None
        if exists is not None:
            raise document_exists(write.document.id)

    def get(self, keys: Sequence[DocumentKey], now: datetime | None) -> list[StoredDocument]:
        return [document for document in self._documents.pick(keys) if not has_expired(document, now)]

    def touch(self, keys: Sequence[DocumentKey], now: datetime) -> list[StoredDocument]:
        living = self.get(keys, now)
        for document in living:
            if document.ttl is not None:
                self._documents.change(document.id, expires_at=now + timedelta(seconds=document.ttl))
        return self._documents.pick(document.id for document in living)

    def lock(self, keys: Sequence[DocumentKey]) -> list[StoredDocument]:
        """The documents of these keys: only this transaction writes."""
        self._documents.require_write()
        return self._documents.pick(keys)

    def find(self, query: DocumentQuery) -> ResultPage[StoredDocument]:
        key = DOCUMENT_ORDERS[query.order]
        columns = 2 if query.order == "key" else 3
        return page_of(self._matching(query), query, key, (query.descending,) * columns)

    def count(self, query: DocumentQuery) -> int:
        return sum(1 for _ in self._matching(query))

    def namespaces(self, query: NamespaceQuery) -> ResultPage[Namespace]:
        living = {row.namespace for row in self._documents.rows.values() if not has_expired(row, query.now)}
        found = {each[: query.max_depth] for each in living if namespace_matches(each, query)}
        by_path = {index_key(path_of(each)): each for each in found}
        left = sorted(path for path in by_path if query.after is None or (path,) > query.after)
        items = left[: query.limit]
        more = len(left) > len(items) > 0
        return ResultPage([by_path[path] for path in items], (items[-1],) if more else None)

    def delete(self, keys: Sequence[DocumentKey], now: datetime | None) -> int:
        living = len(self.get(keys, now))
        self._documents.delete(keys)
        return living

    def delete_matching(self, query: DocumentQuery) -> int:
        keys = sorted((row.id for row in self._matching(query)), key=path_sort_key)
        return self._documents.delete(keys[: query.limit])

    def delete_expired(self, now: datetime, limit: int) -> int:
        expired = [row for row in self._documents.rows.values() if has_expired(row, now)]
        oldest_first = ordered(expired, lambda row: (row.expires_at,), (False,))
        return self._documents.delete(row.id for row in oldest_first[:limit])

    def find_encrypted(self, key_id: str, after: DocumentKey | None, limit: int) -> list[StoredDocument]:
        found = [
            row
            for row in self._documents.rows.values()
            if row.payload.key_id == key_id and (after is None or path_sort_key(row.id) > path_sort_key(after))
        ]
        return [copied(row) for row in sorted(found, key=lambda row: path_sort_key(row.id))[:limit]]

    def reencrypt(self, document: StoredDocument, payload: Payload) -> bool:
        stored = self._documents.rows.get(document.id)
        if stored is None or stored.revision != document.revision:
            return False
        self._documents.change(document.id, payload=payload)
        return True

    def _matching(self, query: DocumentQuery) -> Iterator[StoredDocument]:
        return (row for row in self._documents.rows.values() if document_matches(row, query))


def _written(write: DocumentWrite, stored: StoredDocument | None, now: datetime) -> StoredDocument:
    document = replace(write.document, metadata=write.document.metadata or None)
    if write.mode == "restore":
        return document
    if stored is None:
        return replace(document, revision=1)
    # The row of an expired document is still there, and its revision goes on, so that no two writes have the same.
    created_at = document.created_at if has_expired(stored, now) else stored.created_at
    return replace(document, created_at=created_at, revision=stored.revision + 1)


def document_exists(key: DocumentKey) -> AlreadyExists:
    """Return the error for a document that must not exist."""
    return AlreadyExists(
        f"document {key.key!r} of {key.namespace!r} already exists",
        kind="document",
        key=key,
        hint="Use another key, or write without insert=True.",
    )


def revision_mismatch(write: DocumentWrite, stored: StoredDocument | None) -> RevisionMismatch:
    """Return the error for a document that has another revision than the expected one."""
    key = write.document.id
    now = f"has revision {stored.revision}" if stored else "does not exist"
    return RevisionMismatch(
        f"document {key.key!r} of {key.namespace!r} {now}, not revision {write.expected_revision}",
        kind="document",
        key=key,
        hint="Read it again, decide, and write with its revision.",
    )
