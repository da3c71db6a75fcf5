"""Documents, for authors of backends [cap: documents]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime

from ciris_store_core.contract.locking import cannot_lock
from ciris_store_core.models.document_filters import ValuePath
from ciris_store_core.models.documents import (
    DocumentKey,
    DocumentQuery,
    DocumentWrite,
    Namespace,
    NamespaceQuery,
    StoredDocument,
)
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.models.payloads import Payload


class DocumentStore(ABC):
    """Documents by (namespace, key), each up to 8,192 bytes, which must not collide however long they are.

    A document that expired by a call's ``now`` counts as absent in every answer, deleted already or not.
    """

    @abstractmethod
    def put(self, writes: Sequence[DocumentWrite], now: datetime) -> list[StoredDocument]:
        """Write documents; no key occurs twice. Required; a constant number of round trips.

        - A new document is stored as given, with revision 1.
        - Of a stored one all is replaced but ``created_at``, and the revision grows by 1. One that expired by ``now``
          counts as absent, except that its revision goes on.
        - ``restore``: the document exactly as given, its revision included; one that exists, expired or not:
          AlreadyExists.
        - Another revision than ``expected_revision``: RevisionMismatch; else ``insert`` of an existing document:
          AlreadyExists; after either nothing of the call is written.
        - Of concurrent writers with one expected revision, one succeeds.
        - Returns the documents as stored, in the order given.
        """

    @abstractmethod
    def get(self, keys: Sequence[DocumentKey], now: datetime | None) -> list[StoredDocument]:
        """The documents of these keys that exist, in no order; with ``now``, without the expired. One round trip."""

    @abstractmethod
    def touch(self, keys: Sequence[DocumentKey], now: datetime) -> list[StoredDocument]:
        """The documents that ``get`` returns, once ``expires_at`` of those with a ``ttl`` is ``now`` + ``ttl``.

        Required; constant round trips. Nothing else changes.
        """

    def lock(self, keys: Sequence[DocumentKey]) -> list[StoredDocument]:
        """The documents of these keys, expired or not, as they stay until the transaction ends. Default: NotSupported.

        - Rows are locked in key order. Where one transaction writes at a time, this is ``get``.
        """
        raise cannot_lock("documents")

    @abstractmethod
    def find(self, query: DocumentQuery) -> ResultPage[StoredDocument]:
        """Documents by prefix and filter, as ``DocumentQuery`` orders them. Required.

        - Sort keys for ``after``: ``key``: (path, key); ``created`` and ``updated``: (time, path, key); the path is
          ``models.paths.path_of`` of the namespace. Texts order by their UTF-8 bytes. Of those of more than
          ``INDEXED_BYTES`` the ``index_key`` stands in the sort key.
        - A prefix matches whole segments only; the cost grows with the documents below it, and with the answer where
          the filter names an indexed path or there is none and the order is ``key``.
        - The filter means what ``models.document_filters.matches`` says of ``payload.filtered_text``.
        - A row that cannot be read is in ``corrupt``, and the others are returned.
        """

    @abstractmethod
    def count(self, query: DocumentQuery) -> int:
        """Return the number of matching documents, ``limit``, ``after`` and order aside. Required."""

    @abstractmethod
    def namespaces(self, query: NamespaceQuery) -> ResultPage[Namespace]:
        """Namespaces that hold a document, ascending by path, each once. Required. Sort key: (path,)."""

    @abstractmethod
    def delete(self, keys: Sequence[DocumentKey], now: datetime | None) -> int:
        """Delete documents, expired or not; returns how many had not by ``now``. Required; constant round trips."""

    @abstractmethod
    def delete_matching(self, query: DocumentQuery) -> int:
        """Delete up to ``limit`` matching documents, whatever ``after`` and order say; returns how many. Required."""

    @abstractmethod
    def delete_expired(self, now: datetime, limit: int) -> int:
        """Delete up to ``limit`` documents that expired by ``now``; returns how many. Required."""

    @abstractmethod
    def find_encrypted(self, key_id: str, after: DocumentKey | None, limit: int) -> list[StoredDocument]:
        """Documents encrypted under that key, ascending by (path, key), from behind ``after``. Required."""

    @abstractmethod
    def reencrypt(self, document: StoredDocument, payload: Payload) -> bool:
        """Replace the payload if the stored revision is still the document's; else False. Required; one statement.

        - Nothing else changes, the revision included.
        """

    def create_index(self, path: ValuePath) -> None:
        """Index the part of every JSON value that a path leads to; one that exists is kept. Default: does nothing.

        - Afterwards, ``find`` with ``eq`` or ``in`` of a text or number on this path costs what its answer costs.
        - It may wait for open transactions with documents, readers included, but only for seconds (``Unavailable``).
        """
        return

    def drop_index(self, path: ValuePath) -> None:
        """Remove such an index if there is one; it waits as ``create_index`` does. Default: does nothing."""
        return
