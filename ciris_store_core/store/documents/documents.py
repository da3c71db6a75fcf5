"""Documents, as users hold them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import InvalidArgument, NotSupported, RevisionMismatch, Unavailable
from ciris_store_core.models.document_filters import Filter
from ciris_store_core.models.documents import (
    Document,
    DocumentKey,
    DocumentOrder,
    DocumentQuery,
    DocumentWrite,
    Namespace,
    NamespaceQuery,
    StoredDocument,
)
from ciris_store_core.models.paging import Page, SortKey
from ciris_store_core.models.payloads import Payload
from ciris_store_core.secrets.crypto import keep
from ciris_store_core.secrets.keys import SecretsMode
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.store.access.secret_refs import DELETE_BATCH, drop
from ciris_store_core.store.context import StoreContext
from ciris_store_core.store.documents.names import (
    AnyNamespace,
    filter_of,
    name_of,
    namespace_of,
    path_of_value,
    pattern_of,
)
from ciris_store_core.store.documents.payload_coder import PayloadCoder, Place, document_of
from ciris_store_core.store.execution import Executor
from ciris_store_core.store.resource import SCAN_SIZE, OnCorrupt, Resource, all_pages, page_of, position, refuse_repeats
from ciris_store_core.validation.validator import limit_of, whole

_TRIES = 10
_NOTHING_YET = Payload("json", "null")
_SHAPES: dict[str, tuple[type, ...]] = {
    "key": (str, str),
    "created": (datetime, str, str),
    "updated": (datetime, str, str),
}

AnyKey = DocumentKey | tuple[AnyNamespace, str]
Keys = list[DocumentKey]
DocumentList = list[Document]


@dataclass(slots=True)
class NewDocument:
    """One document among those that ``put_many`` writes."""

    namespace: AnyNamespace
    key: str
    value: Any
    media_type: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    ttl: float | None = None
    expected_revision: int | None = None
    insert: bool = False


@dataclass(slots=True)
class _Ready:
    """Documents that are ready to be written."""

    now: datetime
    """The server's time, by which documents expire."""
    writes: list[DocumentWrite] = field(default_factory=list)
    values: list[tuple[Any, str | None]] = field(default_factory=list)
    """Values and media types as they will be read."""
    encrypted: set[int] = field(default_factory=set)
    """Indexes of the writes that are to be encrypted."""
    extracted: ExtractedSecrets = field(default_factory=ExtractedSecrets)


class Documents(Resource):
    """JSON values and bytes by namespace and key, for all that is no node, task or event [cap: documents].

    Values come back exactly as they were written. An expired document counts as absent, deleted already or not.
    """

    __slots__ = ("_coder",)

    def __init__(self, executor: Executor, ctx: StoreContext) -> None:
        """Called by the store."""
        super().__init__(executor, ctx)
        self._coder = PayloadCoder(executor, ctx)

    # --- writing ----------------------------------------------------------------------------------

    def put(
        self,
        namespace: AnyNamespace,
        key: str,
        value: Any,
        *,
        merge: bool = False,
        expected_revision: int | None = None,
        insert: bool = False,
        ttl: float | None = None,
        media_type: str | None = None,
        metadata: dict[str, Any] | None = None,
        secrets: SecretsMode | None = None,
    ) -> Document:
        """Write a document and return it as stored.

        It replaces a stored one whole: value, metadata, media type and expiry. ``created_at`` stays, and the revision
        grows by 1.

        Args:
            namespace: 1 to 32 texts, as in ``("users", "ada")``; a text alone is a namespace of one segment. Segments
                and key have at most 2,048 bytes of UTF-8 each, and 8,192 together.
            key: The key within the namespace.
            value: Any JSON value (tuples become lists), or bytes; at most 16 MiB.
            merge: Keep the keys of the stored object that ``value``, an object too, does not name; atomic. Metadata are
                merged too, and a ``ttl`` that is not given stays.
            expected_revision: Write only if the stored document has this revision; 0: only if there is none.
            insert: Write only if there is none.
            ttl: Seconds until the document expires; by default never.
            media_type: Media type of bytes.
            metadata: Facts about the value. Secrets are not looked for in them.
            secrets: Treatment of secrets in the value; ``SecretsConfig.documents`` goes before this.

        Raises:
            RevisionMismatch: The stored revision is not ``expected_revision``.
            AlreadyExists: ``insert`` met a stored document.
            InvalidArgument: A part cannot be stored; ``merge`` of something that is no object. Nothing was written.
            SecretDetected: The value holds a secret, and there is no key.
            SecretKeyError: The value is to be encrypted, and there is no key.
        """
        new = NewDocument(namespace, key, value, media_type, metadata or {}, ttl, expected_revision, insert)
        return self._merge(new, secrets) if merge else self._put([new], secrets)[0]

    def put_many(
        self, documents: Iterable[NewDocument | tuple[AnyNamespace, str, Any]], *, secrets: SecretsMode | None = None
    ) -> DocumentList:
        """Write many documents, all or none, in a constant number of round trips; return them as stored. See ``put``.

        A batch that names a document twice is refused.
        """
        return self._put([new if isinstance(new, NewDocument) else NewDocument(*new) for new in documents], secrets)

    def _put(self, new: Sequence[NewDocument], secrets: SecretsMode | None) -> DocumentList:
        if not new:
            return []
        ready = self._prepare(new, secrets)
        if not ready.extracted and not self._ctx.crypto.has_keys:
            stored = self._x.write("documents.put", lambda session: session.documents.put(ready.writes, ready.now))
        else:
            stored = self._x.write("documents.put", lambda session: self._store(session, ready), single=False)
        return [document_of(each, *value) for each, value in zip(stored, ready.values, strict=True)]

    def _prepare(self, new: Sequence[NewDocument], secrets: SecretsMode | None) -> _Ready:
        now, ready = self._ctx.clock.now(), _Ready(self._ctx.server_now())
        for each in new:
            write = self._write_of(each, now, ready.now)
            document = write.document
            mode = self._coder.mode(document.namespace, secrets)
            if mode == "encrypt":
                ready.encrypted.add(len(ready.writes))
            document.payload, value = self._coder.prepare(
                _place(document.id), each.value, each.media_type, mode, now, ready.extracted
            )
            ready.values.append((value, each.media_type))
            ready.writes.append(write)
        if len(new) > 1:
            refuse_repeats([write.document.id for write in ready.writes], "document")
        return ready

    def _store(self, session: Session, ready: _Ready) -> list[StoredDocument]:
        """Write documents with their secrets, and delete the secrets of values that are replaced."""
        writes = [
            self._encrypted(session, write) if index in ready.encrypted else write
            for index, write in enumerate(ready.writes)
        ]
        before = session.documents.get([write.document.id for write in writes], None)
        stored = session.documents.put(writes, ready.now)
        kept = {ref for each in stored for ref in each.payload.secret_refs}
        drop(session, [(_place(each.id).owner, [*set(each.payload.secret_refs) - kept]) for each in before])
        if ready.extracted:
            keep(session, ready.extracted)
        return stored

    def _encrypted(self, session: Session, write: DocumentWrite) -> DocumentWrite:
        document = write.document
        payload = self._coder.encrypted(session, _place(document.id), document.payload)
        return replace(write, document=replace(document, payload=payload))

    def _write_of(self, new: NewDocument, now: datetime, server_now: datetime) -> DocumentWrite:
        key = name_of(new.key, "key")
        namespace = namespace_of(new.namespace, key)
        if new.expected_revision is not None:
            whole(new.expected_revision, "expected_revision", 0, 2**63 - 1)
        span = None if new.ttl is None else self._ctx.span(new.ttl, "ttl")
        media_type = None if new.media_type is None else self._ctx.check.ident(new.media_type, "media_type")
        document = StoredDocument(
            namespace,
            key,
            _NOTHING_YET,
            now,
            now,
            expires_at=None if span is None else _later(server_now, span),
            ttl=None if span is None else span.total_seconds(),
            metadata=self._ctx.check.json_object(new.metadata, "metadata") if new.metadata else None,
        )
        new.media_type = media_type
        return DocumentWrite(document, "insert" if new.insert else "put", new.expected_revision)

    def _merge(self, new: NewDocument, secrets: SecretsMode | None) -> Document:
        if not isinstance(new.value, dict):
            raise InvalidArgument(
                f"only an object can be merged, not {type(new.value).__name__}", hint="Leave out merge."
            )
        key, expected = self._key(new.namespace, new.key), new.expected_revision

        def fn(session: Session) -> Document:
            ready = self._prepare([self._merged(session, key, new)], secrets)
            return document_of(self._store(session, ready)[0], *ready.values[0])

        for _ in range(_TRIES):
            try:
                return self._x.write("documents.put", fn, single=False)
            except RevisionMismatch:
                # Only a document that exists can be locked: another caller has just inserted this one.
                if expected is not None:
                    raise
        raise Unavailable(f"other callers wrote document {new.key!r} {_TRIES} times meanwhile. Call again.")

    def _merged(self, session: Session, key: DocumentKey, new: NewDocument) -> NewDocument:
        """Return the merged document, to be written only if no other caller writes it meanwhile."""
        now = self._ctx.server_now()
        try:
            found = session.documents.lock([key])
        except NotSupported:
            found = session.documents.get([key], now)
        stored = next((each for each in found if each.expires_at is None or each.expires_at > now), None)
        revision = stored.revision if stored else 0
        if new.expected_revision not in (None, revision):
            raise _mismatch(key, new.expected_revision, revision)
        if stored is None:
            return replace(new, expected_revision=0)
        value = self._coder.value_within(session, _place(key), stored.payload)
        if not isinstance(value, dict):
            raise InvalidArgument(f"document {new.key!r} holds no object to merge into", hint="Leave out merge.")
        return replace(
            new,
            value={**value, **new.value},
            metadata={**(stored.metadata or {}), **new.metadata},
            ttl=stored.ttl if new.ttl is None else new.ttl,
            expected_revision=revision,
        )

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
        listing = f"documents.{order}"
        page = page_of(found, listing)
        return Page([self._read(each) for each in page.items], page.next_cursor, page.corrupt)

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

    # --- deleting ---------------------------------------------------------------------------------

    def delete(self, namespace: AnyNamespace, key: str) -> int:
        """Delete a document; return 1, or 0 if there was none, or it had expired."""
        return self.delete_many([(namespace, key)])

    def delete_many(self, keys: Iterable[AnyKey]) -> int:
        """Delete the documents of these (namespace, key), and return how many there were."""
        wanted, now = self._keys(keys), self._ctx.server_now()
        if not wanted:
            return 0
        return self._x.write(
            "documents.delete",
            lambda session: self._delete(session, wanted, now),
            single=not self._ctx.crypto.has_keys,
        )

    def _delete(self, session: Session, keys: Keys, now: datetime) -> int:
        going = session.documents.get(keys, None) if self._ctx.crypto.has_keys else []
        count = session.documents.delete(keys, now)
        drop(session, [(_place(each.id).owner, each.payload.secret_refs) for each in going])
        return count

    def delete_matching(
        self, prefix: AnyNamespace, *, filter: Filter | None = None, key_prefix: str | None = None
    ) -> int:
        """Delete the documents that ``find`` would find, and return how many.

        Outside a transaction it deletes batches, each in a transaction of its own: what was deleted before an error
        stays so. ``()`` as prefix means every document.
        """
        query = self._query(prefix, filter, key_prefix, "key", False, DELETE_BATCH, None)
        if self._ctx.crypto.has_keys:
            return self._delete_with_secrets(query)
        total = 0
        while True:
            count = self._x.write("documents.delete_matching", lambda session: session.documents.delete_matching(query))
            total += count
            if count < DELETE_BATCH:
                return total

    def _delete_with_secrets(self, query: DocumentQuery) -> int:
        """Delete the documents of a query and the secrets that they own."""
        now, total = self._ctx.server_now(), 0

        def fn(session: Session) -> tuple[int, SortKey | None]:
            found = session.documents.find(query)
            keys = [each.id for each in found.items]
            return self._delete(session, keys, now) if keys else 0, found.next_after

        while True:
            count, after = self._x.write("documents.delete_matching", fn, single=False)
            total += count
            if after is None:
                return total
            query = replace(query, after=after)

    # --- indexes ----------------------------------------------------------------------------------

    def create_index(self, *path: str | int) -> None:
        """Index the part of every JSON value that these keys and indexes lead to; one that exists is kept.

        Afterwards, finding by ``eq`` or ``is_in`` on this part costs what the answer costs. On a large store, the call
        takes as long as reading all documents, and writers wait meanwhile.
        """
        checked = self._path(path)
        self._x.write("documents.create_index", lambda session: session.documents.create_index(checked))

    def drop_index(self, *path: str | int) -> None:
        """Remove such an index, if there is one."""
        checked = self._path(path)
        self._x.write("documents.drop_index", lambda session: session.documents.drop_index(checked))

    # --- inside -----------------------------------------------------------------------------------

    @staticmethod
    def _path(path: tuple[str | int, ...]) -> tuple[str | int, ...]:
        if not path:
            raise InvalidArgument("an index needs the path to a part of the values", hint='Use ("user", "id").')
        return path_of_value(path)

    @staticmethod
    def _key(namespace: AnyNamespace, key: str) -> DocumentKey:
        return DocumentKey(namespace_of(namespace, name_of(key, "key")), str.__str__(key))

    def _keys(self, keys: Iterable[AnyKey]) -> Keys:
        if isinstance(keys, str):
            raise InvalidArgument("keys: expected several (namespace, key), not one text")
        try:
            return list(dict.fromkeys(self._key(*key) for key in keys))
        except TypeError:
            raise InvalidArgument("a document's key is (namespace, key)") from None

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
            raise InvalidArgument(f"order: {order!a} is none of 'key', 'created' and 'updated'")
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
        value, media_type = self._coder.value(_place(stored.id), stored.payload)
        return document_of(stored, value, media_type)


def _place(key: DocumentKey) -> Place:
    return Place("document", *key)


def _later(now: datetime, span: timedelta) -> datetime:
    try:
        return now + span
    except OverflowError:
        raise InvalidArgument("ttl: the document would expire after the year 9999", hint="Leave it out.") from None


def _mismatch(key: DocumentKey, expected: int | None, revision: int) -> RevisionMismatch:
    return RevisionMismatch(
        f"document {key.key!r} is at revision {revision}, not {expected}",
        kind="document",
        key=key,
        hint="Read it again, decide, and call again.",
    )
