from __future__ import annotations

import random
import struct
from collections.abc import Callable
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest

from ciris_store_core import (
    AlreadyExists,
    Corrupt,
    InvalidArgument,
    KeyRing,
    ManualClock,
    NewDocument,
    RevisionMismatch,
    SecretDetected,
    SecretsConfig,
    Store,
    field,
)
from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import SecretKeyError, TransactionError
from ciris_store_core.models.document_filters import Condition
from ciris_store_core.models.documents import DocumentKey
from ciris_store_core.secrets.keys import new_key
from ciris_store_core.services import DatabaseMaintenanceService

PASSWORD = {"password": "correct-horse-battery-9"}


def keys(found: Any) -> list[str]:
    return [each.key for each in found]


def raw(store: Store, namespace: tuple[str, ...], key: str) -> Any:
    """The document as the backend stores it."""

    def read(session: Session) -> Any:
        return session.documents.get([DocumentKey(namespace, key)], None)[0]

    return store._x.read("test", read)


def test_put_replaces_and_counts_revisions(store: Store, clock: ManualClock) -> None:
    first = store.documents.put(("users", "ada"), "profile", {"b": 1, "a": [1.0, None]}, metadata={"source": "form"})
    assert (first.namespace, first.key, first.revision) == (("users", "ada"), "profile", 1)
    assert first == store.documents.get(("users", "ada"), "profile")
    assert list(first.value) == ["b", "a"] and repr(first.value["a"][0]) == "1.0"
    clock.advance(seconds=1)
    second = store.documents.put(("users", "ada"), "profile", b"\0\xff", media_type="image/png")
    assert (second.value, second.media_type, second.metadata, second.revision) == (b"\0\xff", "image/png", {}, 2)
    assert (second.created_at, second.updated_at) == (first.created_at, clock.now())
    assert store.documents.get("users", "profile") is None and store.documents.delete(("users", "ada"), "profile") == 1
    assert store.documents.delete(("users", "ada"), "profile") == 0


def test_a_text_is_a_namespace_of_one_segment(store: Store) -> None:
    store.documents.put("notes", "a", 1)
    assert store.documents.get(("notes",), "a") == store.documents.get("notes", "a") != None  # noqa: E711


def test_compare_and_set(store: Store) -> None:
    store.documents.put("n", "k", 1, insert=True)
    with pytest.raises(AlreadyExists):
        store.documents.put("n", "k", 2, insert=True)
    with pytest.raises(RevisionMismatch):
        store.documents.put("n", "k", 2, expected_revision=0)
    assert store.documents.put("n", "k", 2, expected_revision=1).revision == 2
    with pytest.raises(RevisionMismatch):
        store.documents.put_many([("n", "new", 1), NewDocument("n", "k", 3, expected_revision=1)])
    assert store.documents.get("n", "new") is None and store.documents.get("n", "k").value == 2  # type: ignore[union-attr]


def test_merge_keeps_what_it_does_not_name(store: Store) -> None:
    store.documents.put("n", "k", {"a": 1, "b": 2}, ttl=60, metadata={"x": 1})
    merged = store.documents.put("n", "k", {"b": 3, "c": 4}, merge=True, metadata={"y": 2})
    assert (merged.value, merged.revision, merged.ttl) == ({"a": 1, "b": 3, "c": 4}, 2, 60)
    assert merged.metadata == {"x": 1, "y": 2}
    assert store.documents.put("n", "new", {"a": 1}, merge=True).revision == 1
    store.documents.put("n", "list", [1])
    with pytest.raises(InvalidArgument, match="no object to merge into"):
        store.documents.put("n", "list", {"a": 1}, merge=True)
    with pytest.raises(InvalidArgument, match="only an object"):
        store.documents.put("n", "k", [1], merge=True)
    with pytest.raises(RevisionMismatch):
        store.documents.put("n", "k", {"z": 1}, merge=True, expected_revision=1)


def test_concurrent_merges_lose_nothing(store: Store) -> None:
    start, errors = Barrier(8), []

    def merge(worker: int) -> None:
        start.wait()
        try:
            for turn in range(5):
                store.documents.put("n", "k", {f"{worker}.{turn}": 1}, merge=True)
        except Exception as error:
            errors.append(error)

    threads = [Thread(target=merge, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.documents.get("n", "k")
    assert errors == [] and found is not None and len(found.value) == 40 and found.revision == 40


def test_what_expired_is_absent_everywhere(store: Store, clock: ManualClock) -> None:
    store.documents.put("n", "short", {"x": 1}, ttl=10)
    store.documents.put("n", "long", {"x": 1}, ttl=100)
    store.documents.put("n", "ever", {"x": 1})
    clock.advance(seconds=5)
    touched = store.documents.touch("n", "short")
    assert touched is not None and touched.expires_at == clock.now() + timedelta(seconds=10) and touched.revision == 1
    clock.advance(seconds=9)
    assert store.documents.get("n", "short", refresh=True) is not None
    clock.advance(seconds=10)
    assert store.documents.get("n", "short") is None and store.documents.touch("n", "short") is None
    assert keys(store.documents.find("n")) == ["ever", "long"] and store.documents.count("n") == 2
    assert store.documents.count("n", filter=field("x").eq(1)) == 2
    assert store.documents.delete("n", "short") == 0
    clock.advance(seconds=100)
    assert store.documents.put("n", "long", 1, insert=True, expected_revision=0).value == 1
    store.documents.put("gone", "k", 1, ttl=1)
    clock.advance(seconds=1)
    assert store.documents.namespaces().items == [("n",)]


def test_maintenance_deletes_what_expired(store: Store, clock: ManualClock) -> None:
    store.documents.put_many([NewDocument("n", str(i), i, ttl=1) for i in range(10)])
    store.documents.put("n", "kept", 1, ttl=100)
    clock.advance(seconds=1)
    report = DatabaseMaintenanceService(store, archive_dir=None).run()
    assert report.expired_documents == 10 and keys(store.documents.find()) == ["kept"]


def test_prefixes_are_whole_segments(store: Store) -> None:
    for namespace in [("a",), ("a", "b"), ("a", "bc"), ("a", "b", "c"), ("a_b",), ("a%",), ("ab",)]:
        store.documents.put(namespace, "k", list(namespace))
    assert [each.namespace for each in store.documents.find(("a", "b"))] == [("a", "b"), ("a", "b", "c")]
    assert store.documents.count("a") == 4 and store.documents.count("a%") == 1
    found = store.documents.namespaces("a", max_depth=2)
    assert found.items == [("a",), ("a", "b"), ("a", "bc")]
    assert store.documents.namespaces(("a", None)).items == [("a", "b"), ("a", "b", "c"), ("a", "bc")]
    assert store.documents.namespaces(suffix=("b",)).items == [("a", "b")]


def test_orders_pages_and_cursors(store: Store, clock: ManualClock) -> None:
    for i in range(7):
        store.documents.put("n", f"k{i}", i)
        clock.advance(seconds=1)
    store.documents.put("n", "k0", 0)
    assert keys(store.documents.scan("n", order="updated", descending=True))[:2] == ["k0", "k6"]
    got, cursor = [], None
    while True:
        page = store.documents.find("n", order="created", descending=True, limit=3, cursor=cursor)
        got += keys(page)
        if (cursor := page.next_cursor) is None:
            break
    assert got == [f"k{i}" for i in reversed(range(7))]
    first = store.documents.find("n", limit=1)
    with pytest.raises(InvalidArgument, match="another listing"):
        store.documents.find("n", order="created", cursor=first.next_cursor)
    with pytest.raises(InvalidArgument, match="order"):
        store.documents.find("n", order="size")  # type: ignore[arg-type]


def test_filters_find_and_delete(store: Store) -> None:
    store.documents.put_many([("n", str(i), {"n": i, "odd": i % 2 == 1}) for i in range(10)])
    store.documents.put("n", "bytes", b"1")
    wanted = field("n").gte(3) & ~field("odd").eq(True)
    assert keys(store.documents.find("n", filter=wanted)) == ["4", "6", "8"]
    store.documents.create_index("n")
    store.documents.create_index("n")
    assert keys(store.documents.find("n", filter=field("n").is_in([1, 2.0, True]))) == ["1", "2"]
    store.documents.drop_index("n")
    assert store.documents.delete_matching("n", filter=field("odd").eq(True)) == 5
    assert store.documents.count("n") == 6 and store.documents.delete_matching("n") == 6


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda s: s.documents.put((), "k", 1), "1 to 32 segments"),
        (lambda s: s.documents.put(("a",) * 33, "k", 1), "1 to 32 segments"),
        (lambda s: s.documents.put(("", "a"), "k", 1), "0 bytes"),
        (lambda s: s.documents.put(("a", "x" * 2049), "k", 1), "2049 bytes"),
        (lambda s: s.documents.put(("x" * 2048,) * 4, "k", 1), "8193 bytes"),
        (lambda s: s.documents.put("a", "nul\0", 1), "NUL"),
        (lambda s: s.documents.put("a", "\ud800", 1), "surrogate"),
        (lambda s: s.documents.put("a", 1, 1), "expected text, not int"),
        (lambda s: s.documents.put("a", "k", {1: 2}), "must be text"),
        (lambda s: s.documents.put("a", "k", float("nan")), "nan is not"),
        (lambda s: s.documents.put("a", "k", {"x": {1}}), "set is not JSON"),
        (lambda s: s.documents.put("a", "k", "x" * (16 * 1024 * 1024)), "larger than 16 MiB"),
        (lambda s: s.documents.put("a", "k", b"x" * (16 * 1024 * 1024 + 1)), "larger than 16 MiB"),
        (lambda s: s.documents.put("a", "k", 1, media_type="x/y"), "media_type"),
        (lambda s: s.documents.put("a", "k", 1, ttl=0), "ttl"),
        (lambda s: s.documents.put("a", "k", 1, secrets="maybe"), "'detect', 'encrypt' or 'plain'"),
        (lambda s: s.documents.put("a", "k", 1, expected_revision=-1), "expected_revision"),
        (lambda s: s.documents.find("a", filter={"x": 1}), "Make one with field"),
        (lambda s: s.documents.find("a", filter=field("x").gt(None)), "compares with a number or a text"),
        (lambda s: s.documents.find("a", filter=field(-1).eq(1)), "no step of a path"),
        (lambda s: s.documents.put_many([("a", "k", 1), ("a", "k", 2)]), "twice"),
        (lambda s: s.documents.create_index(), "needs the path"),
    ],
)
def test_what_cannot_be_stored_is_refused(store: Store, call: Callable[[Store], Any], says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        call(store)
    assert store.is_empty()


def test_the_longest_names_do_not_collide(store: Store) -> None:
    names = ["x" * 2047 + end for end in "abc"] + ["ä" * 1024]
    for name in names:
        store.documents.put((name, name, name), name, name)
    assert {each.key for each in store.documents.find()} == set(names)
    for name in names:
        assert store.documents.get((name, name, name), name).value == name  # type: ignore[union-attr]
        assert store.documents.count((name, name)) == 1
    assert store.documents.count(("x" * 2047,)) == 0


def test_any_json_comes_back_as_it_was(store: Store) -> None:
    source = random.Random(7)
    for round in range(60):
        value = any_json(source, 4)
        store.documents.put("n", str(round), value)
        found = store.documents.get("n", str(round))
        assert found is not None and repr(found.value) == repr(value)
    deep: Any = 0
    for _ in range(100):
        deep = [deep]
    assert store.documents.put("n", "deep", deep).value == deep
    with pytest.raises(InvalidArgument, match="nested deeper"):
        store.documents.put("n", "deeper", [deep])


def any_json(source: random.Random, depth: int) -> Any:
    """A random JSON value with everything that stores like to change."""
    kind = source.randrange(8 if depth else 6)
    if kind == 0:
        return source.choice([None, True, False, 0, 1, 1.0, -0.0, 0.1, 1e22, 5e-324, 1.7976931348623157e308])
    if kind == 1:
        return source.choice([2**63, -(2**63) - 1, 10**300, 2**53 + 1, source.getrandbits(64)])
    if kind == 2:
        number: float = struct.unpack("d", source.randbytes(8))[0]
        return number if number == number and abs(number) != float("inf") else 0.5
    if kind in (3, 4, 5):
        letters = "a\0\x01\x1f\"\\/'%_\u007f\u2028\ufeff\ufffd\uffff\U0010ffff\ud800\udfffé漢"
        return "".join(source.choice(letters) for _ in range(source.randrange(6)))
    if kind == 6:
        return [any_json(source, depth - 1) for _ in range(source.randrange(5))]
    return {str(any_json(source, 0)): any_json(source, depth - 1) for _ in range(source.randrange(5))}


def test_a_transaction_holds_documents_and_all_else(store: Store) -> None:
    class Stop(Exception): ...

    with pytest.raises(Stop), store.transaction() as tx:
        tx.documents.put("n", "k", 1)
        tx.streams.append("n", "s", [1])
        assert tx.documents.get("n", "k", for_update=True) is not None
        raise Stop
    assert store.documents.get("n", "k") is None and store.streams.info("n", "s") is None
    with pytest.raises(TransactionError, match="for_update"):
        store.documents.get("n", "k", for_update=True)


# --- secrets --------------------------------------------------------------------------------------


def test_a_secret_without_a_key_is_refused(store: Store) -> None:
    with pytest.raises(SecretDetected):
        store.documents.put("n", "k", PASSWORD)
    with pytest.raises(SecretKeyError):
        store.documents.put("n", "k", PASSWORD, secrets="encrypt")
    assert store.documents.put("n", "k", PASSWORD, secrets="plain").value == PASSWORD


def test_a_detected_secret_is_replaced_resolved_and_deleted(opened: Callable[..., Store]) -> None:
    store = opened(secrets=SecretsConfig(keys=KeyRing(new_key())))
    stored = store.documents.put(("n", "m"), "k", PASSWORD)
    assert "correct-horse" not in str(stored.value) and "{SECRET:" in str(stored.value)
    assert store.secrets.resolve(stored, action="tool", accessor="test").value == PASSWORD
    [secret] = store.secrets.find().items
    store.documents.put(("n", "m"), "k", {**stored.value, "more": 1})
    assert store.secrets.get(secret.secret_id) is not None
    store.documents.put(("n", "m"), "k", {"more": 1})
    assert store.secrets.get(secret.secret_id) is None
    store.documents.put(("n", "m"), "k", PASSWORD)
    assert store.documents.delete_matching("n") == 1 and store.secrets.find().items == []


def test_an_encrypted_value_is_bound_to_its_place(opened: Callable[..., Store]) -> None:
    config = SecretsConfig(keys=KeyRing(new_key()), documents={("vault",): "encrypt", ("vault", "open"): "plain"})
    store = opened(secrets=config)
    for value in ({"a": "correct-horse", "b": 1.0}, b"correct-horse", "\ud800"):
        written = store.documents.put(("vault", "x"), "k", value, media_type="a/b" if type(value) is bytes else None)
        assert written == store.documents.get(("vault", "x"), "k") and repr(written.value) == repr(value)
        assert raw(store, ("vault", "x"), "k").payload.format == "encrypted"
        assert b"correct-horse" not in raw(store, ("vault", "x"), "k").payload.body
    assert raw(store, ("vault", "x"), "k").revision == 3
    store.documents.put(("vault", "open"), "k", 1, secrets="encrypt")
    assert raw(store, ("vault", "open"), "k").payload.format == "json"
    assert keys(store.documents.find("vault", filter=field().exists())) == ["k"]
    stolen = raw(store, ("vault", "x"), "k")

    def copy(session: Session) -> None:
        from dataclasses import replace

        from ciris_store_core.models.documents import DocumentWrite

        session.documents.put([DocumentWrite(replace(stolen, key="other"))], stolen.updated_at)

    store._x.write("test", copy)
    with pytest.raises(Corrupt):
        store.documents.get(("vault", "x"), "other")


def test_rotation_encrypts_values_again(opened: Callable[..., Store], url: str) -> None:
    if url == "memory://":
        pytest.skip("a database in memory ends with its store")
    old, new = new_key(), new_key()
    with opened(secrets=SecretsConfig(keys=KeyRing([old]))) as store:
        for i in range(5):
            store.documents.put("n", str(i), {"i": i}, secrets="encrypt")
            store.streams.append("n", "s", [i], secrets="encrypt")
    with opened(secrets=SecretsConfig(keys=KeyRing([new, old]))) as store:
        report = store.secrets.rotate()
        assert report.rotated and report.moved == 10
    store = opened(secrets=SecretsConfig(keys=KeyRing([new])))
    assert [each.value for each in store.documents.find("n")] == [{"i": i} for i in range(5)]
    assert [each.value for each in store.streams.tail("n", "s")] == list(range(5))
    assert store.secrets.check().by_key.total() == 10


class OwnText(str):
    """A text of a library's own class, which says something else of itself."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another"


def test_segments_of_a_class_of_its_own_are_plain_texts(store: Store) -> None:
    found = store.documents.put((OwnText("a"),), "k", 1)
    assert found.namespace == ("a",) and type(found.namespace[0]) is str
    assert store.documents.get(("a",), "k") is not None


def test_an_unknown_operator_is_refused(store: Store) -> None:
    with pytest.raises(InvalidArgument, match="no operator"):
        store.documents.find(filter=Condition(("k",), "like", "v"))  # type: ignore[arg-type]
