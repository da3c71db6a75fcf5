"""Backends of contract 1, which raise a plain Conflict where contract 2 has AlreadyExists."""

from __future__ import annotations

from typing import Any

import pytest

from ciris_store_core import Conflict, Correlation, ManualClock, Store, TestSeams, open_store
from ciris_store_core.inmemory.tables import Table
from tests.support.factories import task


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> Store:
    """Store on a backend that raises a plain Conflict."""
    monkeypatch.setattr("ciris_store_core.inmemory.tables.AlreadyExists", Conflict)
    return open_store("memory://", testing=TestSeams(clock=clock))


def correlation(**fields: Any) -> Correlation:
    return Correlation(correlation_id="c", service_type="s", handler_name="h", action_type="a", **fields)


def test_the_caller_of_a_plain_add_gets_the_conflict(old: Store) -> None:
    old.tasks.add(task())
    with pytest.raises(Conflict) as caught:
        old.tasks.add(task())
    assert type(caught.value) is Conflict


def test_an_add_that_lost_a_race_compares_the_stored_record(old: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old.tasks.add(task())
    pick, reads = Table.pick, []

    def see_nothing_at_first(table: Table[Any, Any], keys: Any) -> list[Any]:
        reads.append(keys)
        return [] if len(reads) == 1 else pick(table, keys)

    monkeypatch.setattr(Table, "pick", see_nothing_at_first)
    assert old.tasks.add(task(), exist_ok=True).task_id == "t"
    assert len(reads) > 1


def test_the_id_of_an_expired_correlation_is_free(old: Store, clock: ManualClock) -> None:
    old.correlations.add(correlation(ttl_seconds=3600))
    clock.advance(hours=2)
    assert old.correlations.add(correlation(tags={"a": "b"})).tags == {"a": "b"}
