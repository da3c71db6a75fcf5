"""Thoughts: find and count."""

from __future__ import annotations

from typing import Any

import pytest

from ciris_store_core.conformance.factories import T0, at, occurrence, task, thought
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.suite.thoughts import FAILED, add, ids
from ciris_store_core.conformance.support import everything, pages, reading, writing
from ciris_store_core.contract import Backend
from ciris_store_core.models import TaskStatus, ThoughtStatus, ThoughtType
from ciris_store_core.models.thoughts import ThoughtQuery

DISTINCT: dict[str, dict[str, Any]] = {
    "occurrence_id": {"agent_occurrence_id": "occurrence_1"},
    "statuses": {"status": ThoughtStatus.DEFERRED},
    "source_task_id": {"source_task_id": "other"},
    "parent_thought_id": {"parent_thought_id": "plain"},
    "thought_types": {"thought_type": ThoughtType.PONDER},
}
"""Fields that make a thought the only one that a filter matches."""
FILTERS: dict[str, Any] = {
    "occurrence_id": "occurrence_1", "statuses": (ThoughtStatus.DEFERRED, FAILED), "source_task_id": "other",
    "parent_thought_id": "plain", "thought_types": (ThoughtType.PONDER, ThoughtType.URGENT),
}  # fmt: skip


class TestFindThoughts:
    """``find``, ``count`` and ``count_by_status``."""

    @pytest.mark.parametrize(
        ("order", "expected"),
        [("created", ["old", "A", "a", "b", "young"]), ("updated_desc", ["a", "A", "b", "old", "young"])],
    )
    @clause("thoughts.find.order")
    def test_orders(self, backend: Backend, order: Any, expected: list[str]) -> None:
        """Otherwise an agent reads its own reasoning in the wrong order."""
        add(backend, thought("b"), thought("a", updated_at=at(1e-6)), thought("A"))
        add(backend, thought("old", created_at=at(-1), updated_at=at(-1)))
        add(backend, thought("young", created_at=at(1e-6), updated_at=at(-2)))
        assert ids(backend, order=order) == expected

    @pytest.mark.parametrize("order", ["created", "updated_desc"])
    @pytest.mark.parametrize("limit", [1, 2, 3])
    @clause("thoughts.find.paging")
    def test_pages_neither_repeat_nor_skip(self, backend: Backend, order: Any, limit: int) -> None:
        """Otherwise going through the thoughts page by page misses some."""
        add(backend, *(thought(f"h{i}", created_at=at(i // 4), updated_at=at(-(i % 2))) for i in range(12)))
        with reading(backend) as session:
            parts = pages(session.thoughts.find, ThoughtQuery(limit=limit, order=order))
        listed = [each.thought_id for page in parts for each in page]
        assert listed == ids(backend, order=order) and len(listed) == 12
        assert all(len(page) == limit for page in parts)

    @pytest.mark.parametrize("order", ["created", "updated_desc"])
    @clause("thoughts.find.next_after")
    def test_where_the_next_page_begins(self, backend: Backend, order: Any) -> None:
        """Otherwise a listing never ends, or ends too early."""
        add(backend, *map(thought, "abc"))
        with reading(backend) as session:
            assert session.thoughts.find(ThoughtQuery(limit=2, order=order)).next_after == (T0, "b")
            rest = session.thoughts.find(ThoughtQuery(limit=1, order=order, after=(T0, "b")))
        assert ([each.thought_id for each in rest.items], rest.next_after) == (["c"], None)

    @pytest.mark.parametrize("name", FILTERS)
    @clause("thoughts.find.filters")
    def test_each_filter(self, backend: Backend, name: str) -> None:
        """Otherwise thoughts of others slip in, or the ones asked for are missing."""
        add(backend, *(thought(other, **fields) for other, fields in DISTINCT.items()), thought("plain"))
        assert ids(backend, **{name: FILTERS[name]}, limit=1) == [name]

    @clause("thoughts.find.all_filters")
    def test_all_filters_must_match(self, backend: Backend) -> None:
        """Otherwise narrowing a search does not narrow it."""
        add(backend, thought("a", status=FAILED), thought("b", "x"), thought("z", "x", status=FAILED))
        assert ids(backend, statuses=(FAILED,), source_task_id="x", occurrence_id="default", limit=1) == ["z"]

    @clause("thoughts.find.active_tasks")
    def test_thoughts_of_active_tasks(self, backend: Backend) -> None:
        """Otherwise an agent thinks about tasks that are over, or that are another's."""
        with writing(backend) as session:
            session.tasks.add([task("on", status=TaskStatus.ACTIVE), task("off")])
            session.tasks.add([task("foreign", status=TaskStatus.ACTIVE, agent_occurrence_id="o")])
        add(backend, *(thought(id, id) for id in ("on", "off", "foreign", "gone")))
        add(backend, thought("second", "foreign", agent_occurrence_id="o"))
        assert ids(backend, of_active_tasks=True) == ["on", "second"]

    @clause("thoughts.find.orphaned")
    def test_orphans(self, backend: Backend) -> None:
        """Otherwise cleaning up removes thoughts whose task is there, or never ends."""
        with writing(backend) as session:
            session.tasks.add([task("failed", status=TaskStatus.FAILED, agent_occurrence_id="o")])
        add(backend, *(thought(f"a{i}", "failed") for i in range(3)), thought("b", "gone"))
        assert ids(backend, orphaned=True) == ["b"]

    @clause("thoughts.find.owner_dead")
    def test_thoughts_of_dead_owners(self, backend: Backend) -> None:
        """Otherwise living instances lose their thoughts, or those of dead ones stay for ever."""
        add(backend, *(thought(id, agent_occurrence_id=id) for id in ("alive", "dead", "unknown")))
        with writing(backend) as session:
            session.coordination.put_occurrence(occurrence("alive", expires_at=at(10.000001)))
            session.coordination.put_occurrence(occurrence("dead", expires_at=at(10)))
        assert ids(backend, owner_dead_at=at(10)) == ["dead", "unknown"]

    @clause("thoughts.find.bounds")
    def test_bounds_of_time(self, backend: Backend) -> None:
        """Otherwise a thought at the edge of a period is missed."""
        add(backend, *(thought(f"h{i}", created_at=at(i * 1e-6), updated_at=at(i * 1e-6)) for i in range(3)))
        assert ids(backend, created_from=at(1e-6)) == ["h1", "h2"]
        assert ids(backend, updated_to=at(1e-6)) == ["h0", "h1"]

    @clause("thoughts.count")
    def test_count_ignores_the_page(self, backend: Backend) -> None:
        """Otherwise a count depends on the page that one is on."""
        add(backend, *map(thought, "abc"), thought("d", status=FAILED))
        with reading(backend) as session:
            query = ThoughtQuery(limit=1, after=(T0, "b"), statuses=(ThoughtStatus.PENDING,))
            assert session.thoughts.count(query) == 3

    @clause("thoughts.count_by_status")
    def test_count_by_status(self, backend: Backend) -> None:
        """Otherwise the queue looks empty, or full, when it is not."""
        with reading(backend) as session:
            assert dict(session.thoughts.count_by_status(None)) == {}
        add(backend, thought("a"), thought("b"), thought("c", status=FAILED, agent_occurrence_id="o"))
        with reading(backend) as session:
            every, own = session.thoughts.count_by_status(None), session.thoughts.count_by_status("o")
        assert dict(every) == {ThoughtStatus.PENDING: 2, FAILED: 1}
        assert dict(own) == {FAILED: 1}

    @clause("thoughts.find.corrupt", Level.OPERABLE)
    def test_a_damaged_row_hides_no_other(self, backend: Backend, harness: Harness) -> None:
        """Otherwise one damaged thought stops all thinking."""
        add(backend, *map(thought, "abc"))
        if not harness.corrupt("thoughts", "b"):
            pytest.skip("this harness cannot damage a row")
        with reading(backend) as session:
            page = session.thoughts.find(ThoughtQuery())
            single = everything(session.thoughts.find, ThoughtQuery(limit=1))
        assert [each.thought_id for each in page.items] == ["a", "c"]
        assert [each.thought_id for each in single] == ["a", "c"]
        assert len(page.corrupt) == 1 and "b" in page.corrupt[0].key and page.corrupt[0].error
