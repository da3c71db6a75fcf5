"""Every test here runs on every backend: add a URL, or a function that makes one, to ``BACKENDS``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ciris_store_core import ManualClock, Store, TestSeams, open_store
from ciris_store_core.clock import Clock


def _in_memory(request: pytest.FixtureRequest) -> str:
    return "memory://"


def _sqlite(request: pytest.FixtureRequest) -> str:
    return f"sqlite:///{request.getfixturevalue('tmp_path')}/store.db?synchronous=normal"


def _postgres(request: pytest.FixtureRequest) -> str:
    server = request.getfixturevalue("postgres_server")
    url: str = server.create_store()
    request.addfinalizer(lambda: server.drop_store(url))
    return url


BACKENDS: dict[str, Callable[[pytest.FixtureRequest], str]] = {
    "memory": _in_memory,
    "sqlite": _sqlite,
    "postgres": _postgres,
}
"""By name, what gives the URL of a new and empty store to a test."""


@pytest.fixture(params=list(BACKENDS))
def url(request: pytest.FixtureRequest) -> str:
    return BACKENDS[request.param](request)


@pytest.fixture
def clock() -> ManualClock:
    """Gives records their time and, so that ages can be tested, the server its own."""
    return ManualClock()


@pytest.fixture
def opened(url: str, clock: ManualClock) -> Iterator[Callable[..., Store]]:
    """Opens the test's store; may be called once, with further options."""
    stores = []

    def open_it(clock: Clock = clock, server_clock: Clock = clock, **options: Any) -> Store:
        stores.append(open_store(url, testing=TestSeams(clock=clock, server_clock=server_clock), **options))
        return stores[-1]

    yield open_it
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[..., Store]) -> Store:
    return opened()
