"""One call of each method of documents and streams that reads or changes records. See ``calls``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ciris_store_core.conformance.factories import T0, at
from ciris_store_core.conformance.payload_samples import (
    NS,
    RESTORED,
    RESTORED_ENTRIES,
    S,
    ciphertext,
    document,
    stream_entry,
    write,
)
from ciris_store_core.contract import Session
from ciris_store_core.models.documents import DocumentKey, DocumentQuery, NamespaceQuery
from ciris_store_core.models.streams import EntryQuery, StreamKey, StreamQuery

Call = Callable[[Session], Any]

D, READ, GONE = (DocumentKey(NS, key) for key in ("d", "read", "gone"))
CUT, DROPPED, ENCRYPTED, FORKED = (StreamKey(NS, name) for name in ("cut", "dropped", "encrypted", "forked"))


def fill_documents(session: Session) -> None:
    """Add the documents on which the calls act."""
    documents = [
        document("d", {"text": "sky"}),
        document("read", 1, ttl=60.0, expires_at=at(60)),
        document("gone"),
        document("old", expires_at=at(1)),
        document("secret", payload=ciphertext()),
        document("many 1", namespace=("b",)),
        document("many 2", namespace=("b",)),
    ]
    session.documents.put([write(each) for each in documents], T0)


def fill_streams(session: Session) -> None:
    """Add the streams on which the calls act."""
    for stream in (S, CUT, DROPPED):
        session.streams.append(stream, [stream_entry(number, f"e{number}") for number in range(3)], T0, None)
    session.streams.append(ENCRYPTED, [stream_entry(payload=ciphertext())], T0, None)


READS: Mapping[str, Call] = {
    "documents.get": lambda s: s.documents.get([D, READ], None),
    "documents.find": lambda s: s.documents.find(DocumentQuery()),
    "documents.count": lambda s: s.documents.count(DocumentQuery()),
    "documents.namespaces": lambda s: s.documents.namespaces(NamespaceQuery()),
    "documents.find_encrypted": lambda s: s.documents.find_encrypted("k1", None, 9),
    "streams.read": lambda s: s.streams.read(S, EntryQuery()),
    "streams.get": lambda s: s.streams.get(S, ["e1", "new"]),
    "streams.info": lambda s: s.streams.info([S, DROPPED]),
    "streams.find": lambda s: s.streams.find(StreamQuery()),
    "streams.find_encrypted": lambda s: s.streams.find_encrypted("k1", None, 9),
}

LOCKS: Mapping[str, Call] = {"documents.lock": lambda s: s.documents.lock([D])}

WRITES: Mapping[str, Call] = {
    "documents.put": lambda s: s.documents.put([write(document("d", 2)), write(document("new"))], at(9)),
    "documents.touch": lambda s: s.documents.touch([READ], at(9)),
    "documents.reencrypt": lambda s: s.documents.reencrypt(document("secret", payload=ciphertext()), ciphertext("k2")),
    "documents.delete": lambda s: s.documents.delete([GONE], None),
    "documents.delete_matching": lambda s: s.documents.delete_matching(DocumentQuery(100, prefix=("b",))),
    "documents.delete_expired": lambda s: s.documents.delete_expired(at(9), 9),
    "streams.append": lambda s: s.streams.append(S, [stream_entry(9, "new"), stream_entry(10)], at(9), None),
    "streams.pop": lambda s: s.streams.pop(S, at(9)),
    "streams.truncate": lambda s: s.streams.truncate(CUT, 2, None, at(9), 9),
    "streams.fork": lambda s: s.streams.fork(S, FORKED, None, at(9)),
    "streams.restore": lambda s: s.streams.restore(RESTORED, RESTORED_ENTRIES),
    "streams.reencrypt": lambda s: s.streams.reencrypt(
        ENCRYPTED, stream_entry(payload=ciphertext(), position=1), ciphertext("k2")
    ),
    "streams.delete": lambda s: s.streams.delete([DROPPED]),
}
