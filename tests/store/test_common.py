from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ciris_store_core import Corrupt, Page, Store
from ciris_store_core.conformance.factories import correlation, edge, node, task, thought
from ciris_store_core.models import CorruptRow
from ciris_store_core.store.resource import all_pages, identical

BROKEN = CorruptRow("t1", "bad JSON")
PAGES = {None: Page([1, 2], "next"), "next": Page([4], None, [BROKEN])}


def test_a_scan_never_hides_a_row_that_cannot_be_read() -> None:
    with pytest.raises(Corrupt, match="'t1' cannot be read"):
        list(all_pages(PAGES.__getitem__, None))
    seen: list[CorruptRow] = []
    assert list(all_pages(PAGES.__getitem__, seen.append)) == [1, 2, 4] and seen == [BROKEN]


@pytest.mark.parametrize(
    ("a", "b"), [(1, 1.0), (1, True), ({"a": [0]}, {"a": [False]}), ([1], [1, 2]), ({"a": 1}, {"b": 1}), ("1", 1)]
)
def test_values_that_json_keeps_apart_are_not_identical(a: object, b: object) -> None:
    assert identical(a, a) and identical(b, b) and not identical(a, b) and not identical(b, a)


IDS = [f"k{number}" for number in range(2500)]
DELETES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], int]]] = {
    "correlations": (
        lambda s: s.correlations.add_many(map(correlation, IDS)),
        lambda s: s.correlations.delete_many(IDS),
    ),
    "tasks": (lambda s: s.tasks.add_many(map(task, IDS)), lambda s: s.tasks.delete_many(IDS)),
    "thoughts": (
        lambda s: (s.tasks.add(task(), exist_ok=True), s.thoughts.add_many(map(thought, IDS))),
        lambda s: s.thoughts.delete_many(IDS),
    ),
    "nodes": (
        lambda s: s.graph.put_many(map(node, IDS)),
        lambda s: s.graph.delete_many((each, "local") for each in IDS),
    ),
    "edges": (
        lambda s: (s.graph.put(node("a")), s.graph.put_edge_many(edge("a", "a", each) for each in IDS)),
        lambda s: s.graph.delete_edge_many(("a", "a", each, "local") for each in IDS),
    ),
}


@pytest.mark.parametrize("kind", DELETES)
def test_many_are_deleted_in_batches_unless_a_transaction_holds_them_together(store: Store, kind: str) -> None:
    add, delete = DELETES[kind]
    transactions: list[str] = []

    @contextmanager
    def observe(operation: str, write: bool) -> Iterator[None]:
        transactions.append(operation)
        yield

    add(store)
    store._executor.observe = observe
    assert delete(store) == 2500
    assert len(transactions) == 3, "one batch keeps all other writers waiting"
    with store.transaction() as tx:
        add(tx)
        assert delete(tx) == 2500
    assert len(transactions) == 4
