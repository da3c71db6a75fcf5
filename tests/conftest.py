"""What tests of every folder may use."""

from __future__ import annotations

import pytest

from tests.support.pgserver import ExternalServer, shared_server

pytest_plugins = ["pytester"]


@pytest.fixture(scope="session")
def postgres_server() -> ExternalServer:
    """The PostgreSQL server of this test run, started when a test first asks for it."""
    return shared_server()
