"""Several processes on one store: races, a simultaneous first start, the work of a killed process."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

import pytest

from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.factories import LOCAL, T0, at, node, occurrence, put, task
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.peers import Peer, PeerMaker, together
from ciris_store_core.conformance.suite.audit import listed
from ciris_store_core.conformance.suite.backends import blank
from ciris_store_core.conformance.suite.tasks import add, get
from ciris_store_core.conformance.support import reading, transact, writing
from ciris_store_core.contract import Backend
from ciris_store_core.errors import StaleFence
from ciris_store_core.models.graph import NodeKey

MULTI = Level.MULTI_INSTANCE
RACERS = 4


def racers(new_peer: PeerMaker, count: int = RACERS) -> list[Peer]:
    """Some processes that opened the store."""
    return [new_peer() for _ in range(count)]


class TestProcesses:
    """Several processes at the same time."""

    @clause("processes.visible", MULTI)
    def test_what_one_committed_all_see(self, backend: Backend, new_peer: PeerMaker) -> None:
        """Otherwise instances on one host do not see one another's work."""
        one, other = racers(new_peer, 2)
        for number in range(5):
            one.call("add_tasks", ids=[f"one {number}"])
            add(backend, task(f"here {number}"))
            assert other.call("task_ids") == one.call("task_ids")
            assert len(other.call("task_ids")) == 2 * (number + 1)

    @clause("processes.first_start", MULTI)
    def test_first_start_of_many(self, harness: Harness, clock: ManualClock, new_peer: PeerMaker) -> None:
        """Otherwise of several instances that a deployment starts together on a new database only one comes up."""
        blank(harness, clock).close()
        peers = [new_peer(blank=True) for _ in range(8)]
        together(peers, "prepare", [{}] * 8)
        together(peers, "add_tasks", [{"ids": [f"t{number}"]} for number in range(8)])
        with closing(blank(harness, clock)) as started:
            started.prepare(migrate=False)
            with reading(started) as session:
                assert len(session.tasks.get([f"t{number}" for number in range(8)], None)) == 8

    @clause("processes.add_or_get.race", MULTI)
    def test_one_of_many_stores_a_task(self, backend: Backend, new_peer: PeerMaker) -> None:
        """Otherwise two instances wake the agent, or none does, or they disagree on who did."""
        ids = [f"t{number}" for number in range(40)]
        names = [f"p{number}" for number in range(RACERS)]
        answers = together(racers(new_peer), "add_or_get", [{"ids": ids, "me": name} for name in names])
        for number, id in enumerate(ids):
            said = [answer[number] for answer in answers]
            winners = [name for name, (_, created) in zip(names, said, strict=True) if created]
            assert len(winners) == 1, id
            assert {stored for stored, _ in said} == {winners[0]} == {get(backend, id).description}

    @clause("processes.claim_next.race", MULTI)
    def test_no_task_is_claimed_twice(self, backend: Backend, new_peer: PeerMaker) -> None:
        """Otherwise two instances do the same work, or a task is left behind."""
        ids = [f"t{number}" for number in range(60)]
        add(backend, *map(task, ids))
        names = [f"p{number}" for number in range(RACERS)]
        claimed = together(racers(new_peer), "claim_all", [{"me": name} for name in names])
        assert Counter(id for each in claimed for id in each) == Counter(ids)
        owners = {id: name for name, each in zip(names, claimed, strict=True) for id in each}
        with reading(backend) as session:
            stored = {each.task_id: each.agent_occurrence_id for each in session.tasks.get(ids, None)}
        assert stored == owners

    @clause("processes.merge.race", MULTI)
    def test_no_merge_is_lost(self, backend: Backend, new_peer: PeerMaker) -> None:
        """Otherwise an instance forgets what another one learned at the same time."""
        with writing(backend) as session:
            session.graph.put_nodes([put(node("n"))], T0)
        keys = [[f"{racer}.{number}" for number in range(20)] for racer in range(RACERS)]
        together(racers(new_peer), "merge", [{"keys": each} for each in keys])
        with reading(backend) as session:
            [found] = session.graph.get_nodes([NodeKey("n", LOCAL)], None)
        assert found.attributes == {key: 1 for each in keys for key in each}
        assert found.revision == 1 + RACERS * 20

    @pytest.mark.parametrize("start", [0, 1])
    @clause("processes.audit.race", MULTI)
    def test_one_chain(self, backend: Backend, new_peer: PeerMaker, start: int) -> None:
        """Otherwise the audit trail forks, and cannot be verified."""
        peers = racers(new_peer)
        peers[0].call("extend_chain", times=start)
        together(peers, "extend_chain", [{"times": 10}] * RACERS)
        assert listed(backend) == [("default", number) for number in range(1, start + 10 * RACERS + 1)]

    @clause("processes.acquire_lease.race", MULTI)
    def test_one_of_many_gets_a_lease(self, backend: Backend, new_peer: PeerMaker) -> None:
        """Otherwise two instances run the same maintenance at the same time."""
        names = [f"job {number}" for number in range(40)]
        got = together(racers(new_peer), "leases", [{"names": names, "me": f"p{number}"} for number in range(RACERS)])
        assert Counter(name for each in got for name in each) == Counter(names)


class TestTakeOver:
    """Work of a process that was killed, or that slept too long."""

    @clause("processes.take_over.lease", MULTI)
    def test_lease_of_a_killed_process(self, backend: Backend, new_peer: PeerMaker) -> None:
        """Otherwise work under a lease stops for ever with its holder, or is taken from a holder that lives."""
        holder = new_peer()
        fence = holder.call("lock_lease", me="holder")
        holder.kill()

        def acquire(seconds: float) -> int | None:
            taken = transact(
                backend, lambda s: s.coordination.acquire_lease("job", "heir", at(seconds), at(seconds + 60))
            )
            return None if taken is None else taken.fence

        assert [acquire(0), acquire(59.999999), acquire(60)] == [None, None, fence + 1]

    @clause("processes.take_over.task", MULTI)
    def test_tasks_of_a_killed_process(self, backend: Backend, new_peer: PeerMaker) -> None:
        """Otherwise what a crashed instance was working on is never finished."""
        with writing(backend) as session:
            session.coordination.put_occurrence(occurrence("dead", expires_at=at(60)))
            session.tasks.add([task()])
        dead = new_peer()
        fence = dead.call("claim_one", me="dead")
        dead.kill()

        def release(seconds: float) -> list[tuple[str, str, int]]:
            given = transact(backend, lambda session: session.tasks.release(None, at(seconds), 10))
            return [(each.task_id, each.agent_occurrence_id, each.fence) for each in given]

        assert [release(59), release(60), release(61)] == [[], [("t", "default", fence + 1)], []]

    @clause("processes.take_over.zombie", MULTI)
    def test_a_process_that_slept_too_long(self, backend: Backend, new_peer: PeerMaker) -> None:
        """Otherwise an instance that was paused wakes up and overwrites the work of its successor."""
        with writing(backend) as session:
            session.tasks.add([task()])
        zombie = new_peer()
        fence, lease_fence = zombie.call("claim_one", me="zombie"), zombie.call("lock_lease", me="zombie")
        transact(backend, lambda session: session.tasks.release(None, at(60), 10))
        transact(backend, lambda session: session.tasks.claim_next("heir", "default", 1, at(61)))
        transact(backend, lambda session: session.coordination.acquire_lease("job", "heir", at(61), at(99)))
        with pytest.raises(StaleFence):
            zombie.call("finish", id="t", fence=fence)
        assert zombie.call("renew_lease", me="zombie", fence=lease_fence) is False
        stored = get(backend)
        assert (stored.agent_occurrence_id, stored.description, stored.fence) == ("heir", "do it", fence + 2)
