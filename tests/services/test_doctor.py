"""Findings of the doctor, on every backend; the findings of each database are tested beside its backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from ciris_store_core import ANY_OCCURRENCE, ManualClock, Store, Thought, open_store
from ciris_store_core.conformance.factories import T0
from ciris_store_core.conformance.wiping import damage
from ciris_store_core.models.audit import AuditQuery
from ciris_store_core.models.documents import DocumentKey, DocumentWrite
from ciris_store_core.models.operations import Severity
from ciris_store_core.models.streams import StoredEntry, StreamKey
from ciris_store_core.services import DatabaseMaintenanceService, DoctorReport, Growth, examine, unstick
from ciris_store_core.transfer import copy_store
from tests.support.factories import task
from tests.transfer.conftest import stop_at

Opened = Callable[..., Store]


def codes(report: DoctorReport) -> list[str]:
    return [finding.code for finding in report.findings if finding.code != "unsafe_setting"]


@pytest.mark.parametrize("thorough", [False, True])
def test_nothing_is_wrong_with_a_new_store(store: Store, thorough: bool) -> None:
    store.tasks.add(task())
    report = examine(store, thorough=thorough)
    assert codes(report) in ([], ["not_checked"])  # PostgreSQL may lack amcheck
    assert report.worst() in (None, Severity.INFO, Severity.WARNING)
    assert report.growth["tasks"] == Growth(1, 1, 1)


def test_growth_is_by_the_times_in_the_records(store: Store, clock: ManualClock) -> None:
    store.tasks.add(task("old"))
    clock.advance(days=3)
    store.tasks.add(task("new"))
    clock.advance(hours=1)
    assert examine(store).growth["tasks"] == Growth(2, 1, 2)


def test_work_of_the_dead_is_found_and_given_back(store: Store, clock: ManualClock) -> None:
    store.tasks.add(task())
    worker = store.for_occurrence("w")
    worker.register()
    [claimed] = worker.claim_next()
    claimed.add_thought(Thought(thought_id="h", source_task_id="t", content="c", status="processing"))
    assert codes(examine(store)) == []
    clock.advance(minutes=3)
    report = examine(store)
    assert codes(report) == ["work_of_the_dead", "stuck_in_processing"]
    assert report.findings[-2].data["occurrences"] == ["w"]
    found = DatabaseMaintenanceService(store, archive_dir=None).rescue()
    assert (found.rescued_tasks, found.recovered_thoughts) == (1, 1)
    assert codes(examine(store)) == []


def test_a_lease_that_never_ends_is_found(store: Store) -> None:
    store.leases.acquire("job", "gone", ttl_seconds=3 * 86400)
    store.leases.acquire("short", "me", ttl_seconds=60)
    [finding] = [each for each in examine(store).findings if each.code == "stuck_lease"]
    assert "'job'" in finding.summary and finding.fix.endswith("ciris-store leases release job")


def test_thoughts_left_in_the_shared_namespace_are_found_and_freed(store: Store) -> None:
    store.shared_tasks.try_claim("wakeup", "c", "d", occurrence_id="one")
    [shared] = store.tasks.find(occurrence_id="__shared__").items
    for name in ("a", "b"):
        thought = Thought(thought_id=name, source_task_id=shared.task_id, content="c", agent_occurrence_id="__shared__")
        store.thoughts.add(thought)
    assert "stuck_thoughts" not in codes(examine(store))
    store.tasks.transfer(shared.task_id, from_occurrence="__shared__", to_occurrence="one")
    [finding] = [each for each in examine(store).findings if each.code == "stuck_thoughts"]
    assert finding.data == {"thoughts": 2, "tasks": [shared.task_id]}
    assert unstick(store) == 2
    assert "stuck_thoughts" not in codes(examine(store))
    assert store.thoughts.count(occurrence_id="one") == 2


def test_what_maintenance_would_remove_is_found(store: Store, clock: ManualClock) -> None:
    store.tasks.add(task("done", status="completed"))
    store.tasks.add(task("orphan", parent_task_id="gone"))
    store.shared_tasks.try_claim("wakeup", "c", "d", occurrence_id="one")
    clock.advance(days=40)
    report = examine(store)
    assert set(codes(report)) >= {"stale_shared_tasks", "orphans", "old_tasks"}
    DatabaseMaintenanceService(store, archive_dir=None).run()
    assert codes(examine(store)) == []


def test_records_of_the_future_are_found(store: Store, clock: ManualClock) -> None:
    store.tasks.add(task(created_at=clock.now() + timedelta(days=5), updated_at=clock.now()))
    assert "future_times" in codes(examine(store))


def test_documents_and_streams_of_the_future_are_found(store: Store, clock: ManualClock) -> None:
    store.documents.put(("d",), "k", 1)
    store.streams.append(("s",), "run", [1])
    assert codes(examine(store)) == []
    with store._backend.session(write=True) as session:
        [stored] = session.documents.get([DocumentKey(("d",), "k")], None)
        later = replace(stored, key="later", updated_at=clock.now() + timedelta(days=5))
        session.documents.put([DocumentWrite(later, "restore")], clock.now())
        session.streams.append(StreamKey(("s",), "later"), [StoredEntry(stored.payload, T0)], later.updated_at, None)
    [finding] = [each for each in examine(store).findings if each.code == "future_times"]
    assert finding.data == {"tasks": 0, "correlations": 0, "documents": 1, "streams": 1}
    assert finding.summary.endswith("wrong: 1 documents, 1 streams")


def test_documents_and_streams_grow(store: Store, clock: ManualClock) -> None:
    for key in ("old", "again", "new"):
        store.documents.put(("d",), key, 1)
        store.streams.append(("s",), key, [1, 2])
    clock.advance(days=3)
    store.documents.put(("d",), "again", 2)
    store.streams.append(("s",), "again", [3])
    clock.advance(days=1, hours=-1)
    store.documents.put(("d",), "new", 2)
    store.streams.append(("s",), "new", [3])
    clock.advance(days=3)
    report = examine(store)
    assert report.growth["documents"] == report.growth["streams"] == Growth(3, 0, 3)
    clock.advance(hours=2)
    report = examine(store)
    assert report.growth["documents"] == report.growth["streams"] == Growth(3, 0, 2)
    tables = {each.name for each in report.tables}
    assert not tables or tables >= {"documents", "streams", "stream_entries"}


def test_clocks_that_disagree_are_found(opened: Opened, clock: ManualClock) -> None:
    store = opened(server_clock=ManualClock(clock.now() + timedelta(seconds=90)))
    [finding] = [each for each in examine(store).findings if each.code == "clock_skew"]
    assert finding.data == {"seconds": 90.0} and "90.0 s behind" in finding.summary


def test_an_unfinished_copy_is_found(store: Store) -> None:
    store.tasks.add(task())
    with open_store("memory://unfinished") as target:
        with pytest.raises(KeyboardInterrupt):
            copy_store(store, target, on_step=stop_at(1))
        report = examine(target)
    assert report.worst() is Severity.ERROR and codes(report) == ["unfinished_copy"]


def test_rows_that_cannot_be_read_are_found_by_reading_all(store: Store) -> None:
    store.tasks.add(task())
    if not damage(store._backend, "tasks", "t"):
        pytest.skip("the rows of this backend cannot be damaged")
    assert "corrupt_rows" not in codes(examine(store))
    [finding] = [each for each in examine(store, thorough=True).findings if each.code == "corrupt_rows"]
    assert finding.data == {"rows": ["tasks t"]}


def test_a_chain_that_was_changed_is_found_by_reading_all(store: Store) -> None:
    for number in range(3):
        store.audit.append("login", "me", {"n": number})
    with store._backend.session(write=True) as session:
        [first, *_] = session.correlations.get([entry.entry_id for entry in session.audit.find(AuditQuery()).items])
        session.correlations.update(first.correlation_id, {"metadata": {"n": 9}, "updated_at": first.updated_at})
    assert "audit_chains" in codes(examine(store, thorough=True))
    assert store.tasks.count(occurrence_id=ANY_OCCURRENCE) == 0
