"""Hosts with wrong clocks: what several of them must agree on goes by the store's clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest

from ciris_store_core import ANY_OCCURRENCE, ManualClock, OccurrenceHandle, StaleFence, Store, Task
from ciris_store_core.services import DatabaseMaintenanceService
from ciris_store_core.store.context import StoreContext
from ciris_store_core.store.work.shared_tasks import SharedTasks

OFF = [timedelta(hours=1), timedelta(hours=-1), timedelta(days=3), timedelta(days=-3)]
TTL = 60

either_way = pytest.mark.parametrize("off", OFF, ids=str)


def host(store: Store, off: timedelta) -> StoreContext:
    """The same database as seen by a host whose clock is wrong."""
    return replace(store._ctx, clock=ManualClock(store.server_now() + off))


def handle(store: Store, name: str, off: timedelta) -> OccurrenceHandle:
    return OccurrenceHandle(store._x, host(store, off), name, TTL)


@pytest.mark.parametrize(("first", "second"), list(permutations([timedelta(0), *OFF], 2)), ids=str)
def test_hosts_with_different_clocks_have_one_winner(store: Store, first: timedelta, second: timedelta) -> None:
    one, other = (SharedTasks(store._x, host(store, off)) for off in (first, second))
    row, created = one.claim_and_transfer("wakeup", "c", "d", occurrence_id="a")
    assert created and row.task_id == "WAKEUP_SHARED_20250101" and row.created_at == store.server_now()
    assert other.claim_and_transfer("wakeup", "c", "d", occurrence_id="b") == (row, False)
    assert store.tasks.count(occurrence_id=ANY_OCCURRENCE) == 1


@either_way
def test_nobody_is_taken_for_dead_too_early_or_too_late(store: Store, clock: ManualClock, off: timedelta) -> None:
    worker, rescuer = handle(store, "w", off), handle(store, "r", -off)
    store.tasks.add(Task(task_id="t", channel_id="c", description="d"))
    worker.register()
    [work] = worker.claim_next()
    clock.advance(seconds=TTL - 1)
    assert rescuer.rescue() == [] and worker.heartbeat()
    clock.advance(seconds=TTL - 1)
    assert rescuer.rescue() == []
    clock.advance(seconds=1)
    assert [row.task_id for row in rescuer.rescue()] == ["t"]
    [again] = rescuer.claim_next()
    with pytest.raises(StaleFence):
        work.complete()
    again.complete()


@either_way
def test_a_lease_lasts_as_long_as_the_stores_clock_says(store: Store, clock: ManualClock, off: timedelta) -> None:
    assert store.leases.acquire("job", "right", TTL) is not None
    wrong = type(store.leases)(store._x, host(store, off))
    clock.advance(seconds=TTL - 1)
    assert wrong.acquire("job", "wrong", TTL) is None
    clock.advance(seconds=1)
    assert wrong.acquire("job", "wrong", TTL) is not None
    assert store.leases.acquire("job", "right", TTL) is None


@either_way
def test_a_shared_task_is_stale_by_the_stores_clock(store: Store, clock: ManualClock, off: timedelta) -> None:
    SharedTasks(store._x, host(store, off)).try_claim("wakeup", "c", "d", occurrence_id="a")
    service = DatabaseMaintenanceService(store, archive_dir=None)
    clock.advance(minutes=5, seconds=-1)
    assert service.run().stale_shared_tasks == 0
    clock.advance(seconds=1)
    assert service.run().stale_shared_tasks == 1
