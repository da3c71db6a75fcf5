"""Defaults of a role or a database: the store keeps its promises under them, or refuses to open."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from ciris_store_core import (
    ManualClock,
    OutcomeUnknown,
    RetryPolicy,
    Store,
    StoreError,
    TestSeams,
    Unavailable,
    open_store,
)
from ciris_store_core.conformance.factories import LOCAL, T0, edge, node
from ciris_store_core.errors import ReadOnly
from ciris_store_postgres.session import PostgresSession
from tests.reliability.calls import METHODS, call, plain_arguments
from tests.reliability.corpus import plain, state_of
from tests.reliability.filling import fill
from tests.reliability.rows import record
from tests.support.pgserver import execute

pytestmark = [pytest.mark.postgres, pytest.mark.fault]

HARMLESS = {
    "default_transaction_isolation": ("repeatable read", "serializable"),
    "default_transaction_deferrable": ("on",),
    "extra_float_digits": ("0", "-15"),
    "client_min_messages": ("error",),
    "datestyle": ("German, DMY", "SQL, MDY"),
    "intervalstyle": ("iso_8601",),
    "timezone": ("Asia/Kathmandu", "America/New_York"),
    "bytea_output": ("escape",),
    "standard_conforming_strings": ("off",),
    "search_path": ("pg_catalog", "information_schema"),
    "transform_null_equals": ("on",),
    "array_nulls": ("off",),
    "quote_all_identifiers": ("on",),
    "enable_seqscan": ("off",),
    "enable_indexscan": ("off",),
    "jit_above_cost": ("0",),
    "plan_cache_mode": ("force_generic_plan",),
    "row_security": ("off",),
}
"""Under these, every answer is that of the reference."""

REFUSING: dict[str, tuple[str, tuple[type[StoreError], ...]]] = {
    "statement_timeout": ("1ms", (Unavailable,)),
    "lock_timeout": ("1ms", (Unavailable,)),
    # One that strikes while COMMIT is on its way may take the server's answer with it.
    "idle_in_transaction_session_timeout": ("1ms", (Unavailable, OutcomeUnknown)),
    "idle_session_timeout": ("1ms", (Unavailable, OutcomeUnknown)),
    "default_transaction_read_only": ("on", (ReadOnly,)),
}
"""Under these, a call that the reference accepts may raise one of these errors."""

CONSEQUENCES = ("NotFound", "AlreadyExists", "AccessDenied")
"""Errors of calls after a refused add or deletion: its record, or an authority, is not there, or still there."""

ODD = 0.1 + 0.2
"""Has seventeen digits."""
THREADS, PUTS = 8, 6


def set_default(url: str, name: str, value: str) -> None:
    execute(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET {name} = {value if ',' in value else repr(value)}")


def opened(url: str) -> Store:
    clock = ManualClock(T0)
    store = open_store(url, testing=TestSeams(clock=clock, server_clock=clock), retry=RetryPolicy(attempts=1))
    try:
        fill(store, clock)
    except BaseException:
        store.close()
        raise
    return store


def answers(store: Store) -> dict[str, Any]:
    """Return the result or error of every method, and the records at the end."""
    found: dict[str, Any] = {}
    for name in METHODS:
        try:
            found[name] = plain(call(store, name, plain_arguments(name)))
        except StoreError as error:
            found[name] = type(error).__name__
    store.graph.put_many([node("x", attributes={"odd": ODD}), node("y")])
    store.graph.put_edge(edge("x", "y", weight=ODD))
    return {**found, "state": state_of(store)}


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    with opened("memory://") as store:
        return answers(store)


def lost_or_refused(url: str) -> int:
    """Return the number of lost keys of many threads that write into one node at once."""
    with open_store(url, retry=RetryPolicy(attempts=1)) as store, ThreadPoolExecutor(THREADS) as threads:
        store.graph.put(node("shared"))

        def put(thread: int) -> None:
            for number in range(PUTS):
                store.graph.put(node("shared", attributes={f"k{thread}-{number}": 1}))

        for done in [threads.submit(put, thread) for thread in range(THREADS)]:
            done.exception()
        stored = store.graph.get("shared", LOCAL)
    assert stored is not None
    return THREADS * PUTS - sum(key.startswith("k") for key in stored.attributes)


def differences(url: str, expected: dict[str, Any]) -> list[str]:
    with opened(url) as store:
        found = answers(store)
    lost = lost_or_refused(url)
    return [name for name in expected if found[name] != expected[name]] + ["lost updates"] * (lost > 0)


@pytest.fixture
def make_url(postgres_server: Any, request: pytest.FixtureRequest) -> Callable[[], str]:
    def make() -> str:
        url: str = postgres_server.create_database()
        request.addfinalizer(lambda: postgres_server.drop_database(url))
        return url

    return make


def test_defaults_change_no_answer(make_url: Callable[[], str], expected: dict[str, Any]) -> None:
    wrong = {}
    for name, values in HARMLESS.items():
        for value in values:
            url = make_url()
            set_default(url, name, value)
            wrong[f"{name} = {value}"] = differences(url, expected)
    found = {name: each for name, each in wrong.items() if each}
    record("role-defaults", "PostgreSQL", len(wrong), len(found))
    assert found == {}


@pytest.mark.parametrize("name", REFUSING)
def test_defaults_that_refuse_are_told(make_url: Callable[[], str], expected: dict[str, Any], name: str) -> None:
    value, errors = REFUSING[name]
    url = make_url()
    opened(url).close()
    set_default(url, name, value)
    told: dict[str, str] = {}
    with suppress(*errors), open_store(url, retry=RetryPolicy(attempts=1)) as store:
        for method in METHODS:
            try:
                call(store, method, plain_arguments(method))
            except errors:
                continue
            except StoreError as error:
                told[method] = type(error).__name__
    wrong = {method: error for method, error in told.items() if error not in (expected[method], *CONSEQUENCES)}
    new, refused = make_url(), ""
    set_default(new, name, value)
    with suppress(*errors), open_store(new, retry=RetryPolicy(attempts=1)):
        refused = "not "
    note = f"{name}: a new store is {refused}refused"
    record("role-defaults", "PostgreSQL", len(METHODS), len(wrong), note=note)
    assert wrong == {}


def test_the_control_a_session_that_takes_the_defaults(
    make_url: Callable[[], str], expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgresSession, "adapt", lambda self: None)
    found = {}
    for name, value in (("default_transaction_isolation", "serializable"), ("extra_float_digits", "0")):
        url = make_url()
        set_default(url, name, value)
        found[name] = differences(url, expected)
    record(
        "role-defaults", "PostgreSQL", len(found), sum(map(bool, found.values())), control=True, note="not adapted to"
    )
    assert "lost updates" in found["default_transaction_isolation"]
    assert "state" in found["extra_float_digits"]
