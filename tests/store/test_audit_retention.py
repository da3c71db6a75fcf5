"""Retention of audit chains."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from ciris_store_core import (
    AccessConfig,
    Corrupt,
    InvalidArgument,
    ManualClock,
    Store,
)
from tests.store.test_audit import KEY, append, event, found
from tests.support.tampering import (
    delete_anchor,
    entries_of,
    past_the_store,
    rewrite,
)


def test_cutting_leaves_what_verifies(opened: Callable[..., Store], clock: ManualClock) -> None:
    store = opened(access=AccessConfig(audit_key=KEY))
    old = append(store, 3)
    clock.advance(days=1)
    kept = append(store, 2)
    checkpoint = store.audit.checkpoint()
    assert store.audit.prune(clock.now()) == 3
    assert store.audit.prune(clock.now()) == 0
    entries = list(store.audit.scan())
    assert [entry.entry_id for entry in entries][:2] == kept and entries[2].event_type == "audit_pruned"
    assert entries[2].payload == {"chain": "default", "up_to": 3, "removed": 3, "before": clock.now().isoformat()}
    assert store.correlations.get_many(old) == {} and len(store.correlations.get_many(kept)) == 2
    report = store.audit.verify(checkpoint=checkpoint)
    assert report.ok and (report.entries, report.removed, report.signed) == (3, 3, 3)
    clock.advance(days=1)
    assert store.audit.prune(clock.now()) == 3
    assert [entry.sequence for entry in store.audit.scan()] == [7] and not store.audit.verify().problems


def test_cutting_takes_batches(store: Store, clock: ManualClock) -> None:
    append(store, 1100)
    store.correlations.add(event("later", timestamp=clock.now().replace(year=2100)))
    append(store, 3)
    clock.advance(seconds=1)
    assert store.audit.prune(clock.now()) == 1100, "what follows an entry that stays, stays"
    report = store.audit.verify()
    assert report.verdict == "hashes only" and report.removed == 1100


def test_cutting_another_chain(store: Store, clock: ManualClock) -> None:
    store.correlations.add(event("1", agent_occurrence_id="gone"))
    append(store, 1)
    clock.advance(seconds=1)
    assert store.audit.prune(clock.now(), chain="gone") == 1
    assert [entry.chain for entry in store.audit.scan()] == ["default", "gone"] and not store.audit.verify().problems
    assert store.audit.prune(clock.now(), chain="nobody") == 0
    with pytest.raises(InvalidArgument):
        store.audit.prune(clock.now().replace(tzinfo=None))


def test_cutting_nothing_leaves_nothing(store: Store, clock: ManualClock) -> None:
    assert store.audit.prune(datetime.min.replace(tzinfo=UTC)) == store.audit.prune(clock.now()) == 0
    assert store._x.backend.is_empty()  # type: ignore[attr-defined]


def test_no_trace_is_cut(store: Store, clock: ManualClock) -> None:
    append(store, 3)
    clock.advance(seconds=1)
    with past_the_store(store) as session:
        rewrite(session, entries_of(session, "default")[2], actor="eve")
    with pytest.raises(Corrupt, match="entry 2"):
        store.audit.prune(clock.now())
    assert len(store.audit.find()) == 3


def test_a_forged_anchor_is_found(opened: Callable[..., Store], clock: ManualClock) -> None:
    store = opened(access=AccessConfig(audit_key=KEY))
    append(store, 4)
    cut_at = clock.advance(seconds=1)
    append(store, 2)
    store.audit.prune(cut_at)
    with past_the_store(store) as session:
        entries = entries_of(session, "default")
        anchor = session.audit.anchor("default")
        # Two more are cut, and the anchor is made to fit.
        moved = anchor.replaced(sequence=5, removed_count=5, entry_hash=entries[5].entry_hash)
        session.audit.prune(moved)
        session.correlations.delete([entries[5].entry_id])
    assert found(store) == [("anchor", 5)]
    with past_the_store(store) as session:
        delete_anchor(session, "default")
    assert found(store) == [("missing", 1)]
