"""Conformance suite on mutants. Only ``tests.mutants.running`` collects it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ciris_store_core.conformance import Harness
from ciris_store_core.conformance.suite import *  # noqa: F403
from tests.mutants.planting import LabHarness

pytest_plugins = ["ciris_store_core.conformance.plugin"]


@pytest.fixture
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    fault, _ = request.param
    made = LabHarness(fault)
    yield made
    made.cleanup()
