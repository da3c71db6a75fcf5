"""The pytest plugin of the suite: its fixtures, and marks from clauses.

``-m core`` and the like select a level. The clause of each test is among its ``user_properties``, so that it is in
a JUnit report.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ciris_store_core.clock import ManualClock
from ciris_store_core.stores import Backend

from .factories import T0
from .harness import Harness
from .levels import Clause, Level


def pytest_configure(config: pytest.Config) -> None:
    """Make the levels known as marks."""
    for level in Level:
        config.addinivalue_line("markers", f"{level}: clauses of the level {level.name} of the conformance suite")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark each test of the suite with its level."""
    clause = clause_of(item)
    if clause is not None:
        item.add_marker(clause.level.value)
        item.user_properties.append(("clause", clause.id))


def clause_of(item: pytest.Item) -> Clause | None:
    """The clause that a test holds; None for a test that is none of the suite's."""
    clause = getattr(getattr(item, "obj", None), "clause", None)
    return clause if isinstance(clause, Clause) else None


@pytest.fixture
def harness() -> Harness:
    """The store under test. A module that runs the suite overrides this."""
    raise pytest.UsageError("define a fixture named harness, which returns a Harness of the backend under test")


@pytest.fixture
def clock() -> ManualClock:
    """The time of the store under test."""
    return ManualClock(T0)


@pytest.fixture
def backend(request: pytest.FixtureRequest, harness: Harness, clock: ManualClock) -> Iterator[Backend]:
    """The store under test, open and empty. The test does not run where its clause does not apply."""
    clause = clause_of(request.node)
    if clause is not None and clause.needs is not None and clause.needs not in harness.capabilities:
        pytest.skip(f"not declared: {clause.needs}")
    opened = harness.open(clock)
    try:
        yield opened
    finally:
        opened.close()
