from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciris_store_core import Conflict, GraphEdge, GraphNode, GraphScope, InvalidArgument, NotFound
from ciris_store_core.persistence import (
    add_graph_edge,
    add_graph_node,
    delete_graph_edge,
    delete_graph_node,
    get_all_graph_nodes,
    get_deferral_report_context,
    get_edges_for_node,
    get_graph_node,
    get_nodes_by_type,
    save_deferral_report_mapping,
)
from ciris_store_core.persistence.models.graph import _quoted, _unquoted
from ciris_store_core.persistence.requests import DeferralPackage
from tests.persistence.conftest import START, TimeService
from tests.support import factories


def node(node_id: str, scope: str = "local", type: str = "concept", **attributes: Any) -> GraphNode:
    return factories.node(node_id, type=type, scope=scope, attributes=attributes)


def edge(source: str, target: str, relationship: str = "knows", scope: str = "local", **fields: Any) -> GraphEdge:
    return factories.edge(source, target, relationship, scope=scope, **fields)


def test_writing_a_node_again_merges(db: str, time_service: TimeService) -> None:
    assert add_graph_node(node("ada", likes="trains"), time_service, db) == "ada"
    time_service.advance(hours=1)
    add_graph_node(node("ada", city="London"), time_service, db)
    stored = get_graph_node("ada", GraphScope.LOCAL, db)
    assert stored.attributes == {"likes": "trains", "city": "London"}
    assert (stored.created_at, stored.updated_at, stored.version) == (START, time_service.now(), 1)
    assert get_graph_node("ada", "community", db) is None
    with pytest.raises(Conflict):
        add_graph_node(node("ada", type="user"), time_service, db)


def test_deleting_a_node_deletes_its_edges(db: str) -> None:
    for name in "abc":
        add_graph_node(node(name), db_path=db)
    add_graph_edge(edge("a", "b"), db)
    add_graph_edge(edge("c", "a"), db)
    assert [(each.source, each.target) for each in get_edges_for_node("a", "local", db)] == [("a", "b"), ("c", "a")]
    assert delete_graph_node("a", GraphScope.LOCAL, db) == 1
    assert delete_graph_node("a", GraphScope.LOCAL, db) == 0
    assert get_edges_for_node("b", "local", db) == []


def test_pages_of_nodes(db: str, time_service: TimeService) -> None:
    for number in range(5):
        add_graph_node(node(f"n{number}", type="user" if number % 2 else "concept"), time_service, db)
        time_service.advance(minutes=1)
    assert [each.id for each in get_all_graph_nodes(db_path=db)] == ["n4", "n3", "n2", "n1", "n0"]
    assert [each.id for each in get_all_graph_nodes("local", None, 2, 1, db)] == ["n3", "n2"]
    assert [each.id for each in get_all_graph_nodes(offset=3, db_path=db)] == ["n1", "n0"]
    assert [each.id for each in get_nodes_by_type("user", db_path=db)] == ["n3", "n1"]
    assert get_nodes_by_type("user", scope="identity", db_path=db) == []


def test_an_edge_is_deleted_by_the_id_that_adding_it_gave(db: str) -> None:
    for scope in ("local", "community"):
        add_graph_node(node("a->b", scope), db_path=db)
        add_graph_node(node("100%25", scope), db_path=db)
    key = add_graph_edge(edge("a->b", "100%25"), db)
    assert add_graph_edge(edge("a->b", "100%25", weight=0.5), db) == key
    assert add_graph_edge(edge("a->b", "100%25", scope="community"), db) == key
    assert [each.weight for each in get_edges_for_node("100%25", "local", db)] == [0.5]
    assert delete_graph_edge(key, db) == 2
    assert delete_graph_edge(key, db) == 0
    with pytest.raises(InvalidArgument, match="source->target->relationship"):
        delete_graph_edge("nonsense", db)


def test_an_edge_without_its_ends_is_refused(db: str) -> None:
    add_graph_node(node("a"), db_path=db)
    with pytest.raises(NotFound):
        add_graph_edge(edge("a", "gone"), db)


@given(st.lists(st.text("%25D->a", min_size=1), min_size=3, max_size=3))
def test_the_id_of_an_edge_can_be_taken_apart(parts: list[str]) -> None:
    assert [_unquoted(part) for part in "->".join(map(_quoted, parts)).split("->")] == parts


def test_ordinary_ids_of_edges_read_as_they_always_did() -> None:
    assert [_quoted(part) for part in ("ada", "50%", "is-in")] == ["ada", "50%", "is-in"]


def test_a_message_knows_which_deferral_it_reports(db: str) -> None:
    assert get_deferral_report_context("m1", db) is None
    save_deferral_report_mapping("m1", "t1", "th1", DeferralPackage(reason="ask", defer_until=START), db)
    known = get_deferral_report_context("m1", db)
    assert (known.task_id, known.thought_id) == ("t1", "th1")
    assert known.package == DeferralPackage(reason="ask", defer_until=START)
    save_deferral_report_mapping("m1", "t2", "th2", db_path=db)
    again = get_deferral_report_context("m1", db)
    assert (again.task_id, again.package) == ("t2", None)
