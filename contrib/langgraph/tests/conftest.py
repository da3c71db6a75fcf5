"""Stores for the tests: every test runs on every backend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ciris_store_core import Store, open_store
from tests.support.pgserver import shared_server


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[str]:
    """The URL of a new, empty store."""
    if request.param == "postgres":
        server = shared_server()
        made = server.create_database()
        yield made
        server.drop_database(made)
    else:
        yield "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """The open store."""
    with open_store(url) as opened:
        yield opened
