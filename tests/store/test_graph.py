from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ciris_store_core import (
    AccessConfig,
    AccessDenied,
    Capability,
    Conflict,
    GraphNode,
    GraphScope,
    InvalidArgument,
    ManualClock,
    NotFound,
    NotSupported,
    ScopePolicy,
    Store,
    Transaction,
)
from ciris_store_core.conformance.support import race
from ciris_store_core.errors import TransactionError
from ciris_store_core.models import NodeKey
from tests.support.factories import edge, node

LOCAL = GraphScope.LOCAL


def ids(nodes: Any) -> list[str]:
    return [row.id for row in nodes]


def keys(edges: Any) -> list[tuple[str, str]]:
    return [(row.source, row.target) for row in edges]


def get(store: Store, id: str = "n") -> GraphNode:
    found = store.graph.get(id, "local")
    assert found is not None
    return found


def test_put_merges_replaces_and_removes(store: Store, clock: ManualClock) -> None:
    first = store.graph.put(node(attributes={"a": 1, "b": [1]}, version=2))
    assert first == get(store) and first.revision == 1 and first.created_at == first.updated_at == clock.now()
    clock.advance(seconds=1)
    second = store.graph.put(node(attributes={"a": 2, "c": None}))
    assert (second.attributes, second.revision, second.version) == ({"a": 2, "b": [1], "c": None}, 2, 2)
    assert second.created_at == first.created_at and second.updated_at == clock.now()
    assert store.graph.put(node(attributes={"d": 1}), remove=["a", "nope"]).attributes == {"b": [1], "c": None, "d": 1}
    assert store.graph.put(node(attributes={"z": 1}), merge=False).attributes == {"z": 1}


def test_only_given_fields_replace_the_stored(store: Store, clock: ManualClock) -> None:
    later = clock.now() + timedelta(days=1)
    store.graph.put(node(expires_at=later, updated_by="me", metadata={"a": 1}))
    kept = store.graph.put(node())
    assert (kept.expires_at, kept.updated_by, kept.metadata) == (later, "me", {"a": 1})
    assert store.graph.put(node(expires_at=None)).expires_at is None


def test_a_node_that_was_read_can_be_written_again_and_moves(store: Store, clock: ManualClock) -> None:
    store.graph.put(node())
    for read in (lambda: get(store), lambda: store.graph.find().items[0], lambda: store.graph.put(node())):
        found = read()
        clock.advance(seconds=1)
        found.attributes["seen"] = True
        assert store.graph.put(found).updated_at == clock.now()
    chosen = get(store)
    chosen.updated_at = clock.now() - timedelta(days=1)
    assert store.graph.put(chosen).updated_at == chosen.updated_at


def test_conflicts_write_nothing(store: Store) -> None:
    store.graph.put(node(attributes={"a": 1}))
    writes = [
        lambda: store.graph.put(node(type="user")), lambda: store.graph.put(node(), insert=True),
        lambda: store.graph.put(node(), expected_revision=0), lambda: store.graph.put(node(), expected_revision=2),
        lambda: store.graph.put_many([node("new"), node(type="user")]),
    ]  # fmt: skip
    for write in writes:
        with pytest.raises(Conflict):
            write()
    assert get(store).revision == 1 and store.graph.count() == 1
    assert store.graph.put(node(), expected_revision=1).revision == 2


def test_batches(store: Store) -> None:
    assert ids(store.graph.put_many([node("b"), node("a")])) == ["b", "a"]
    assert store.graph.put_many([]) == [] and store.graph.put_edge_many([]) == []
    with pytest.raises(InvalidArgument, match="occurs twice"):
        store.graph.put_many([node("c"), node("c")])
    assert list(store.graph.get_many([("b", "LOCAL"), ("x", "local"), ("a", LOCAL)])) == [
        NodeKey("b", LOCAL),
        NodeKey("a", LOCAL),
    ]
    with pytest.raises(InvalidArgument, match=r"\(id, scope\)"):
        store.graph.get_many(["ab"])  # type: ignore[list-item]
    assert store.graph.delete_many([("a", "local"), ("x", "local")]) == 1 and store.graph.delete("b", "local") == 1
    assert store.graph.delete("b", "local") == 0


def test_expired_nodes_count_as_absent(store: Store, clock: ManualClock) -> None:
    store.graph.put_many([node("stays"), node("goes", expires_at=clock.now() + timedelta(seconds=5))])
    assert store.graph.get("goes", "local") is not None
    clock.advance(seconds=5)
    assert (
        store.graph.get("goes", "local") is None and ids(store.graph.find()) == ["stays"] and store.graph.count() == 1
    )
    assert list(store.graph.get_many([("goes", LOCAL), ("stays", LOCAL)])) == [("stays", LOCAL)]
    assert store.graph.get("goes", "local", include_expired=True) is not None
    assert store.graph.count(include_expired=True) == 2


@pytest.mark.parametrize(
    ("kind", "scope", "fits"),
    [("filter_config", "local", True), ("filter_config", "identity", False), ("TRUST_PARAMETERS", "identity", True),
     ("trust_parameters", "local", False), ("my_own", "community", True)],
)  # fmt: skip
def test_a_configuration_needs_its_scope(opened: Callable[..., Store], kind: str, scope: str, fits: bool) -> None:
    store = opened(access=AccessConfig(policy=ScopePolicy(protected=[])))
    config = node(type="config", scope=scope, attributes={"config_type": kind})
    if fits:
        assert store.graph.put(config).revision == 1
    else:
        with pytest.raises(InvalidArgument, match="belongs to scope"):
            store.graph.put_many([config])
    assert store.graph.put(node("other", scope=scope, attributes={"config_type": kind})).revision == 1


def test_listing(store: Store, clock: ManualClock) -> None:
    for number in range(5):
        store.graph.put(node(f"a{number}%", attributes={"even": number % 2 == 0, "n": number}))
        clock.advance(seconds=1)
    store.graph.put(node("b", type="user", scope="network"))
    assert ids(store.graph.find()) == ["b", "a4%", "a3%", "a2%", "a1%", "a0%"]
    first = store.graph.find(limit=4, prefix="a")
    assert ids([*first, *store.graph.find(limit=4, prefix="a", cursor=first.next_cursor)]) == ids(
        store.graph.scan(scope="local")
    )
    assert ids(store.graph.find(attributes={"even": True, "n": 4.0})) == ["a4%"]
    assert store.graph.count(type="user") == 1 and store.graph.count(prefix="%") == 0
    assert ids(store.graph.find(updated_from=clock.now())) == ["b"]
    for bad in (
        {"attributes": {"n": [1]}},
        {"scope": "nowhere"},
        {"type": "No"},
        {"limit": 0},
        {"cursor": "x"},
        {"prefix": "\0"},
    ):
        with pytest.raises(InvalidArgument):
            store.graph.find(**bad)  # type: ignore[arg-type]


@pytest.fixture
def chain(store: Store) -> Store:
    """A to d in a row, and a short cut from a to c by another relationship."""
    store.graph.put_many([node(id) for id in "abcd"])
    store.graph.put_edge_many([edge("a", "b"), edge("b", "c"), edge("c", "d"), edge("a", "c", "skips")])
    return store


def test_edges(chain: Store) -> None:
    graph = chain.graph
    stored = graph.put_edge(edge("a", "b", weight=0.5, attributes={"context": "x", "why": [1]}))
    assert graph.get_edge("a", "b", "r", "local") == stored and stored.attributes.model_dump()["why"] == [1]
    assert graph.get_edge("b", "a", "r", "local") is None
    with pytest.raises(NotFound):
        graph.put_edge(edge("a", "nobody"))
    with pytest.raises(InvalidArgument, match="occurs twice"):
        graph.put_edge_many([edge("a", "b"), edge("a", "b")])
    first = graph.find_edges(scope="local", limit=3)
    assert keys([*first, *graph.find_edges(scope="local", limit=3, cursor=first.next_cursor)]) == [
        ("a", "b"), ("a", "c"), ("b", "c"), ("c", "d"),
    ]  # fmt: skip
    assert keys(graph.find_edges(target="c", relationship="r")) == [("b", "c")]
    assert keys(graph.neighbours("c", "local")) == [("a", "c"), ("b", "c"), ("c", "d")]
    assert keys(graph.neighbours("c", "local", "in", "r")) == [("b", "c")]
    assert graph.delete_edge("a", "b", "r", "local") == 1 and graph.delete_edge("a", "b", "r", "local") == 0


def test_walks(chain: Store) -> None:
    graph = chain.graph
    assert graph.traverse("a", "local", "out", depth=2).distances == {"a": 0, "b": 1, "c": 1, "d": 2}
    assert graph.traverse(["d", "b"], "local", "in", "r").distances == {"b": 0, "d": 0, "a": 1, "c": 1}
    assert graph.traverse("a", "local", depth=3, limit=2).truncated
    assert graph.shortest_path("a", "d", "local", "out") == ["a", "c", "d"]
    assert graph.shortest_path("a", "d", "local", "out", ["r"]) == ["a", "b", "c", "d"]
    assert graph.shortest_path("d", "a", "local", "out") is None and graph.shortest_path("a", "a", "local") == ["a"]
    assert graph.shortest_path("a", "d", "local", "out", max_depth=1) is None
    assert [(d.id, d.count) for d in graph.degrees("local", limit=2)] == [("c", 3), ("a", 2)]
    for bad in ({"depth": 0}, {"depth": 101}, {"direction": "up"}, {"relationships": []}, {"start": []}):
        with pytest.raises(InvalidArgument):
            graph.traverse(**{"start": "a", "scope": "local", **bad})


def test_subgraph_is_complete_among_its_nodes(chain: Store, clock: ManualClock) -> None:
    found = chain.graph.subgraph("a", "local", "out")
    assert ids(found.nodes) == ["a", "b", "c"] and keys(found.edges) == [("a", "b"), ("a", "c"), ("b", "c")]
    chain.graph.put(node("b", expires_at=clock.now()))
    found = chain.graph.subgraph("a", "local", "out")
    assert ids(found.nodes) == ["a", "c"] and keys(found.edges) == [("a", "c")]


def test_search(store: Store) -> None:
    if Capability.FULL_TEXT not in store.capabilities:
        with pytest.raises(NotSupported):
            store.graph.search("x")
        return
    store.graph.put_many(
        [node("one", attributes={"text": "The quick fox"}), node("two", attributes={"text": "slow fox"})]
    )
    assert [hit.node.id for hit in store.graph.search("QUICK, fox!")] == ["one"]
    assert store.graph.search("((((") == []


def test_batches_of_edges(store: Store) -> None:
    store.graph.put_many([node(name) for name in "abc"])
    stored = store.graph.put_edge_many([edge("a", "b"), edge("b", "c"), edge("c", "a", "s")])
    found = store.graph.get_edge_many([("c", "a", "s", "LOCAL"), ("a", "c", "r", "local"), stored[0].key])
    assert list(found) == [stored[2].key, stored[0].key] and found[stored[0].key] == stored[0]
    assert store.graph.delete_edge_many([stored[0].key, stored[1].key, ("a", "b", "no", "local")]) == 2
    assert store.graph.get_edge_many([]) == {} and store.graph.delete_edge_many([]) == 0
    assert keys(store.graph.find_edges()) == [("c", "a")]
    with pytest.raises(InvalidArgument, match=r"\(source, target, relationship, scope\)"):
        store.graph.get_edge_many([("a", "b")])  # type: ignore[list-item]


def test_a_filter_that_is_no_mapping_is_refused(store: Store) -> None:
    wrong: Any = ["k"]
    with pytest.raises(InvalidArgument):
        store.graph.find(attributes=wrong)
    with pytest.raises(InvalidArgument):
        store.correlations.aggregate("sum", timedelta(hours=1), group_by=map(str, range(101)))


def test_a_read_for_update_needs_a_transaction_that_keeps_the_lock(store: Store) -> None:
    reads: list[Callable[[Any], Any]] = [
        lambda s: s.graph.get("n", "local", for_update=True),
        lambda s: s.graph.get_many([("n", "local")], for_update=True),
        lambda s: s.graph.get_edge("n", "n", "r", "local", for_update=True),
        lambda s: s.graph.get_edge_many([], for_update=True),
        lambda s: s.tasks.get("t", for_update=True),
        lambda s: s.tasks.get_many([], for_update=True),
        lambda s: s.thoughts.get("h", for_update=True),
        lambda s: s.thoughts.get_many([], for_update=True),
    ]
    for read in reads:
        with pytest.raises(TransactionError, match="no transaction is open"):
            read(store)
        with store.transaction() as tx:
            assert not read(tx)


def test_an_edge_is_written_at_the_revision_that_was_read(store: Store) -> None:
    store.graph.put_many([node("a"), node("b")])
    put = store.graph.put_edge
    assert put(edge("a", "b"), expected_revision=0).revision == 1
    with pytest.raises(Conflict, match="revision 1, not 0"):
        put(edge("a", "b", weight=0.1), expected_revision=0)
    assert put(edge("a", "b", weight=0.2), expected_revision=1).revision == 2
    with store.transaction() as tx:
        with pytest.raises(Conflict, match="revision 2, not 1"):
            tx.graph.put_edge(edge("a", "b", weight=0.3), expected_revision=1)
        with pytest.raises(Conflict, match="revision 0, not 1"):
            tx.graph.put_edge(edge("b", "a"), expected_revision=1)
    stored = store.graph.get_edge("a", "b", "r", "local")
    assert stored is not None and (stored.revision, stored.weight) == (2, 0.2)
    assert store.graph.get_edge("b", "a", "r", "local") is None
    assert put(stored).revision == 3


def test_increment(store: Store) -> None:
    store.graph.put(node("n", attributes={"n": 1}))
    assert store.graph.increment("n", "local", "n") == 2
    assert store.graph.increment("n", "local", ["deep", "n"], by=-2.5) == -2.5
    stored = store.graph.get("n", "local")
    assert stored is not None and (stored.attributes, stored.revision) == ({"n": 2, "deep": {"n": -2.5}}, 3)
    with pytest.raises(NotFound):
        store.graph.increment("?", "local", "n")
    for key, by in (("n", True), ("n", "1"), ((), 1), ("n", float("nan")), ("n", 2**63)):
        with pytest.raises(InvalidArgument):
            store.graph.increment("n", "local", key, by)  # type: ignore[arg-type]
    with pytest.raises(AccessDenied):
        store.graph.increment("n", "identity", "n")


def test_increments_of_sixteen_threads(store: Store) -> None:
    store.graph.put(node("n", attributes={"n": 0}))
    sums = race(16, lambda _: [store.graph.increment("n", "local", "n") for _ in range(20)])
    assert sorted(each for some in sums for each in some) == list(range(1, 321))
    assert store.graph.get("n", "local").attributes == {"n": 320}  # type: ignore[union-attr]


def test_forty_rounds_of_read_modify_write(store: Store) -> None:
    """The same program counts to 40 on every backend."""
    store.graph.put(node("n", attributes={"n": 0}))

    def count(tx: Transaction) -> None:
        read = tx.graph.get("n", "local", for_update=True)
        assert read is not None
        read.attributes["n"] += 1
        tx.graph.put(read)

    race(4, lambda number: [store.run(count) for _ in range(10)])
    stored = store.graph.get("n", "local")
    assert stored is not None and stored.attributes == {"n": 40}
