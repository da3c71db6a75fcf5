"""Documents: deletions, encryption, indexes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ciris_store_core.conformance.factories import T0, at
from ciris_store_core.conformance.levels import clause
from ciris_store_core.conformance.payload_samples import (
    FULL,
    LONG,
    NS,
    PAYLOADS,
    K,
    ciphertext,
    document,
    form,
    store,
    write,
)
from ciris_store_core.conformance.suite.documents import DOCUMENTS, get, keys
from ciris_store_core.conformance.support import reading, writing
from ciris_store_core.contract import Backend
from ciris_store_core.models.document_filters import field
from ciris_store_core.models.documents import DocumentKey, DocumentQuery, NamespaceQuery
from ciris_store_core.models.payloads import Payload


class TestDeleteDocuments:
    """``delete``, ``delete_matching`` and ``delete_expired``."""

    @clause("documents.delete", needs=DOCUMENTS)
    def test_delete(self, backend: Backend) -> None:
        """Otherwise a deletion reaches other documents, or counts what was not there."""
        store(
            backend,
            *map(document, "abc"),
            document("A"),
            document("a", namespace=("a", "b")),
            document("old", expires_at=at(5)),
        )
        with writing(backend) as session:
            delete = session.documents.delete
            wanted = [DocumentKey(NS, key) for key in ("a", "b", "a", "?", "old")]
            assert delete([], None) == 0 == delete([DocumentKey(NS, "old?"), DocumentKey(("b",), "a")], at(5))
            assert delete(wanted, at(5)) == 2
            assert delete(wanted, at(5)) == 0 == delete(wanted, None)
        assert keys(backend) == ["A", "c", "a"]
        store(backend, document("old", expires_at=at(5)))
        with writing(backend) as session:
            assert session.documents.delete([DocumentKey(NS, "old")], None) == 1
            [again] = session.documents.put([write(document("a", created_at=at(7)), expected=0)], T0)
        assert (again.revision, again.created_at) == (1, at(7))

    @clause("documents.delete_matching", needs=DOCUMENTS)
    def test_delete_matching(self, backend: Backend) -> None:
        """Otherwise too much is deleted, or a deletion in batches ends early."""
        small = [document(f"k{number:02}", {"n": number}, ("a", "b")) for number in range(20)]
        others = [
            document("k1", {"n": 1}, ("a", "bc")),
            document("x", {"n": 1}, ("a", "b")),
            document("k0", payload=PAYLOADS["bytes"], namespace=("a", "b")),
        ]
        store(backend, *small, *others, document("k_old", {"n": 19}, ("a", "b"), expires_at=at(5)))
        query = DocumentQuery(3, None, ("a", "b"), field("n").gte(10) & field("n").lt(20), "k", now=at(5))
        with writing(backend) as session:
            assert [session.documents.delete_matching(query) for _ in range(5)] == [3, 3, 3, 1, 0]
            assert session.documents.delete_matching(DocumentQuery(100, None, ("a",), ~field("n").exists())) == 0
        assert keys(backend) == ["k0", *(f"k{number:02}" for number in range(10)), "k_old", "x", "k1"]
        with writing(backend) as session:
            everywhere = DocumentQuery(100, (("z",), "z"), ("a", "b"), order="updated", descending=True)
            assert session.documents.delete_matching(everywhere) == 13
        assert keys(backend) == ["k1"]

    @clause("documents.delete_expired", needs=DOCUMENTS)
    def test_delete_expired(self, backend: Backend) -> None:
        """Otherwise what lives is deleted, or what expired fills the disk for ever."""
        store(
            backend,
            document("ever", ttl=None),
            document("later", expires_at=at(10.000001)),
            document("now", expires_at=at(10)),
        )
        store(
            backend,
            *(document(f"k{number}", namespace=("b", str(number)), expires_at=at(number)) for number in range(7)),
        )
        with writing(backend) as session:
            counts = [session.documents.delete_expired(at(10), limit) for limit in (3, 3, 3, 3)]
        assert counts == [3, 3, 2, 0]
        assert keys(backend) == ["ever", "later"]


class TestEncryptedDocuments:
    """``find_encrypted`` and ``reencrypt``."""

    @clause("documents.find_encrypted", needs=DOCUMENTS)
    def test_find_encrypted(self, backend: Backend) -> None:
        """Otherwise a change of keys leaves documents under the old one, which is then deleted."""
        places = [(("a",), "z"), (("a",), "\u00e9"), (("a", "b"), "a"), (("a b",), "a"), (("b",), "A"), (("b",), LONG)]
        given = [document(key, namespace=ns, payload=ciphertext(), expires_at=T0) for ns, key in places]
        others = [
            document("k2", payload=ciphertext("k2")),
            document("K1", payload=ciphertext("K1")),
            document("plain"),
            document("redacted", payload=PAYLOADS["redacted"]),
        ]
        store(backend, *others, *reversed(given))
        with reading(backend) as session:
            find = session.documents.find_encrypted
            assert list(map(form, find("k1", None, 100))) == list(map(form, given))
            assert [each.id for each in find("k1", None, 2)] == places[:2]
            assert [each.id for each in find("k1", given[1].id, 3)] == places[2:5]
            assert [each.id for each in find("k1", DocumentKey(("a",), "zz"), 100)] == places[1:]
            assert find("k1", given[-1].id, 3) == [] == find("k", None, 3)

    @clause("documents.reencrypt", needs=DOCUMENTS)
    def test_reencrypt(self, backend: Backend) -> None:
        """Otherwise a change of keys that is interrupted, or meets a writer, destroys a document."""
        full = document(payload=ciphertext(), **FULL)
        store(
            backend,
            full,
            document("other", payload=ciphertext()),
            document("k", namespace=("b",), payload=ciphertext()),
        )
        new = Payload("encrypted", b"new\x00", key_id="k2", secret_refs=("s",))
        with writing(backend) as session:
            reencrypt = session.documents.reencrypt
            assert reencrypt(document("k", revision=2), new) is False
            assert reencrypt(document("?"), new) is False
            assert reencrypt(full, new) is True
            assert reencrypt(document(), PAYLOADS["bytes"]) is True  # of the same revision
            assert reencrypt(full, new) is True
        assert form(get(backend)) == form(document(payload=new, **FULL))
        assert (
            get(backend, DocumentKey(NS, "other")).payload
            == ciphertext()
            == get(backend, DocumentKey(("b",), "k")).payload
        )


INDEXED: dict[str, Callable[[Any], Any]] = {
    "text": lambda value: {"x": value},
    "a'b\"\\": lambda value: {"a'b\"\\": value},
    "": lambda value: {"": value},
    "a.b": lambda value: {"a.b": value},
    "\u00e9$": lambda value: {"\u00e9$": value},
}


class TestIndexes:
    """``create_index`` and ``drop_index``."""

    @pytest.mark.parametrize("key", INDEXED)
    @clause("documents.create_index", needs=DOCUMENTS)
    def test_answers_stay_the_same(self, backend: Backend, key: str) -> None:
        """Otherwise a query finds other documents with an index than without."""
        name = "x" if key == "text" else key
        values = [
            "1",
            1,
            1.5,
            True,
            None,
            [1],
            {"y": 1},
            "",
            "A",
            "a",
            "a ",
            "\u00e9",
            "x" * 3000,
            "x" * 2999 + "y",
            2**63 - 1,
        ]
        documents = [
            document(f"k{number:02}", {name: value, "deep": [{name: value}]}) for number, value in enumerate(values)
        ]
        store(
            backend,
            *documents,
            document("none", {"other": 1}),
            document("text", "x"),
            document("bytes", payload=PAYLOADS["bytes"]),
        )
        with writing(backend) as session:
            for path in ((name,), ("deep", 0, name)):
                session.documents.create_index(path)
                session.documents.create_index(path)
        store(backend, *documents, document("later", {name: "1", "deep": []}))

        def check() -> None:
            with reading(backend) as session:
                for number, value in enumerate(values):
                    later = ["later"] * (value == "1" and isinstance(value, str))
                    for part, more in ((field(name), later), (field("deep", 0, name), [])):
                        for condition in (part.eq(value), part.is_in([value, "?"])):
                            found = session.documents.find(DocumentQuery(prefix=NS, filter=condition)).items
                            assert [each.key for each in found] == [f"k{number:02}", *more], value

        check()
        with writing(backend) as session:
            session.documents.drop_index((name,))
            session.documents.drop_index((name,))
            session.documents.drop_index(("never", 1))
        check()

    @clause("documents.create_index.long", needs=DOCUMENTS)
    def test_long_texts_are_stored_nevertheless(self, backend: Backend) -> None:
        """Otherwise a document cannot be written any more, since a database bounds the size of index entries."""
        long = "".join(f"{number:x}" for number in range(10**5))  # does not compress to little
        store(backend, document("before", {"x": long, "y": [long]}))
        with writing(backend) as session:
            session.documents.create_index(("x",))
            session.documents.create_index(("y",))
        store(backend, document("after", {"x": f"{long}!", "y": {"z": f"{long}!"}}))
        with reading(backend) as session:
            for text, key in ((long, "before"), (f"{long}!", "after")):
                query = DocumentQuery(filter=field("x").eq(text))
                assert [each.key for each in session.documents.find(query).items] == [key]


class TestDocumentStore:
    """The store as a whole: emptiness, a report of its faults."""

    @clause("documents.is_empty", needs=DOCUMENTS)
    def test_a_document_counts(self, backend: Backend) -> None:
        """Otherwise a copy or a test overwrites a store that has something in it."""
        store(backend, document(payload=PAYLOADS["empty_bytes"], expires_at=T0))
        assert backend.is_empty() is False
        with writing(backend) as session:
            session.documents.delete([K], None)
        assert backend.is_empty() is True

    @clause("documents.none", needs=DOCUMENTS)
    def test_an_empty_store(self, backend: Backend) -> None:
        """Otherwise a new program fails on its first look at what it stored."""
        with writing(backend) as session:
            found = session.documents.find(DocumentQuery())
            assert (found.items, found.next_after, found.corrupt) == ([], None, [])
            assert session.documents.count(DocumentQuery()) == 0 == session.documents.delete_expired(at(9), 9)
            assert session.documents.namespaces(NamespaceQuery()).items == []
            assert session.documents.get([K], None) == [] == session.documents.touch([K], T0)
            assert session.documents.delete([K], None) == 0 == session.documents.delete_matching(DocumentQuery())
            assert session.documents.find_encrypted("k1", None, 9) == []
