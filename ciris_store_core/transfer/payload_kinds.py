"""Documents, streams and their entries, as records that a copy or a file holds.

A record holds the payload as it is stored, so JSON comes back to the character, and encrypted values need no key. They
stay bound to the store that encrypted them, whose id becomes part of the target's identity.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Annotated, Any, Self

from pydantic import Field, PlainSerializer

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import AlreadyExists, Corrupt, InvalidArgument, NotSupported
from ciris_store_core.models.base import Count, Finite, JsonObject, Record, Text, UtcDateTime, _plain
from ciris_store_core.models.documents import DocumentQuery, DocumentWrite, StoredDocument
from ciris_store_core.models.paging import ResultPage, SortKey
from ciris_store_core.models.payloads import Payload
from ciris_store_core.models.streams import EntryQuery, StoredEntry, StreamInfo, StreamKey, StreamQuery
from ciris_store_core.store.documents.names import name_of, namespace_of
from ciris_store_core.store.documents.payload_coder import read_each
from ciris_store_core.validation.json_values import Refused
from ciris_store_core.validation.payloads import bytes_payload, json_payload, value_of
from ciris_store_core.validation.validator import Validator

_STREAMS_PER_PAGE = 200

_STRICT = Validator("strict")


def _to_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        if isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise ValueError("expected bytes, or their base64 text")


_Data = Annotated[
    bytes,
    _plain(_to_bytes, {"type": "string", "contentEncoding": "base64"}),
    PlainSerializer(lambda value: base64.b64encode(value).decode(), when_used="json"),
]


class PayloadRecord(Record):
    """A stored payload: JSON text in ``text``, or bytes in ``data``."""

    namespace: tuple[Text, ...]
    format: Text
    text: Text | None = None
    data: _Data | None = None
    media_type: Text | None = None
    key_id: Text | None = None
    secret_refs: tuple[Text, ...] = ()
    searchable: Text | None = None
    created_at: UtcDateTime

    @property
    def payload(self) -> Payload:
        """Return the payload as backends store it."""
        body = self.text if self.data is None else self.data
        assert body is not None
        return Payload(self.format, body, self.searchable, self.media_type, self.key_id, self.secret_refs)  # type: ignore[arg-type]

    @staticmethod
    def fields_of(payload: Payload) -> dict[str, Any]:
        """Return the fields that hold a payload; raise ``Corrupt`` if it is JSON that cannot be read."""
        if payload.format == "json":
            value_of(payload)
            if payload.searchable is not None:
                value_of(Payload("json", payload.searchable))
        is_text = isinstance(payload.body, str)
        return {
            "format": payload.format,
            "text": payload.body if is_text else None,
            "data": None if is_text else payload.body,
            "media_type": payload.media_type,
            "key_id": payload.key_id,
            "secret_refs": payload.secret_refs,
            "searchable": payload.searchable,
        }

    def checked(self) -> Self:
        """Return the record of a file, checked as a write is, with the copy that filters see made anew."""
        if (self.text is None) == (self.data is None):
            raise InvalidArgument("a record has either text or data")
        try:
            payload = _checked_payload(self)
        except Refused as refused:
            raise refused.as_error("value") from None
        except Corrupt as error:
            raise InvalidArgument("the text is no JSON") from error
        return self.replaced(**self.fields_of(payload))


class DocumentRecord(PayloadRecord):
    """A document as it is stored."""

    key: Text
    metadata: JsonObject = Field(default_factory=dict)
    revision: Count
    updated_at: UtcDateTime
    expires_at: UtcDateTime | None = None
    ttl: Finite | None = None


class EntryRecord(PayloadRecord):
    """An entry of a stream as it is stored."""

    name: Text
    position: Count
    id: Text | None = None
    kind: Text = ""


# --- checks of files --------------------------------------------------------------------------


def _checked_payload(record: PayloadRecord) -> Payload:
    given = record.payload
    refs = tuple(_STRICT.ident(ref, "secret_refs") for ref in given.secret_refs)
    if given.format == "json" and given.key_id is None and given.media_type is None:
        payload, _ = json_payload(value_of(given))
        return Payload("json", payload.body, payload.searchable, secret_refs=refs)
    if isinstance(given.body, bytes):
        if given.format == "bytes" and given.key_id is None and not refs:
            return bytes_payload(given.body, _STRICT.optional(given.media_type, "media_type"))
        if given.format == "encrypted" and given.key_id is not None and given.media_type is None and not refs:
            return Payload("encrypted", given.body, key_id=_STRICT.ident(given.key_id, "key_id"))
    raise InvalidArgument("the fields of the value do not fit together. Export the store again.")


def check_document(record: DocumentRecord) -> DocumentRecord:
    """Return the document of a file, checked as a write is; raise ``InvalidArgument``."""
    namespace_of(record.namespace, name_of(record.key, "key"))
    if record.revision < 1 or (record.ttl is not None and (record.ttl < 0 or record.expires_at is None)):
        raise InvalidArgument("revision, ttl and expires_at do not fit together. Export the store again.")
    return record.checked().replaced(metadata=_STRICT.json_object(record.metadata, "metadata"))


def check_stream(info: StreamInfo) -> StreamInfo:
    """Return the stream of a file; raise ``InvalidArgument`` if its facts do not fit together."""
    namespace_of(info.namespace, name_of(info.name, "name"))
    if info.first_position < 1 or info.length != info.last_position - info.first_position + 1:
        raise InvalidArgument("length and positions do not fit together. Export the store again.")
    return info


def check_entry(record: EntryRecord) -> EntryRecord:
    """Return the entry of a file, checked as a write is; raise ``InvalidArgument``."""
    namespace_of(record.namespace, name_of(record.name, "name"))
    _STRICT.optional(record.id, "id")
    if record.kind:
        _STRICT.ident(record.kind, "kind")
    if record.position < 1:
        raise InvalidArgument("position: expected 1 or more")
    return record.checked()


# --- reading ----------------------------------------------------------------------------------


def _if_there(read: Callable[[Session, SortKey | None, int], ResultPage[Any]]) -> Any:
    """Read nothing from a backend without the capability."""

    def reading(session: Session, after: SortKey | None, limit: int) -> ResultPage[Any]:
        try:
            return read(session, after, limit)
        except NotSupported:
            return ResultPage([])

    return reading


@_if_there
def read_documents(session: Session, after: SortKey | None, limit: int) -> ResultPage[DocumentRecord]:
    """Return a page of all documents, expired ones included."""
    page = session.documents.find(DocumentQuery(limit, after))
    items = read_each(page, _record_of, lambda each: "/".join((*each.namespace, each.key)))
    return ResultPage(items, page.next_after, page.corrupt)


def _record_of(document: StoredDocument) -> DocumentRecord:
    return DocumentRecord.trusted({
        **PayloadRecord.fields_of(document.payload), "namespace": document.namespace, "key": document.key,
        "metadata": document.metadata or {}, "revision": document.revision, "created_at": document.created_at,
        "updated_at": document.updated_at, "expires_at": document.expires_at, "ttl": document.ttl,
    })  # fmt: skip


def count_documents(session: Session) -> int:
    """Return the number of documents, expired ones included."""
    return session.documents.count(DocumentQuery(1))


@_if_there
def read_streams(session: Session, after: SortKey | None, limit: int) -> ResultPage[StreamInfo]:
    """Return a page of all streams."""
    return session.streams.find(StreamQuery(limit, after))


@_if_there
def read_entries(session: Session, after: SortKey | None, limit: int) -> ResultPage[EntryRecord]:
    """Return a page of the entries of all streams, stream by stream.

    The sort key is the index of the stream in a page of streams, the position of its last entry, and the sort key of
    the page before: only the backend knows the sort key of a stream.
    """
    index, position, *listed = after or (0, 0)
    found: ResultPage[EntryRecord] = ResultPage([])
    streams_after: SortKey | None = tuple(listed) or None
    while True:
        streams = session.streams.find(StreamQuery(_STREAMS_PER_PAGE, streams_after))
        for place in range(index, len(streams.items)):
            last = _add_page(session, found, streams.items[place], position, limit)
            if last is not None:
                found.next_after = (place, last, *(streams_after or ()))
                return found
            position = 0
        streams_after, index = streams.next_after, 0
        if streams_after is None:
            return found


def _add_page(session: Session, found: ResultPage[EntryRecord], info: StreamInfo, after: int, limit: int) -> int | None:
    """Add entries of a stream up to the limit; return the position that was read up to where it is reached."""
    if info.length == 0:
        return None
    stream = StreamKey(info.namespace, info.name)
    page = session.streams.read(stream, EntryQuery(limit - len(found.items), after))
    found.items += read_each(page, lambda entry: _entry_record(stream, entry), lambda entry: str(entry.position))
    found.corrupt += page.corrupt
    if page.next_after is not None:
        return int(page.next_after[0])
    return page.items[-1].position if len(found.items) >= limit else None


def _entry_record(stream: StreamKey, entry: StoredEntry) -> EntryRecord:
    return EntryRecord.trusted({
        **PayloadRecord.fields_of(entry.payload), "namespace": stream.namespace, "name": stream.name,
        "position": entry.position, "id": entry.id, "kind": entry.kind, "created_at": entry.created_at,
    })  # fmt: skip


# --- writing ----------------------------------------------------------------------------------


def add_documents(session: Session, records: Sequence[DocumentRecord]) -> None:
    """Write documents unchanged, their revisions included; one that exists raises ``AlreadyExists``."""
    writes = [
        DocumentWrite(
            StoredDocument(
                each.namespace, each.key, each.payload, each.created_at, each.updated_at, each.revision,
                each.expires_at, each.ttl, each.metadata or None,
            ),
            "restore",
        )
        for each in records
    ]  # fmt: skip
    if writes:
        session.documents.put(writes, records[0].created_at)


def add_streams(session: Session, infos: Sequence[StreamInfo]) -> None:
    """Write the facts of streams, without entries; a stream that exists raises ``AlreadyExists``."""
    for there in session.streams.info([StreamKey(info.namespace, info.name) for info in infos]):
        raise AlreadyExists(f"stream {there.name!a} already exists", kind="stream", key=(there.namespace, there.name))
    for info in infos:
        session.streams.restore(info, [])


def add_entries(session: Session, records: Sequence[EntryRecord]) -> None:
    """Write entries at their positions into streams whose facts are written; one that exists: ``AlreadyExists``."""
    groups = [(key, list(group)) for key, group in groupby(records, lambda each: StreamKey(each.namespace, each.name))]
    facts = {StreamKey(info.namespace, info.name): info for info in session.streams.info([key for key, _ in groups])}
    for key, group in groups:
        info, first, last = facts.get(key), group[0].position, group[-1].position
        if info is None or first < info.first_position or last > info.last_position:
            raise Corrupt(f"entries of stream {key.name!a} are not among its positions. Export the source again.")
        if last - first != len(group) - 1:
            raise Corrupt(f"entries of stream {key.name!a} are missing. Export the source again.")
        session.streams.restore(
            info, [StoredEntry(each.payload, each.created_at, each.id, each.kind, each.position) for each in group]
        )


def is_encrypted(record: object) -> bool:
    """Return whether a record holds a ciphertext that is bound to its store."""
    return isinstance(record, PayloadRecord) and record.format == "encrypted"
