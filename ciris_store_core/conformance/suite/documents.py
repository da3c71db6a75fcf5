"""Documents: writes and reads, values, expiry."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.factories import T0, at
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.payload_samples import (
    DEEP,
    FULL,
    JSON_VALUES,
    LONG,
    NS,
    PAYLOADS,
    WIDE,
    K,
    awkward_names,
    ciphertext,
    document,
    form,
    forms,
    json_value,
    store,
    write,
)
from ciris_store_core.conformance.support import reading, writing
from ciris_store_core.contract import Backend
from ciris_store_core.errors import AlreadyExists, RevisionMismatch, StoreError
from ciris_store_core.models.documents import DocumentKey, DocumentQuery, DocumentWrite, StoredDocument
from ciris_store_core.validation.payloads import bytes_payload, value_of

DOCUMENTS = Capability.DOCUMENTS
TICK = timedelta(microseconds=1)


def get(backend: Backend, key: DocumentKey = K) -> StoredDocument:
    """Return a document, expired or not."""
    with reading(backend) as session:
        [found] = session.documents.get([key], None)
        return found


def keys(backend: Backend) -> list[str]:
    """Return the keys of all documents, expired or not."""
    with reading(backend) as session:
        return [each.key for each in session.documents.find(DocumentQuery()).items]


def refused(backend: Backend, error: type[StoreError], *writes: DocumentWrite, now: float = 0) -> None:
    """Check that a call is refused."""
    with pytest.raises(error) as caught, writing(backend) as session:
        session.documents.put(writes, at(now))
    assert type(caught.value) is error


class TestPutDocuments:
    """``DocumentStore.put``."""

    @clause("documents.put.new", needs=DOCUMENTS)
    def test_a_new_document(self, backend: Backend) -> None:
        """Otherwise a document is stored otherwise than it was given, or its first revision is not 1."""
        given = [document("b", 1, **FULL), document("a", 2, revision=7), document("c", 3, ("b",), metadata={})]
        expected = [document("b", 1, **FULL), document("a", 2), document("c", 3, ("b",))]
        with writing(backend) as session:
            assert session.documents.put([], T0) == []
            assert list(map(form, session.documents.put([write(each) for each in given], at(1)))) == list(
                map(form, expected)
            )
            assert forms(session.documents.get([each.id for each in given], None)) == forms(expected)
        assert form(get(backend, given[0].id)) == form(expected[0])

    @clause("documents.put.replaces", needs=DOCUMENTS)
    def test_a_stored_document_is_replaced(self, backend: Backend) -> None:
        """Otherwise a part of an old value shows in a new one, such as its expiry, its key or its media type."""
        store(backend, document(**FULL, payload=PAYLOADS["bytes_like_text"]), document("other", 5))
        for number, name in enumerate([*PAYLOADS, "json"], 2):
            later = (
                {**FULL, "created_at": at(8), "updated_at": at(number)} if number % 2 else {"updated_at": at(number)}
            )
            given = document(payload=PAYLOADS[name], **later)
            [returned] = store(backend, given)
            given.created_at, given.revision = FULL["created_at"], number
            assert form(get(backend)) == form(returned) == form(given)
        assert form(get(backend, DocumentKey(NS, "other"))) == form(document("other", 5))

    @pytest.mark.parametrize("place", [0, 1, 2])
    @clause("documents.put.insert", needs=DOCUMENTS)
    def test_insert(self, backend: Backend, place: int) -> None:
        """Otherwise a document that must be new overwrites another, or half of a batch is stored."""
        store(backend, document("there", "old"))
        writes = [write(document("x"), "insert"), write(document("y"))]
        writes.insert(place, write(document("there", "new"), "insert"))
        refused(backend, AlreadyExists, *writes)
        assert keys(backend) == ["there"] and value_of(get(backend, DocumentKey(NS, "there")).payload) == "old"
        with writing(backend) as session:
            session.documents.put([write(document("there"), "insert") for _ in range(0)], T0)
            [found] = session.documents.put([write(document("there", namespace=("b",)), "insert")], T0)
        assert found.revision == 1

    @pytest.mark.parametrize("place", [0, 1, 2])
    @clause("documents.put.expected_revision", needs=DOCUMENTS)
    def test_expected_revision(self, backend: Backend, place: int) -> None:
        """Otherwise a writer overwrites what it has not read."""
        store(backend, document("there", "first"))
        store(backend, document("there", "second"))
        for key, expected in (("there", 1), ("there", 3), ("there", 0), ("absent", 1)):
            for mode in ("put", "insert"):
                writes = [write(document("x")), write(document("y"), expected=0)]
                writes.insert(place, DocumentWrite(document(key, "third"), mode, expected))
                refused(backend, RevisionMismatch, *writes)
        assert keys(backend) == ["there"] and value_of(get(backend, DocumentKey(NS, "there")).payload) == "second"
        refused(backend, AlreadyExists, write(document("there"), "insert", 2))
        with writing(backend) as session:
            right = [write(document("new"), expected=0), write(document("there", "third"), expected=2)]
            assert [each.revision for each in session.documents.put(right, T0)] == [1, 3]
            [again] = session.documents.put([write(document("there", "fourth"), expected=3)], T0)
        assert again.revision == 4 and value_of(again.payload) == "fourth"

    @clause("documents.put.expired", needs=DOCUMENTS)
    def test_an_expired_document_is_absent(self, backend: Backend) -> None:
        """Otherwise what expired stands in the way of what is new, or two documents have one revision."""
        store(
            backend,
            document("a", expires_at=at(10)),
            document("b", expires_at=at(10)),
            document("c", expires_at=at(10)),
        )
        for key in "abc":
            refused(backend, AlreadyExists, write(document(key), "insert"), now=9.999999)
            refused(backend, RevisionMismatch, write(document(key), expected=0), now=9.999999)
            refused(backend, RevisionMismatch, write(document(key), expected=1), now=10)
        new: dict[str, Any] = {"created_at": at(10), "updated_at": at(10)}
        with writing(backend) as session:
            writes = [
                write(document("a", 1, **new), "insert"),
                write(document("b", 1, **new), expected=0),
                write(document("c", 1, **new)),
            ]
            returned = session.documents.put(writes, at(10))
        expected = [document(key, 1, revision=2, **new) for key in "abc"]
        assert list(map(form, returned)) == list(map(form, expected))
        assert [form(get(backend, each.id)) for each in expected] == list(map(form, expected))

    @clause("documents.put.restore", needs=DOCUMENTS)
    def test_restore(self, backend: Backend) -> None:
        """Otherwise a copy of a store has other revisions than the store, and their writers collide."""
        given = [document("a", 1, revision=2**40, **FULL), document("b", 2, revision=3, expires_at=at(5), ttl=1.5)]
        with writing(backend) as session:
            returned = session.documents.put([write(each, "restore") for each in given], at(10))
        assert list(map(form, returned)) == list(map(form, given))
        assert [form(get(backend, each.id)) for each in given] == list(map(form, given))
        for key in "ab":  # one has expired
            writes = [write(document("x"), "restore"), write(document(key), "restore"), write(document("y"), "restore")]
            refused(backend, AlreadyExists, *writes, now=10)
        assert keys(backend) == ["a", "b"]

    @clause("documents.put.batch", needs=DOCUMENTS)
    def test_a_large_batch(self, backend: Backend) -> None:
        """Otherwise of many documents some are lost, or one has the value of another."""
        store(backend, *(document(f"k{number}", -number) for number in range(0, 600, 3)))
        given = [document(f"k{number}", number, ("b",) if number % 5 else NS) for number in range(599, -1, -1)]
        returned = store(backend, *given)
        assert [(each.id, value_of(each.payload)) for each in returned] == [
            (each.id, value_of(each.payload)) for each in given
        ]
        assert [each.revision for each in returned] == [1 + (n % 5 == 0 and n % 3 == 0) for n in range(599, -1, -1)]
        with reading(backend) as session:
            assert forms(session.documents.get([each.id for each in given], None)) == forms(returned)


class TestDocumentValues:
    """Values, keys and fields: each is read as it was written."""

    @pytest.mark.parametrize("name", PAYLOADS)
    @clause("documents.round_trip", needs=DOCUMENTS)
    def test_payloads(self, backend: Backend, name: str) -> None:
        """Otherwise a value comes back as something else, or cannot be decrypted any more."""
        given = [document("plain", payload=PAYLOADS[name]), document("full", payload=PAYLOADS[name], **FULL)]
        assert list(map(form, store(backend, *given))) == list(map(form, given))
        assert [form(get(backend, each.id)) for each in given] == list(map(form, given))
        with reading(backend) as session:
            assert forms(session.documents.find(DocumentQuery()).items) == forms(given)

    @clause("documents.reopen", Level.DURABLE, needs=DOCUMENTS)
    def test_reopen(self, harness: Harness, clock: ManualClock, backend: Backend) -> None:
        """Otherwise a restart loses documents, or begins their revisions anew."""
        for _ in range(2):
            store(backend, *(document(name, payload=payload, **FULL) for name, payload in PAYLOADS.items()))
        backend.close()
        expected = [document(name, payload=PAYLOADS[name], revision=2, **FULL) for name in PAYLOADS]
        with closing(harness.open(clock)) as reopened, writing(reopened) as session:
            assert forms(session.documents.get([each.id for each in expected], None)) == forms(expected)
            [again] = session.documents.put([write(document("json"))], T0)
        assert again.revision == 3

    @pytest.mark.parametrize("name", JSON_VALUES)
    @clause("documents.values", needs=DOCUMENTS)
    def test_json_values(self, backend: Backend, name: str) -> None:
        """Otherwise 1.0 becomes 1, keys change their order, or a NUL, a surrogate or a large number is lost."""
        store(backend, document(value=JSON_VALUES[name]))
        payload = get(backend).payload
        assert repr(payload) == repr(json_value(JSON_VALUES[name]))
        assert repr(value_of(payload)) == repr(JSON_VALUES[name])

    @pytest.mark.parametrize("kind", ["text", "surrogates", "bytes", "encrypted"])
    @clause("documents.size", needs=DOCUMENTS)
    def test_large_values(self, backend: Backend, kind: str) -> None:
        """Otherwise a long value that was accepted comes back cut, or as something else."""
        text = "\u00e9" * (2**23 - 2)  # 16 MiB with its quotes
        payload = {
            "text": lambda: json_value(text),
            "surrogates": lambda: json_value("\ud800" + "\u00e9" * 2**20),
            "bytes": lambda: bytes_payload(bytes(range(256)) * 2**16, "image/png"),
            "encrypted": lambda: ciphertext(body=bytes(range(255, -1, -1)) * 2**16),
        }[kind]()
        [returned] = store(backend, document(payload=payload))
        assert returned.payload == payload and get(backend).payload == payload

    @clause("documents.keys", needs=DOCUMENTS)
    def test_keys_are_kept_apart(self, backend: Backend) -> None:
        """Otherwise two documents whose keys merely look alike become one."""
        names = awkward_names()
        given = [DocumentKey((name,), "k") for name in names] + [DocumentKey(NS, name) for name in names]
        given += [
            DocumentKey(tuple(path), "k") for path in ("ab", "ba", "abc", ("ab", "c"), ("a", "bc"), ("a", "b\x01c"))
        ]
        given += [
            DocumentKey(DEEP, "k"),
            DocumentKey(DEEP[:-1], "k"),
            DocumentKey(WIDE, LONG),
            DocumentKey(WIDE, f"{LONG}'"),
        ]
        given += [DocumentKey((*WIDE[:2], f"{WIDE[2]}'"), LONG), DocumentKey((*WIDE[:2], f"{WIDE[2][:-1]}3"), LONG)]
        store(backend, *(document(key.key, number, key.namespace) for number, key in enumerate(given)))
        for number, key in enumerate(given):
            found = get(backend, key)
            assert (found.id, value_of(found.payload), found.revision) == (key, number, 1)
        with reading(backend) as session:
            assert session.documents.count(DocumentQuery()) == len(given)

    @clause("documents.values.separate", needs=DOCUMENTS)
    def test_stored_values_are_copies(self, backend: Backend) -> None:
        """Otherwise changing an object after writing it, or one that was read, changes the store unseen."""
        given = document(metadata={"list": [1]})
        [returned] = store(backend, given)
        for each in (given, returned, get(backend)):
            assert each.metadata is not None
            each.metadata["list"].append(2)
            each.revision, each.payload = 9, json_value("changed")
        assert form(get(backend)) == form(document(metadata={"list": [1]}))


class TestGetDocuments:
    """``get``, ``touch`` and ``lock``."""

    @clause("documents.get", needs=DOCUMENTS)
    def test_get(self, backend: Backend) -> None:
        """Otherwise asking for an unknown document fails, hides the others, or returns what expired."""
        store(backend, document("a"), document("b", expires_at=at(10)), document("c", expires_at=at(10.000001)))
        store(backend, document("a", namespace=("c",)), document("b", namespace=("a", "b")))
        wanted = [DocumentKey(NS, key) for key in "c?ba"] + [
            DocumentKey(("b",), "a"),
            DocumentKey(NS, "A"),
            DocumentKey(NS, "a"),
        ]

        def found(now: float | None) -> list[str]:
            with reading(backend) as session:
                return sorted(each.key for each in session.documents.get(wanted, None if now is None else at(now)))

        assert found(None) == ["a", "b", "c"] == found(9.999999)
        assert found(10) == ["a", "c"] and found(11) == ["a"]
        with reading(backend) as session:
            assert session.documents.get([], None) == []

    @clause("documents.touch", needs=DOCUMENTS)
    def test_touch(self, backend: Backend) -> None:
        """Otherwise what is in use expires, what is not lives on, or a touch counts as a write."""
        given = [
            document("long", expires_at=at(10), ttl=100.0, metadata={"m": 1}),
            document("short", expires_at=at(10), ttl=0.5),
            document("tiny", expires_at=at(10), ttl=0.000001),
            document("fixed", expires_at=at(10)),
            document("ever"),
            document("expired", expires_at=at(5), ttl=100.0),
            document("other", expires_at=at(10), ttl=100.0),
        ]
        store(backend, *given)
        wanted = [each.id for each in given[:-1]]
        with writing(backend) as session:
            assert session.documents.touch([], at(5)) == []
            touched = session.documents.touch([*wanted, DocumentKey(NS, "?")], at(5))
        given[0].expires_at, given[1].expires_at, given[2].expires_at = at(105), at(5.5), at(5.000001)
        assert forms(touched) == forms(given[:5])
        with reading(backend) as session:
            assert forms(session.documents.get([each.id for each in given], None)) == forms(given)

    @clause("documents.touch.shorter", needs=DOCUMENTS)
    def test_a_touch_may_shorten(self, backend: Backend) -> None:
        """Otherwise a document with a short lifetime keeps the long one that an earlier write gave it."""
        store(backend, document(expires_at=at(1000), ttl=10.0))
        with writing(backend) as session:
            [touched] = session.documents.touch([K], at(5))
            [again] = session.documents.touch([K], at(14.999999))
            assert session.documents.touch([K], at(30)) == []
        assert (touched.expires_at, again.expires_at, get(backend).expires_at) == (at(15), at(24.999999), at(24.999999))

    @clause("documents.lock", needs=DOCUMENTS)
    def test_what_is_locked_is_returned(self, backend: Backend) -> None:
        """Otherwise a read for an update finds something else than a read."""
        given = [document("a", 1, **FULL), document("old", expires_at=T0), document("b", payload=PAYLOADS["bytes"])]
        store(backend, *given)
        wanted = [DocumentKey(NS, key) for key in ("b", "?", "old", "a")]
        with writing(backend) as session:
            assert session.documents.lock([]) == []
            assert forms(session.documents.lock(wanted)) == forms(given)
        with reading(backend) as session:
            assert forms(session.documents.get(wanted, None)) == forms(given)
