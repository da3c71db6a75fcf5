"""Kill of a process (kill -9) at several points, and the records after the store is opened again.

The killed process is the only one that has the store open, so that the tests also apply to databases that allow only
one process.
"""

from __future__ import annotations

from contextlib import closing

import pytest

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.factories import task
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.peers import PeerMaker
from ciris_store_core.conformance.scripts import write_all
from ciris_store_core.conformance.suite.backends import blank
from ciris_store_core.conformance.support import everything, reading, writing
from ciris_store_core.contract import Backend
from ciris_store_core.models.audit import AuditQuery
from ciris_store_core.models.correlations import CorrelationQuery
from ciris_store_core.models.graph import EdgeQuery, NodeQuery
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery

DURABLE = Level.DURABLE


def prepared(harness: Harness, clock: ManualClock) -> None:
    """Store the records number 0, and close the store."""
    with closing(harness.open(clock)) as backend, writing(backend) as session:
        write_all(session, 0)


def numbers(backend: Backend) -> dict[str, list[int]]:
    """Which of the records that belong together are there, by kind."""
    with reading(backend) as session:
        nodes = everything(session.graph.list_nodes, NodeQuery())
        [hub] = [each for each in nodes if each.id == "n"]
        found = {
            "tasks": [each.task_id for each in everything(session.tasks.find, TaskQuery())],
            "thoughts": [each.thought_id for each in everything(session.thoughts.find, ThoughtQuery())],
            "correlations": [each.correlation_id for each in everything(session.correlations.find, CorrelationQuery())],
            "nodes": [each.id for each in nodes if each.id != "n"],
            "edges": [each.source for each in everything(session.graph.list_edges, EdgeQuery())],
            "attributes": list(hub.attributes),
            "audit": [f"a{each.sequence - 1}" for each in everything(session.audit.find, AuditQuery())],
        }
    return {kind: sorted(int(id[1:]) for id in ids) for kind, ids in found.items()}


def reopened(harness: Harness, clock: ManualClock) -> list[int]:
    """The numbers of the records that are there; checks that all kinds agree, and that the store can be written."""
    with closing(harness.open(clock)) as backend:
        found = numbers(backend)
        assert all(each == found["tasks"] for each in found.values()), f"half a transaction is stored: {found}"
        with writing(backend) as session:
            session.tasks.add([task("after")])
        with writing(backend) as session:
            assert session.tasks.delete(["after"]) == 1
    return found["tasks"]


class TestCrashes:
    """``Backend.session``, in a process that is killed."""

    @pytest.mark.parametrize("script", ["stop_before_commit", "stop_within_transaction"])
    @clause("crashes.before_commit", DURABLE)
    def test_before_commit(self, harness: Harness, clock: ManualClock, new_peer: PeerMaker, script: str) -> None:
        """Otherwise half of what belongs together is stored when the machine or the process fails."""
        prepared(harness, clock)
        peer = new_peer()
        peer.start(script)
        peer.until("stopped")
        peer.kill()
        assert reopened(harness, clock) == [0]

    @clause("crashes.in_batch", DURABLE)
    def test_in_a_batch(self, harness: Harness, clock: ManualClock, new_peer: PeerMaker) -> None:
        """Otherwise a part of a batch is stored, and adding it again is refused."""
        prepared(harness, clock)
        peer = new_peer()
        peer.start("stop_in_batch", ids=[f"t{number}" for number in range(1, 501)])
        peer.until("stopped")
        peer.kill()
        assert reopened(harness, clock) == [0]

    @pytest.mark.parametrize("script", ["stop_after_commit", "stop_after_single_calls"])
    @clause("crashes.after_commit", DURABLE)
    def test_after_commit(self, harness: Harness, clock: ManualClock, new_peer: PeerMaker, script: str) -> None:
        """Otherwise acknowledged writes are lost in a crash."""
        prepared(harness, clock)
        peer = new_peer()
        peer.start(script)
        peer.until("stopped")
        peer.kill()
        assert reopened(harness, clock) == [0, 1]

    @pytest.mark.parametrize("acknowledged", [1, 7, 23])
    @clause("crashes.any_moment", DURABLE)
    def test_at_any_moment(self, harness: Harness, clock: ManualClock, new_peer: PeerMaker, acknowledged: int) -> None:
        """Otherwise an agent that is killed while it works has lost what it did, or kept half of a step."""
        prepared(harness, clock)
        peer = new_peer()
        peer.start("write_on", first=1)
        for _ in range(acknowledged):
            peer.until("committed")
        peer.kill()
        last = max([acknowledged, *peer.said("committed")])
        # The last transaction, whose commit was not reported, may be stored or not.
        assert reopened(harness, clock) in (list(range(last + 1)), list(range(last + 2)))

    @pytest.mark.parametrize("times", [1, 3])
    @clause("crashes.first_start", DURABLE, needs=Capability.TRANSACTIONAL_DDL)
    def test_in_the_first_start(self, harness: Harness, clock: ManualClock, new_peer: PeerMaker, times: int) -> None:
        """Otherwise a store whose first start was interrupted can never be used."""
        blank(harness, clock).close()
        for _ in range(times):
            peer = new_peer(blank=True)
            peer.start("prepare")
            peer.until("preparing")
            peer.kill()
        with closing(blank(harness, clock)) as backend:
            backend.prepare(migrate=True)
            with writing(backend) as session:
                write_all(session, 0)
            assert set(map(tuple, numbers(backend).values())) == {(0,)}
