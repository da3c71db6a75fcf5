"""Interrupts at any point: no connection stays in use, and none is handed out within a transaction."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from ciris_store_postgres.backend import _SessionScope
from tests.reliability.interrupts import Attack
from tests.reliability.rows import counts, record
from tests.support.pgserver import ExternalServer

pytestmark = [pytest.mark.postgres, pytest.mark.fault, pytest.mark.slow]


@pytest.fixture
def new_url(postgres_server: ExternalServer, request: pytest.FixtureRequest) -> Callable[[], str]:
    """The URL of a new database each time, with one connection, for which everybody waits 2 s at most."""

    def make() -> str:
        url = postgres_server.create_database()
        request.addfinalizer(lambda: postgres_server.drop_database(url))
        return f"{url}?pool_size=1&pool_timeout=2&operation_timeout=2"

    return make


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("count", counts("interrupts"))
def test_an_interrupt_anywhere_leaves_nothing_behind(new_url: Callable[[], str], count: int) -> None:
    attack = Attack(new_url)
    attack.random(count, Random(count))
    record("interrupts", "PostgreSQL", count, len(attack.wrong), note=f"{attack.done:,} struck within the operation")
    assert [f"{each.operation} at {each.fired}: {each.problem}" for each in attack.wrong] == []
    assert attack.done > count / 2


def test_the_control_a_connection_that_only_its_block_gives_back(
    new_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_SessionScope, "__del__", lambda self: None)
    attack = Attack(new_url)
    attack.sweep("get", list(range(attack.places("get"))))
    note = "a connection that only its block releases"
    record("interrupts", "PostgreSQL", attack.done, len(attack.wrong), control=True, note=note)
    assert attack.wrong
