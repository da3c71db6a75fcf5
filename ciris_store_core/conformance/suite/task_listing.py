"""Tasks: find and count."""

from __future__ import annotations

from typing import Any

import pytest

from ciris_store_core.conformance.factories import T0, at, occurrence, task, thought
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.suite.tasks import FAILED, add, ids
from ciris_store_core.conformance.support import everything, pages, reading, writing
from ciris_store_core.contract import Backend
from ciris_store_core.models import TaskStatus, ThoughtStatus
from ciris_store_core.models.tasks import TaskQuery

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
