"""Copies of whole stores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from ciris_store_core import (
    ANY_OCCURRENCE,
    AccessDenied,
    Conflict,
    Corrupt,
    GraphNode,
    InvalidArgument,
    ScopePolicy,
    Store,
    Task,
)
from ciris_store_core.conformance import factories as make
from ciris_store_core.conformance.support import exact
from ciris_store_core.conformance.wiping import damage
from ciris_store_core.transfer import (
    KINDS,
    backup_store,
    copy_store,
    digest_store,
    export_store,
    record_kinds,
    store_reader,
)
from ciris_store_core.transfer.record_kinds import MARKER_ID, KindSelection
from ciris_store_core.transfer.store_reader import StoreReader
from tests.transfer.conftest import Stores, fill, stop_at


def everything(store: Store) -> list[Any]:
    with StoreReader.of(store, KindSelection()) as reader:
        return [exact(record) for chunk in reader.chunks(None) for record in chunk.records]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def target(request: pytest.FixtureRequest, stores: Stores) -> Store:
    return stores.new(request.param)


def test_a_copy_is_the_same_to_the_last_byte(full: Store, target: Store) -> None:
    steps: list[Any] = []
    report = copy_store(full, target, on_step=steps.append)
    assert everything(target) == everything(full)
    assert digest_store(target) == digest_store(full) == report.kinds
    assert report.verified and not report.resumed and set(report.kinds) == set(KINDS)
    assert {(step.phase, step.kind) for step in steps} == {(p, k) for p in ("copy", "verify") for k in KINDS}
    assert all(step.done <= step.total for step in steps if step.total is not None)


def test_one_difference_changes_the_digest(full: Store) -> None:
    before = digest_store(full)
    full.tasks.update("t1", occurrence_id=ANY_OCCURRENCE, description="another")
    after = digest_store(full)
    assert {name for name in KINDS if before[name] != after[name]} == {"tasks"}


def test_a_copy_that_was_stopped_goes_on(stores: Stores, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_reader, "FIRST_PAGE", 7)
    monkeypatch.setattr(store_reader, "LARGEST_PAGE", 7)
    source, target = stores.new("memory"), stores.new(kind)
    fill(source)
    runs = 0
    while True:
        runs += 1
        try:
            report = copy_store(source, target, on_step=stop_at(9))
            break
        except KeyboardInterrupt:
            assert not target.is_empty()
            if runs == 3:
                break
    report = copy_store(source, target)
    assert runs == 3 and report.resumed and report.verified
    assert everything(target) == everything(source)
    assert MARKER_ID not in [each.occurrence_id for each in target.occurrences.find(alive_only=False)]


def test_whatever_is_written_meanwhile_is_no_part_of_it(stores: Stores, kind: str) -> None:
    source, target = stores.new(kind), stores.new("memory")
    fill(source)
    wanted = digest_store(source)
    done: list[Any] = []

    def on_step(step: Any) -> None:
        if not done and kind != "memory":  # whose one writer would be this thread
            done.append(step)
            source.tasks.add(Task(task_id="later", channel_id="c", description="d"))

    assert copy_store(source, target, on_step=on_step).kinds == wanted
    assert (
        kind == "memory"
        or source.tasks.count(occurrence_id=ANY_OCCURRENCE) == target.tasks.count(occurrence_id=ANY_OCCURRENCE) + 1
    )


def test_a_source_that_changed_between_two_runs_is_noticed(stores: Stores) -> None:
    source, target = stores.new("sqlite"), stores.new("memory")
    fill(source)

    def stop_behind_the_tasks(step: Any) -> None:
        if step.kind == "correlations":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_store(source, target, on_step=stop_behind_the_tasks)
    source.tasks.update("t1", occurrence_id=ANY_OCCURRENCE, description="changed after it was copied")
    with pytest.raises(Conflict, match="the source changed between the runs"):
        copy_store(source, target)


def test_what_a_target_does_not_keep_is_noticed(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = stores.new("memory"), stores.new("memory")
    fill(source)
    losing = replace(KINDS["tasks"], add=lambda session, tasks: session.tasks.add(tasks[1:]))
    monkeypatch.setattr(record_kinds, "KINDS", MappingProxyType({**KINDS, "tasks": losing}))
    with pytest.raises(Corrupt, match=r"digests differ for tasks \(20 for 21\)"):
        copy_store(source, target)
    assert not target.is_empty()


def test_a_target_with_something_in_it_is_refused(full: Store, stores: Stores) -> None:
    target = stores.new("memory")
    target.graph.put(GraphNode(id="x", type="concept", scope="local", attributes={}))
    before = everything(target)
    with pytest.raises(Conflict, match="not empty"):
        copy_store(full, target)
    assert everything(target) == before


def test_what_is_there_gets_no_identity_without_approval(full: Store, target: Store) -> None:
    target.graph.put(GraphNode(id="x", type="concept", scope="local", attributes={}))
    with pytest.raises(AccessDenied, match="Wise Authority"):
        copy_store(full, target, into_existing=True)
    assert target.graph.count(scope="identity") == 0
    assert [entry.event_type for entry in target.audit.scan("default")].count("access_denied") == 1


def test_records_can_be_added_to_what_is_there(full: Store, target: Store) -> None:
    target._executor.guard.policy = ScopePolicy(protected=[])
    target.graph.put(GraphNode(id="x", type="concept", scope="local", attributes={}))
    report = copy_store(full, target, into_existing=True)
    assert report.verified
    assert len(everything(target)) == len(everything(full)) + 1


def test_what_is_there_already_is_never_overwritten(full: Store) -> None:
    before = everything(full)
    with StoreReader.of(full, KindSelection()) as reader:
        found = {chunk.kind.name: chunk.records for chunk in reader.chunks(None)}
    assert set(found) == set(KINDS)
    for name, records in found.items():
        with pytest.raises(Conflict), full._backend.session(write=True) as session:
            KINDS[name].add(session, records)
    assert everything(full) == before


def test_the_target_of_another_copy_is_refused(stores: Stores) -> None:
    source, other, target = stores.new("memory"), stores.new("sqlite"), stores.new("memory")
    fill(source)
    fill(other)
    with pytest.raises(KeyboardInterrupt):
        copy_store(other, target, on_step=stop_at(3))
    with pytest.raises(Conflict, match="an unfinished copy of sqlite://"):
        copy_store(source, target)
    with pytest.raises(Conflict, match="unfinished copy"):
        copy_store(other, target, without=["secrets"])
    with pytest.raises(Conflict, match="is itself an unfinished copy"):
        copy_store(target, stores.new("memory"))
    assert copy_store(other, target).resumed


def test_a_copy_that_was_refused_at_once_can_be_begun_otherwise(stores: Stores, target: Store) -> None:
    source = stores.new("memory")
    fill(source)
    with target._backend.session(write=True) as session:
        session.audit.append([make.entry(1, "old")])
    with pytest.raises(Conflict):
        copy_store(source, target, into_existing=True)
    report = copy_store(source, target, into_existing=True, without=["audit", "identity"])
    assert report.verified and not report.resumed


def test_a_store_is_not_copied_onto_itself(stores: Stores) -> None:
    url = stores.url("sqlite")
    with pytest.raises(InvalidArgument, match="the same store"):
        copy_store(stores.open(url), stores.open(url))


def test_kinds_groups_and_scopes_can_be_left_out(full: Store, target: Store) -> None:
    report = copy_store(full, target, without=["identity", "secrets", "audit", "leases"])
    wanted = {"nodes", "edges", "tasks", "thoughts", "correlations", "occurrences"}
    wanted |= {"documents", "streams", "stream_entries"}
    assert set(report.kinds) == wanted == set(digest_store(target))
    assert target.graph.count(scope="identity", include_expired=True) == 0
    assert target.graph.count(scope="network", include_expired=True) == 3
    with pytest.raises(InvalidArgument, match="there is nothing called 'wat'"):
        copy_store(full, target, without=["wat"])


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_row_that_cannot_be_read_stops_it_or_is_listed(full: Store, stores: Stores) -> None:
    assert damage(full._backend, "tasks", "t3")
    with pytest.raises(Corrupt, match="'t3'"):
        copy_store(full, stores.new("memory"))
    target = stores.new("memory")
    report = copy_store(full, target, skip_corrupt=True)
    assert report.corrupt == ["tasks t3"] and report.verified
    assert report.kinds["tasks"].count == target.tasks.count(occurrence_id=ANY_OCCURRENCE) == 20


def test_a_database_in_memory_that_lets_nobody_in_beside_it(stores: Stores, tmp_path: Path) -> None:
    source, target = stores.open("sqlite:///:memory:?name=a"), stores.open("sqlite:///:memory:?name=b")
    fill(source)
    assert copy_store(source, target).kinds == export_store(source, tmp_path / "x", secrets=True).kinds
    assert backup_store(source, tmp_path / "y").bytes > 0
    assert everything(target) == everything(source)


def test_chunks_become_smaller_where_records_are_large(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_reader, "CHUNK_BYTES", 100_000)
    source = stores.new("sqlite")
    with source._backend.session(write=True) as session:
        session.tasks.add([make.task(f"t{i:03}", description="x" * 20_000) for i in range(300)])
    with StoreReader.of(source, KindSelection()) as reader:
        sizes = [len(chunk.records) for chunk in reader.chunks(None)]
    assert sum(sizes) == 300 and set(sizes[1:-1]) == {4}


def test_audit_events_bring_their_chain_along(stores: Stores, target: Store) -> None:
    source = stores.new("sqlite")
    for number in range(5):
        source.audit.append("login", "me", {"number": number})
    copy_store(source, target)
    assert everything(target) == everything(source)
    assert not target.audit.verify().problems
    target.audit.append("login", "you")
    assert not target.audit.verify().problems
