"""Deletes: ids without a record, and records that others add meanwhile."""

from __future__ import annotations

import pytest

from ciris_store_core.conformance.factories import access, correlation, edge, node, secret, store_edges, task, thought
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.support import BackgroundCall, reading, transact, writing
from ciris_store_core.contract import Backend, Session
from ciris_store_core.models.graph import EdgeKey, EdgeQuery, NodeKey
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery


def _ids(session: Session) -> tuple[list[str], list[str]]:
    tasks, thoughts = session.tasks.find(TaskQuery()).items, session.thoughts.find(ThoughtQuery()).items
    return [each.task_id for each in tasks], [each.thought_id for each in thoughts]


class TestDeletes:
    """``delete`` of every aggregate."""

    @clause("tasks.delete.absent")
    def test_ids_without_a_task(self, backend: Backend) -> None:
        """Otherwise deleting what is gone deletes what only refers to it."""
        with writing(backend) as session:
            session.tasks.add([task("child", parent_task_id="gone"), task("grandchild", parent_task_id="child")])
            session.thoughts.add([thought("h", "gone"), thought("i", "child")])
            assert session.tasks.delete(["gone"]) == 0
            assert session.tasks.delete(["gone", "never", "grandchild", "grandchild"]) == 1
            assert _ids(session) == (["child"], ["h", "i"])
        with reading(backend) as session:
            assert _ids(session) == (["child"], ["h", "i"])

    @clause("delete.repeats")
    def test_ids_that_are_absent_or_repeat(self, backend: Backend) -> None:
        """Otherwise a report of what was deleted is wrong."""
        store_edges(backend, edge("a", "b"), edge("b", "a"))
        first = node("a").key
        with writing(backend) as session:
            session.correlations.add([correlation("a"), correlation("b")])
            session.thoughts.add([thought("a"), thought("b")])
            session.secrets.add([secret("a"), secret("b")])
            session.secrets.log_access([access("x", "a")])
            assert session.correlations.delete(["a", "?", "a"]) == 1
            assert session.thoughts.delete(["a", "?", "a"]) == 1
            assert session.secrets.delete(["a", "?", "a"]) == 1
            keys = [EdgeKey("a", "b", name, first.scope) for name in ("knows", "?", "knows")]
            assert session.graph.delete_edges(keys) == 1
            assert session.graph.delete_nodes([first, NodeKey("?", first.scope), first]) == 1
            assert session.graph.list_edges(EdgeQuery()).items == []
        with reading(backend) as session:
            assert len(session.correlations.get(["a", "b"])) == len(session.thoughts.get(["a", "b"], None)) == 1
            assert len(session.secrets.get(["a", "b"])) == len(session.graph.get_nodes([node("b").key], None)) == 1

    @pytest.mark.parametrize("add", ["task", "thought"])
    @clause("tasks.delete.meanwhile", Level.CONCURRENT)
    def test_what_is_added_meanwhile(self, backend: Backend, add: str) -> None:
        """Otherwise one who adds a subtask fails for another's delete, or what was added is nowhere to be found."""

        def work(session: Session) -> None:
            if add == "task":
                session.tasks.add([task("child", parent_task_id="top")])
            else:
                session.thoughts.add([thought("child", "top")])

        with writing(backend) as session:
            session.tasks.add([task("top"), task("other")])
        with writing(backend) as session:
            assert session.tasks.delete(["top"]) == 1
            adder = BackgroundCall(lambda: transact(backend, work))
            adder.finished()
        adder.result()
        with reading(backend) as session:
            tasks, thoughts = _ids(session)
            orphans = [each.task_id for each in session.tasks.find(TaskQuery(orphaned=True)).items]
            orphans += [each.thought_id for each in session.thoughts.find(ThoughtQuery(orphaned=True)).items]
        assert "other" in tasks and "top" not in tasks
        assert orphans == [id for id in (*tasks, *thoughts) if id == "child"]
