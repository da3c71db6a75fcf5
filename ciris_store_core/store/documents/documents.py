"""Documents, as users hold them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import InvalidArgument, NotSupported, RevisionMismatch, Unavailable
from ciris_store_core.models.document_filters import Filter
from ciris_store_core.models.documents import (
    Document,
    DocumentKey,
    DocumentQuery,
    DocumentWrite,
    StoredDocument,
)
from ciris_store_core.models.paging import SortKey
from ciris_store_core.models.payloads import Payload
from ciris_store_core.secrets.crypto import keep
from ciris_store_core.secrets.keys import SecretsMode
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.store.access.secret_refs import DELETE_BATCH, drop
from ciris_store_core.store.documents.document_reads import AnyKey, DocumentList, DocumentReads, Keys, place_of
from ciris_store_core.store.documents.names import (
    AnyNamespace,
    name_of,
    namespace_of,
    path_of_value,
)
from ciris_store_core.store.documents.payload_coder import Place, document_of
from ciris_store_core.store.resource import raise_corrupt, refuse_repeats
from ciris_store_core.validation.validator import whole

_TRIES = 10
_NOTHING_YET = Payload("json", "null")


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


class Documents(DocumentReads):
    """JSON values and bytes by namespace and key, for all that is no node, task or event [cap: documents].

    Values come back exactly as they were written. An expired document counts as absent, deleted already or not.
    """

    __slots__ = ()

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
            place = Place("document", document.namespace, document.key)
            document.payload, value = self._coder.prepare(
                place, each.value, each.media_type, mode, now, ready.extracted
            )
            ready.values.append((value, each.media_type))
            ready.writes.append(write)
        if len(new) > 1:
            refuse_repeats([(write.document.namespace, write.document.key) for write in ready.writes], "document")
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
        drop(session, [(place_of(each.id).owner, [*set(each.payload.secret_refs) - kept]) for each in before])
        if ready.extracted:
            keep(session, ready.extracted)
        return stored

    def _encrypted(self, session: Session, write: DocumentWrite) -> DocumentWrite:
        document = write.document
        payload = self._coder.encrypted(session, place_of(document.id), document.payload)
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
        value = self._coder.value_within(session, place_of(key), stored.payload)
        if not isinstance(value, dict):
            raise InvalidArgument(f"document {new.key!r} holds no object to merge into", hint="Leave out merge.")
        return replace(
            new,
            value={**value, **new.value},
            metadata={**(stored.metadata or {}), **new.metadata},
            ttl=stored.ttl if new.ttl is None else new.ttl,
            expected_revision=revision,
        )

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
        drop(session, [(place_of(each.id).owner, each.payload.secret_refs) for each in going])
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
            for row in found.corrupt:
                raise_corrupt(row)
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

        Raises:
            Unavailable: Other transactions with documents did not end in time. Run the call again.
        """
        checked = self._path(path)
        self._x.write("documents.create_index", lambda session: session.documents.create_index(checked))

    def drop_index(self, *path: str | int) -> None:
        """Remove such an index, if there is one.

        Raises:
            Unavailable: Other transactions with documents did not end in time. Run the call again.
        """
        checked = self._path(path)
        self._x.write("documents.drop_index", lambda session: session.documents.drop_index(checked))

    @staticmethod
    def _path(path: tuple[str | int, ...]) -> tuple[str | int, ...]:
        if not path:
            raise InvalidArgument("an index needs the path to a part of the values", hint='Use ("user", "id").')
        return path_of_value(path)


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
