"""Documents and streams while another transaction holds a change of the same ones open."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ciris_store_core.capabilities import Capability
from ciris_store_core.conformance.calls import Call
from ciris_store_core.conformance.factories import T0, at
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.payload_samples import NS, K, S, ciphertext, document, json_value, stream_entry, write
from ciris_store_core.conformance.scheduling import Interleaving, check
from ciris_store_core.contract import Backend, Session
from ciris_store_core.models.document_filters import field
from ciris_store_core.models.documents import DocumentKey, DocumentQuery
from ciris_store_core.models.payloads import Payload
from ciris_store_core.models.streams import StreamKey

T = StreamKey(NS, "t")
NEW = Payload("encrypted", b"new", key_id="k2")
OLD = document(payload=ciphertext(), expires_at=at(10), ttl=10.0)


def together(
    method: str, needs: Capability, setup: Call, loses: str, *pairs: tuple[Call, Call], skips: Any = ...
) -> Any:
    """Return the test of a method, called while the other transaction of each pair is open."""
    given = [Interleaving(*pair, setup, skips) for pair in pairs]

    @pytest.mark.parametrize("case", given, ids=map(str, range(len(given))))
    @clause(f"{method}.interleaved", Level.CONCURRENT, needs=needs)
    def test(self: Any, backend: Backend, case: Interleaving) -> None:
        check(backend, method, case)

    test.__doc__ = f"Otherwise {loses}"
    return test


# --- documents --------------------------------------------------------------------------------


def put(value: Any = "new", expected: int | None = None, mode: Any = "put", now: float = 5, **fields: Any) -> Call:
    """Return a write of the document ``k``, or of another ``key``."""
    given = document(fields.pop("key", "k"), value, created_at=at(now), updated_at=at(now), **fields)
    return lambda s: s.documents.put([write(given, mode, expected)], at(now))


def delete(session: Session) -> Any:
    """Delete the document ``k``."""
    return session.documents.delete([K], None)


def touch(now: float = 6) -> Call:
    """Return a touch of the document ``k``."""
    return lambda s: s.documents.touch([K], at(now))


def reencrypt(session: Session) -> Any:
    """Encrypt the document ``k``, as it was, under another key."""
    return session.documents.reencrypt(OLD, NEW)


def delete_expired(session: Session) -> Any:
    """Delete what expired by the time at which the document ``k`` does."""
    return session.documents.delete_expired(at(10), 9)


def delete_wanted(session: Session) -> Any:
    """Delete the documents whose value is ``x``."""
    return session.documents.delete_matching(DocumentQuery(filter=field().eq("x")))


def delete_listed(session: Session) -> Any:
    """Delete the documents whose value holds ``x``, a condition that not every database can express."""
    return session.documents.delete_matching(DocumentQuery(filter=field().contains("x")))


def count(session: Session) -> Any:
    """Lock the document ``k``, and add to its number."""
    found = session.documents.lock([K])
    for each in found:
        number = int(each.payload.body) if each.payload.format == "json" else 0
        session.documents.put([write(replace(each, payload=json_value(number + 1)))], at(5))
    return found


def encrypted(session: Session) -> Any:
    """Store the document ``k``."""
    return session.documents.put([write(OLD)], T0)


def wanted(session: Session) -> Any:
    """Store the document ``k`` with a value that is looked for."""
    return session.documents.put([write(document(value="x"))], T0)


class TestDocumentInterleavings:
    """``DocumentStore``, beside another transaction."""

    test_put = together(
        "documents.put",
        Capability.DOCUMENTS,
        encrypted,
        "of two writers who read the same revision, the later one overwrites the earlier one unseen.",
        (put("first", 1), put("second", 1)),
        (put("first"), put("second")),
        (put("first"), put("second", 2)),
        (put("first", key="new"), put("second", 0, key="new")),
        (put("first", key="new"), put("second", mode="insert", key="new")),
        (put("first", key="new"), put("second", key="new", now=7)),
        (put("first", key="new"), put("second", mode="restore", key="new")),
        (delete, put("second", 1)),
        (delete, put("second", now=7)),
        (put("first", 0, now=20), put("second", 0, now=20)),
        (touch(9), put("second", mode="insert", now=12)),
        (delete_expired, put("second", now=12)),
    )
    test_touch = together(
        "documents.touch",
        Capability.DOCUMENTS,
        encrypted,
        "a read that refreshes a document gives it back the lifetime, or the value, that a write has replaced.",
        (put("first"), touch()),
        (put("first", expires_at=at(8), ttl=2.0), touch()),
        (delete, touch()),
        (touch(5), touch(4)),
        (delete_expired, touch()),
    )
    test_delete = together(
        "documents.delete",
        Capability.DOCUMENTS,
        encrypted,
        "two callers each believe that they deleted one document.",
        (delete, delete),
        (put("first"), delete),
        (put("first", key="k2"), lambda s: s.documents.delete([K, DocumentKey(NS, "k2")], None)),
    )
    test_delete_matching = together(
        "documents.delete_matching",
        Capability.DOCUMENTS,
        wanted,
        "a document is deleted that was changed meanwhile, and is none of those meant any more.",
        (put("y"), delete_wanted),
        (put("y"), delete_listed),
        (delete, delete_wanted),
        (put(5), lambda s: s.documents.delete_matching(DocumentQuery())),
    )
    test_delete_expired = together(
        "documents.delete_expired",
        Capability.DOCUMENTS,
        encrypted,
        "a document is deleted whose life was prolonged meanwhile.",
        (touch(9), delete_expired),
        (put("first"), delete_expired),
        (delete, delete_expired),
        skips=0,
    )
    test_reencrypt = together(
        "documents.reencrypt",
        Capability.DOCUMENTS,
        encrypted,
        "a change of keys overwrites what was written meanwhile.",
        (put("first"), reencrypt),
        (delete, reencrypt),
        (touch(), reencrypt),
    )
    test_lock = together(
        "documents.lock",
        Capability.DOCUMENTS,
        lambda s: s.documents.put([write(document(value=1))], T0),
        "of two that change what they read, one overwrites what the other wrote.",
        (count, count),
        (put(40), count),
        (delete, count),
    )


# --- streams ----------------------------------------------------------------------------------


def three(session: Session) -> Any:
    """Append three entries, the second with an id."""
    return session.streams.append(
        S, [stream_entry(1), stream_entry(2, "b"), stream_entry(payload=ciphertext())], T0, None
    )


def add(*values: Any, stream: StreamKey = S, expected: int | None = None, id: str | None = None) -> Call:
    """Return an append of an entry for each value."""
    return lambda s: s.streams.append(stream, [stream_entry(value, id) for value in values], at(5), expected)


def pop(session: Session) -> Any:
    """Remove the newest entry."""
    return session.streams.pop(S, at(6))


def cut(before: int | None = None, after: int | None = None) -> Call:
    """Return a removal of entries at one end."""
    return lambda s: s.streams.truncate(S, before, after, at(6), 9)


def fork(source: StreamKey = S, target: StreamKey = T, up_to: int | None = None) -> Call:
    """Return a fork."""
    return lambda s: s.streams.fork(source, target, up_to, at(6))


def delete_stream(session: Session) -> Any:
    """Delete the stream."""
    return session.streams.delete([S])


def reencrypt_entry(session: Session) -> Any:
    """Encrypt the third entry, as it was, under another key."""
    return session.streams.reencrypt(S, stream_entry(payload=ciphertext(), position=3), NEW)


def replace_third(session: Session) -> Any:
    """Put another entry in the place of the third."""
    session.streams.pop(S, at(5))
    return session.streams.append(S, [stream_entry("other")], at(5), None)


class TestStreamInterleavings:
    """``StreamStore``, beside another transaction."""

    test_append = together(
        "streams.append",
        Capability.STREAMS,
        three,
        "two entries have one position, a position stays empty, or an entry that is sent twice is there twice.",
        (add("a", "b"), add("c")),
        (add("a"), add("b", expected=3)),
        (add("a"), add("b", expected=4)),
        (add("a", id="x"), add("b", id="x")),
        (add("a", stream=T), add("b", stream=T)),
        (add("a", stream=T), add("b", stream=T, expected=0)),
        (pop, add("b")),
        (pop, add("b", expected=3)),
        (cut(after=1), add("b", id="b")),
        (cut(before=9), add("b")),
        (delete_stream, add("b")),
        (delete_stream, add("b", id="b")),
        (fork(), add("b", stream=T)),
    )
    test_pop = together(
        "streams.pop",
        Capability.STREAMS,
        three,
        "two callers take the same entry back.",
        (pop, pop),
        (add("a"), pop),
        (cut(after=1), pop),
        (delete_stream, pop),
    )
    test_truncate = together(
        "streams.truncate",
        Capability.STREAMS,
        three,
        "a position is left out, or given again although it must not be.",
        (add("a"), cut(after=1)),
        (add("a"), cut(before=9)),
        (pop, cut(before=9)),
        (cut(before=3), cut(after=0)),
        (delete_stream, cut(before=2)),
    )
    test_fork = together(
        "streams.fork",
        Capability.STREAMS,
        three,
        "a branch holds half of what was appended at once, or overwrites another one.",
        (add("a", "b"), fork()),
        (pop, fork()),
        (add("x", stream=T), fork()),
        (fork(up_to=1), fork()),
        (delete_stream, fork()),
        (cut(before=3), fork()),
    )
    test_delete = together(
        "streams.delete",
        Capability.STREAMS,
        three,
        "entries are left behind without their stream.",
        (add("a"), delete_stream),
        (add("a", stream=T), lambda s: s.streams.delete([S, T])),
        (delete_stream, delete_stream),
    )
    test_reencrypt = together(
        "streams.reencrypt",
        Capability.STREAMS,
        three,
        "a change of keys overwrites the entry that took the place of the old one.",
        (pop, reencrypt_entry),
        (replace_third, reencrypt_entry),
        (reencrypt_entry, reencrypt_entry),
    )
