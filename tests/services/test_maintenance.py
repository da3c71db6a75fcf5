from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core import (
    ANY_OCCURRENCE,
    Correlation,
    GraphNode,
    InvalidArgument,
    ManualClock,
    StaleFence,
    Store,
    Task,
    TaskStatus,
    Thought,
    ThoughtStatus,
)
from ciris_store_core.errors import ReadOnly
from ciris_store_core.services import DatabaseMaintenanceService, MaintenancePolicy, read_archive
from tests.services.conftest import Service, add_orphans, changed
from tests.services.dumps import rows_of
from tests.support import factories


def task(task_id: str, owner: str = "dead", **fields: Any) -> Task:
    return factories.task(task_id, agent_occurrence_id=owner, **fields)


def thought(thought_id: str, task_id: str, owner: str = "dead", **fields: Any) -> Thought:
    return factories.thought(thought_id, task_id, agent_occurrence_id=owner, **fields)


def task_ids(store: Store) -> list[str]:
    return sorted(row.task_id for row in store.tasks.scan(occurrence_id=ANY_OCCURRENCE))


def thought_ids(store: Store) -> list[str]:
    return sorted(row.thought_id for row in store.thoughts.scan(occurrence_id=ANY_OCCURRENCE))


# --- stale shared tasks -----------------------------------------------------------------------------


def test_a_stale_shared_task_goes_and_can_be_claimed_again(store: Store, clock: ManualClock, clean: Any) -> None:
    row, _ = store.shared_tasks.try_claim("any_type", "c", "d")
    store.thoughts.add(thought("h", row.task_id, "__shared__"))
    clock.advance(minutes=5, seconds=-1)
    assert clean() == {}
    clock.advance(seconds=1)
    assert clean() == {"stale_shared_tasks": 1, "thoughts": 1}
    assert store.shared_tasks.latest("any_type") is None and thought_ids(store) == []
    assert store.shared_tasks.try_claim("any_type", "c", "d")[1]


def test_other_shared_tasks_stay(store: Store, clock: ManualClock, clean: Any) -> None:
    store.shared_tasks.claim_and_transfer("transferred", "c", "d", occurrence_id="o")
    store.occurrences.register("alive", 3600)
    for kind, status in (("active", "active"), ("completed", "completed"), ("failed", "failed")):
        row, _ = store.shared_tasks.try_claim(kind, "c", "d", occurrence_id="alive")
        store.tasks.update(row.task_id, occurrence_id="__shared__", status=status)
    store.tasks.add(task("X_SHARED_2025", "__shared__"))  # Named nearly like one, and not marked.
    busy, _ = store.shared_tasks.try_claim("busy", "c", "d")
    clock.advance(minutes=4)
    store.thoughts.add(thought("fresh", busy.task_id, "__shared__"))
    clock.advance(minutes=2)
    before = task_ids(store)
    assert clean() == {"kept": 2} and task_ids(store) == before


@pytest.mark.parametrize("status", ["pending", "active", "deferred"])
@pytest.mark.parametrize("claimant", ["dead", "unregistered"])
def test_a_shared_task_of_a_dead_claimant_goes(
    store: Store, clock: ManualClock, clean: Any, status: str, claimant: str
) -> None:
    """Otherwise the ritual of that day is lost: the task is claimed, and its claimant will not finish it."""
    store.occurrences.register("dead", 600)
    row, _ = store.shared_tasks.try_claim("wakeup", "c", "d", occurrence_id=claimant)
    store.tasks.update(row.task_id, occurrence_id="__shared__", status=status)
    clock.advance(minutes=4)
    assert clean() == {}
    clock.advance(minutes=1)
    kept = claimant == "dead" and status == "active"
    assert clean() == ({"kept": 1} if kept else {"stale_shared_tasks": 1})
    clock.advance(minutes=5)
    assert clean() == ({"stale_shared_tasks": 1} if kept else {})
    assert store.shared_tasks.try_claim("wakeup", "c", "d")[1]


def test_a_shared_task_made_by_hand_is_one(store: Store, clock: ManualClock, clean: Any) -> None:
    """Otherwise claims see it, status helpers do not, and nothing cleans it."""
    made = f"WAKEUP_SHARED_{clock.now():%Y%m%d}"
    store.tasks.add(task(made, "__shared__"))
    store.tasks.add_many([task(made.replace("WAKEUP", "OTHER"), "__shared__")])
    mine = store.tasks.add(task(made.replace("WAKEUP", "MINE"), "o"))
    assert mine.shared_type is None
    for kind in ("wakeup", "other"):
        assert store.shared_tasks.try_claim(kind, "c", "d")[1] is False
        assert store.shared_tasks.status(kind) == "pending"
    clock.advance(minutes=5)
    assert clean() == {"stale_shared_tasks": 2}


def test_a_shared_task_that_another_thinks_about_stays(store: Store, clock: ManualClock, clean: Any) -> None:
    row, _ = store.shared_tasks.try_claim("a", "c", "d")
    store.thoughts.add(thought("h", row.task_id, "somebody"))
    clock.advance(minutes=6)
    assert clean() == {"kept": 1} and thought_ids(store) == ["h"]


# --- what the dead left, and what expired ---------------------------------------------------------------


def test_work_of_the_dead_is_given_back_and_their_thoughts_recovered(
    store: Store, clock: ManualClock, clean: Any
) -> None:
    for name, ttl in (("dead", 10), ("alive", 3600)):
        store.occurrences.register(name, ttl)
        store.tasks.add(task(f"own-{name}", name, status="active"))
        store.thoughts.add(thought(f"own-{name}", f"own-{name}", name, status="processing"))
        store.tasks.add(task(f"claimed-{name}", "default"))
        [work] = store.tasks.claim_next(name)
        work.add_thought(thought(f"claimed-{name}", f"claimed-{name}", name, status="processing"))
    store.thoughts.add(thought("unregistered", "own-alive", "unregistered", status="processing"))
    store.tasks.add(task("claimed-unregistered", "default"))
    store.tasks.claim_next("unregistered")
    clock.advance(seconds=10)
    before = rows_of(store, "alive")
    assert clean() == {"rescued_tasks": 1, "recovered_thoughts": 2}
    assert rows_of(store, "alive") == before
    recovered = store.thoughts.get_many(["own-dead", "claimed-dead", "unregistered"], occurrence_id=ANY_OCCURRENCE)
    assert [row.status for row in recovered.values()] == [
        ThoughtStatus.PENDING, ThoughtStatus.PENDING, ThoughtStatus.PROCESSING,
    ]  # fmt: skip
    assert recovered["claimed-dead"].agent_occurrence_id == "default"
    kept = store.tasks.get("own-dead", occurrence_id="dead")
    assert kept is not None and kept.status == TaskStatus.ACTIVE
    assert store.tasks.count(occurrence_id="unregistered", status="active") == 1


def test_work_of_the_dead_stays_with_them_if_the_policy_says_so(store: Store, clock: ManualClock, clean: Any) -> None:
    store.tasks.add(task("t", "default"))
    store.occurrences.register("dead", 10)
    assert store.tasks.claim_next("dead")
    clock.advance(seconds=10)
    assert clean(policy=MaintenancePolicy(rescue=False)) == {}
    assert store.tasks.get("t", occurrence_id="dead") is not None
    assert clean(policy=MaintenancePolicy(rescue=True)) == {"rescued_tasks": 1}


def test_much_work_of_many_dead_is_given_back_in_batches(store: Store, clock: ManualClock, clean: Any) -> None:
    store.tasks.add_many([task(f"t{n:02}", "default") for n in range(25)])
    for number in range(5):
        store.occurrences.register(f"o{number}", 10)
        store.tasks.claim_next(f"o{number}", 5)
    clock.advance(seconds=10)
    assert clean(policy=MaintenancePolicy(batch_size=4)) == {"rescued_tasks": 25}
    assert store.tasks.count(status="pending") == 25


def test_unfinished_work_stays_however_old(store: Store, clock: ManualClock, clean: Any) -> None:
    unfinished = ("pending", "active", "deferred", "failed", "rejected", "cancelled")
    store.tasks.add_many([task(f"{o}-{s}", o, status=s) for o in ("o", "default") for s in unfinished])
    store.thoughts.add_many([thought(f"h-{s.value}", "o-active", "o", status=s, context=None) for s in ThoughtStatus])
    before = (rows_of(store, "o"), rows_of(store, "default"))
    clock.advance(days=3650)
    assert clean() == {} and (rows_of(store, "o"), rows_of(store, "default")) == before


def test_what_expired_goes(store: Store, clock: ManualClock, clean: Any) -> None:
    later = clock.now() + timedelta(hours=1)
    for number in range(3):
        store.graph.put(GraphNode(id=f"n{number}", type="concept", scope="local", attributes={}, expires_at=later))
        event = {"service_type": "s", "handler_name": "h", "action_type": "a", "ttl_seconds": 3600}
        store.correlations.add(Correlation(**event))
    store.graph.put(GraphNode(id="stays", type="concept", scope="local", attributes={}))
    assert clean() == {}
    clock.advance(hours=1)
    assert clean(policy=MaintenancePolicy(expire=False)) == {}
    assert clean(policy=MaintenancePolicy(batch_size=2)) == {"expired_nodes": 3, "expired_correlations": 3}
    assert [row.id for row in store.graph.scan(include_expired=True)] == ["stays"] and store.correlations.count() == 0


# --- batches, the archive, dry runs ---------------------------------------------------------------------


def test_many_go_in_small_batches(store: Store, clock: ManualClock, clean: Any) -> None:
    store.tasks.add_many([task(f"o{n:02}", parent_task_id="nowhere") for n in range(25)])
    store.tasks.add_many([task(f"kept{n}", parent_task_id="nowhere") for n in range(5)])
    store.thoughts.add_many([thought(f"k{n}", f"kept{n}", "alive") for n in range(5)])
    add_orphans(store, *(thought(f"h{n:02}", "nowhere") for n in range(25)))
    store.occurrences.register("alive", 3600)
    clock.advance(minutes=3)
    found = clean(policy=MaintenancePolicy(batch_size=4))
    assert found == {"orphaned_tasks": 25, "orphaned_thoughts": 25, "kept": 5}
    assert len(task_ids(store)) == len(thought_ids(store)) == 5


def test_what_is_removed_is_archived_first(store: Store, clock: ManualClock, service: Service, tmp_path: Path) -> None:
    rows = [
        store.tasks.add(task("top", "default", status="completed", metadata={"é": [1, 1.0, None]})),
        store.thoughts.add(thought("h", "top", "default", status="completed", content="a\nb")),
        store.tasks.add(task("orphan", parent_task_id="nowhere")),
        thought("lonely", "nowhere", created_at=clock.now(), updated_at=clock.now()),
    ]
    add_orphans(store, rows[-1])
    clock.advance(days=31)
    report = service().run()
    assert report.archive is not None and report.archive.stat().st_mode & 0o777 == 0o600
    assert report.archive.parent.stat().st_mode & 0o777 == 0o700
    entries = list(read_archive(report.archive))
    assert len(entries) == 4 and all(row in [entry.record for entry in entries] for row in rows)
    assert [entry.reason for entry in entries] == ["orphaned_tasks", "orphaned_thoughts", "old_tasks", "old_tasks"]
    assert report.removed == 4 and list((tmp_path / "archive").iterdir()) == [report.archive]


def test_nothing_is_removed_that_cannot_be_archived(
    store: Store, clock: ManualClock, service: Service, tmp_path: Path
) -> None:
    store.tasks.add(task("orphan", parent_task_id="nowhere"))
    clock.advance(minutes=3)
    (tmp_path / "file").touch()
    with pytest.raises(ReadOnly, match="nothing of this batch was deleted"):
        service(archive_dir=tmp_path / "file").run()
    assert task_ids(store) == ["orphan"] and store.leases.find() == []
    assert service(archive_dir=None).run().archive is None and task_ids(store) == []


def test_a_dry_run_changes_nothing_and_makes_no_file(
    store: Store, clock: ManualClock, service: Service, tmp_path: Path
) -> None:
    store.occurrences.register("dead", 1)
    store.tasks.add_many([task("orphan", parent_task_id="nowhere"), task("c", "default")])
    store.tasks.claim_next("dead")
    store.thoughts.add_many([thought(i, i, status="processing") for i in ("orphan", "c")])
    add_orphans(store, thought("nowhere", "nowhere", status="processing"))
    clock.advance(minutes=3)
    before = rows_of(store, "dead")
    report = service().run(dry_run=True)
    assert changed(report) == {
        "rescued_tasks": 1, "recovered_thoughts": 1, "orphaned_tasks": 1, "thoughts": 1, "orphaned_thoughts": 1,
    }  # fmt: skip
    assert report.dry_run and rows_of(store, "dead") == before
    assert not (tmp_path / "archive").exists()
    assert changed(service().run()) == changed(report)


def test_one_task_under_two_rules_is_counted_once(store: Store, clock: ManualClock, clean: Any) -> None:
    store.tasks.add(task("t", parent_task_id="nowhere", status="completed"))
    clock.advance(days=31)
    assert clean() == {"orphaned_tasks": 1}


# --- bystanders, the lease, options ---------------------------------------------------------------------


def test_one_process_at_a_time(store: Store, clock: ManualClock, service: Service) -> None:
    store.tasks.add(task("orphan", parent_task_id="nowhere"))
    clock.advance(minutes=3)
    with store.leases.lock("maintenance", "another", 60):
        report = service().run()
        assert report.skipped and changed(report) == {} and task_ids(store) == ["orphan"]
        assert changed(service().run(dry_run=True)) == {"orphaned_tasks": 1}
    assert not service().run().skipped and store.leases.find() == []


def test_a_lost_lease_ends_the_pass(store: Store, clock: ManualClock, service: Service) -> None:
    store.tasks.add_many([task(f"o{n}", parent_task_id="nowhere") for n in range(3)])
    clock.advance(minutes=3)
    maintenance = service(policy=MaintenancePolicy(batch_size=1))

    def keep() -> None:
        if len(task_ids(store)) == 2:
            raise StaleFence("lost")

    with pytest.raises(StaleFence):
        maintenance._pass(keep)
    assert len(task_ids(store)) == 2
    assert changed(maintenance.run()) == {"orphaned_tasks": 2}


@pytest.mark.parametrize(
    "bad",
    [{"batch_size": 0}, {"batch_size": 10_001}, {"batch_size": True}, {"orphan_guard": timedelta(0)},
     {"stale_shared_after": timedelta(-1)}, {"completed_after": timedelta(0)}],
)  # fmt: skip
def test_a_policy_that_would_clean_live_work_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        MaintenancePolicy(**bad)


def test_shared_is_no_occurrence_of_its_own(service: Service) -> None:
    with pytest.raises(InvalidArgument, match="namespace of shared tasks"):
        service(occurrence_id="__shared__")


def test_the_default_archive_is_beside_the_default_database(
    store: Store, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store.tasks.add(task("orphan", parent_task_id="nowhere"))
    clock.advance(minutes=3)
    report = DatabaseMaintenanceService(store).run()
    assert report.archive is not None and report.archive.resolve().parent == tmp_path / "data" / "archive"


def test_it_runs_in_the_background_until_it_is_stopped(store: Store, clock: ManualClock, service: Service) -> None:
    store.tasks.add(task("orphan", parent_task_id="nowhere"))
    clock.advance(minutes=3)
    maintenance = service()
    assert not maintenance.running and maintenance.last_report is None
    with maintenance:
        assert maintenance.running
        maintenance.start()
        assert maintenance.stop(30) and maintenance.close()
    assert not maintenance.running and maintenance.last_error is None
