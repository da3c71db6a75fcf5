"""Fixtures of this backend's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ciris_store_core.clock import SystemClock
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.url import resolve_url
from ciris_store_postgres.backend import PostgresBackend
from tests.support.pgserver import ExternalServer, shared_server


@pytest.fixture(scope="session")
def postgres_server() -> ExternalServer:
    """The PostgreSQL server of this test run, started when a test first asks for it."""
    return shared_server()


@pytest.fixture
def url(postgres_server: ExternalServer) -> Iterator[str]:
    """The URL of an empty database."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def make(url: str) -> Iterator[Callable[..., PostgresBackend]]:
    """Backends over the database, unprepared, closed at the end."""
    backends: list[PostgresBackend] = []

    def make(options: str = "", at: str = url, **context: Any) -> PostgresBackend:
        backends.append(PostgresBackend(resolve_url(at + options), BackendContext(SystemClock(), **context)))
        return backends[-1]

    yield make
    for backend in backends:
        backend.close()


@pytest.fixture
def backend(make: Callable[..., PostgresBackend]) -> PostgresBackend:
    """An open store."""
    backend = make()
    backend.prepare(migrate=True)
    return backend
