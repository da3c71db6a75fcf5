"""JSON texts that are damaged in the file: every question that has to judge one tells so, and finds all others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ciris_store_core import GraphNode, SecretsConfig, Store, field, open_store
from ciris_store_core.conformance.factories import correlation
from ciris_store_core.errors import Corrupt
from ciris_store_core.secrets.keys import new_key
from ciris_store_core.services import examine
from ciris_store_core.transfer import copy_store, digest_store

NAMESPACE = ("d",)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def damage(path: Path, new: bytes) -> None:
    """Change the beginning of the one text with the mark, in the closed file."""
    data = path.read_bytes()
    old = b'{"mark":"'
    assert len(new) == len(old) and old in data
    path.write_bytes(data.replace(old, new))


def opened(path: Path, **options: Any) -> Store:
    return open_store(f"sqlite:///{path}?synchronous=normal", **options)


@pytest.fixture(params=[b'}"mark":"', b"{'mark':\"", b'{ mark :"'], ids=["no JSON", "JSON5", "JSON5 without quotes"])
def broken(request: pytest.FixtureRequest) -> bytes:
    found: bytes = request.param
    return found


def with_documents(path: Path, broken: bytes, *, index: bool = False, **options: Any) -> Store:
    """A store of three documents and entries, the second of which is damaged."""
    with opened(path, **options) as store:
        if index:
            store.documents.create_index("x")
        for number, key in enumerate("abc"):
            value = {"mark": "!", "x": number} if key == "b" else {"x": number}
            store.documents.put(NAMESPACE, key, value)
            store.streams.append(NAMESPACE, "s", [value])
    damage(path, broken)
    return opened(path, **options)


FILTERS = {
    "in SQL": field("x").gte(0),
    "none but the damaged": field("x").eq(1),
    "negated": ~field("x").eq(0),
    "of what is absent": field("nothing").exists(False),
    "judged by Python": field("x").gte(0) & field("a\"b").exists(False),
    "contains": ~field("x").contains("y"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_leaves_out_no_damaged_document(path: Path, broken: bytes, name: str) -> None:
    with with_documents(path, broken) as store:
        page = store.documents.find(NAMESPACE, filter=FILTERS[name])
        assert {each.key for each in page} <= {"a", "c"} and [row.key for row in page.corrupt] == ["d/b"]
        assert name == "none but the damaged" or "c" in {each.key for each in page}
        found, cursor, corrupt = [], None, 0
        while True:
            one = store.documents.find(NAMESPACE, filter=FILTERS[name], limit=1, cursor=cursor)
            found += [each.key for each in one]
            corrupt += len(one.corrupt)
            if (cursor := one.next_cursor) is None:
                break
        assert found == [each.key for each in page] and corrupt == 1
        with pytest.raises(Corrupt):
            list(store.documents.scan(NAMESPACE, filter=FILTERS[name]))
        with pytest.raises(Corrupt):
            store.documents.count(NAMESPACE, filter=FILTERS[name])
        with pytest.raises(Corrupt):
            store.documents.delete_matching(NAMESPACE, filter=FILTERS[name])
        assert store.documents.count(NAMESPACE) == 3


def test_documents_are_not_deleted_by_a_filter_that_cannot_be_judged(path: Path, broken: bytes) -> None:
    with with_documents(path, broken, secrets=SecretsConfig(keys=[new_key()])) as store:
        with pytest.raises(Corrupt):
            store.documents.delete_matching(NAMESPACE, filter=field("x").gte(0))
        assert store.documents.count(NAMESPACE) == 3


def test_no_index_is_made_that_lacks_a_document(path: Path, broken: bytes) -> None:
    with with_documents(path, broken) as store:
        with pytest.raises(Corrupt):
            store.documents.create_index("x")
        assert [row.key for row in store.documents.find(filter=field("x").eq(1)).corrupt] == ["d/b"]
        store.documents.put(NAMESPACE, "b", {"x": 1})
        store.documents.create_index("x")
        assert [each.key for each in store.documents.find(filter=field("x").eq(1))] == ["b"]


def test_an_index_still_finds_a_document_that_was_damaged_later(path: Path, broken: bytes) -> None:
    with with_documents(path, broken, index=True) as store:
        page = store.documents.find(filter=field("x").eq(1))
        assert page.items == [] and [row.key for row in page.corrupt] == ["d/b"]
        assert store.documents.count(filter=field("x").eq(2)) == 1


def test_a_page_lists_what_cannot_be_read_beside_the_rest(path: Path, broken: bytes) -> None:
    with with_documents(path, broken) as store:
        page, entries = store.documents.find(NAMESPACE), store.streams.read(NAMESPACE, "s")
        assert [each.key for each in page] == ["a", "c"] and [row.key for row in page.corrupt] == ["d/b"]
        assert [each.position for each in entries] == [1, 3] and [row.key for row in entries.corrupt] == ["2"]
        for call in (
            lambda: store.documents.get(NAMESPACE, "b"),
            lambda: store.streams.tail(NAMESPACE, "s"),
            lambda: list(store.streams.scan(NAMESPACE, "s")),
        ):
            with pytest.raises(Corrupt):
                call()


def test_an_encrypted_value_that_is_damaged_hides_no_other(path: Path) -> None:
    options: dict[str, Any] = {"secrets": SecretsConfig(keys=[new_key()])}
    with opened(path, **options) as store:
        for key in "ab":
            store.documents.put(NAMESPACE, key, key, secrets="encrypt")
        with store._backend.session(write=True) as session:
            session.run("UPDATE {documents} SET data = zeroblob(60) WHERE key = 'a'")  # type: ignore[attr-defined]
        page = store.documents.find(NAMESPACE)
        assert [each.key for each in page] == ["b"] and [row.key for row in page.corrupt] == ["d/a"]


def test_doctor_and_copies_find_it(path: Path, broken: bytes) -> None:
    with with_documents(path, broken) as store:
        [finding] = [each for each in examine(store, thorough=True).findings if each.code == "corrupt_rows"]
        assert finding.data == {"rows": ["documents d/b", "stream_entries 2"]}
        with pytest.raises(Corrupt):
            digest_store(store)
        with open_store("memory://") as target:
            assert copy_store(store, target, skip_corrupt=True, without=["streams"]).corrupt == ["documents d/b"]


def test_questions_about_other_damaged_texts_are_told(path: Path) -> None:
    with opened(path) as store:
        store.graph.put(GraphNode(id="n", type="concept", scope="local", attributes={"mark": "!"}))
        store.correlations.add(correlation("c", tags={"mark": "!"}))
    damage(path, b'}"mark":"')
    with opened(path) as store:
        for call in (
            lambda: store.graph.find(attributes={"mark": "!"}),
            lambda: store.graph.count(attributes={"mark": "!"}),
            lambda: store.correlations.find(tags={"mark": "!"}),
            lambda: store.correlations.count(tags={"mark": "!"}),
        ):
            with pytest.raises(Corrupt, match="doctor"):
                call()
