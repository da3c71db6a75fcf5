"""The conformance suite on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ciris_store_core.conformance import Harness
from ciris_store_core.conformance.suite import *  # noqa: F403
from tests.conformance.harnesses import PostgresHarness, prepare
from tests.support.pgserver import ExternalServer

pytest_plugins = ["ciris_store_core.conformance.plugin"]
pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def postgres_url(postgres_server: ExternalServer) -> Iterator[str]:
    url = postgres_server.create_database()
    prepare(url)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(params=["postgres"])
def harness(request: pytest.FixtureRequest, postgres_server: ExternalServer, postgres_url: str) -> Iterator[Harness]:
    made = PostgresHarness(postgres_server, postgres_url)
    yield made
    made.cleanup()
