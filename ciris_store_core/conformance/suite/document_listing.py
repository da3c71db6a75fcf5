"""Documents: listings by prefix, orders and pages, counts, namespaces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ciris_store_core.conformance.factories import at
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.payload_samples import LONG, NS, PAYLOADS, WIDE, document, forms, store
from ciris_store_core.conformance.suite.documents import DOCUMENTS
from ciris_store_core.conformance.support import everything, pages, reading, writing
from ciris_store_core.contract import Backend
from ciris_store_core.models.document_filters import AllOf, AnyOf, field
from ciris_store_core.models.documents import DocumentKey, DocumentOrder, DocumentQuery, Namespace, NamespaceQuery
from ciris_store_core.models.paths import INDEXED_BYTES, index_key, path_of


def listed(backend: Backend, query: DocumentQuery) -> list[str]:
    """Return the keys of all documents of a query, over all its pages; check that the count is theirs."""
    with reading(backend) as session:
        found = everything(session.documents.find, query)
        if query.after is None:
            assert session.documents.count(query) == len(found)
    return [each.key for each in found]


def namespaces(backend: Backend, query: NamespaceQuery) -> list[Namespace]:
    """Return the namespaces of a query, over all its pages."""
    with reading(backend) as session:
        return everything(session.documents.namespaces, query)


ORDERED = [
    (("A",), "z", 5, 1), (("a",), " ", 0, 6), (("a",), "10", 5, 5), (("a",), "9", 3, 5), (("a",), "B", 5, 5),
    (("a",), "a", 1e-6, 9), (("a",), "a b", 1, 5), (("a",), "ab", 1, 4), (("a",), "e\u0301", 1, 3),
    (("a",), "z", -1, 5), (("a",), "\u00e9", 5, 5), (("a",), "\uffff", 2, -5), (("a",), "\U00010000", 2, 5.5),
    (("a", "\x02"), "k", 5, 5), (("a", "\x02a"), "k", 4, 5), (("a", "a"), "k", 5, 5), (("a", "b"), "a", 5, 0),
    (("a\x01",), "a", 5, 5), (("a ",), "a", 5, 5), (("a b",), "a", 0, 5), (("aa",), "a", 5, 5), (("b",), "a", 4, 5),
    (("\uffff",), "a", 3, 5), (("\U00010000",), "a", 3, 5),
]  # fmt: skip
"""Namespace, key, seconds of creation and of the last write, in the order of keys."""

BY_CREATION = [9, 1, 19, 5, 6, 7, 8, 11, 12, 3, 22, 23, 14, 21, 0, 2, 4, 10, 13, 15, 16, 17, 18, 20]
BY_UPDATE = [11, 16, 0, 8, 7, 2, 3, 4, 6, 9, 10, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23, 12, 1, 5]
ORDERS: dict[DocumentOrder, list[int]] = {"key": [*range(24)], "created": BY_CREATION, "updated": BY_UPDATE}
"""Indexes of ``ORDERED`` in each order."""

TREE = [
    ("a",), ("a", "b"), ("a", "b", "c"), ("a", "bc"), ("a", "b%"), ("a", "b_"), ("a", "B"), ("a", "\u00e9"),
    ("a", "e\u0301"), ("a", "\U0010ffff"), ("a", "\U0010ffff", "x"), ("a", "\x01"), ("a", "\x01", "b"), ("a", "\x02"),
    ("a\x01b",), ("ab",), ("ab", "c"), ("A", "b"), ("b", "a"), ("\U0010ffff",), ("*",), ("%", "b"), ("a*", "b"),
]  # fmt: skip

PREFIXES: dict[Namespace, list[Namespace]] = {
    (): TREE,
    ("a",): TREE[:14],
    ("a", "b"): [("a", "b"), ("a", "b", "c")],
    ("a", "b", "c"): [("a", "b", "c")],
    ("a", "b", "c", "d"): [],
    ("a", "b%"): [("a", "b%")],
    ("a", "b_"): [("a", "b_")],
    ("a", "\U0010ffff"): [("a", "\U0010ffff"), ("a", "\U0010ffff", "x")],
    ("a", "\x01"): [("a", "\x01"), ("a", "\x01", "b")],
    ("a", "\x02"): [("a", "\x02")],
    ("\U0010ffff",): [("\U0010ffff",)],
    ("A",): [("A", "b")],
    ("%",): [("%", "b")],
    ("*",): [("*",)],
    ("b",): [("b", "a")],
}

KEY_PREFIXES = {
    "a": ["a", "a%", "a%b", "a*", "a\\b", "a_b", "ab"],
    "a%": ["a%", "a%b"],
    "a_": ["a_b"],
    "a\\": ["a\\b"],
    "a*": ["a*"],
    "A": ["A", "Ab"],
    "\u00c9": ["\u00c9x"],
    "e": ["e\u0301x"],
    "\U0010ffff": ["\U0010ffff", "\U0010ffffx"],
    LONG: [f"{LONG}1", f"{LONG}2"],
    f"{LONG}1": [f"{LONG}1"],
    LONG[:400]: [LONG[:450], f"{LONG}1", f"{LONG}2"],
    LONG[:480]: [f"{LONG}1", f"{LONG}2"],
    "?": [],
    "": None,
}
"""Keys that begin with each text; None: all."""


class TestFindDocuments:
    """``DocumentStore.find`` and ``count``."""

    @pytest.mark.parametrize("limit", [1, 5, 100])
    @pytest.mark.parametrize("order", ORDERS)
    @clause("documents.find.order", needs=DOCUMENTS)
    def test_order(self, backend: Backend, order: DocumentOrder, limit: int) -> None:
        """Otherwise a listing has another order on another database, and its pages skip documents."""
        records = [
            document(key, (ns, key), ns, created_at=at(created), updated_at=at(updated))
            for ns, key, created, updated in ORDERED
        ]
        store(backend, *records[::2], *records[1::2])
        expected = [records[number].id for number in ORDERS[order]]
        with reading(backend) as session:
            query = DocumentQuery(limit, order=order)
            assert [each.id for each in everything(session.documents.find, query)] == expected
            assert [len(each) for each in pages(session.documents.find, query)][:-1] == [limit] * (23 // limit)
            backwards = DocumentQuery(limit, order=order, descending=True)
            assert [each.id for each in everything(session.documents.find, backwards)] == expected[::-1]

    @clause("documents.find.next_after", needs=DOCUMENTS)
    def test_where_the_next_page_begins(self, backend: Backend) -> None:
        """Otherwise a listing never ends, ends too early, or depends on a row that was deleted meanwhile."""
        store(backend, *(document(key, namespace=("a", "b"), created_at=at(1), updated_at=at(2)) for key in "abc"))
        path = path_of(("a", "b"))
        after: dict[DocumentOrder, Any] = {
            "key": (path, "b"),
            "created": (at(1), path, "b"),
            "updated": (at(2), path, "b"),
        }
        with writing(backend) as session:
            for order, expected in after.items():
                for down in (False, True):
                    query = DocumentQuery(2, order=order, descending=down)
                    assert session.documents.find(query).next_after == expected
                    assert session.documents.find(replace(query, limit=3)).next_after is None
                    last = session.documents.find(replace(query, limit=1, after=expected))
                    assert ([each.key for each in last.items], last.next_after) == (["a" if down else "c"], None)
            session.documents.delete([DocumentKey(("a", "b"), "b")], None)
            for order, expected in after.items():
                found = session.documents.find(DocumentQuery(2, expected, order=order))
                assert ([each.key for each in found.items], found.next_after) == (["c"], None)

    @pytest.mark.parametrize("prefix", PREFIXES)
    @clause("documents.find.prefix", needs=DOCUMENTS)
    def test_by_prefix(self, backend: Backend, prefix: Namespace) -> None:
        """Otherwise the documents of one user or agent show among those of another."""
        store(backend, *(document("/".join(each), namespace=each) for each in TREE))
        expected = sorted("/".join(each) for each in PREFIXES[prefix])
        for order in ORDERS:
            for limit in (2, 100):
                assert sorted(listed(backend, DocumentQuery(limit, prefix=prefix, order=order))) == expected
        assert sorted(namespaces(backend, NamespaceQuery(prefix=prefix))) == sorted(PREFIXES[prefix])

    @pytest.mark.parametrize("prefix", KEY_PREFIXES)
    @clause("documents.find.key_prefix", needs=DOCUMENTS)
    def test_by_key_prefix(self, backend: Backend, prefix: str) -> None:
        """Otherwise keys with percent signs, underscores or capitals are mixed up with others."""
        names = {key for each in KEY_PREFIXES.values() for key in each or ()} | {"b", "ba", "\uffff"}
        store(backend, *(document(key) for key in names), document("a", namespace=("b",)))
        found = KEY_PREFIXES[prefix]
        expected = sorted(names if found is None else found)
        for limit in (1, 100):
            assert sorted(listed(backend, DocumentQuery(limit, prefix=NS, key_prefix=prefix))) == expected

    @clause("documents.find.expired", needs=DOCUMENTS)
    def test_what_expired_is_left_out(self, backend: Backend) -> None:
        """Otherwise what expired is still listed or counted, until a job deletes it."""
        times = {"a": at(10), "b": at(10.000001), "c": None, "d": at(10)}
        store(
            backend, *(document(key, 1, ("x",) if key == "d" else NS, expires_at=time) for key, time in times.items())
        )
        for now, expected in ((None, "abcd"), (at(9.999999), "abcd"), (at(10), "bc"), (at(11), "c")):
            for order in ORDERS:
                for condition in (None, field().eq(1)):
                    query = DocumentQuery(100, filter=condition, order=order, now=now)
                    assert listed(backend, query) == [*expected] == listed(backend, replace(query, limit=1))

    @clause("documents.find.filter_pages", needs=DOCUMENTS)
    def test_pages_of_a_filter(self, backend: Backend) -> None:
        """Otherwise a page is cut before the filter, and a listing ends although there is more."""
        store(
            backend,
            *(document(f"k{number:03}", {"n": number, "x": ["y"] * (number % 7 == 6)}) for number in range(150)),
        )
        store(
            backend, document("bytes", payload=PAYLOADS["bytes"]), document("encrypted", payload=PAYLOADS["encrypted"])
        )
        rare, odd = field("n").gte(140), field("x").contains("y")  # databases can hardly express the second exactly
        for condition, numbers in (
            (rare, range(140, 150)),
            (odd, range(6, 150, 7)),
            (odd & rare, range(146, 150, 7)),
            (~odd & rare, [n for n in range(140, 150) if n % 7 != 6]),
            (field("n").eq(149), [149]),
            (field("n").eq(-1), []),
            (AllOf(()), range(150)),
            (AnyOf(()), []),
            (~AnyOf(()), range(150)),
        ):
            expected = [f"k{number:03}" for number in numbers]
            for limit in (1, 4, 100):
                assert listed(backend, DocumentQuery(limit, filter=condition)) == expected
            assert listed(backend, DocumentQuery(7, filter=condition, descending=True)) == expected[::-1]

    @clause("documents.find.long", needs=DOCUMENTS)
    def test_long_keys(self, backend: Backend) -> None:
        """Otherwise long keys that begin alike collide, or a page of them skips some."""
        long = [f"{LONG}{end}" for end in ("", "a", "b", "\u00e9")]
        places = [(ns, key) for ns in [WIDE, (*WIDE, "x"), (*WIDE[:2], "x"), NS] for key in [*long, "k", LONG[:500]]]
        store(backend, *(document(key, key, ns) for ns, key in places))

        def position(place: tuple[Namespace, str]) -> tuple[bytes, bytes]:
            return index_key(path_of(place[0])).encode(), index_key(place[1]).encode()

        expected = sorted(places, key=position)
        with reading(backend) as session:
            for limit in (1, 5, 100):
                found = everything(session.documents.find, DocumentQuery(limit))
                assert [each.id for each in found] == expected
            for number in (0, 1, 12):
                after = session.documents.find(DocumentQuery(number + 1)).next_after
                assert after == tuple(map(bytes.decode, position(expected[number]))), "a cursor holds index keys"
            for prefix in (WIDE, WIDE[:2], WIDE[:1], (*WIDE[:2], f"{WIDE[2]}x")):
                found = everything(session.documents.find, DocumentQuery(5, prefix=prefix))
                assert [each.id for each in found] == [each for each in expected if each[0][: len(prefix)] == prefix]
        assert len(LONG.encode()) > INDEXED_BYTES

    @clause("documents.find.whole", needs=DOCUMENTS)
    def test_listed_documents_are_whole(self, backend: Backend) -> None:
        """Otherwise a listing returns other values than a read by key."""
        given = [
            document(name, payload=PAYLOADS[name], metadata={"m": name}, ttl=1.5, expires_at=at(9)) for name in PAYLOADS
        ]
        given.append(document("plain", {"x": 1}))
        store(backend, *given)
        with reading(backend) as session:
            for order in ORDERS:
                assert forms(everything(session.documents.find, DocumentQuery(3, order=order))) == forms(given)

    @clause("documents.find.corrupt", Level.OPERABLE, needs=DOCUMENTS)
    def test_a_damaged_row_hides_no_other(self, backend: Backend, harness: Harness) -> None:
        """Otherwise one damaged document makes the others unreachable."""
        store(backend, *(document(key, {"x": 1}) for key in "abc"))
        if not harness.corrupt("documents", "b"):
            pytest.skip("this harness cannot damage a row")
        with reading(backend) as session:
            page = session.documents.find(DocumentQuery())
            found = everything(session.documents.find, DocumentQuery(1))
        assert [each.key for each in page.items] == ["a", "c"] == [each.key for each in found]
        assert len(page.corrupt) == 1 and "b" in page.corrupt[0].key and page.corrupt[0].error

    @clause("documents.count", needs=DOCUMENTS)
    def test_count(self, backend: Backend) -> None:
        """Otherwise a number on a page contradicts the listing beside it."""
        store(
            backend,
            *(document(f"k{number}", {"n": number, "l": [number]}, ("a", str(number % 2))) for number in range(9)),
        )
        old = document("old", {"n": 5}, expires_at=at(5), updated_at=at(7))
        store(backend, old, document("bytes", payload=PAYLOADS["bytes"]))
        some = field("n").gte(3)
        cases = [
            (DocumentQuery(), 11),
            (DocumentQuery(2, (path_of(NS), "k"), descending=True, order="updated"), 11),
            (DocumentQuery(1, filter=some), 7),
            (DocumentQuery(1, filter=some, now=at(5)), 6),
            (DocumentQuery(1, filter=some & field("l").contains(4)), 1),
            (DocumentQuery(1, filter=~some), 3),
            (DocumentQuery(1, prefix=("a", "1")), 4),
            (DocumentQuery(1, key_prefix="k", filter=field("n").lt(4), prefix=("a", "0")), 2),
            (DocumentQuery(1, updated_from=at(7)), 1),
            (DocumentQuery(1, updated_from=at(7.000001)), 0),
        ]
        with reading(backend) as session:
            assert [session.documents.count(query) for query, _ in cases] == [expected for _, expected in cases]


Q = NamespaceQuery
ALL: list[Namespace] = [("a",), ("a", "b"), ("a", "b", "c"), ("a", "c", "c"), ("ab", "c"), ("b", "b", "c"), ("c",)]
NAMESPACES: list[tuple[NamespaceQuery, list[Namespace]]] = [
    (Q(), ALL),
    (Q(prefix=("a",)), [("a",), ("a", "b"), ("a", "b", "c"), ("a", "c", "c")]),
    (Q(prefix=(None,)), ALL),
    (Q(prefix=(None, "b")), [("a", "b"), ("a", "b", "c"), ("b", "b", "c")]),
    (Q(prefix=("a", None)), [("a", "b"), ("a", "b", "c"), ("a", "c", "c")]),
    (Q(prefix=("a", None, "c")), [("a", "b", "c"), ("a", "c", "c")]),
    (Q(prefix=("a", "b", "c", None)), []),
    (Q(suffix=("c",)), [("a", "b", "c"), ("a", "c", "c"), ("ab", "c"), ("b", "b", "c"), ("c",)]),
    (Q(suffix=("b", None)), [("a", "b", "c"), ("b", "b", "c")]),
    (Q(suffix=(None, "c")), [("a", "b", "c"), ("a", "c", "c"), ("ab", "c"), ("b", "b", "c")]),
    (Q(suffix=(None, None, None)), [("a", "b", "c"), ("a", "c", "c"), ("b", "b", "c")]),
    (Q(prefix=("a", "b"), suffix=("b", "c")), [("a", "b", "c")]),
    (Q(prefix=("c",), suffix=("c",)), [("c",)]),
    (Q(max_depth=1), [("a",), ("ab",), ("b",), ("c",)]),
    (Q(max_depth=2), [("a",), ("a", "b"), ("a", "c"), ("ab", "c"), ("b", "b"), ("c",)]),
    (Q(max_depth=1, suffix=("c",)), [("a",), ("ab",), ("b",), ("c",)]),
    (Q(max_depth=2, suffix=("c",), prefix=("a",)), [("a", "b"), ("a", "c")]),
    (Q(max_depth=1, prefix=("a", "b")), [("a",)]),
    (Q(max_depth=9, prefix=("b",)), [("b", "b", "c")]),
    (Q(prefix=("%",)), []),
    (Q(prefix=("*",)), []),
    (Q(suffix=("C",)), []),
    (Q(now=at(5)), [("a",), ("a", "b", "c"), ("a", "c", "c"), ("ab", "c"), ("b", "b", "c")]),
    (Q(now=at(4.999999)), ALL),
]  # fmt: skip


class TestNamespaces:
    """``DocumentStore.namespaces``."""

    @pytest.mark.parametrize("number", range(len(NAMESPACES)))
    @clause("documents.namespaces", needs=DOCUMENTS)
    def test_namespaces(self, backend: Backend, number: int) -> None:
        """Otherwise a part of what is stored cannot be found by looking, or another's part shows."""
        records = [document(key, 1, each) for each in reversed(ALL) for key in ("k1", "k2", "k3")]
        for each in records:
            each.expires_at = at(5) if each.namespace in (("a", "b"), ("c",)) or each.key == "k3" else None
        store(backend, *records)
        query, expected = NAMESPACES[number]
        assert namespaces(backend, query) == expected
        for limit in (1, 2, 3):
            assert namespaces(backend, replace(query, limit=limit)) == expected

    @clause("documents.namespaces.order", needs=DOCUMENTS)
    def test_order(self, backend: Backend) -> None:
        """Otherwise a listing of namespaces has another order on another database, or skips some."""
        paths = [ns for number, (ns, *_) in enumerate(ORDERED) if ns not in [each[0] for each in ORDERED[:number]]]
        store(backend, *(document(namespace=each) for each in reversed(paths)), document(namespace=WIDE))
        expected = sorted([*paths, WIDE], key=lambda each: index_key(path_of(each)).encode())
        for limit in (1, 4, 100):
            assert namespaces(backend, NamespaceQuery(limit)) == expected
        with reading(backend) as session:
            found = session.documents.namespaces(NamespaceQuery(2))
            assert found.next_after == (path_of(expected[1]),)
            assert session.documents.namespaces(NamespaceQuery(len(expected))).next_after is None
            after = session.documents.namespaces(NamespaceQuery(2, (path_of(("a", "az")),), ("a",), max_depth=2)).items
            assert after == [("a", "b")]

    @clause("documents.namespaces.long", needs=DOCUMENTS)
    def test_long(self, backend: Backend) -> None:
        """Otherwise a listing of shortened namespaces skips some of the long ones, or shows one of them twice."""
        given = [("\U0010ffff" * 252 + tail, below) for tail in "abcdef" for below in "xyz"]
        store(backend, *(document(namespace=each) for each in given), document(namespace=("a", "b")))
        expected = sorted({(each,) for each, _ in [("a", "b"), *given]}, key=lambda each: index_key(path_of(each)))
        for limit in (1, 2, 3, 100):
            assert namespaces(backend, NamespaceQuery(limit, max_depth=1)) == expected
