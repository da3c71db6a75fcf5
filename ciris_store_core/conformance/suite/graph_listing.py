"""Nodes: list, count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ciris_store_core.conformance.factories import LOCAL, T0, at, node, store_nodes
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.samples import AWKWARD_KEYS, AWKWARD_TEXTS
from ciris_store_core.conformance.support import everything, pages, reading
from ciris_store_core.contract import Backend
from ciris_store_core.models import GraphScope, NodeType
from ciris_store_core.models.graph import NodeQuery

PREFIXES = {
    "a": ["a%", "a%b", "a*", "a\\", "a_", "a_b", "ab"],
    "a%": ["a%", "a%b"],
    "a_": ["a_", "a_b"],
    "a\\": ["a\\"],
    "a*": ["a*"],
    "A": ["A", "AB"],
    "\u00e9": ["\u00e9x"],
    "\uffff": ["\uffff", "\uffffx", "\uffff\uffff"],
    "\ud7ff": ["\ud7ff", "\ud7ffx"],
    "\U0010ffff": ["\U0010ffff", "\U0010ffffx"],
    "\U0010ffff\U0010ffff": [],
    "m\U0010ffff": ["m\U0010ffff", "m\U0010ffffx"],
    "m\x7f": ["m\x7f"],
    "none": [],
}
"""Prefixes, and which of all these ids begin with each."""


def ids(backend: Backend, query: NodeQuery) -> list[str]:
    """The ids that a query lists; checks that it counts as many."""
    with reading(backend) as session:
        found = [each.id for each in everything(session.graph.list_nodes, query)]
        assert session.graph.count_nodes(query) == len(found)
    return found


class TestListNodes:
    """``GraphStore.list_nodes`` and ``count_nodes``."""

    @clause("graph.list_nodes.order")
    def test_newest_first_ties_by_id_then_scope(self, backend: Backend) -> None:
        """Otherwise the latest memories are not at the top, or change places between two looks."""
        store_nodes(backend, node("old", updated_at=at(-1)), node("new", updated_at=at(1e-6)))
        store_nodes(backend, node("b"), node("a", scope=GraphScope.NETWORK), node("a"))
        with reading(backend) as session:
            listed = session.graph.list_nodes(NodeQuery()).items
        assert [(each.id, each.scope.value) for each in listed] == [
            ("new", "local"),
            ("a", "local"),
            ("a", "network"),
            ("b", "local"),
            ("old", "local"),
        ]

    @pytest.mark.parametrize("limit", [1, 2, 3, 7])
    @clause("graph.list_nodes.paging")
    def test_pages_neither_repeat_nor_skip(self, backend: Backend, limit: int) -> None:
        """Otherwise going through a memory page by page misses some of it."""
        store_nodes(
            backend,
            *(
                node(f"n{i}", scope=scope, updated_at=at(i // 3))
                for i in range(6)
                for scope in (LOCAL, GraphScope.NETWORK)
            ),
        )
        with reading(backend) as session:
            whole = [each.key for each in session.graph.list_nodes(NodeQuery()).items]
            parts = pages(session.graph.list_nodes, NodeQuery(limit=limit))
        assert len(whole) == 12
        assert [each.key for page in parts for each in page] == whole
        assert all(len(page) == limit for page in parts[:-1]) and parts[-1]

    @clause("graph.list_nodes.next_after")
    def test_where_the_next_page_begins(self, backend: Backend) -> None:
        """Otherwise a listing never ends, or ends too early."""
        store_nodes(backend, *(node(id) for id in "abc"))
        with reading(backend) as session:
            assert session.graph.list_nodes(NodeQuery(limit=3)).next_after is None
            assert session.graph.list_nodes(NodeQuery(limit=2)).next_after == (T0, "b", "local")
            assert [each.id for each in session.graph.list_nodes(NodeQuery(after=(T0, "aa", "local"))).items] == [
                "b",
                "c",
            ]

    @clause("graph.list_nodes.empty")
    def test_nothing_to_list(self, backend: Backend) -> None:
        """Otherwise a new agent fails on its first look into its memory."""
        with reading(backend) as session:
            page = session.graph.list_nodes(NodeQuery())
            assert (page.items, page.next_after, page.corrupt) == ([], None, [])
            assert session.graph.count_nodes(NodeQuery()) == 0

    @clause("graph.list_nodes.scope_and_type")
    def test_by_scope_and_type(self, backend: Backend) -> None:
        """Otherwise memories of other scopes or kinds slip in."""
        store_nodes(backend, node("a"), node("b", type="user"), node("c", scope=GraphScope.NETWORK, type="user"))
        assert ids(backend, NodeQuery(scope=LOCAL)) == ["a", "b"]
        assert ids(backend, NodeQuery(type="user")) == ["b", "c"]
        assert ids(backend, NodeQuery(scope=LOCAL, type=NodeType.USER)) == ["b"]

    @pytest.mark.parametrize("prefix", PREFIXES)
    @clause("graph.list_nodes.id_prefix")
    def test_by_id_prefix(self, backend: Backend, prefix: str) -> None:
        """Otherwise ids with percent signs, underscores or capitals are mixed up with others."""
        others = {"A", "AB", "b", "ba_b", "\u00e9x", "e\u0301x", "\U0010ffff", "\U0010ffffx"}
        others |= {"\uffff", "\uffffx", "\uffff\uffff", "\ud7ff", "\ud7ffx", "\ue000", "\ufffe", "\U00010000", "m", "n"}
        others |= {"m\U0010ffff", "m\U0010ffffx", "m\x7f", "m\x80", "m\uffff"}
        store_nodes(backend, *(node(id) for id in others | set(PREFIXES["a"])))
        assert ids(backend, NodeQuery(id_prefix=prefix)) == PREFIXES[prefix]

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            pytest.param(1, ["float", "int"], id="int"),
            pytest.param(1.0, ["float", "int"], id="float"),
            pytest.param(True, ["true"], id="true"),
            pytest.param(False, ["false"], id="false"),
            pytest.param(0, ["zero"], id="zero"),
            pytest.param("1", ["text"], id="text"),
            pytest.param("", ["empty"], id="empty"),
            pytest.param("true", [], id="text_true"),
            pytest.param(2**53 + 1, ["large"], id="large"),
            pytest.param(-(2**63), ["lowest"], id="lowest"),
            pytest.param(0.1, ["tenth"], id="tenth"),
        ],
    )
    @clause("graph.list_nodes.attributes.values")
    def test_by_attribute_value(self, backend: Backend, wanted: Any, found: list[str]) -> None:
        """Otherwise a search by attribute finds what only looks similar, or misses what is there."""
        values = {
            "int": 1, "float": 1.0, "true": True, "false": False, "zero": 0, "text": "1", "empty": "", "none": None,
            "large": 2**53 + 1, "near": 2**53, "lowest": -(2**63), "tenth": 0.1, "list": [1], "object": {"k": 1},
        }  # fmt: skip
        store_nodes(backend, *(node(id, attributes={"k": value}) for id, value in values.items()), node("without"))
        assert ids(backend, NodeQuery(attributes=(("k", wanted),))) == found

    @clause("graph.list_nodes.attributes.none")
    def test_by_attribute_none(self, backend: Backend) -> None:
        """Otherwise what is known to be nothing cannot be told from what is something."""
        store_nodes(backend, node("none", attributes={"k": None}), node("some", attributes={"k": 0}))
        store_nodes(
            backend, node("text", attributes={"k": "null"}), node("without"), node("empty", attributes={"k": ""})
        )
        store_nodes(backend, node("list", attributes={"k": [None]}), node("other", attributes={"l": None}))
        assert ids(backend, NodeQuery(attributes=(("k", None),))) == ["none"]
        assert ids(backend, NodeQuery(attributes=(("l", None), ("k", None)))) == []

    @clause("graph.list_nodes.attributes.keys")
    def test_by_awkward_attributes(self, backend: Backend) -> None:
        """Otherwise a key is taken for a path, or input becomes part of a query."""
        store_nodes(backend, node("other", attributes={"a": {"b": "v"}, "x": "v"}))
        store_nodes(backend, *(node(f"n{i}", attributes={key: "v"}) for i, key in enumerate(AWKWARD_KEYS)))
        for i, key in enumerate(AWKWARD_KEYS):
            assert ids(backend, NodeQuery(attributes=((key, "v"),))) == [f"n{i}"], key

    @clause("graph.list_nodes.attributes.texts")
    def test_by_awkward_texts(self, backend: Backend) -> None:
        """Otherwise equal texts are not found, or similar ones are."""
        texts = [*AWKWARD_TEXTS, "x" * 199, "x" * 200 + "a", "x" * 200 + "b", "x" * 3000, "x" * 3000 + "a", "x" * 9000]
        texts += ["2025-01-01T12:00:00+00:00", "2025-01-01T12:00:00Z", "2025-01-01 12:00:00+00:00", "2025-01-01"]
        store_nodes(backend, *(node(f"n{i}", attributes={"k": text}) for i, text in enumerate(texts)))
        for i, text in enumerate(texts):
            assert ids(backend, NodeQuery(attributes=(("k", text),))) == [f"n{i}"], text

    @clause("graph.list_nodes.attributes.all")
    def test_all_attributes_must_match(self, backend: Backend) -> None:
        """Otherwise narrowing a search does not narrow it."""
        store_nodes(backend, node("a", attributes={"x": 1, "y": 1}), node("b", attributes={"x": 1, "y": 2}))
        assert ids(backend, NodeQuery(attributes=(("x", 1), ("y", 2)))) == ["b"]

    @clause("graph.list_nodes.updated")
    def test_by_time_of_update(self, backend: Backend) -> None:
        """Otherwise the bounds of a period lose or add a memory."""
        store_nodes(backend, *(node(f"n{i}", updated_at=at(i * 1e-6)) for i in range(4)))
        assert ids(backend, NodeQuery(updated_from=at(1e-6), updated_to=at(2e-6))) == ["n2", "n1"]
        assert ids(backend, NodeQuery(updated_from=at(2e-6))) == ["n3", "n2"]
        assert ids(backend, NodeQuery(updated_to=at(1e-6))) == ["n1", "n0"]

    @clause("graph.list_nodes.expired")
    def test_expired_nodes(self, backend: Backend) -> None:
        """Otherwise a listing shows what it had no consent to keep."""
        store_nodes(backend, node("a", expires_at=at(10)), node("b", expires_at=at(10.000001)), node("c"))
        assert ids(backend, NodeQuery(now=at(10))) == ["b", "c"]
        assert ids(backend, NodeQuery()) == ["a", "b", "c"]

    @clause("graph.list_nodes.filter_before_limit")
    def test_filters_come_before_the_limit(self, backend: Backend) -> None:
        """Otherwise a small page comes back empty although there are matches."""
        store_nodes(backend, *(node(f"a{i}", expires_at=at(1), attributes={"k": 1}) for i in range(9)))
        store_nodes(backend, node("z", updated_at=at(-9), attributes={"k": 1, "l": 1}))
        query = NodeQuery(limit=1, attributes=(("k", 1),), now=at(2))
        with reading(backend) as session:
            assert [each.id for each in session.graph.list_nodes(query).items] == ["z"]
            narrow = replace(query, attributes=(("l", 1),), now=None)
            assert [each.id for each in session.graph.list_nodes(narrow).items] == ["z"]

    @clause("graph.count_nodes")
    def test_count_ignores_the_page(self, backend: Backend) -> None:
        """Otherwise a count depends on the page that one is on."""
        store_nodes(backend, *(node(id) for id in "abc"), node("d", type="user"))
        query = NodeQuery(limit=1, after=(T0, "b", "local"), type="concept")
        with reading(backend) as session:
            assert session.graph.count_nodes(query) == 3

    @clause("graph.list_nodes.corrupt", Level.OPERABLE)
    def test_a_damaged_row_hides_no_other(self, backend: Backend, harness: Harness) -> None:
        """Otherwise one damaged memory makes the others unreachable."""
        store_nodes(backend, *(node(id) for id in "abc"))
        if not harness.corrupt("graph_nodes", "b"):
            pytest.skip("this harness cannot damage a row")
        with reading(backend) as session:
            page = session.graph.list_nodes(NodeQuery())
            assert [each.id for each in everything(session.graph.list_nodes, NodeQuery(limit=1))] == ["a", "c"]
        assert [each.id for each in page.items] == ["a", "c"]
        assert len(page.corrupt) == 1 and "b" in page.corrupt[0].key and page.corrupt[0].error
