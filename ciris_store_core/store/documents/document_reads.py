"""Reading of documents, as users hold them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.document_filters import Filter
from ciris_store_core.models.documents import (
    Document,
    DocumentKey,
    DocumentOrder,
    DocumentQuery,
    Namespace,
    NamespaceQuery,
    StoredDocument,
)
from ciris_store_core.models.paging import Page, encode_cursor
from ciris_store_core.store.context import StoreContext
from ciris_store_core.store.documents.names import (
    AnyNamespace,
    filter_of,
    name_of,
    namespace_of,
    pattern_of,
)
from ciris_store_core.store.documents.payload_coder import PayloadCoder, Place, document_of, read_each
from ciris_store_core.store.execution import Executor
from ciris_store_core.store.resource import SCAN_SIZE, OnCorrupt, Resource, all_pages, page_of, position
from ciris_store_core.validation.validator import limit_of, whole

_SHAPES: dict[str, tuple[type, ...]] = {
    "key": (str, str),
    "created": (datetime, str, str),
    "updated": (datetime, str, str),
}

AnyKey = DocumentKey | tuple[AnyNamespace, str]
Keys = list[DocumentKey]
DocumentList = list[Document]


class DocumentReads(Resource):
    """Documents to read: the first half of ``Documents``."""

    __slots__ = ("_coder",)

    def __init__(self, executor: Executor, ctx: StoreContext) -> None:
        """Called by the store."""
        super().__init__(executor, ctx)
        self._coder = PayloadCoder(executor, ctx)

    # --- reading ----------------------------------------------------------------------------------

    def get(
        self, namespace: AnyNamespace, key: str, *, refresh: bool = False, for_update: bool = False
    ) -> Document | None:
        """Return the document, or None if there is none, or it expired.

        Args:
            namespace: The namespace, whole.
            key: The key.
            refresh: Move its expiry to its ``ttl`` from now, if it has one.
            for_update: In a transaction only: lock it, so that no other transaction changes or deletes it until this
                one ends.
        """
        found = self._get([self._key(namespace, key)], refresh, for_update)
        return found[0] if found else None

    def get_many(
        self, keys: Iterable[AnyKey], *, refresh: bool = False, for_update: bool = False
    ) -> dict[DocumentKey, Document]:
        """Return the existing documents among these (namespace, key), by key, in the order given. See ``get``.

        One round trip.
        """
        wanted = self._keys(keys)
        found = {DocumentKey(each.namespace, each.key): each for each in self._get(wanted, refresh, for_update)}
        return {key: found[key] for key in wanted if key in found}

    def _get(self, keys: Keys, refresh: bool, for_update: bool) -> DocumentList:
        if not keys:
            return []
        now = self._ctx.server_now()
        if for_update:
            found = self._x.lock(lambda session: session.documents.lock(keys))
            found = [each for each in found if each.expires_at is None or each.expires_at > now]
        elif refresh:
            found = self._x.write("documents.touch", lambda session: session.documents.touch(keys, now))
        else:
            found = self._x.read("documents.get", lambda session: session.documents.get(keys, now))
        return [self._read(each) for each in found]

    def touch(self, namespace: AnyNamespace, key: str) -> Document | None:
        """Move the document's expiry to its ``ttl`` from now, if it has one, and return it; None if there is none."""
        return self.get(namespace, key, refresh=True)

    def find(
        self,
        prefix: AnyNamespace = (),
        *,
        filter: Filter | None = None,
        key_prefix: str | None = None,
        order: DocumentOrder = "key",
        descending: bool = False,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Document]:
        """Return one page of the documents below a prefix of whole segments.

        Args:
            prefix: ``("a", "b")`` finds ``("a", "b")`` and ``("a", "b", "c")``, and not ``("a", "bc")``.
            filter: A condition on the values, made with ``field``; bytes and encrypted values meet none.
            key_prefix: The beginning of the key. It has no wildcards.
            order: ``"key"``: by namespace, then key; ``"created"`` or ``"updated"``: by that time.
            descending: Turn the order round.
            limit: The longest page, 1 to 10,000 documents.
            cursor: The ``next_cursor`` of the page before, of the same arguments.
        """
        query = self._query(prefix, filter, key_prefix, order, descending, limit, cursor)
        found = self._x.read("documents.find", lambda session: session.documents.find(query))
        items = read_each(found, self._read, lambda stored: "/".join((*stored.namespace, stored.key)))
        return Page(items, encode_cursor(f"documents.{order}", found.next_after), found.corrupt)

    def scan(
        self,
        prefix: AnyNamespace = (),
        *,
        filter: Filter | None = None,
        key_prefix: str | None = None,
        order: DocumentOrder = "key",
        descending: bool = False,
        on_corrupt: OnCorrupt | None = None,
    ) -> Iterator[Document]:
        """Yield all documents below a prefix, page by page, each page read when it is needed. See ``find``.

        ``on_corrupt``: called for every row that cannot be decoded; without it, such a row raises ``Corrupt``.
        """
        return all_pages(
            lambda cursor: self.find(
                prefix,
                filter=filter,
                key_prefix=key_prefix,
                order=order,
                descending=descending,
                limit=SCAN_SIZE,
                cursor=cursor,
            ),
            on_corrupt,
        )

    def count(self, prefix: AnyNamespace = (), *, filter: Filter | None = None, key_prefix: str | None = None) -> int:
        """Return the number of documents that ``find`` would find."""
        query = self._query(prefix, filter, key_prefix, "key", False, 1, None)
        return self._x.read("documents.count", lambda session: session.documents.count(query))

    def namespaces(
        self,
        prefix: Iterable[str | None] | str = (),
        *,
        suffix: Iterable[str | None] | str = (),
        max_depth: int | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Namespace]:
        """Return one page of the namespaces that hold documents, in order, each once.

        Args:
            prefix: Segments that the namespace begins with; None stands for any one segment.
            suffix: Segments that it ends with, before it is shortened; None stands for any one segment.
            max_depth: Shorten the namespaces to so many segments.
            limit: The longest page, 1 to 10,000 namespaces.
            cursor: The ``next_cursor`` of the page before, of the same arguments.
        """
        query = NamespaceQuery(
            limit_of(limit),
            position(self._ctx, "documents.namespaces", (str,), cursor),
            pattern_of(prefix, "prefix"),
            pattern_of(suffix, "suffix"),
            None if max_depth is None else whole(max_depth, "max_depth", 1, 2**31 - 1),
            self._ctx.server_now(),
        )
        found = self._x.read("documents.namespaces", lambda session: session.documents.namespaces(query))
        return page_of(found, "documents.namespaces")

    # --- inside -----------------------------------------------------------------------------------

    @staticmethod
    def _key(namespace: AnyNamespace, key: str) -> DocumentKey:
        return DocumentKey(namespace_of(namespace, name_of(key, "key")), str.__str__(key))

    def _keys(self, keys: Iterable[AnyKey]) -> Keys:
        if isinstance(keys, str):
            raise InvalidArgument("keys: expected several (namespace, key), not one text. Put the pair into a list.")
        try:
            return list(dict.fromkeys(self._key(*key) for key in keys))
        except TypeError:
            raise InvalidArgument("a document's key is a pair. Pass (namespace, key).") from None

    def _query(
        self,
        prefix: AnyNamespace,
        filter: Filter | None,
        key_prefix: str | None,
        order: DocumentOrder,
        descending: bool,
        limit: int,
        cursor: str | None,
    ) -> DocumentQuery:
        shape = _SHAPES.get(order)
        if shape is None:
            raise InvalidArgument(f"order must be 'key', 'created' or 'updated', not {order!a}")
        return DocumentQuery(
            limit_of(limit),
            position(self._ctx, f"documents.{order}", shape, cursor),
            namespace_of(prefix, prefix=True),
            filter_of(filter),
            None if key_prefix is None else name_of(key_prefix, "key_prefix"),
            order,
            bool(descending),
            self._ctx.server_now(),
        )

    def _read(self, stored: StoredDocument) -> Document:
        value, media_type = self._coder.value(place_of(stored.id), stored.payload)
        return document_of(stored, value, media_type)


def place_of(key: DocumentKey) -> Place:
    """Return the place of a document's value."""
    return Place("document", *key)
