"""Tasks: add, update, find, delete."""

from __future__ import annotations

from typing import Any

import pytest

from ciris_store_core.conformance.factories import T0, at, occurrence, task, thought
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.samples import full_task
from ciris_store_core.conformance.support import (
    BackgroundCall,
    everything,
    exact,
    pages,
    race,
    reading,
    transact,
    writing,
)
from ciris_store_core.contract import Backend
from ciris_store_core.errors import AlreadyExists, StaleFence
from ciris_store_core.models import Task, TaskStatus, ThoughtStatus
from ciris_store_core.models.tasks import UPDATABLE_TASK_FIELDS, TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery

FAILED = TaskStatus.FAILED
DISTINCT: dict[str, dict[str, Any]] = {
    "occurrence_id": {"agent_occurrence_id": "occurrence_1"},
    "statuses": {"status": TaskStatus.DEFERRED},
    "channel_id": {"channel_id": "other"},
    "parent_task_id": {"parent_task_id": "plain"},
    "shared_type": {"shared_type": "a_b"},
    "correlation_id": {"context": {"correlation_id": "c"}},
}
"""Fields that make a task the only one that a filter matches."""
FILTERS: dict[str, Any] = {
    "occurrence_id": "occurrence_1", "statuses": (TaskStatus.DEFERRED, FAILED), "channel_id": "other",
    "parent_task_id": "plain", "shared_type": "a_b", "correlation_id": "c",
}  # fmt: skip


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


class TestFindTasks:
    """``find``, ``count`` and ``count_by_status``."""

    @pytest.mark.parametrize(
        ("order", "expected"),
        [
            ("created", ["old", "A", "a", "b", "urgent"]),
            ("priority", ["urgent", "old", "A", "a", "b"]),
            ("updated_desc", ["a", "A", "b", "old", "urgent"]),
        ],
    )
    @clause("tasks.find.order")
    def test_orders(self, backend: Backend, order: Any, expected: list[str]) -> None:
        """Otherwise urgent work waits, or the latest results are not at the top."""
        add(backend, task("b"), task("a", updated_at=at(1e-6)), task("A"), task("old", created_at=at(-1), priority=1))
        add(backend, task("urgent", created_at=at(1e-6), priority=10, updated_at=at(-1)))
        with writing(backend) as session:
            session.tasks.update("old", {"updated_at": at(-0.5)}, None, None)
        assert ids(backend, order=order) == expected

    @pytest.mark.parametrize("order", ["created", "priority", "updated_desc"])
    @pytest.mark.parametrize("limit", [1, 2, 3])
    @clause("tasks.find.paging")
    def test_pages_neither_repeat_nor_skip(self, backend: Backend, order: Any, limit: int) -> None:
        """Otherwise going through the tasks page by page misses some."""
        add(
            backend, *(task(f"t{i}", created_at=at(i // 4), updated_at=at(-(i % 2)), priority=i % 3) for i in range(12))
        )
        with reading(backend) as session:
            parts = pages(session.tasks.find, TaskQuery(limit=limit, order=order))
        listed = [each.task_id for page in parts for each in page]
        assert listed == ids(backend, order=order) and len(listed) == 12
        assert all(len(page) == limit for page in parts)

    @pytest.mark.parametrize(
        ("order", "after", "following"),
        [
            ("created", (T0, "b"), ["c"]),
            ("priority", (5, T0, "b"), ["c"]),
            ("updated_desc", (T0, "b"), ["c"]),
            ("priority", (6, at(1), "z"), ["a", "b", "c"]),
        ],
    )
    @clause("tasks.find.next_after")
    def test_where_the_next_page_begins(self, backend: Backend, order: Any, after: Any, following: list[str]) -> None:
        """Otherwise a listing never ends, or ends too early."""
        add(backend, *(task(id, priority=5) for id in "abc"))
        with reading(backend) as session:
            page = session.tasks.find(TaskQuery(limit=2, order=order))
            rest = session.tasks.find(TaskQuery(limit=3, order=order, after=after))
        assert page.next_after == ((5, T0, "b") if order == "priority" else (T0, "b"))
        assert ([each.task_id for each in rest.items], rest.next_after) == (following, None)

    @pytest.mark.parametrize("name", FILTERS)
    @clause("tasks.find.filters")
    def test_each_filter(self, backend: Backend, name: str) -> None:
        """Otherwise tasks of others slip in, or the ones asked for are missing."""
        add(backend, *(task(other, **fields) for other, fields in DISTINCT.items()), task("plain"))
        add(backend, task("shared", shared_type="aXb"), task("shared_upper", shared_type="A_B"))
        assert ids(backend, **{name: FILTERS[name]}, limit=1) == [name]

    @clause("tasks.find.all_filters")
    def test_all_filters_must_match(self, backend: Backend) -> None:
        """Otherwise narrowing a search does not narrow it."""
        add(backend, task("a", status=FAILED), task("b", channel_id="x"), task("z", status=FAILED, channel_id="x"))
        assert ids(backend, statuses=(FAILED,), channel_id="x", occurrence_id="default", limit=1) == ["z"]

    @clause("tasks.find.shared")
    def test_shared_tasks_by_their_mark(self, backend: Backend) -> None:
        """Otherwise a shared task is lost from sight as soon as someone takes it over."""
        add(
            backend,
            task("a", shared_type="WAKEUP", agent_occurrence_id="o"),
            task("b", agent_occurrence_id="__shared__"),
        )
        assert ids(backend, only_shared=True) == ["a"]
        assert ids(backend, shared_type="WAKEUP") == ["a"]

    @clause("tasks.find.bounds")
    def test_bounds_of_time(self, backend: Backend) -> None:
        """Otherwise a task at the edge of a period is missed."""
        add(backend, *(task(f"t{i}", created_at=at(i * 1e-6), updated_at=at(i * 1e-6)) for i in range(3)))
        assert ids(backend, created_from=at(1e-6)) == ["t1", "t2"]
        assert ids(backend, updated_to=at(1e-6)) == ["t0", "t1"]

    @clause("tasks.find.orphaned")
    def test_orphans(self, backend: Backend) -> None:
        """Otherwise cleaning up removes work whose parent is alive, or never ends."""
        add(backend, task("top"), task("failed", status=FAILED), task("a", parent_task_id="top"))
        add(backend, task("b", parent_task_id="gone"), task("c", parent_task_id="failed", agent_occurrence_id="o"))
        assert ids(backend, orphaned=True) == ["b", "c"]

    @clause("tasks.find.owner_dead")
    def test_tasks_of_dead_owners(self, backend: Backend) -> None:
        """Otherwise living instances lose their work, or the work of dead ones is lost."""
        add(backend, *(task(id, agent_occurrence_id=id) for id in ("alive", "dead", "unknown")))
        with writing(backend) as session:
            session.coordination.put_occurrence(occurrence("alive", expires_at=at(10.000001)))
            session.coordination.put_occurrence(occurrence("dead", expires_at=at(10)))
        assert ids(backend, owner_dead_at=at(10)) == ["dead", "unknown"]

    @clause("tasks.find.needs_seed_thought")
    def test_tasks_without_thoughts(self, backend: Backend) -> None:
        """Otherwise an active task is never thought about, or twice."""
        add(backend, task("a"), task("b"), task("c"))
        with writing(backend) as session:
            session.thoughts.add([thought("h", "b", agent_occurrence_id="o", status=ThoughtStatus.FAILED)])
        assert ids(backend, needs_seed_thought=True) == ["a", "c"]

    @clause("tasks.count")
    def test_count_ignores_the_page(self, backend: Backend) -> None:
        """Otherwise a count depends on the page that one is on."""
        with reading(backend) as session:
            assert (session.tasks.count(TaskQuery()), session.tasks.find(TaskQuery()).items) == (0, [])
        add(backend, *map(task, "abc"), task("d", status=FAILED))
        with reading(backend) as session:
            query = TaskQuery(limit=1, after=(T0, "b"), order="created", statuses=(TaskStatus.PENDING,))
            assert session.tasks.count(query) == 3

    @clause("tasks.count_by_status")
    def test_count_by_status(self, backend: Backend) -> None:
        """Otherwise the queue looks empty, or full, when it is not."""
        with reading(backend) as session:
            assert dict(session.tasks.count_by_status(None)) == {}
        add(backend, task("a"), task("b"), task("c", status=FAILED), task("d", status=FAILED, agent_occurrence_id="o"))
        with reading(backend) as session:
            every, own = session.tasks.count_by_status(None), session.tasks.count_by_status("o")
        assert dict(every) == {TaskStatus.PENDING: 2, FAILED: 2}
        assert dict(own) == {FAILED: 1}

    @clause("tasks.find.corrupt", Level.OPERABLE)
    def test_a_damaged_row_hides_no_other(self, backend: Backend, harness: Harness) -> None:
        """Otherwise one damaged task stops all work."""
        add(backend, *map(task, "abc"))
        if not harness.corrupt("tasks", "b"):
            pytest.skip("this harness cannot damage a row")
        with reading(backend) as session:
            page = session.tasks.find(TaskQuery())
            single = everything(session.tasks.find, TaskQuery(limit=1))
        assert [each.task_id for each in page.items] == ["a", "c"]
        assert [each.task_id for each in single] == ["a", "c"]
        assert len(page.corrupt) == 1 and "b" in page.corrupt[0].key and page.corrupt[0].error


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
