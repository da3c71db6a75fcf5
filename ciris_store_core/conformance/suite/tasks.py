"""Tasks: add, update, delete."""

from __future__ import annotations

from typing import Any

import pytest

from ciris_store_core.conformance.factories import at, task, thought
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.samples import full_task
from ciris_store_core.conformance.support import BackgroundCall, everything, exact, race, reading, transact, writing
from ciris_store_core.contract import Backend
from ciris_store_core.errors import AlreadyExists, StaleFence
from ciris_store_core.models import Task, TaskStatus
from ciris_store_core.models.tasks import UPDATABLE_TASK_FIELDS, TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery

FAILED = TaskStatus.FAILED


def add(backend: Backend, *records: Task) -> None:
    """Store tasks in a transaction of their own."""
    with writing(backend) as session:
        session.tasks.add(records)


def ids(backend: Backend, **fields: Any) -> list[str]:
    """The ids that a query finds; checks that it counts as many."""
    query = TaskQuery(**{"limit": 2, **fields})
    with reading(backend) as session:
        found = [each.task_id for each in everything(session.tasks.find, query)]
        assert session.tasks.count(query) == len(found)
    return found


def get(backend: Backend, id: str = "t") -> Task:
    """The stored task."""
    with reading(backend) as session:
        [found] = session.tasks.get([id], None)
    return found


class TestAddTasks:
    """``add``, ``add_or_get`` and ``get``."""

    @clause("tasks.add.conflict")
    def test_add_what_exists(self, backend: Backend) -> None:
        """Otherwise one task overwrites another, or half of a batch is stored."""
        add(backend, task("b"))
        with pytest.raises(AlreadyExists):
            add(backend, task("a"), task("b", description="other"), task("c"))
        assert ids(backend) == ["b"]
        assert get(backend, "b").description == "do it"

    @clause("tasks.add.batch")
    def test_batches_of_any_size(self, backend: Backend) -> None:
        """Otherwise a large plan cannot be stored or removed."""
        add(backend)
        names = [f"t{i:04}" for i in range(2000)]
        add(backend, *map(task, names))
        with writing(backend) as session:
            assert sorted(each.task_id for each in session.tasks.get([*names, "?"], None)) == names
            assert session.tasks.delete(names) == 2000

    @clause("tasks.add_or_get")
    def test_add_or_get(self, backend: Backend) -> None:
        """Otherwise a shared task is lost, or overwritten by one who comes later."""
        first = full_task()
        with writing(backend) as session:
            [added, again] = [session.tasks.add_or_get(each) for each in (first, task("full"))]
        assert (exact(added[0]), added[1]) == (exact(first), True)
        assert (exact(again[0]), again[1]) == (exact(first), False)
        assert exact(get(backend, "full")) == exact(first)

    @clause("tasks.add_or_get.race", Level.CONCURRENT)
    def test_one_of_many_adds(self, backend: Backend) -> None:
        """Otherwise two occurrences both do what was meant to be done once."""

        def attempt(number: int) -> tuple[Task, bool]:
            return transact(backend, lambda s: s.tasks.add_or_get(task(description=f"by {number}")))

        results = race(16, attempt)
        winners = [number for number, (_, added) in enumerate(results) if added]
        assert len(winners) == 1
        assert {found.description for found, _ in results} == {f"by {winners[0]}"}

    @pytest.mark.parametrize("commits", [True, False])
    @clause("tasks.add_or_get.committed", Level.CONCURRENT)
    def test_losers_get_what_was_committed(self, backend: Backend, commits: bool) -> None:
        """Otherwise the loser of a race relies on a task that was never stored."""

        class Undone(Exception):
            pass

        def first() -> BackgroundCall:
            with writing(backend) as session:
                session.tasks.add_or_get(task(description="first"))
                second = BackgroundCall(
                    lambda: transact(backend, lambda s: s.tasks.add_or_get(task(description="second")))
                )
                session.tasks.update("t", {"status": FAILED}, None, None)
                second.finished()
                if not commits:
                    raise Undone(second)
            return second

        try:
            second = first()
        except Undone as undone:
            second = undone.args[0]
        found, added = second.result()
        assert (found.description, added) == (("first", False) if commits else ("second", True))
        assert found.status == (FAILED if commits else TaskStatus.PENDING)

    @clause("tasks.get.existing")
    def test_get(self, backend: Backend) -> None:
        """Otherwise one occurrence sees the tasks of another, or not its own."""
        add(backend, task("a"), task("b", agent_occurrence_id="o"), task("c"))
        with reading(backend) as session:
            assert session.tasks.get([], None) == []
            assert {each.task_id for each in session.tasks.get(["a", "b", "?"], None)} == {"a", "b"}
            assert {each.task_id for each in session.tasks.get(["a", "b", "?"], "o")} == {"b"}
            assert session.tasks.get(["a", "b"], "O") == []


class TestUpdateTasks:
    """``TaskStore.update``."""

    @pytest.mark.parametrize("field", sorted(UPDATABLE_TASK_FIELDS))
    @clause("tasks.update.each")
    def test_update_of_one_field(self, backend: Backend, field: str) -> None:
        """Otherwise an update is lost, or changes more than it was told to."""
        changes = {field: getattr(full_task(), field), "updated_at": at(9)}
        add(backend, task("a"), task("b"))
        with writing(backend) as session:
            assert session.tasks.update("a", changes, None, None) is True
        assert exact(get(backend, "a")) == exact(task("a").replaced(**changes))
        assert exact(get(backend, "b")) == exact(task("b"))

    @pytest.mark.parametrize("field", ["context", "outcome", "parent_task_id", "signature", "signed_at"])
    @clause("tasks.update.to_none")
    def test_update_to_none(self, backend: Backend, field: str) -> None:
        """Otherwise what was taken away stays."""
        add(backend, full_task())
        with writing(backend) as session:
            session.tasks.update("full", {field: None}, None, None)
        assert exact(get(backend, "full")) == exact(full_task().replaced(**{field: None}))

    @clause("tasks.update.found")
    def test_filters_follow_an_update(self, backend: Backend) -> None:
        """Otherwise a changed task is found by what it was, and not by what it is."""
        add(backend, task(context={"correlation_id": "old"}))
        with writing(backend) as session:
            session.tasks.update("t", {"context": task(context={"correlation_id": "new"}).context}, None, None)
        assert (ids(backend, correlation_id="old"), ids(backend, correlation_id="new")) == ([], ["t"])

    @clause("tasks.update.owner")
    def test_update_for_an_owner(self, backend: Backend) -> None:
        """Otherwise one occurrence completes the tasks of another."""
        add(backend, task(agent_occurrence_id="o"))
        with writing(backend) as session:
            assert session.tasks.update("t", {"status": FAILED}, "default", None) is False
            assert session.tasks.update("?", {"status": FAILED}, None, None) is False
            assert session.tasks.get(["t"], None)[0].status == TaskStatus.PENDING
            assert session.tasks.update("t", {"status": FAILED}, "o", None) is True
        assert get(backend).status == FAILED

    @pytest.mark.parametrize("fence", [0, 2, 4, 2**63 - 1])
    @clause("tasks.update.fence")
    def test_update_with_a_fence(self, backend: Backend, fence: int) -> None:
        """Otherwise an instance that was given up for dead overwrites the work of its successor."""
        add(backend, task(fence=3), task("new"))
        with pytest.raises(StaleFence), writing(backend) as session:
            session.tasks.update("t", {"status": FAILED}, None, fence)
        assert exact(get(backend)) == exact(task(fence=3))
        with writing(backend) as session:
            assert session.tasks.update("t", {"status": FAILED}, None, 3) is True
        assert exact(get(backend)) == exact(task(fence=3, status=FAILED))
        with writing(backend) as session:
            assert session.tasks.update("new", {"status": FAILED}, None, 0) is True
        with pytest.raises(StaleFence), writing(backend) as session:
            session.tasks.update("new", {"status": FAILED}, None, 1)

    @clause("tasks.update.race", Level.CONCURRENT)
    def test_no_concurrent_update_is_lost(self, backend: Backend) -> None:
        """Otherwise of two things noted about a task at the same time one is lost."""
        full = full_task()
        fields = ["status", "priority", "outcome", "context", "metadata", "signature", "description", "channel_id"]
        add(backend, task())

        def change(number: int) -> bool:
            changes = {fields[number]: getattr(full, fields[number])}
            return transact(backend, lambda s: s.tasks.update("t", changes, None, None))

        assert all(race(len(fields), change))
        assert exact(get(backend)) == exact(task().replaced(**{name: getattr(full, name) for name in fields}))


class TestDeleteTasks:
    """``TaskStore.delete``."""

    @clause("tasks.delete.cascade")
    def test_descendants_and_thoughts_go_along(self, backend: Backend) -> None:
        """Otherwise thoughts and subtasks of a deleted task go on being worked on, or other work is lost."""
        other = {"agent_occurrence_id": "o"}
        add(backend, task("a"), task("b", parent_task_id="a", **other), task("c", parent_task_id="b"))
        add(backend, task("x"), task("y", parent_task_id="x"), task("z", parent_task_id="gone"))
        with writing(backend) as session:
            session.thoughts.add([thought(f"of {id}", id, **other) for id in ("a", "c", "x", "gone")])
            assert session.tasks.delete([]) == 0
            assert session.tasks.delete(["a", "?"]) == 3
            assert session.tasks.delete(["a"]) == 0
        assert ids(backend) == ["x", "y", "z"]
        with reading(backend) as session:
            assert [each.thought_id for each in session.thoughts.find(ThoughtQuery()).items] == ["of gone", "of x"]

    @clause("tasks.delete.overlap")
    def test_each_counts_once(self, backend: Backend) -> None:
        """Otherwise a report of what was deleted is wrong, or a circle of parents never ends."""
        add(backend, task("a", parent_task_id="c"), task("b", parent_task_id="a"), task("c", parent_task_id="b"))
        add(backend, task("d", parent_task_id="d"))
        with writing(backend) as session:
            assert session.tasks.delete(["a", "b"]) == 3
            assert session.tasks.delete(["d"]) == 1

    @clause("tasks.delete.deep")
    def test_long_lines_of_descent(self, backend: Backend) -> None:
        """Otherwise deep plans cannot be deleted."""
        add(backend, task("t0"), *(task(f"t{i}", parent_task_id=f"t{i - 1}") for i in range(1, 1200)))
        with writing(backend) as session:
            session.thoughts.add([thought("h", "t1199"), thought("kept", "other")])
            assert session.tasks.delete(["t0"]) == 1200
            assert session.tasks.count(TaskQuery()) == 0
            assert [each.thought_id for each in session.thoughts.find(ThoughtQuery()).items] == ["kept"]
