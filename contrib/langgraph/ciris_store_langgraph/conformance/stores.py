"""Clauses for LangGraph's BaseStore."""

from __future__ import annotations

import time
from typing import Any

from langgraph.store.base import BaseStore, GetOp, ListNamespacesOp, MatchCondition, PutOp, SearchOp

from ciris_store_langgraph.conformance.clauses import Clauses, Skipped, Trial

clause = Clauses("S")
N = ("clause",)


def keys_of(store: BaseStore, filter: dict[str, Any] | None = None, prefix: tuple[str, ...] = N) -> set[str]:
    """Return the keys that a search finds."""
    return {item.key for item in store.search(prefix, filter=filter, limit=100)}


def filled(store: BaseStore, **values: dict[str, Any]) -> None:
    """Put these items."""
    for key, value in values.items():
        store.put(N, key, value)


# --- filters --------------------------------------------------------------------------------------


@clause("Numbers compare as numbers", breaks="A filter for scores of at least 9 misses 10 and finds 9.5 only by luck.")
def numbers_compare(trial: Trial) -> None:
    with trial.open() as store:
        filled(store, a={"n": 9}, b={"n": 10}, c={"n": 100.5}, d={"n": -1})
        assert keys_of(store, {"n": {"$gte": 9}}) == {"a", "b", "c"}
        assert keys_of(store, {"n": {"$lt": 10}}) == {"a", "d"}
        assert keys_of(store, {"n": 10}) == {"b"}


@clause("A dict in a filter is a value, unless its keys are operators", breaks="An item is not found by its own value.")
def dict_values(trial: Trial) -> None:
    with trial.open() as store:
        filled(store, a={"x": {"y": 1}}, b={"x": {"y": 2}})
        assert keys_of(store, {"x": {"y": 1}}) == {"a"}


@clause("$ne finds the items that lack the key", breaks="Items without a status are missing from 'not done'.")
def ne_and_missing(trial: Trial) -> None:
    with trial.open() as store:
        filled(store, a={"x": 1}, b={"x": 2}, c={"z": 1})
        assert keys_of(store, {"x": {"$ne": 1}}) == {"b", "c"}


@clause("A dot in a filter's key is a character", breaks="A filter by 'user.name' reads another part of the value.")
def dotted_keys(trial: Trial) -> None:
    with trial.open() as store:
        filled(store, a={"x.y": 1}, b={"x": {"y": 1}})
        assert keys_of(store, {"x.y": 1}) == {"a"}


@clause("Several operators on one key all hold", breaks="A range finds what lies outside it.")
def ranges(trial: Trial) -> None:
    with trial.open() as store:
        filled(store, a={"n": 1}, b={"n": 5}, c={"n": 9})
        assert keys_of(store, {"n": {"$gt": 1, "$lt": 9}}) == {"b"}


@clause("An operator that does not exist is refused", breaks="A filter with a typing error finds everything.")
def unknown_operators(trial: Trial) -> None:
    with trial.open() as store:
        filled(store, a={"n": 1})
        for given in ({"n": {"$and": [1]}}, {"n": {"$gtee": 1}}):
            try:
                found = keys_of(store, given)
            except Exception:
                continue
            raise AssertionError(f"{given} was taken, and found {found}")


@clause("Quotes in a filter are characters", breaks="A name such as O'Brien raises an error, or runs as SQL.")
def quotes(trial: Trial) -> None:
    with trial.open() as store:
        filled(store, a={"it's": 'O\'Brien "x"'}, b={"it's": "x"})
        assert keys_of(store, {"it's": 'O\'Brien "x"'}) == {"a"}
        assert keys_of(store, {"it's": {"$ne": "x"}}) == {"a"}


@clause(
    "A text, a number and a boolean differ in a filter", breaks="A filter for '1' finds 1, and one for true 'true'."
)
def types(trial: Trial) -> None:
    with trial.open() as store:
        filled(store, number={"x": 1}, text={"x": "1"}, yes={"x": True}, word={"x": "true"})
        assert keys_of(store, {"x": "1"}) == {"text"}
        assert keys_of(store, {"x": "true"}) == {"word"}


@clause("Null is a value in a filter", breaks="Items whose field is empty cannot be found.")
def null(trial: Trial) -> None:
    with trial.open() as store:
        filled(store, a={"x": None}, b={"x": 0})
        assert keys_of(store, {"x": None}) == {"a"}


@clause("Bytes are refused or come back as bytes", breaks="An upload comes back as text that no program can read.")
def bytes_bound(trial: Trial) -> None:
    with trial.open() as store:
        try:
            store.put(N, "a", {"x": b"\x00\xff"})
        except Exception:
            assert store.get(N, "a") is None
            return
        item = store.get(N, "a")
        assert item is not None and item.value == {"x": b"\x00\xff"}


# --- namespaces -----------------------------------------------------------------------------------


@clause("A prefix is whole segments", breaks="A search for the tenant 'acme' reads the items of 'acme-corp'.")
def whole_segments(trial: Trial) -> None:
    with trial.open() as store:
        store.put(("tenant", "acme"), "own", {})
        store.put(("tenant", "acme", "sub"), "below", {})
        store.put(("tenant", "acme-corp"), "other", {})
        assert keys_of(store, prefix=("tenant", "acme")) == {"own", "below"}
        assert store.list_namespaces(prefix=("tenant", "acme")) == [("tenant", "acme"), ("tenant", "acme", "sub")]


@clause("% and _ in a prefix are characters", breaks="A user named '%' reads the items of every user.")
def no_wildcards(trial: Trial) -> None:
    with trial.open() as store:
        for name in ("a_c", "abc", "%", "x"):
            store.put(("users", name), name, {})
        assert keys_of(store, prefix=("users", "a_c")) == {"a_c"}
        assert keys_of(store, prefix=("users", "%")) == {"%"}
        assert store.list_namespaces(prefix=("users", "%")) == [("users", "%")]


@clause("A segment with a dot is refused or stays one segment", breaks="('a.b',) and ('a', 'b') share their items.")
def dots(trial: Trial) -> None:
    with trial.open() as store:
        try:
            store.batch([PutOp(("a.b",), "k", {"one": True})])
        except Exception:
            return
        assert store.get(("a", "b"), "k") is None
        assert store.batch([GetOp(("a.b",), "k")])[0].value == {"one": True}


@clause("* in a listing stands for one segment", breaks="A listing misses namespaces, or shows those of others.")
def listing_wildcards(trial: Trial) -> None:
    with trial.open() as store:
        for namespace in (("u", "a", "x"), ("u", "b", "x"), ("u", "b", "y"), ("u", "x"), ("v", "a", "x")):
            store.put(namespace, "k", {})
        assert set(store.list_namespaces(prefix=("u", "*", "x"))) == {("u", "a", "x"), ("u", "b", "x")}
        assert set(store.list_namespaces(suffix=("a", "x"))) == {("u", "a", "x"), ("v", "a", "x")}
        both = store.list_namespaces(prefix=("u",), suffix=("x",))
        assert set(both) == {("u", "a", "x"), ("u", "b", "x"), ("u", "x")}


@clause("Listed namespaces are in order, each once, and paged", breaks="Pages of a listing repeat or lack namespaces.")
def listing_pages(trial: Trial) -> None:
    with trial.open() as store:
        for number in range(7):
            store.put(("p", f"n{number}", "x"), "k", {})
            store.put(("p", f"n{number}", "y"), "k", {})
        conditions = (MatchCondition("prefix", ("p",)),)
        pages = [
            store.batch([ListNamespacesOp(conditions, max_depth=2, limit=3, offset=offset)])[0] for offset in (0, 3, 6)
        ]
        assert [each for page in pages for each in page] == [("p", f"n{number}") for number in range(7)]


# --- items ----------------------------------------------------------------------------------------


@clause("Values come back equal", breaks="Numbers, nulls or nested lists come back as something else.")
def deep_equal(trial: Trial) -> None:
    value = {"a": [1, 2.5, None, True, {"b": []}], "": {"": ""}, "big": 2**53 + 1, "neg": -0.5}
    with trial.open() as store:
        store.put(N, "k", value)
        item = store.get(N, "k")
        assert item is not None and item.value == value and item.namespace == N and item.key == "k"


@clause("Unicode comes back equal, in names too", breaks="Names of users in other scripts collide or raise errors.")
def unicode(trial: Trial) -> None:
    with trial.open() as store:
        for text in ("ünï", "日本", "🙂", "e\u0301", "\u00e9", "\u202eabc", "a\nb"):
            store.put((*N, text), text, {text: text})
            item = store.get((*N, text), text)
            assert item is not None and item.value == {text: text}, text
        assert len(store.search(N, limit=100)) == 7


@clause("A value may hold NUL and lone surrogates", breaks="The output of a tool cannot be stored.")
def nul(trial: Trial) -> None:
    with trial.open() as store:
        for number, text in enumerate(("a\0b", "\ud83d", "x\udc00")):
            store.put(N, f"k{number}", {"x": text})
            item = store.get(N, f"k{number}")
            assert item is not None and item.value == {"x": text}


@clause("A value may have 10 MB", breaks="A large document cannot be remembered.")
def big(trial: Trial) -> None:
    value = {"x": "0123456789" * 1_000_000}
    with trial.open() as store:
        store.put(N, "k", value)
        item = store.get(N, "k")
        assert item is not None and item.value == value


@clause("A change of a value after it was put or got changes nothing", breaks="A bug in one node rewrites the memory.")
def no_aliases(trial: Trial) -> None:
    with trial.open() as store:
        value: dict[str, Any] = {"x": [1]}
        store.put(N, "k", value)
        value["x"].append(2)
        first = store.get(N, "k")
        assert first is not None and first.value == {"x": [1]}
        first.value["x"].append(3)
        second = store.get(N, "k")
        assert second is not None and second.value == {"x": [1]}


@clause("created_at stays and updated_at moves", breaks="The age of a memory is lost at its first change.")
def times(trial: Trial) -> None:
    with trial.open() as store:
        store.put(N, "k", {"x": 1})
        before = store.get(N, "k")
        time.sleep(1.1)  # Some stores count in seconds, and none of them takes a clock.
        store.put(N, "k", {"x": 2})
        after = store.get(N, "k")
        assert before is not None and after is not None
        assert after.created_at == before.created_at
        assert after.updated_at > before.updated_at


@clause("Pages of a search show every item once", breaks="A program that reads page by page misses memories.")
def pages(trial: Trial) -> None:
    with trial.open() as store:
        store.batch([PutOp(N, f"k{number}", {"n": number}) for number in range(25)])
        found = [item.key for offset in range(0, 25, 4) for item in store.search(N, limit=4, offset=offset)]
        assert sorted(found) == sorted(f"k{number}" for number in range(25))


# --- batches --------------------------------------------------------------------------------------


@clause("Results of a batch are in order, and its reads see what was there before", breaks="Reads get others' results.")
def batch_order(trial: Trial) -> None:
    with trial.open() as store:
        store.put(N, "a", {"v": 0})
        results = store.batch(
            [GetOp(N, "a"), PutOp(N, "a", {"v": 1}), GetOp(N, "none"), SearchOp(N), PutOp(N, "b", {}), GetOp(N, "a")]
        )
        assert [results[1], results[2], results[4]] == [None, None, None]
        assert results[0].value == {"v": 0} == results[5].value
        assert [item.key for item in results[3]] == ["a"]


@clause("The last put of an item in a batch wins", breaks="An older value replaces the newer, or the batch fails.")
def last_put(trial: Trial) -> None:
    with trial.open() as store:
        store.batch([PutOp(N, "a", {"v": 1}), PutOp(N, "a", None), PutOp(N, "a", {"v": 3})])
        item = store.get(N, "a")
        assert item is not None and item.value == {"v": 3}
        store.batch([PutOp(N, "a", {"v": 4}), PutOp(N, "a", None)])
        assert store.get(N, "a") is None


@clause("A batch that fails writes nothing", breaks="A half of a plan is remembered, and a retry repeats it.")
def all_or_none(trial: Trial) -> None:
    with trial.open() as store:
        try:
            store.batch([PutOp(N, "a", {"v": 1}), PutOp(N, "b", {"v": object()})])
        except Exception:
            assert keys_of(store) == set()
            return
        raise Skipped("it takes any object")


# --- expiry ---------------------------------------------------------------------------------------

SECOND = 1 / 60


def _with_ttl(store: BaseStore) -> None:
    if not store.supports_ttl:
        raise Skipped("it has no TTL")


@clause("An expired item is not found, swept or not", breaks="Memories that were to be forgotten are shown.")
def expired(trial: Trial) -> None:
    with trial.open() as store:
        _with_ttl(store)
        store.put(N, "short", {}, ttl=SECOND)
        store.put(N, "long", {}, ttl=60)
        assert keys_of(store) == {"short", "long"}
        time.sleep(2.1)
        assert store.get(N, "short", refresh_ttl=False) is None
        assert {item.key for item in store.search(N, refresh_ttl=False)} == {"long"}


@clause("A namespace of expired items is not listed", breaks="A listing shows namespaces in which nothing is found.")
def expired_namespaces(trial: Trial) -> None:
    with trial.open() as store:
        _with_ttl(store)
        store.put(("expired",), "k", {}, ttl=SECOND)
        time.sleep(2.1)
        assert store.list_namespaces() == []


@clause("A read with refresh_ttl moves the expiry, one without does not", breaks="Memory in use is forgotten.")
def refreshed(trial: Trial) -> None:
    with trial.open() as store:
        _with_ttl(store)
        for key in ("got", "searched", "left"):
            store.put((*N, key), key, {}, ttl=3 * SECOND)
        time.sleep(2)
        assert store.get((*N, "got"), "got", refresh_ttl=True) is not None
        assert store.search((*N, "searched"), refresh_ttl=True)
        assert store.get((*N, "left"), "left", refresh_ttl=False) is not None
        time.sleep(2)
        found = {item.key for item in store.search(N, refresh_ttl=False)}
        assert found == {"got", "searched"}


@clause("A put without TTL makes an item stay", breaks="A memory that was made lasting is forgotten.")
def made_lasting(trial: Trial) -> None:
    with trial.open() as store:
        _with_ttl(store)
        store.put(N, "k", {"v": 1}, ttl=SECOND)
        store.put(N, "k", {"v": 2}, ttl=None)
        time.sleep(2.1)
        item = store.get(N, "k", refresh_ttl=False)
        assert item is not None and item.value == {"v": 2}


@clause("sweep_ttl deletes what expired and counts it", breaks="Expired items fill the disk.")
def swept(trial: Trial) -> None:
    with trial.open() as store:
        _with_ttl(store)
        store.put(N, "a", {}, ttl=SECOND)
        store.put(N, "b", {})
        time.sleep(2.1)
        assert store.sweep_ttl() == 1 and store.sweep_ttl() == 0
        assert keys_of(store) == {"b"}
