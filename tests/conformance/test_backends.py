"""The conformance suite on the backends of this project."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from ciris_store_core.conformance import Harness
from ciris_store_core.conformance.suite import *  # noqa: F403
from tests.conformance.harnesses import PostgresHarness, SqliteHarness, memory_harness, prepare
from tests.support.pgserver import ExternalServer

pytest_plugins = ["ciris_store_core.conformance.plugin"]

BACKENDS = ["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]

_numbers = count()


@pytest.fixture(scope="module")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SqliteHarness.make_template(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="module")
def postgres_url(postgres_server: ExternalServer) -> Iterator[str]:
    url = postgres_server.create_database()
    prepare(url)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(params=BACKENDS)
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    made = _make(request)
    yield made
    made.cleanup()


def _make(request: pytest.FixtureRequest) -> Harness:
    # Asked for by name, so that a test on one backend neither starts nor needs the others.
    if request.param == "memory":
        return memory_harness(next(_numbers))
    if request.param == "sqlite":
        return SqliteHarness(request.getfixturevalue("sqlite_template"), request.getfixturevalue("tmp_path"))
    return PostgresHarness(request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_url"))
