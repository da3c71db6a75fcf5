from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier, Event
from typing import Any

import pytest

from ciris_store_core import (
    ANY_OCCURRENCE,
    Conflict,
    InvalidArgument,
    ManualClock,
    StaleFence,
    Store,
    TaskStatus,
    Thought,
)
from ciris_store_core.models import Lease
from ciris_store_core.store.work.shared_tasks import SharedTasks
from tests.support.factories import task

# --- occurrences --------------------------------------------------------------------------------


def test_an_occurrence_lives_from_heartbeat_to_heartbeat(store: Store, clock: ManualClock) -> None:
    born = store.occurrences.register("o", 10, metadata={"host": "h"})
    assert (born.started_at, born.expires_at) == (clock.now(), clock.now() + timedelta(seconds=10))
    assert store.occurrences.find() == [born]
    clock.advance(seconds=9)
    assert store.occurrences.heartbeat("o", 10)
    clock.advance(seconds=9)
    assert [o.occurrence_id for o in store.occurrences.find()] == ["o"]
    clock.advance(seconds=1)
    assert store.occurrences.find() == [] and len(store.occurrences.find(alive_only=False)) == 1
    assert store.occurrences.remove("o") and not store.occurrences.remove("o") and not store.occurrences.heartbeat("o")


@pytest.mark.parametrize("bad", [0, -1, True, "60", float("nan"), 1e12, None])
def test_a_time_to_live_is_a_positive_number(store: Store, bad: float) -> None:
    for call in (
        lambda: store.occurrences.register("o", bad), lambda: store.leases.acquire("l", "o", bad),
        lambda: store.for_occurrence("o", bad),
    ):  # fmt: skip
        with pytest.raises(InvalidArgument, match="ttl_seconds"):
            call()
    assert store.occurrences.find(alive_only=False) == []


@pytest.mark.parametrize("bad", ["host", 5, [["host", "h"]]])
def test_metadata_is_an_object(store: Store, bad: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"metadata: expected a JSON object"):
        store.occurrences.register("o", metadata=bad)
    assert store.occurrences.find() == []


def test_nobody_runs_as_shared(store: Store) -> None:
    for call in (store.occurrences.register, store.occurrences.heartbeat, store.for_occurrence):
        with pytest.raises(InvalidArgument, match="namespace of shared tasks"):
            call("__shared__")


# --- leases -------------------------------------------------------------------------------------


def test_a_lease_has_one_holder_until_it_ends(store: Store, clock: ManualClock) -> None:
    lease = store.leases.acquire("job", "a", 10)
    assert lease is not None and store.leases.acquire("job", "b", 10) is None and store.leases.find() == [lease]
    clock.advance(seconds=5)
    renewed = store.leases.renew(lease, 10)
    assert renewed is not None and renewed.expires_at == clock.now() + timedelta(seconds=10)
    clock.advance(seconds=10)
    assert store.leases.find() == [] and store.leases.renew(renewed) is None and not store.leases.release(renewed)
    taken = store.leases.acquire("job", "b")
    assert taken is not None and taken.fence > lease.fence
    assert not store.leases.release(renewed) and store.leases.release(taken)
    assert store.leases.find() == []
    with pytest.raises(InvalidArgument, match="expected the Lease"):
        store.leases.release("job")  # type: ignore[arg-type]


def test_hold_takes_the_lease_for_a_block(store: Store, clock: ManualClock) -> None:
    with store.leases.lock("job", "a") as lease:
        assert isinstance(lease, Lease)
        with pytest.raises(Conflict), store.leases.lock("job", "b"):
            raise AssertionError("the block must not run")
    with pytest.raises(ValueError), store.leases.lock("job", "b"):
        raise ValueError
    assert store.leases.find() == []


def test_hold_says_when_the_lease_ran_out_during_the_work(store: Store, clock: ManualClock) -> None:
    with pytest.raises(StaleFence, match="expired during"), store.leases.lock("job", "a", 5):
        clock.advance(seconds=5)
    with store.leases.lock("job", "a", 5) as lease:
        clock.advance(seconds=4)
        assert store.leases.renew(lease, 5) is not None
        clock.advance(seconds=4)


# --- the handle of an occurrence ------------------------------------------------------------------


def test_a_handle_sees_and_writes_only_its_own(store: Store) -> None:
    store.tasks.add_many([task("theirs"), task("its", agent_occurrence_id="o")])
    me = store.for_occurrence("o")
    assert me.tasks.add(task("mine")).agent_occurrence_id == "o" and "'o'" in repr(me)
    assert [row.task_id for row in me.tasks.find()] == ["its", "mine"] and me.tasks.get("theirs") is None
    assert not me.tasks.update("theirs", status="failed")
    assert me.tasks.delete_many(["theirs", "its"]) == 1 and store.tasks.get("theirs") is not None
    assert me.thoughts.add(Thought(thought_id="h", source_task_id="mine", content="x")).agent_occurrence_id == "o"
    store.thoughts.add(Thought(thought_id="h2", source_task_id="mine", content="x"))
    assert me.thoughts.delete_many(["h", "h2"]) == 1 and store.thoughts.get("h2") is not None
    assert me.tasks.transfer("mine", from_occurrence="o", to_occurrence="p")


def test_a_handle_refuses_to_speak_for_others(store: Store) -> None:
    me = store.for_occurrence("o")
    calls = [
        lambda: me.tasks.get("t", occurrence_id="p"), lambda: me.tasks.find(occurrence_id=ANY_OCCURRENCE),
        lambda: me.tasks.add(task(agent_occurrence_id="p")), lambda: me.tasks.claim_next("p"),
        lambda: me.tasks.transfer("t", from_occurrence="p", to_occurrence="o"),
        lambda: me.thoughts.transfer(task_id="t", from_occurrence="p", to_occurrence="o"),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(InvalidArgument, match="bound to occurrence 'o'"):
            call()
    assert store.tasks.count(occurrence_id=ANY_OCCURRENCE) == 0


def test_a_handle_does_not_take_anothers_record_for_its_own(store: Store) -> None:
    store.tasks.add(task())
    with pytest.raises(Conflict, match="another agent_occurrence_id"):
        store.for_occurrence("o").tasks.add(task(), exist_ok=True)


def test_shutting_down_gives_the_work_back(store: Store) -> None:
    store.tasks.add_many([task(f"t{n}") for n in range(3)])
    with store.for_occurrence("o") as me:
        assert [o.occurrence_id for o in store.occurrences.find()] == ["o"] and me.heartbeat()
        first, _, last = me.claim_next(5)
        first.complete()
        last.add_thought(Thought(thought_id="h", source_task_id="t2", content="x", status="processing"))
    assert store.occurrences.find(alive_only=False) == []
    assert store.tasks.count(status="pending") == 2 and store.tasks.count(occurrence_id="o") == 1
    assert store.thoughts.count(status="pending", occurrence_id="default") == 1
    with pytest.raises(StaleFence):
        last.complete()
    assert store.for_occurrence("o").release_work() == 0


def test_work_of_the_dead_is_rescued_and_the_zombie_fenced_off(store: Store, clock: ManualClock) -> None:
    store.tasks.add_many([task("a"), task("b")])
    dying, living = store.for_occurrence("dying", 10), store.for_occurrence("living", 100)
    dying.register()
    living.register()
    [work] = dying.claim_next()
    living.claim_next()
    assert living.rescue() == []
    clock.advance(seconds=10)
    assert [(row.task_id, row.agent_occurrence_id) for row in living.rescue()] == [("a", "default")]
    with pytest.raises(StaleFence):
        work.complete()
    [again] = living.claim_next()
    again.complete()
    assert again.task.task_id == "a" and again.fence > work.fence


def test_a_restart_under_the_same_id_takes_back_what_it_had(store: Store) -> None:
    store.tasks.add_many([task(f"t{n:03}") for n in range(250)])
    before, after = store.for_occurrence("o"), store.for_occurrence("o")
    before.register()
    other = store.for_occurrence("other").claim_next()[0]
    claimed = before.claim_next(240)
    claimed[0].complete()
    claimed[1].add_thought(Thought(thought_id="h", source_task_id="t002", content="x", status="processing"))
    after.register()
    assert (
        store.tasks.count(status="pending") == 248
        and store.tasks.count(status="active", occurrence_id=ANY_OCCURRENCE) == 1
    )
    assert store.thoughts.get("h").status == "pending"  # type: ignore[union-attr]
    for zombie in claimed[1:]:
        with pytest.raises(StaleFence):
            zombie.complete()
    other.complete()
    again = after.claim_next(300)
    assert [work.task.task_id for work in again][:2] == ["t002", "t003"] and len(again) == 248
    assert all(new.fence > old.fence for new, old in zip(again, claimed[1:], strict=False))


def test_a_restart_takes_back_shared_work_with_the_fence_moved(store: Store) -> None:
    before, after = store.for_occurrence("o"), store.for_occurrence("o")
    before.register()
    mine, _ = before.try_claim_shared("wakeup", "c", "d")
    zombie = before.tasks.claimed(mine)
    zombie.add_thought(Thought(thought_id="h", source_task_id=mine.task_id, content="x", status="processing"))
    after.register()
    [work] = after.take_over("o")
    assert work.task.task_id == mine.task_id and work.fence > zombie.fence
    assert after.thoughts.get("h").status == "pending"  # type: ignore[union-attr]
    with pytest.raises(StaleFence):
        zombie.complete()
    work.complete()
    assert after.take_over("o") == []


def test_a_restart_waits_for_a_zombie_that_is_writing(store: Store) -> None:
    store.tasks.add(task())
    me = store.for_occurrence("o")
    me.register()
    [work] = me.claim_next()
    writing, go_on = Event(), Event()

    def zombie() -> None:
        with store.transaction() as tx:
            tx.tasks.claimed(work.task).update(priority=7)
            writing.set()
            assert go_on.wait(30)

    with ThreadPoolExecutor(2) as threads:
        old = threads.submit(zombie)
        assert writing.wait(30)
        new = threads.submit(store.for_occurrence("o").register)
        with pytest.raises(TimeoutError):
            new.result(timeout=0.3)
        go_on.set()
        old.result(30)
        new.result(30)
    found = store.tasks.get("t")
    assert found is not None and (found.status, found.priority) == ("pending", 7) and found.fence > work.fence


# --- shared tasks -------------------------------------------------------------------------------

MIDNIGHT = datetime(2025, 1, 2, tzinfo=UTC)


def test_one_claims_and_the_others_get_the_stored_row(store: Store, clock: ManualClock) -> None:
    row, created = store.shared_tasks.try_claim("wakeup", "c", "wake up", 5, occurrence_id="o1")
    assert created and (row.task_id, row.shared_type) == ("WAKEUP_SHARED_20250101", "WAKEUP")
    assert (row.agent_occurrence_id, row.created_by, row.priority) == ("__shared__", "o1", 5)
    assert store.shared_tasks.try_claim("WAKEUP", "c", "again") == (row, False)
    store.tasks.update(row.task_id, occurrence_id="__shared__", status="completed")
    again, created = store.shared_tasks.try_claim("wakeup", "c", "again")
    assert not created and again.status == TaskStatus.COMPLETED


def test_a_transferred_task_is_still_found(store: Store) -> None:
    row, created = store.shared_tasks.claim_and_transfer("wakeup", "c", "d", occurrence_id="o1")
    assert created and row.agent_occurrence_id == "o1" and row.fence > 0
    assert row == store.tasks.get(row.task_id, occurrence_id="o1")
    assert store.shared_tasks.claim_and_transfer("wakeup", "c", "d", occurrence_id="o2") == (row, False)
    assert store.shared_tasks.status("wakeup") == TaskStatus.PENDING and store.shared_tasks.latest("Wakeup") == row
    assert not store.shared_tasks.is_completed("wakeup")
    store.tasks.update(row.task_id, occurrence_id="o1", status="completed")
    assert store.shared_tasks.is_completed("wakeup")


def test_thoughts_come_along_with_a_shared_task(store: Store) -> None:
    shared = Thought(
        thought_id="h", source_task_id="WAKEUP_SHARED_20250101", content="x", agent_occurrence_id="__shared__"
    )
    store._x.write("test", lambda session: session.thoughts.add([shared]))  # it comes before its task, as a copy can
    me = store.for_occurrence("o1")
    assert me.try_claim_shared("wakeup", "c", "d")[1]
    assert [row.thought_id for row in me.thoughts.find()] == ["h"]


def test_types_match_exactly(store: Store) -> None:
    store.shared_tasks.try_claim("axb", "c", "d")
    assert store.shared_tasks.latest("a_b") is None and store.shared_tasks.status("ax") is None
    assert store.shared_tasks.try_claim("a_b", "c", "d")[1]


def test_within_hours_looks_at_created_at(store: Store, clock: ManualClock) -> None:
    old, _ = store.shared_tasks.try_claim("wakeup", "c", "d")
    clock.advance(hours=24)
    assert store.shared_tasks.latest("wakeup") == old
    new, created = store.shared_tasks.try_claim("wakeup", "c", "d")
    assert created and store.shared_tasks.latest("wakeup") == new
    clock.advance(seconds=1)
    store.tasks.update(old.task_id, occurrence_id="__shared__", status="completed")
    assert store.shared_tasks.latest("wakeup", within_hours=48) == new
    clock.advance(hours=24)
    assert store.shared_tasks.latest("wakeup") is None and store.shared_tasks.status("wakeup", 0.5) is None
    for bad in (0, -1, True, float("nan")):
        with pytest.raises(InvalidArgument, match="within_hours"):
            store.shared_tasks.latest("wakeup", bad)


@pytest.mark.parametrize(
    ("minutes", "status", "counts"),
    [
        (0.5, "pending", True),
        (4.99, "active", True),
        (5, "active", False),
        (0.5, "completed", False),
        (0.5, "failed", False),
    ],
)
def test_an_unfinished_row_of_yesterday_counts_for_five_minutes(
    store: Store, clock: ManualClock, minutes: float, status: str, counts: bool
) -> None:
    clock.set(MIDNIGHT - timedelta(seconds=1))
    late, _ = store.shared_tasks.try_claim("wakeup", "c", "d")
    store.tasks.update(late.task_id, occurrence_id="__shared__", status=status)
    clock.set(MIDNIGHT - timedelta(seconds=1) + timedelta(minutes=minutes))
    row, created = store.shared_tasks.try_claim("wakeup", "c", "d")
    assert created is not counts
    assert row.task_id == ("WAKEUP_SHARED_20250101" if counts else "WAKEUP_SHARED_20250102")


def test_a_caller_that_read_the_clock_before_midnight_yields_to_the_row_of_the_new_day(
    store: Store, clock: ManualClock
) -> None:
    clock.set(MIDNIGHT + timedelta(seconds=1))
    row, created = store.shared_tasks.try_claim("wakeup", "c", "d")
    assert created
    clock.set(MIDNIGHT - timedelta(seconds=1))
    assert store.shared_tasks.try_claim("wakeup", "c", "d") == (row, False)


class Racer(ManualClock):
    """Claims with a clock of its own, and lets something happen between its look and its write."""

    def __init__(self, store: Store, now: datetime, before_write: Callable[[], object]) -> None:
        super().__init__(now)
        self._inner, self._before_write = store._x, before_write
        self.shared = SharedTasks(self, replace(store._ctx, server_now=self.now))

    def read(self, operation: str, fn: Any, *, single: bool = True) -> Any:
        return self._inner.read(operation, fn, single=single)

    def write(self, operation: str, fn: Any, *, single: bool = True) -> Any:
        self._before_write()
        return self._inner.write(operation, fn, single=single)

    def claim(self, kind: str) -> bool:
        return self.shared.try_claim(kind, "c", "d")[1]


BEFORE, AFTER = MIDNIGHT - timedelta(seconds=1), MIDNIGHT + timedelta(seconds=1)


@pytest.mark.parametrize(("mine", "theirs"), [(BEFORE, AFTER), (AFTER, BEFORE), (AFTER, AFTER)])
def test_a_claim_that_came_between_look_and_write_wins(store: Store, mine: datetime, theirs: datetime) -> None:
    won = []
    other = Racer(store, theirs, lambda: None)
    assert not Racer(store, mine, lambda: won.append(other.claim("wakeup"))).claim("wakeup")
    assert won == [True] and store.tasks.count(occurrence_id="__shared__") == 1


def test_racers_either_side_of_midnight_have_one_winner(store: Store) -> None:
    barrier = Barrier(8)  # All have looked, and seen nothing, before anyone writes.
    racers = [Racer(store, (BEFORE, AFTER)[number % 2], lambda: barrier.wait(30)) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for round_number in range(10):
            won = list(pool.map(lambda racer, kind=f"kind{round_number}": racer.claim(kind), racers))
            assert won.count(True) == 1


def test_a_claim_holds_no_lease(store: Store) -> None:
    store.shared_tasks.try_claim("wakeup", "c", "d")
    assert store.leases.find() == []
