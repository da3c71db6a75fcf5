"""Claim, release and transfer of tasks."""

from __future__ import annotations

from typing import Any

import pytest

from ciris_store_core.capabilities import Capability
from ciris_store_core.conformance.factories import T0, at, occurrence, task, thought
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.suite.tasks import add, get
from ciris_store_core.conformance.support import PATIENCE, BackgroundCall, exact, race, reading, transact, writing
from ciris_store_core.contract import Backend
from ciris_store_core.errors import StaleFence
from ciris_store_core.models import Task, TaskStatus, Thought, ThoughtStatus
from ciris_store_core.models.thoughts import ThoughtQuery

NOW = at(100)
ACTIVE = TaskStatus.ACTIVE


def claim(backend: Backend, worker: str = "w", queue: str = "default", limit: int = 1) -> list[Task]:
    """Claim tasks at ``NOW``."""
    return transact(backend, lambda session: session.tasks.claim_next(worker, queue, limit, NOW))


def release(backend: Backend, owner: str | None = "w", limit: int = 10) -> list[Task]:
    """Release work at ``NOW``."""
    return transact(backend, lambda session: session.tasks.release(owner, NOW, limit))


def transfer(backend: Backend, *ids: str, source: str = "default", target: str = "o") -> int:
    """Transfer tasks at ``NOW``."""
    return transact(backend, lambda session: session.tasks.transfer(ids, source, target, NOW))


def claimed(id: str = "t", worker: str = "w", **fields: Any) -> Task:
    """An active task that a worker claimed from the queue ``default`` at ``T0``."""
    given = {"status": ACTIVE, "claimed_at": T0, "claimed_from": "default", "fence": 1}
    return task(id, agent_occurrence_id=worker, claimed_by=worker, **{**given, **fields})


def add_thoughts(backend: Backend, *thoughts: Thought) -> None:
    """Store thoughts."""
    with writing(backend) as session:
        session.thoughts.add(thoughts)


def moved(backend: Backend) -> set[str]:
    """The thoughts that were changed at ``NOW``."""
    with reading(backend) as session:
        return {each.thought_id for each in session.thoughts.find(ThoughtQuery()).items if each.updated_at == NOW}


def owners(backend: Backend) -> dict[str, tuple[str, str]]:
    """Owner and status of all thoughts."""
    with reading(backend) as session:
        found = session.thoughts.find(ThoughtQuery()).items
    return {each.thought_id: (each.agent_occurrence_id, each.status.value) for each in found}


class TestClaim:
    """``TaskStore.claim_next``."""

    @clause("tasks.claim_next.order")
    def test_order(self, backend: Backend) -> None:
        """Otherwise urgent or old work waits behind other work."""
        add(backend, task("b"), task("a"), task("B"), task("urgent", priority=9, created_at=at(5)))
        add(backend, task("old", created_at=at(-1)), task("young", created_at=at(1e-6)))
        assert [each.task_id for each in claim(backend, limit=3)] == ["urgent", "old", "B"]
        assert [each.task_id for each in claim(backend, limit=9)] == ["a", "b", "young"]
        assert claim(backend) == []

    @clause("tasks.claim_next.fields")
    def test_what_changes(self, backend: Backend) -> None:
        """Otherwise the owner of a task is unknown, or a zombie cannot be told from its successor."""
        before = task(fence=7, metadata={"m": 1}, priority=3, shared_type="S")
        add(backend, before, task("other", created_at=at(1)))
        [found] = claim(backend)
        expected = before.replaced(
            agent_occurrence_id="w", status=ACTIVE, claimed_by="w", claimed_at=NOW, claimed_from="default",
            updated_at=NOW, fence=8,
        )  # fmt: skip
        assert exact(found) == exact(expected) == exact(get(backend))
        assert exact(get(backend, "other")) == exact(task("other", created_at=at(1)))

    @clause("tasks.claim_next.queue")
    def test_only_pending_tasks_of_the_pool(self, backend: Backend) -> None:
        """Otherwise work of others, or finished work, is done again."""
        add(backend, *(task(status.value, status=status) for status in TaskStatus))
        add(backend, *(task(f"urgent {i}", status=ACTIVE, priority=10, created_at=at(-i)) for i in range(3)))
        add(backend, task("x", agent_occurrence_id="p"), task("y", agent_occurrence_id="P", priority=9))
        # A limit that is taken before the filter would find none of them.
        assert [each.task_id for each in claim(backend)] == ["pending"]
        assert claim(backend, limit=9) == []
        [found] = claim(backend, queue="p")
        assert (found.task_id, found.claimed_from) == ("x", "p")

    @clause("tasks.claim_next.thoughts")
    def test_unfinished_thoughts_come_along(self, backend: Backend) -> None:
        """Otherwise a worker continues a task without what was thought about it, or takes another's thoughts."""
        add(backend, task(), task("other", created_at=at(1)))
        thoughts = [thought(status.value, status=status) for status in ThoughtStatus]
        add_thoughts(backend, *thoughts, thought("foreign", agent_occurrence_id="o"), thought("of other", "other"))
        claim(backend)
        expected = {each.thought_id: ("default", each.status.value) for each in thoughts}
        expected.update(pending=("w", "pending"), processing=("w", "processing"))
        expected.update({"foreign": ("o", "pending"), "of other": ("default", "pending")})
        assert owners(backend) == expected
        assert moved(backend) == {"pending", "processing"}

    @clause("tasks.claim_next.race", Level.CONCURRENT)
    def test_no_two_workers_get_the_same(self, backend: Backend) -> None:
        """Otherwise the same work is done twice, or some of it never."""
        add(backend, *(task(f"t{i}", priority=i % 3) for i in range(200)))

        def work(number: int) -> list[str]:
            mine: list[str] = []
            while batch := claim(backend, f"w{number}", limit=number % 3 + 1):
                mine += [each.task_id for each in batch]
            return mine

        got = race(8, work)
        assert sorted(id for mine in got for id in mine) == sorted(f"t{i}" for i in range(200))
        with reading(backend) as session:
            for number, mine in enumerate(got):
                assert all(each.claimed_by == f"w{number}" for each in session.tasks.get(mine, f"w{number}"))
                assert len(session.tasks.get(mine, f"w{number}")) == len(mine)

    @clause("tasks.claim_next.no_waiting", Level.CONCURRENT, needs=Capability.CONCURRENT_WRITERS)
    def test_nobody_waits_for_another_claim(self, backend: Backend) -> None:
        """Otherwise one slow worker holds up all the others."""
        add(backend, task("a"), task("b"))
        with writing(backend) as session:
            assert [each.task_id for each in session.tasks.claim_next("w1", "default", 1, NOW)] == ["a"]
            other = BackgroundCall(lambda: claim(backend, "w2"))
            assert other.finished(PATIENCE), "the second claim waits for the first to commit"
        assert [each.task_id for each in other.result()] == ["b"]


class TestRelease:
    """``TaskStore.release``."""

    @pytest.mark.parametrize("status", [ACTIVE, TaskStatus.PENDING])
    @clause("tasks.release.fields")
    def test_what_changes(self, backend: Backend, status: TaskStatus) -> None:
        """Otherwise released work is never claimed again, or its former owner can still write."""
        before = claimed(status=status, claimed_from="p", fence=7, metadata={"m": 1})
        add(backend, before)
        [found] = release(backend)
        expected = before.replaced(
            agent_occurrence_id="p", status=TaskStatus.PENDING, claimed_by=None, claimed_at=None, claimed_from=None,
            updated_at=NOW, fence=8,
        )  # fmt: skip
        assert exact(found) == exact(expected) == exact(get(backend))

    @clause("tasks.release.which")
    def test_only_claimed_unfinished_tasks_of_the_owner(self, backend: Backend) -> None:
        """Otherwise finished work is done again, or work of others is taken away."""
        add(backend, *(claimed(status.value, status=status) for status in TaskStatus))
        add(backend, claimed("other", "o"), task("own", agent_occurrence_id="w", status=ACTIVE))
        add(backend, *(claimed(f"older {i}", "o", claimed_at=at(-9 - i)) for i in range(3)))
        found = [each.task_id for _ in "12" for each in release(backend, limit=1)]
        assert found == ["active", "pending"]
        assert release(backend) == []

    @clause("tasks.release.order")
    def test_order_and_limit(self, backend: Backend) -> None:
        """Otherwise the work that has waited longest waits on."""
        times = {"b": 0, "a": 0, "B": 0, "late": 2, "early": -1}
        add(backend, *(claimed(id, claimed_at=at(seconds)) for id, seconds in times.items()))
        assert [each.task_id for each in release(backend, limit=3)] == ["early", "B", "a"]
        assert [each.task_id for each in release(backend, limit=3)] == ["b", "late"]

    @clause("tasks.release.dead")
    def test_work_of_the_dead(self, backend: Backend) -> None:
        """Otherwise the work of a dead instance is lost, or a living one loses its own."""
        add(
            backend,
            *(claimed(id, id) for id in ("dead", "unknown")),
            claimed("alive", claimed_at=at(-1), worker="alive"),
        )
        with writing(backend) as session:
            session.coordination.put_occurrence(occurrence("alive", expires_at=at(100.000001)))
            session.coordination.put_occurrence(occurrence("dead", expires_at=NOW))
        assert [each.task_id for _ in "123" for each in release(backend, None, 1)] == ["dead", "unknown"]
        assert get(backend, "alive").agent_occurrence_id == "alive"

    @clause("tasks.release.thoughts")
    def test_unfinished_thoughts_come_along(self, backend: Backend) -> None:
        """Otherwise the next owner repeats all thoughts of the work."""
        add(backend, claimed())
        own = {"agent_occurrence_id": "w"}
        thoughts = [thought(status.value, status=status, **own) for status in ThoughtStatus]
        add_thoughts(backend, *thoughts, thought("foreign", agent_occurrence_id="o"), thought("of other", "x", **own))
        release(backend)
        expected = {each.thought_id: ("w", each.status.value) for each in thoughts}
        expected.update(pending=("default", "pending"), processing=("default", "pending"))
        expected.update({"foreign": ("o", "pending"), "of other": ("w", "pending")})
        assert owners(backend) == expected
        assert moved(backend) == {"pending", "processing"}

    @clause("tasks.release.again")
    def test_what_was_given_back_is_claimed_again(self, backend: Backend) -> None:
        """Otherwise work changes hands once and then never again."""
        add(backend, task())
        claim(backend, "w")
        release(backend, "w")
        [found] = claim(backend, "x")
        assert (found.claimed_by, found.claimed_from, found.fence) == ("x", "default", 3)

    @clause("tasks.release.race", Level.CONCURRENT)
    def test_each_task_is_given_back_once(self, backend: Backend) -> None:
        """Otherwise two rescuers of the same work fence off one another's successors."""
        add(backend, *(claimed(f"t{i}") for i in range(40)))
        given = [each.task_id for batch in race(4, lambda number: release(backend, None, 40)) for each in batch]
        assert len(given) == len(set(given))
        release(backend, None, 40)
        assert all(get(backend, f"t{i}").fence == 2 for i in range(40))


class TestTransfer:
    """``TaskStore.transfer`` and ``hold``."""

    @clause("tasks.transfer.fields")
    def test_what_changes(self, backend: Backend) -> None:
        """Otherwise a transfer alters the work, or the former owner can still write."""
        before = claimed(worker="default", shared_type="S", metadata={"m": 1})
        add(backend, before)
        assert transfer(backend, "t") == 1
        expected = before.replaced(agent_occurrence_id="o", updated_at=NOW, fence=2)
        assert exact(get(backend)) == exact(expected)

    @clause("tasks.transfer.owner")
    def test_only_what_the_owner_has(self, backend: Backend) -> None:
        """Otherwise a task is transferred twice, or taken from one who was not asked."""
        add(backend, task("a"), task("b", agent_occurrence_id="x"), task("c"))
        assert transfer(backend) == 0
        assert transfer(backend, "a", "b", "?") == 1
        assert transfer(backend, "a", "b", "?") == 0
        assert [get(backend, id).agent_occurrence_id for id in "abc"] == ["o", "x", "default"]
        assert [get(backend, id).fence for id in "abc"] == [1, 0, 0]

    @clause("tasks.transfer.thoughts")
    def test_thoughts_stay(self, backend: Backend) -> None:
        """Otherwise thoughts change their owner without a transfer."""
        add(backend, task())
        add_thoughts(backend, thought())
        transfer(backend, "t")
        assert owners(backend) == {"h": ("default", "pending")}

    @clause("tasks.transfer.race", Level.CONCURRENT)
    def test_one_of_many_transfers(self, backend: Backend) -> None:
        """Otherwise several instances each believe that the task is theirs."""
        add(backend, task())
        counts = race(8, lambda number: transfer(backend, "t", target=f"o{number}"))
        assert sum(counts) == 1
        assert get(backend).agent_occurrence_id == f"o{counts.index(1)}"

    @clause("tasks.transfer.readers", Level.CONCURRENT)
    def test_readers_see_exactly_one_owner(self, backend: Backend) -> None:
        """Otherwise a task has no owner, or two, for a moment."""
        add(backend, task(agent_occurrence_id="a"))

        def work(number: int) -> set[int]:
            seen = set()
            for i in range(30):
                if number == 0:
                    transfer(backend, "t", source="ab"[i % 2], target="ba"[i % 2])
                with reading(backend) as session:
                    seen.add(len(session.tasks.get(["t"], None)))
                    seen.add(session.tasks.count_by_status(None)[TaskStatus.PENDING])
            return seen

        assert set().union(*race(3, work)) == {1}

    @clause("tasks.lock_claim.fence")
    def test_hold_needs_the_fence(self, backend: Backend) -> None:
        """Otherwise an instance that lost its claim can still write."""
        add(backend, task(fence=3), task("new"))
        for id, fence in (("t", 2), ("t", 4), ("t", 0), ("?", 0), ("?", 3), ("new", 1)):
            with pytest.raises(StaleFence), writing(backend) as session:
                session.tasks.lock_claim(id, fence)
        with writing(backend) as session:
            session.tasks.lock_claim("t", 3)
            session.tasks.lock_claim("t", 3)
            session.tasks.lock_claim("new", 0)
        assert exact(get(backend)) == exact(task(fence=3))

    @pytest.mark.parametrize("how", ["transfer", "claim", "release"])
    @clause("tasks.lock_claim.keeps", Level.CONCURRENT)
    def test_hold_keeps_the_owner(self, backend: Backend, how: str) -> None:
        """Otherwise work changes hands between the check and the write, and both owners write."""
        add(backend, claimed(worker="default") if how == "release" else task(fence=1))
        take = {
            "transfer": lambda: transfer(backend, "t"),
            "claim": lambda: claim(backend),
            "release": lambda: release(backend, "default"),
        }[how]
        with writing(backend) as session:
            session.tasks.lock_claim("t", 1)
            taker = BackgroundCall(take)
            taker.finished()
            session.tasks.lock_claim("t", 1)
            assert session.tasks.get(["t"], None)[0].fence == 1
            session.tasks.update("t", {"description": "done"}, None, 1)
        taker.result()
        # A claim or release may skip a locked task; a transfer waits for it.
        fences = (2,) if how == "transfer" else (1, 2)
        assert (get(backend).description, get(backend).fence in fences) == ("done", True)
