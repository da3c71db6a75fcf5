from __future__ import annotations

from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any

import pytest

from ciris_store_core import Conflict, GraphEdge, GraphNode, InvalidArgument, ManualClock, Store, Upcasters
from ciris_store_core.errors import UpcastError
from tests.support import factories


def node(id: str = "n", type: str = "user", **fields: Any) -> GraphNode:
    return factories.node(id, type=type, **fields)


def split_name(attributes: dict[str, Any]) -> dict[str, Any]:
    first, _, last = attributes.pop("name").partition(" ")
    return {**attributes, "first": first, "last": last}


@pytest.fixture
def upcasters() -> Upcasters:
    """From a name to its parts, and from there to a list of greetings."""
    known = Upcasters()
    known.add("user", 1, 2)(split_name)

    @known.add("USER", 2, 4)
    def greet(attributes: dict[str, Any]) -> dict[str, Any]:
        return {**attributes, "greetings": [f"Hello {attributes['first']}"]}

    return known


@pytest.fixture
def store(opened: Callable[..., Store], upcasters: Upcasters) -> Store:
    return opened(upcasters=upcasters)


ADA = {"name": "Ada Lovelace", "city": "London"}
NOW = {"first": "Ada", "last": "Lovelace", "city": "London", "greetings": ["Hello Ada"]}


def old(store: Store, upcasters: Upcasters, **fields: Any) -> GraphNode:
    """A node as an older program wrote it."""
    return store.graph.put(node(**{"attributes": ADA, **fields}), merge=False)


def test_every_read_shows_the_newest_version(store: Store, upcasters: Upcasters) -> None:
    assert old(store, upcasters).version == 1
    store.graph.put(node("other", "concept", attributes={"name": "x"}))
    store.graph.put_edge(GraphEdge(source="n", target="other", relationship="r", scope="local"))
    with store.transaction() as tx:
        inside = tx.graph.get("n", "local")
    hits = [hit.node for hit in store.graph.search("Lovelace")] if "full_text" in store.capabilities else []
    found = [
        inside, store.graph.get("n", "local"), *store.graph.get_many([("n", "local")]).values(),
        *store.graph.find(type="user"), *store.graph.scan(type="user"), *hits,
        store.graph.subgraph("n", "local").nodes[0],
    ]  # fmt: skip
    for each in found:
        assert each is not None and (each.attributes, each.version, each.revision) == (NOW, 4, 1)
    assert store.graph.get("other", "local").version == 1
    assert [edge.target for edge in store.graph.neighbours("n", "local")] == ["other"]


def test_nothing_is_stored_until_it_is_written(store: Store, upcasters: Upcasters, clock: ManualClock) -> None:
    old(store, upcasters)
    assert store.graph.count(attributes={"name": "Ada Lovelace"}) == 1
    read = store.graph.get("n", "local")
    assert read is not None and store.graph.count(attributes={"name": "Ada Lovelace"}) == 1
    clock.advance(seconds=1)
    read.attributes["city"] = "Paris"
    written = store.graph.put(read)
    assert (written.attributes, written.version) == ({**NOW, "city": "Paris"}, 4)
    assert written.updated_at == clock.now() and written.created_at < clock.now()
    assert (
        store.graph.count(attributes={"first": "Ada"}) == 1 and store.graph.count(attributes={"name": ADA["name"]}) == 0
    )


def test_a_write_merges_into_the_upgraded_node(store: Store, upcasters: Upcasters) -> None:
    old(store, upcasters)
    assert store.graph.put(node(attributes={"city": "Paris"})).attributes == {**NOW, "city": "Paris"}
    old(store, upcasters, id="m")
    [merged] = store.graph.put_many([node("m", attributes={"last": "Byron"}, version=4)])
    assert (merged.attributes["first"], merged.attributes["last"], merged.version) == ("Ada", "Byron", 4)
    old(store, upcasters, id="half")
    half = store.graph.put(node("half", version=2))  # By a program that knows no newer version.
    assert half.version == 2 and half.attributes == {"first": "Ada", "last": "Lovelace", "city": "London"}
    assert store.graph.put(node("n", attributes={"a": 1}, version=1), merge=False).attributes == {"a": 1}


def test_revisions_and_types_are_checked_as_ever(store: Store, upcasters: Upcasters) -> None:
    old(store, upcasters)
    for write in (
        lambda: store.graph.put(node(), expected_revision=2), lambda: store.graph.put(node(), expected_revision=0),
        lambda: store.graph.put(node(type="concept")), lambda: store.graph.put(node(), insert=True),
        lambda: store.graph.put_many([node(), node("x", attributes={"a": "\0"})]),
    ):  # fmt: skip
        with pytest.raises((Conflict, InvalidArgument)):
            write()
    assert store.graph.get("n", "local").revision == 1
    assert store.graph.put(node(), expected_revision=1).attributes == NOW


def test_an_upcaster_that_fails_loses_nothing(store: Store, upcasters: Upcasters) -> None:
    old(store, upcasters)
    old(store, upcasters, id="bad", attributes={"nom": "?"})
    reads: list[Callable[[], Any]] = [
        lambda: store.graph.get("bad", "local"), lambda: store.graph.get_many([("bad", "local")]),
        lambda: store.graph.put(node("bad", attributes={"a": 1})), lambda: store.graph.subgraph("bad", "local"),
        lambda: list(store.graph.scan()),
    ]  # fmt: skip
    for read in reads[:4]:
        with pytest.raises(UpcastError, match=r"'user' from version 1 to 2 failed on node 'bad'.*KeyError") as caught:
            read()
        assert isinstance(caught.value.__cause__, KeyError)
    page = store.graph.find()
    assert [each.id for each in page] == ["n"] and "version 1 to 2" in page.corrupt[0].error
    missed: list[Any] = []
    assert [each.id for each in store.graph.scan(on_corrupt=missed.append)] == ["n"] and len(missed) == 1
    upcasters._steps.clear()
    kept = store.graph.get("bad", "local")
    assert kept is not None and (kept.attributes, kept.version, kept.revision) == ({"nom": "?"}, 1, 1)


def test_what_it_returns_is_checked(store: Store, upcasters: Upcasters) -> None:
    upcasters.add("concept", 1, 2)(lambda attributes: None)  # type: ignore[arg-type,return-value]
    upcasters.add("channel", 1, 2)(lambda attributes: {"bad": "\0"})
    for kind in ("concept", "channel"):
        store.graph.put(node(kind, kind))
    with pytest.raises(UpcastError, match="no dict"):
        store.graph.get("concept", "local")
    with pytest.raises(UpcastError, match=r"node 'channel' cannot be stored as it was upcast \(.*NUL"):
        store.graph.put(node("channel", "channel"))


def test_steps_are_unique_and_lead_upwards(upcasters: Upcasters) -> None:
    for versions in ((1, 3), (2, 3)):
        with pytest.raises(InvalidArgument, match="already"):
            upcasters.add("user", *versions)
    for versions in ((3, 3), (0, 1), (5, 4)):
        with pytest.raises(InvalidArgument, match="_version"):
            upcasters.add("user", *versions)
    with pytest.raises(InvalidArgument):
        upcasters.add("Not A Type", 1, 2)
    assert repr(upcasters) == "Upcasters(user 1->2, user 2->4)"


def test_a_newer_node_than_is_known_stays(store: Store) -> None:
    assert store.graph.put(node(version=9)).version == 9
    assert store.graph.put(node(attributes={"a": 1})).version == 9


def test_writers_that_meet_at_an_older_node_lose_nothing(store: Store, upcasters: Upcasters) -> None:
    for round in range(5):
        old(store, upcasters, id=f"n{round}")
        barrier = Barrier(6)

        def write(i: int, id: str = f"n{round}", barrier: Barrier = barrier) -> None:
            barrier.wait()
            store.graph.put(node(id, attributes={f"k{i}": i}))

        threads = [Thread(target=write, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = {**NOW, **{f"k{i}": i for i in range(6)}}
        assert store.graph.get(f"n{round}", "local").attributes == expected
        assert store.graph.count(attributes={"first": "Ada"}, prefix=f"n{round}") == 1


def test_secrets_stay_encrypted(opened: Callable[..., Store], upcasters: Upcasters) -> None:
    from ciris_store_core.secrets.keys import SecretsConfig, new_key

    store = opened(upcasters=upcasters, secrets=SecretsConfig(keys=[new_key()]))
    attributes = {"name": "Ada Lovelace", "api_key": "0123456789abcdef", "hint": "correct horse battery"}
    old(store, upcasters, attributes=attributes)

    @upcasters.add("user", 4, 5)
    def rename(attributes: dict[str, Any]) -> dict[str, Any]:
        return {**attributes, "password": attributes.pop("hint")}

    written = store.graph.put(node(attributes={"city": "Paris"}))
    assert written.version == 5 and len(written.secret_refs) == 2
    for name in ("api_key", "password"):
        assert written.attributes[name].startswith("{SECRET:")
