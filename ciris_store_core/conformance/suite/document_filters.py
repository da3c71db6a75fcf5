"""Documents: filters, whose answers are written down in ``filter_cases``, and are the same on every backend."""

from __future__ import annotations

from typing import Any

import pytest

from ciris_store_core.conformance.factories import T0
from ciris_store_core.conformance.filter_cases import FILTER_CASES, FilterCase, cleaned
from ciris_store_core.conformance.levels import clause
from ciris_store_core.conformance.payload_samples import PAYLOADS, ciphertext, document, json_value, store, write
from ciris_store_core.conformance.suite.documents import DOCUMENTS
from ciris_store_core.conformance.support import everything, reading, writing
from ciris_store_core.contract import Backend, Session
from ciris_store_core.models.document_filters import Filter, field
from ciris_store_core.models.documents import DocumentQuery
from ciris_store_core.models.payloads import Payload


def stored(backend: Backend, cases: list[FilterCase]) -> dict[str, str]:
    """Store each value of the cases once, and one of each format that no filter finds; return the keys by ``repr``."""
    values = {repr(value): value for case in cases for value in (*case.yes, *case.no)}
    keys = {text: f"k{number:04}" for number, text in enumerate(values)}
    store(backend, *(document(keys[text], value) for text, value in values.items()))
    hidden = {
        "bytes": PAYLOADS["bytes_like_text"],
        "null": Payload("bytes", b"null"),
        "encrypted": ciphertext(body=b"1"),
    }
    store(backend, *(document(key, payload=payload) for key, payload in hidden.items()))
    return keys


def found(session: Session, condition: Filter) -> list[str]:
    """Return the keys of the documents that meet a filter."""
    return [each.key for each in everything(session.documents.find, DocumentQuery(1000, filter=cleaned(condition)))]


def check(session: Session, case: FilterCase, keys: dict[str, str]) -> list[Any]:
    """Return the values for which the answer is wrong; check that no bytes or ciphertexts are found."""
    got = found(session, case.filter)
    assert not {"bytes", "null", "encrypted"} & set(got), f"{case.filter} finds what no filter does"
    assert session.documents.count(DocumentQuery(1, filter=cleaned(case.filter))) == len(got), case.filter
    missing = [value for value in case.yes if keys[repr(value)] not in got]
    return missing + [value for value in case.no if keys[repr(value)] in got]


class TestFilters:
    """``DocumentQuery.filter``."""

    @pytest.mark.parametrize("subject", FILTER_CASES)
    @clause("documents.filters", needs=DOCUMENTS)
    def test_filters(self, backend: Backend, subject: str) -> None:
        """Otherwise a query finds other documents on another database."""
        cases = FILTER_CASES[subject]
        keys = stored(backend, cases)
        with reading(backend) as session:
            wrong = {str(case.filter): values for case in cases if (values := check(session, case, keys))}
        assert wrong == {}

    @pytest.mark.parametrize("subject", FILTER_CASES)
    @clause("documents.filters.not", needs=DOCUMENTS)
    def test_negated_filters(self, backend: Backend, subject: str) -> None:
        """Otherwise a document is found neither by a filter nor by its opposite, or by both."""
        cases = FILTER_CASES[subject]
        keys = stored(backend, cases)
        with reading(backend) as session:
            negated = [FilterCase(~case.filter, case.no, case.yes) for case in cases]
            wrong = {str(case.filter): values for case in negated if (values := check(session, case, keys))}
        assert wrong == {}

    @clause("documents.filters.searchable", needs=DOCUMENTS)
    def test_the_searchable_copy(self, backend: Backend) -> None:
        """Otherwise what filters find is not what the layer above lets them see."""
        payload = Payload("json", '{"x":"body","y":1}', '{"x":"copy","z":1}')
        store(backend, document("a", payload=payload), document("b", payload=json_value({"x": "body", "y": 1})))
        with reading(backend) as session:
            assert found(session, field("x").eq("copy")) == ["a"] == found(session, field("z").exists())
            assert found(session, field("x").eq("body")) == ["b"] == found(session, field("y").exists())
        store(backend, document("a", payload=json_value({"x": "new"})), document("b", payload=payload))
        with reading(backend) as session:
            assert found(session, field("x").eq("copy")) == ["b"] == found(session, field("x").contains("op"))
            assert found(session, field("x").eq("new")) == ["a"] == found(session, ~field("z").exists())

    @clause("documents.filters.metadata", needs=DOCUMENTS)
    def test_filters_see_the_value_only(self, backend: Backend) -> None:
        """Otherwise metadata, keys or columns of the table are taken for a part of the value."""
        store(backend, document("a", {"x": 1}, metadata={"m": 1}), document("b", {"m": 1}))
        with reading(backend) as session:
            assert found(session, field("m").eq(1)) == ["b"] == found(session, field("m").exists())
            for name in ("key", "revision", "path", "format", "body", "metadata"):
                assert found(session, field(name).exists()) == []

    @clause("documents.filters.writes", needs=DOCUMENTS)
    def test_filters_follow_writes(self, backend: Backend) -> None:
        """Otherwise a query finds a value that was overwritten, encrypted or turned into bytes."""
        condition = field("x").eq(1)
        with writing(backend) as session:
            for index in (False, True):
                if index:
                    session.documents.create_index(("x",))
                for payload, expected in (
                    (json_value({"x": 1}), ["k"]),
                    (json_value({"x": 2}), []),
                    (json_value({"x": 1, "y": "\0"}), ["k"]),
                    (PAYLOADS["bytes"], []),
                    (json_value({"x": 1.0}), ["k"]),
                    (ciphertext(), []),
                    (json_value({"x": True}), []),
                ):
                    assert session.documents.put([write(document(payload=payload))], T0)
                    assert found(session, condition) == expected
                    assert found(session, ~condition) == (["k"] if payload.format == "json" and not expected else [])
