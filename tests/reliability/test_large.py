"""The corpus's large items: what no store should take, and batches that every store should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ciris_store_core import GraphNode, InvalidArgument, ManualClock, Metric, Store, TestSeams, open_store
from ciris_store_core.conformance.factories import LOCAL, T0, correlation, node, task, thought
from ciris_store_core.conformance.samples import nested
from tests.reliability.corpus import state_of
from tests.reliability.filling import fill
from tests.reliability.rows import record
from tests.store.conftest import BACKENDS

pytestmark = [pytest.mark.fault, pytest.mark.soak]

MIB = 2**20
TOO_LARGE: dict[str, Callable[[], Any]] = {
    "64 MB": lambda: "x" * 64 * MIB,
    "64 MB of two bytes": lambda: "\u00e9" * 32 * MIB,
    "300 MB": lambda: "x" * 300 * MIB,
}
PLACES: dict[str, Callable[[Store, Any], Any]] = {
    "description": lambda store, text: store.tasks.add(task("new", description=text)),
    "id": lambda store, text: store.tasks.add(task(text)),
    "content": lambda store, text: store.thoughts.add_many([thought("new", content=text)]),
    "attributes": lambda store, text: store.graph.put(node("new", attributes={"k": [text]})),
    "tags": lambda store, text: store.correlations.add(correlation("new", tags={"k": text})),
    "tags of a metric": lambda store, text: store.correlations.add_metrics([Metric("cpu", 1.0, {"k": text})]),
    "metadata": lambda store, text: store.tasks.update("t", metadata={"k": text}),
    "a filter": lambda store, text: store.graph.find(attributes={"k": text}),
    "a search": lambda store, text: store.graph.search(text),
    "an id to get": lambda store, text: store.graph.get(text, LOCAL),
}  # fmt: skip


@pytest.fixture(params=list(BACKENDS))
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    clock = ManualClock(T0)
    with open_store(BACKENDS[request.param](request), testing=TestSeams(clock=clock, server_clock=clock)) as store:
        fill(store, clock)
        yield store


@pytest.mark.parametrize("size", TOO_LARGE)
def test_what_is_too_large_is_refused(store: Store, size: str) -> None:
    before, text, wrong = state_of(store), TOO_LARGE[size](), []
    for place, write in PLACES.items():
        try:
            write(store, text)
        except InvalidArgument:
            continue
        except Exception as error:
            wrong.append(f"{place}: {type(error).__name__}")
        else:
            wrong.append(f"{place}: accepted")
    record("corpus", f"{store.info()['backend']}, {size}", len(PLACES), len(wrong))
    assert wrong == []
    assert state_of(store) == before


@pytest.mark.parametrize("depth", [101, 1001, 20_000, 200_000])
def test_what_is_too_deep_is_refused(store: Store, depth: int) -> None:
    before, deep = state_of(store), nested(depth)
    for write in (
        lambda: store.graph.put(GraphNode(id="new", type="concept", scope=LOCAL, attributes=deep)),
        lambda: store.tasks.update("t", metadata=deep),
        lambda: store.correlations.add(correlation("new", log_data={"log_level": "x", "log_message": "m",
                                                                   "extra_fields": deep})),
    ):  # fmt: skip
        with pytest.raises(InvalidArgument):
            write()
    assert state_of(store) == before


MANY = 100_000


def test_a_hundred_thousand_ids(store: Store) -> None:
    ids = [f"t{number}" for number in range(MANY)]
    store.tasks.add_many([task(id) for id in ids[:40_000]])
    assert len(store.tasks.get_many(ids)) == 40_000
    assert store.thoughts.get_many(ids) == {}
    assert store.correlations.get_many(ids) == {}
    assert store.graph.get_many([(id, LOCAL) for id in ids]) == {}
    assert store.graph.delete_many([(id, LOCAL) for id in ids]) == 0
    assert store.tasks.delete_many(ids) == 40_000
    assert store.correlations.delete_many(ids) == 0


def test_a_batch_that_names_one_twice_is_refused(store: Store) -> None:
    before = state_of(store)
    batches: list[Callable[[], object]] = [
        lambda: store.tasks.add_many([task("new"), task("new")]),
        lambda: store.thoughts.add_many([thought("new"), thought("new")]),
        lambda: store.correlations.add_many([correlation("new"), correlation("new")]),
        lambda: store.correlations.add_metrics([Metric("cpu", 1.0, metric_id="new")] * 2),
        lambda: store.graph.put_many([node("new"), node("new")]),
    ]
    for batch in batches:
        with pytest.raises(InvalidArgument):
            batch()
    assert state_of(store) == before
