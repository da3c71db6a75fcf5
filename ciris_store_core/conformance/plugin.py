"""Pytest plugin of the suite: its fixtures, and a mark for the level of each clause.

``-m core`` selects a level, for example. The clause of each test is one of its ``user_properties``, and so part of a
JUnit report.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.factories import T0
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.instruments import Instrument
from ciris_store_core.conformance.levels import Clause, Level
from ciris_store_core.conformance.peers import POOL, Peer, PeerMaker
from ciris_store_core.conformance.support import RETRIES
from ciris_store_core.contract import Backend


def pytest_configure(config: pytest.Config) -> None:
    """Register the levels as marks."""
    for level in Level:
        config.addinivalue_line("markers", f"{level}: clauses of the level {level.name} of the conformance suite")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark each test of the suite with its level."""
    clause = clause_of(item)
    if clause is not None:
        item.add_marker(clause.level.value)
        item.user_properties.append(("clause", clause.id))


def pytest_unconfigure() -> None:
    """Kill the other processes that tests used."""
    POOL.clear()


def clause_of(item: pytest.Item) -> Clause | None:
    """Return the clause of a test, or None for a test outside the suite."""
    clause = getattr(getattr(item, "obj", None), "clause", None)
    return clause if isinstance(clause, Clause) else None


@pytest.fixture
def harness() -> Harness:
    """Provide the harness. A module that runs the suite overrides this."""
    raise pytest.UsageError("define a fixture named harness, which returns a Harness of the backend under test")


@pytest.fixture
def clock() -> ManualClock:
    """Provide the clock of the store under test."""
    return ManualClock(T0)


@pytest.fixture(autouse=True)
def applies(request: pytest.FixtureRequest) -> None:
    """Skip a test whose clause does not apply to the backend."""
    clause = clause_of(request.node)
    if clause is None or not clause.optional_without:
        return
    missing = clause.optional_without - request.getfixturevalue("harness").capabilities
    if missing:
        pytest.skip(f"not declared: {', '.join(sorted(missing))}")


@pytest.fixture(autouse=True)
def retries(request: pytest.FixtureRequest) -> Iterator[None]:
    """Count the transactions that a test runs again, for the report."""
    RETRIES.take()
    yield
    count = RETRIES.take()
    if count:
        request.node.user_properties.append(("retries", count))


@pytest.fixture
def backend(harness: Harness, clock: ManualClock) -> Iterator[Backend]:
    """Provide the open, empty store under test."""
    opened = harness.open(clock)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def instrument(harness: Harness, backend: Backend) -> Instrument:
    """Provide the instrument of the harness. Skip the test if it has none."""
    found = harness.instrument(backend)
    if found is None:
        pytest.skip("this harness has no instrument, which counts statements and lets one fail")
    return found


@pytest.fixture
def new_peer(harness: Harness) -> Iterator[PeerMaker]:
    """Provide a function that starts other processes on the store. Skip the test if the harness has none."""
    made: list[Peer] = []

    def make(*, blank: bool = False) -> Peer:
        peer = harness.open_peer(blank=blank)
        if peer is None:
            pytest.skip("this harness has no other process that opens the store" + " for the first time" * blank)
        made.append(peer)
        return peer

    yield make
    for peer in made:
        POOL.release(peer)
