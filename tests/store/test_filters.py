"""Filters of listings: an unknown one is refused, and the error lists the valid ones."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ciris_store_core import GraphEdge, GraphNode, InvalidArgument, Store
from ciris_store_core.store import CorrelationFilters, EdgeFilters, NodeFilters, TaskFilters, ThoughtFilters

LISTINGS: dict[str, tuple[Callable[[Store], Callable[..., Any]], type]] = {
    "graph.find": (lambda store: store.graph.find, NodeFilters),
    "graph.scan": (lambda store: store.graph.scan, NodeFilters),
    "graph.count": (lambda store: store.graph.count, NodeFilters),
    "graph.find_edges": (lambda store: store.graph.find_edges, EdgeFilters),
    "graph.scan_edges": (lambda store: store.graph.scan_edges, EdgeFilters),
    "tasks.find": (lambda store: store.tasks.find, TaskFilters),
    "tasks.scan": (lambda store: store.tasks.scan, TaskFilters),
    "tasks.count": (lambda store: store.tasks.count, TaskFilters),
    "thoughts.find": (lambda store: store.thoughts.find, ThoughtFilters),
    "thoughts.scan": (lambda store: store.thoughts.scan, ThoughtFilters),
    "thoughts.count": (lambda store: store.thoughts.count, ThoughtFilters),
    "correlations.find": (lambda store: store.correlations.find, CorrelationFilters),
    "correlations.scan": (lambda store: store.correlations.scan, CorrelationFilters),
    "correlations.count": (lambda store: store.correlations.count, CorrelationFilters),
    "correlations.points": (lambda store: store.correlations.points, CorrelationFilters),
    "correlations.recent": (lambda store: store.correlations.recent, CorrelationFilters),
    "correlations.aggregate": (lambda store: store.correlations.aggregate, CorrelationFilters),
    "correlations.percentiles": (lambda store: store.correlations.percentiles, CorrelationFilters),
}
ARGUMENTS = {
    "correlations.aggregate": ("sum", timedelta(hours=1)),
    "correlations.percentiles": ([50.0], timedelta(hours=1)),
}


@pytest.mark.parametrize("name", LISTINGS)
def test_an_unknown_filter_is_refused(store: Store, name: str) -> None:
    method, filters = LISTINGS[name]
    with pytest.raises(InvalidArgument, match=f"'colour' is not a filter here.*{next(iter(filters.__annotations__))}"):
        method(store)(*ARGUMENTS.get(name, ()), colour="red")


def test_edges_are_scanned_by_filters(store: Store) -> None:
    store.graph.put_many([GraphNode(id=each, type="user", scope="local") for each in "abc"])
    store.graph.put_edge_many(
        [GraphEdge(source=a, target=b, relationship="knows", scope="local") for a, b in ("ab", "bc", "ac")]
    )
    assert [edge.key[:2] for edge in store.graph.scan_edges()] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [edge.key[:2] for edge in store.graph.scan_edges(target="c")] == [("a", "c"), ("b", "c")]
