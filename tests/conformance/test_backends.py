"""The conformance suite on memory and SQLite. Workers of a test run take whole files, so PostgreSQL has its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from ciris_store_core.conformance import Harness
from ciris_store_core.conformance.suite import *  # noqa: F403
from tests.conformance.harnesses import SqliteHarness, memory_harness

pytest_plugins = ["ciris_store_core.conformance.plugin"]

BACKENDS = ["memory", "sqlite"]

_numbers = count()


@pytest.fixture(scope="module")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SqliteHarness.make_template(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(params=BACKENDS)
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    made = _make(request)
    yield made
    made.cleanup()


def _make(request: pytest.FixtureRequest) -> Harness:
    if request.param == "memory":
        return memory_harness(next(_numbers))
    return SqliteHarness(request.getfixturevalue("sqlite_template"), request.getfixturevalue("tmp_path"))
