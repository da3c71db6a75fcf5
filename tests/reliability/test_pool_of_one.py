"""Every public method in a transaction that has the only connection, each time after the server's time ran out."""

from __future__ import annotations

from itertools import count
from time import monotonic

import pytest

from ciris_store_core import ManualClock, RetryPolicy, Store, StoreError, open_store
from ciris_store_core.conformance.factories import T0
from tests.reliability.calls import METHODS, WITHOUT_INPUT, call, plain_arguments
from tests.reliability.filling import fill
from tests.reliability.rows import record

pytestmark = pytest.mark.fault

REFUSED_INSIDE = {
    "authorities.register": "AccessDenied",
    "authorities.revoke": "NotFound",
    "correlations.buffered": "TransactionError",
    "handle.take_over": "Conflict",
    "secrets.check": "TransactionError",
    "secrets.disclose": "TransactionError",
    "secrets.resolve": "TransactionError",
}
"""Errors of the plain calls that cannot succeed."""

OF_THE_STORE = ("info", "is_empty", "server_now", "stats")
"""Methods of the store itself that a thread may call while it has a transaction open."""


class Undone(Exception):
    pass


def opened(url: str, kind: str) -> Store:
    limit = "?pool_size=1&pool_timeout=2" if kind == "postgres" else "&pool_size=1&busy_timeout=2"
    store = open_store(url + limit, retry=RetryPolicy(attempts=1))
    fill(store, ManualClock(T0))
    store.occurrences.heartbeat("dead", 1000)  # however long the calls take, one answer of take_over is right
    # Each look at this clock is eleven seconds after the one before, and the server's time is kept for ten.
    store._server._monotonic = count(monotonic() + 11.0, 11.0).__next__
    return store


def outcome(store: Store, name: str) -> str:
    """Return the outcome of a call in a transaction; the transaction is rolled back."""
    part, _, method = name.partition(".")
    try:
        with store.transaction() as tx:
            if part == "store" and method in OF_THE_STORE:
                getattr(store, method)()
            else:
                call(tx, name, plain_arguments(name))
            raise Undone
    except Undone:
        return "done"
    except StoreError as error:
        return type(error).__name__


def wrong_outcomes(store: Store) -> dict[str, str]:
    names = [*METHODS, *(f"store.{name}" for name in OF_THE_STORE)]
    assert {f"store.{name}" for name in OF_THE_STORE} <= WITHOUT_INPUT
    found = {name: outcome(store, name) for name in names}
    return {name: told for name, told in found.items() if told != REFUSED_INSIDE.get(name, "done")}


def test_no_method_needs_another_connection(url: str, kind: str, subject: str) -> None:
    with opened(url, kind) as store:
        wrong = wrong_outcomes(store)
    record("pool-of-one", subject, len(METHODS) + len(OF_THE_STORE), len(wrong))
    assert wrong == {}


@pytest.mark.postgres
@pytest.mark.parametrize("kind", ["postgres"])
def test_the_control_a_server_asked_on_a_connection_of_its_own(
    url: str, kind: str, subject: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(url, kind) as store:
        monkeypatch.setattr(type(store._backend), "_own_session", lambda self: None)
        calls = ("graph.put", "leases.acquire", "shared_tasks.latest", "store.info", "tasks.get")
        wrong = [name for name in calls if outcome(store, name) == "PoolTimeout"]
    record("pool-of-one", subject, len(calls), len(wrong), control=True, note="the time asked on another connection")
    assert wrong == ["graph.put", "leases.acquire", "shared_tasks.latest", "store.info"]
