"""Documents and streams: several processes at once, and a process that is killed."""

from __future__ import annotations

from contextlib import closing

import pytest

from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.payload_samples import K, append, document, store
from ciris_store_core.conformance.peers import PeerMaker, together
from ciris_store_core.conformance.scripts_of_payloads import write_payloads
from ciris_store_core.conformance.suite.documents import DOCUMENTS, get
from ciris_store_core.conformance.suite.processes import RACERS, racers
from ciris_store_core.conformance.suite.streams import STREAMS, entries, info
from ciris_store_core.conformance.support import reading, writing
from ciris_store_core.contract import Backend
from ciris_store_core.models.documents import DocumentQuery
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.validation.payloads import value_of


class TestPayloadProcesses:
    """Several processes at the same time."""

    @clause("documents.put.processes", Level.MULTI_INSTANCE, needs=DOCUMENTS)
    def test_compare_and_set(self, backend: Backend, new_peer: PeerMaker) -> None:
        """Otherwise of two instances that read the same revision, one overwrites the other unseen."""
        store(backend, document(value=0))
        together(racers(new_peer), "count_document", [{"times": 10}] * RACERS)
        found = get(backend)
        assert (value_of(found.payload), found.revision) == (10 * RACERS, 10 * RACERS + 1)

    @clause("streams.append.processes", Level.MULTI_INSTANCE, needs=STREAMS)
    def test_many_append(self, backend: Backend, new_peer: PeerMaker) -> None:
        """Otherwise entries of two instances have one position, or one is lost, or there twice."""
        names = [f"p{number}" for number in range(RACERS)]
        taken = together(racers(new_peer), "append_entries", [{"me": name, "times": 15} for name in names])
        found = entries(backend)
        assert len(found) == 15 * RACERS + 15
        own = {each.position: value_of(each.payload) for each in found if each.id is None}
        for name, positions in zip(names, taken, strict=True):
            assert [own[position] for position in positions] == [[name, number] for number in range(15)]
        assert sorted(each.id for each in found if each.id) == sorted(f"shared {number}" for number in range(15))

    @clause("streams.pop.processes", Level.MULTI_INSTANCE, needs=STREAMS)
    def test_many_pop(self, backend: Backend, new_peer: PeerMaker) -> None:
        """Otherwise two instances take the same entry back."""
        append(backend, range(40))
        taken = together(racers(new_peer), "pop_entries", [{}] * RACERS)
        assert sorted(position for each in taken for position in each) == list(range(1, 41))
        assert entries(backend) == []


def prepared(harness: Harness, clock: ManualClock) -> None:
    """Store the records number 0, and close the store."""
    with closing(harness.open(clock)) as backend, writing(backend) as session:
        write_payloads(session, 0)


def reopened(harness: Harness, clock: ManualClock) -> int:
    """Return the number of the last records that are there; check that all kinds agree, and that all can be written."""
    with closing(harness.open(clock)) as backend:
        with reading(backend) as session:
            keys = [each.key for each in session.documents.find(DocumentQuery(10**6)).items]
            tasks = len(session.tasks.find(TaskQuery(limit=10**6)).items)
        last = value_of(get(backend).payload)
        found = [(each.id, value_of(each.payload)) for each in entries(backend)]
        assert sorted(keys) == sorted([K.key, *(f"d{number}" for number in range(last + 1))])
        assert tasks == last + 1 and get(backend).revision == last + 1
        assert found == [(f"{number} {part}", [number, part]) for number in range(last + 1) for part in range(2)]
        facts = info(backend)
        assert facts is not None and facts.last_position == 2 * last + 2
        with writing(backend) as session:
            write_payloads(session, last + 1)
        return int(last)


class TestPayloadCrashes:
    """``Backend.session``, in a process that is killed. Both capabilities are in use where both are there."""

    @clause("documents.crash.before_commit", Level.DURABLE, needs=STREAMS)
    def test_before_commit(self, harness: Harness, clock: ManualClock, new_peer: PeerMaker) -> None:
        """Otherwise half of what belongs together is stored when the machine or the process fails."""
        prepared(harness, clock)
        peer = new_peer()
        peer.start("stop_in_payloads")
        peer.until("stopped")
        peer.kill()
        assert reopened(harness, clock) == 0

    @clause("documents.crash.single", Level.DURABLE, needs=STREAMS)
    def test_after_single_calls(self, harness: Harness, clock: ManualClock, new_peer: PeerMaker) -> None:
        """Otherwise the quick way of making one call acknowledges what is not stored yet."""
        prepared(harness, clock)
        peer = new_peer()
        peer.start("stop_after_payload")
        peer.until("stopped")
        peer.kill()
        assert reopened(harness, clock) == 1

    @pytest.mark.parametrize("acknowledged", [1, 9])
    @clause("documents.crash.any_moment", Level.DURABLE, needs=STREAMS)
    def test_at_any_moment(self, harness: Harness, clock: ManualClock, new_peer: PeerMaker, acknowledged: int) -> None:
        """Otherwise an agent that is killed while it works has lost what it did, or kept half of a step."""
        prepared(harness, clock)
        peer = new_peer()
        peer.start("write_payloads_on", first=1)
        for _ in range(acknowledged):
            peer.until("committed")
        peer.kill()
        last = max([acknowledged, *peer.said("committed")])
        # The last transaction, whose commit was not reported, may be stored or not.
        assert reopened(harness, clock) in (last, last + 1)
