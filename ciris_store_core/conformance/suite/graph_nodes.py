"""Nodes: write."""

from __future__ import annotations

from typing import Any

import pytest

from ciris_store_core.conformance.factories import LOCAL, T0, at, edge, node, put, store_edges, store_nodes
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.support import exact, race, reading, transact, writing
from ciris_store_core.contract import Backend
from ciris_store_core.errors import AlreadyExists, Conflict, InvalidArgument, RevisionMismatch
from ciris_store_core.models import GraphNode, GraphScope
from ciris_store_core.models.graph import EdgeQuery, NodeKey, NodeWrite

NOW = at(100)


def write(backend: Backend, *writes: NodeWrite) -> list[GraphNode]:
    """Write nodes at ``NOW``, in a transaction of their own."""
    with writing(backend) as session:
        return session.graph.put_nodes(writes, NOW)


def get(backend: Backend, id: str = "n", scope: GraphScope = LOCAL) -> GraphNode | None:
    """The stored node, expired or not."""
    with reading(backend) as session:
        found = session.graph.get_nodes([NodeKey(id, scope)], None)
    return found[0] if found else None


def attributes(backend: Backend, id: str = "n") -> dict[str, Any] | None:
    """The stored node's attributes; None if there is no such node."""
    found = get(backend, id)
    return None if found is None else found.attributes


class TestPutNodes:
    """``GraphStore.put_nodes``."""

    @clause("graph.put_nodes.new")
    def test_new(self, backend: Backend) -> None:
        """Otherwise what is stored is not what was given, or optimistic locking starts off wrong."""
        given = node(attributes={"a": 1}, version=3, updated_by="me", updated_at=at(5), expires_at=at(500), revision=9)
        write(backend, put(given))
        assert exact(get(backend)) == exact(given.replaced(revision=1))

    @clause("graph.put_nodes.returns_stored")
    def test_returns_the_stored_nodes_in_order(self, backend: Backend) -> None:
        """Otherwise a caller continues with the wrong node, or with an old revision."""
        store_nodes(backend, node("b", attributes={"old": 1}))
        returned = write(backend, *(put(node(id, attributes={"new": id})) for id in "cab"))
        assert [found.id for found in returned] == ["c", "a", "b"]
        assert [found.revision for found in returned] == [1, 1, 2]
        assert [exact(found) for found in returned] == [exact(get(backend, id)) for id in "cab"]

    @clause("graph.put_nodes.merge")
    def test_merge(self, backend: Backend) -> None:
        """Otherwise learning one new thing about a user wipes out what was known."""
        store_nodes(backend, node(attributes={"kept": 1, "changed": 1, "nested": {"x": 1}}))
        write(backend, put(node(attributes={"changed": None, "nested": {"y": 2}, "added": 3})))
        assert attributes(backend) == {"kept": 1, "changed": None, "nested": {"y": 2}, "added": 3}

    @clause("graph.put_nodes.merge.keys")
    def test_merge_of_awkward_keys(self, backend: Backend) -> None:
        """Otherwise a key with a dot or a quote in it lands somewhere else in the document."""
        store_nodes(backend, node(attributes={"a": {"b": 1}, "$": 1, 'q"': 1, "0": 1, "": 1}))
        write(backend, put(node(attributes={"a.b": 2, "$": 2, 'q"': 2, "[0]": 2, "": 2})))
        assert attributes(backend) == {"a": {"b": 1}, "a.b": 2, "$": 2, 'q"': 2, "0": 1, "[0]": 2, "": 2}

    @clause("graph.put_nodes.replace")
    def test_replace(self, backend: Backend) -> None:
        """Otherwise something that was to be forgotten stays."""
        store_nodes(backend, node(attributes={"old": 1, "both": 1}))
        write(backend, put(node(attributes={"both": 2}), "replace"))
        assert attributes(backend) == {"both": 2}

    @pytest.mark.parametrize("mode", ["merge", "replace"])
    @clause("graph.put_nodes.remove")
    def test_remove(self, backend: Backend, mode: Any) -> None:
        """Otherwise single facts cannot be forgotten, or the wrong ones are."""
        store_nodes(backend, node(attributes={"a": 1, "a.b": 1, "kept": 1}))
        given = {"kept": 1, "given": 1, "a": 2, "a.b": 2}
        write(backend, put(node(attributes=given), mode, remove=["a", "given", "never there"]))
        assert attributes(backend) == {"kept": 1, "a.b": 2}

    @clause("graph.put_nodes.remove.new")
    def test_remove_from_a_new_node(self, backend: Backend) -> None:
        """Otherwise a key that was to go is stored on a first write."""
        write(backend, put(node(attributes={"a": 1, "b": 1}), remove=["a"]))
        assert attributes(backend) == {"b": 1}

    @pytest.mark.parametrize("mode", ["merge", "replace"])
    @clause("graph.put_nodes.existing")
    def test_of_an_existing_node(self, backend: Backend, mode: Any) -> None:
        """Otherwise the age of a memory is lost, or two writers do not notice one another."""
        store_nodes(backend, node())
        write(backend, put(node(created_at=at(7), updated_at=at(8), revision=77), mode))
        found = get(backend)
        assert found is not None
        assert (found.created_at, found.updated_at, found.revision) == (T0, at(8), 2)

    @pytest.mark.parametrize("mode", ["merge", "replace"])
    @clause("graph.put_nodes.kept_unless_given")
    def test_kept_unless_given(self, backend: Backend, mode: Any) -> None:
        """Otherwise a write that does not speak of expiry or consent changes them."""
        first: dict[str, Any] = {
            "version": 3,
            "updated_by": "a",
            "consent_stream": "x",
            "expires_at": at(500),
            "metadata": {"m": 1},
        }
        second: dict[str, Any] = {
            "version": 4,
            "updated_by": "b",
            "consent_stream": None,
            "expires_at": None,
            "metadata": {"o": 2},
        }
        store_nodes(backend, node(**first))
        write(backend, put(node(**second), mode))
        kept = get(backend)
        write(backend, put(node(**second), mode, given=second))
        given = get(backend)
        assert {name: getattr(kept, name) for name in first} == first
        assert {name: getattr(given, name) for name in second} == second

    @clause("graph.put_nodes.given.each")
    def test_each_given_field_by_itself(self, backend: Backend) -> None:
        """Otherwise setting one optional field changes its neighbours."""
        store_nodes(backend, node(version=3, updated_by="a", expires_at=at(500)))
        write(backend, put(node(version=4), given=["version"]))
        found = get(backend)
        assert found is not None
        assert (found.version, found.updated_by, found.expires_at) == (4, "a", at(500))

    @clause("graph.put_nodes.secret_refs")
    def test_secret_refs(self, backend: Backend) -> None:
        """Otherwise a secret that a memory refers to can never be resolved again."""
        store_nodes(backend, node(secret_refs=["z", "b"]))
        [merged] = write(backend, put(node(secret_refs=["y", "b", "a", "y"])))
        assert merged.secret_refs == ["z", "b", "y", "a"]
        assert exact(get(backend)) == exact(merged)
        [kept] = write(backend, put(node(attributes={"a": 1})))
        assert kept.secret_refs == ["z", "b", "y", "a"]
        [replaced] = write(backend, put(node(secret_refs=["d", "c"]), "replace"))
        assert replaced.secret_refs == ["d", "c"]

    @clause("graph.put_nodes.expired")
    def test_an_expired_node_counts_as_absent(self, backend: Backend) -> None:
        """Otherwise what expired comes back to life inside a new memory."""
        old = node(type="user", attributes={"old": 1}, expires_at=NOW, secret_refs=["s"], version=5, updated_by="a")
        store_nodes(backend, old)
        given = node(attributes={"new": 1}, created_at=NOW, updated_at=NOW)
        write(backend, put(given))
        assert exact(get(backend)) == exact(given.replaced(revision=2))

    @clause("graph.put_nodes.expired.edges")
    def test_the_edges_of_an_expired_node_stay_gone(self, backend: Backend) -> None:
        """Otherwise what a forgotten node knew comes back to life with a new one of its name."""
        store_edges(backend, edge("a", "b"), edge("b", "a"), edge("b", "c"), edge("d", "a"), edge("a", "a"))
        store_nodes(backend, node("a", expires_at=NOW), node("d", expires_at=at(100.000001)))
        with writing(backend) as session:
            session.graph.put_nodes([put(node("a")), put(node("d")), put(node("c"))], NOW)
            assert [each.key[:2] for each in session.graph.list_edges(EdgeQuery()).items] == [("b", "c")]

    @pytest.mark.parametrize(("mode", "expected"), [("insert", None), ("merge", 0)])
    @clause("graph.put_nodes.expired.absent")
    def test_an_expired_node_is_no_obstacle(self, backend: Backend, mode: Any, expected: int | None) -> None:
        """Otherwise the id of an expired node cannot be reused."""
        store_nodes(backend, node(expires_at=NOW))
        assert write(backend, put(node(), mode, expected=expected))[0].revision == 2

    @clause("graph.put_nodes.not_yet_expired")
    def test_a_node_that_expires_later_is_merged(self, backend: Backend) -> None:
        """Otherwise memories are lost a moment before their time."""
        store_nodes(backend, node(attributes={"old": 1}, expires_at=at(100.000001)))
        write(backend, put(node(attributes={"new": 1})))
        assert attributes(backend) == {"old": 1, "new": 1}

    @pytest.mark.parametrize(
        ("wrong", "error"),
        [
            pytest.param(put(node("b", type="user")), Conflict, id="type"),
            pytest.param(put(node("b"), expected=2), RevisionMismatch, id="revision"),
            pytest.param(put(node("b"), expected=0), RevisionMismatch, id="revision_0"),
            pytest.param(put(node("new"), expected=1), RevisionMismatch, id="revision_of_none"),
            pytest.param(put(node("b"), "insert"), AlreadyExists, id="insert"),
        ],
    )
    @clause("graph.put_nodes.conflict")
    def test_conflict(self, backend: Backend, wrong: NodeWrite, error: type[Conflict]) -> None:
        """Otherwise one memory overwrites another, or half of a batch is stored."""
        store_nodes(backend, node("b", attributes={"old": 1}))
        with pytest.raises(Conflict) as caught:
            write(backend, put(node("a")), wrong, put(node("c")))
        assert caught.type is error
        assert [get(backend, id) for id in ("a", "c", "new")] == [None] * 3
        stored = get(backend, "b")
        assert stored is not None
        assert (stored.attributes, stored.revision) == ({"old": 1}, 1)

    @clause("graph.put_nodes.restore")
    def test_restore(self, backend: Backend) -> None:
        """Otherwise a copy of a store is not the same store: writers that know a revision are turned away."""
        one = node(
            "a", revision=9, version=3, updated_at=at(5), expires_at=at(50), secret_refs=["s"], metadata={"m": 1}
        )
        two = node("b", revision=4, updated_by="me", consent_stream=None)
        returned = write(backend, put(one, "restore"), put(two, "restore"))
        assert exact(returned) == exact([one, two]) == exact([get(backend, "a"), get(backend, "b")])
        assert exact(write(backend, put(node("c", revision=2), "restore"))) == exact([node("c", revision=2)])

    @pytest.mark.parametrize("expires", [None, 50], ids=["live", "expired"])
    @clause("graph.put_nodes.restore.conflict")
    def test_restore_of_an_existing_node(self, backend: Backend, expires: float | None) -> None:
        """Otherwise a copy into the wrong store overwrites what is in it."""
        stored = store_nodes(backend, node("b", expires_at=None if expires is None else at(expires)))
        for writes in ([node("b", revision=7)], [node("a", revision=7), node("b", revision=7)]):
            with pytest.raises(AlreadyExists):
                write(backend, *(put(each, "restore") for each in writes))
        assert get(backend, "a") is None
        assert exact(get(backend, "b")) == exact(stored[0])

    @clause("graph.put_nodes.expected_revision")
    def test_expected_revision(self, backend: Backend) -> None:
        """Otherwise a writer with an expected revision is refused without a concurrent write."""
        assert write(backend, put(node(), expected=0))[0].revision == 1
        assert write(backend, put(node(), expected=1))[0].revision == 2

    @clause("graph.put_nodes.too_large")
    def test_a_merge_that_grows_too_large(self, backend: Backend) -> None:
        """Otherwise a node grows until it cannot be read any more."""
        # 16 MiB are bytes of UTF-8: these are half as many characters.
        half = "\u00e9" * (9 * 2**19)
        store_nodes(backend, node(attributes={"a": half}))
        with pytest.raises(InvalidArgument):
            write(backend, put(node("other")), put(node(attributes={"b": half})))
        stored = get(backend)
        assert stored is not None
        assert (list(stored.attributes), stored.revision, get(backend, "other")) == (["a"], 1, None)
        write(backend, put(node(attributes={"b": half[: len(half) // 2]})))
        stored = get(backend)
        assert stored is not None and (sorted(stored.attributes), stored.revision) == (["a", "b"], 2)

    @clause("graph.put_nodes.scopes")
    def test_scopes_are_kept_apart(self, backend: Backend) -> None:
        """Otherwise what is private shows up in a shared scope."""
        write(backend, *(put(node(scope=scope, attributes={"of": scope.value})) for scope in GraphScope))
        for scope in GraphScope:
            found = get(backend, "n", scope)
            assert found is not None
            assert (found.scope, found.attributes) == (scope, {"of": scope.value})

    @clause("graph.put_nodes.batch")
    def test_batches_of_any_size(self, backend: Backend) -> None:
        """Otherwise a bulk import fails, or stores a part."""
        assert write(backend) == []
        store_nodes(backend, *(node(f"n{i}", attributes={"old": i}) for i in range(0, 2000, 2)))
        returned = write(backend, *(put(node(f"n{i}", attributes={"new": i})) for i in range(2000)))
        with reading(backend) as session:
            found = session.graph.get_nodes([NodeKey(f"n{i}", LOCAL) for i in range(2100)], None)
        assert {each.id: each.attributes for each in found} == {
            f"n{i}": {"new": i} if i % 2 else {"old": i, "new": i} for i in range(2000)
        }
        assert [each.id for each in returned] == [f"n{i}" for i in range(2000)]

    @clause("graph.put_nodes.atomic", Level.CONCURRENT)
    def test_no_concurrent_merge_is_lost(self, backend: Backend) -> None:
        """Otherwise of many things learned at the same time only some are remembered."""

        def learn(number: int) -> None:
            transact(backend, lambda session: session.graph.put_nodes([put(node(attributes={f"k{number}": 1}))], NOW))

        race(16, learn)
        found = get(backend)
        assert found is not None
        assert found.attributes == {f"k{number}": 1 for number in range(16)}
        assert found.revision == 16

    @clause("graph.put_nodes.expected_revision.race", Level.CONCURRENT)
    def test_one_writer_wins_a_revision(self, backend: Backend) -> None:
        """Otherwise optimistic locking lets two writers through."""
        store_nodes(backend, node())

        def attempt(number: int) -> bool:
            try:
                transact(backend, lambda session: session.graph.put_nodes([put(node(), expected=1)], NOW))
            except RevisionMismatch:
                return False
            return True

        assert sum(race(8, attempt)) == 1

    @clause("graph.put_nodes.insert.race", Level.CONCURRENT)
    def test_one_writer_wins_an_insert(self, backend: Backend) -> None:
        """Otherwise two writers both believe that they made the node."""

        def attempt(number: int) -> bool:
            try:
                transact(backend, lambda session: session.graph.put_nodes([put(node(), "insert")], NOW))
            except AlreadyExists:
                return False
            return True

        assert sum(race(8, attempt)) == 1
