"""Changes that change nothing, and changes that replace a whole value."""

from __future__ import annotations

from typing import Any

import pytest

from ciris_store_core.conformance.factories import (
    LOCAL,
    T0,
    at,
    correlation,
    edge,
    node,
    occurrence,
    put,
    secret,
    store_edges,
    task,
    thought,
)
from ciris_store_core.conformance.levels import clause
from ciris_store_core.conformance.support import exact, reading, writing
from ciris_store_core.contract import Backend, ThoughtSelector
from ciris_store_core.models import CorrelationStatus, ThoughtStatus
from ciris_store_core.models.coordination import Lease
from ciris_store_core.models.graph import NodeKey

OLD: dict[str, Any] = {"kept": 1, "nested": {"x": 1}, "changed": 1}
NEW: dict[str, Any] = {"changed": 2, "nested": {"y": 2}}
REQUEST = {"service_type": "s", "method_name": "m", "request_timestamp": T0}


class TestEqualValues:
    """Rows that match count, not rows whose values differ from before."""

    @clause("tasks.update.same")
    def test_tasks(self, backend: Backend) -> None:
        """Otherwise a caller who repeats an update is told that the task does not exist."""
        stored = task(description="d", metadata={"m": 1})
        with writing(backend) as session:
            session.tasks.add([stored])
            same = {"description": "d", "metadata": {"m": 1}, "status": stored.status, "updated_at": T0}
            assert [session.tasks.update("t", same, owner, 0) for owner in (None, "default")] == [True, True]
            assert session.tasks.update("t", {"outcome": None}, None, None) is True
            assert session.tasks.transfer(["t"], "default", "default", T0) == 1
        with reading(backend) as session:
            assert exact(session.tasks.get(["t"], None)) == exact([stored.replaced(fence=1)])

    @clause("thoughts.update.same")
    def test_thoughts(self, backend: Backend) -> None:
        """Otherwise a caller who repeats an update is told that the thought does not exist."""
        stored = thought(context={"a": 1})
        with writing(backend) as session:
            session.thoughts.add([stored])
            same = {"context": {"a": 1}, "status": ThoughtStatus.PENDING, "updated_at": T0}
            assert [session.thoughts.update("h", same, owner) for owner in (None, "default")] == [True, True]
            assert session.thoughts.transfer(ThoughtSelector(task_id="t"), "default", "default", T0) == 1
        with reading(backend) as session:
            assert exact(session.thoughts.get(["h"], None)) == exact([stored])

    @clause("correlations.update.same")
    def test_correlations(self, backend: Backend) -> None:
        """Otherwise a caller who repeats an update is told that the correlation does not exist."""
        stored = correlation(tags={"k": "v"}, ttl_seconds=10)
        with writing(backend) as session:
            session.correlations.add([stored])
            same = {"tags": {"k": "v"}, "status": CorrelationStatus.PENDING, "ttl_seconds": 10, "updated_at": T0}
            assert [session.correlations.update("c", same, now) for now in (None, T0)] == [True, True]
        with reading(backend) as session:
            assert exact(session.correlations.get(["c"])) == exact([stored])

    @clause("graph.put_nodes.same")
    def test_nodes_and_edges(self, backend: Backend) -> None:
        """Otherwise a write that changes no value is not counted, and a caller waits for its revision in vain."""
        with writing(backend) as session:
            for revision in (1, 2, 3):
                [written] = session.graph.put_nodes([put(node(attributes={"a": 1}))], T0)
                [linked] = session.graph.put_edges([edge("n", "n", revision=1)])
                assert (written.revision, linked.revision) == (revision, revision)
            assert session.graph.increment(NodeKey("n", LOCAL), ["a"], 0, T0) == 1
            assert session.graph.get_nodes([NodeKey("n", LOCAL)], None)[0].revision == 4

    @clause("coordination.same")
    def test_heartbeats_leases_and_secrets(self, backend: Backend) -> None:
        """Otherwise a holder who renews in the same moment gives up a lease that it holds."""
        with writing(backend) as session:
            session.coordination.put_occurrence(occurrence())
            assert [session.coordination.heartbeat("o", T0, at(60)) for _ in range(2)] == [True, True]
            first = session.coordination.acquire_lease("job", "me", T0, at(10))
            assert isinstance(first, Lease)
            assert exact(session.coordination.acquire_lease("job", "me", T0, at(10))) == exact(first)
            assert session.coordination.renew_lease("job", "me", first.fence, T0, at(10)) is True
            session.secrets.add([secret()])
            assert session.secrets.reencrypt("s", b"encrypted", "k1", b"encrypted") is True
            assert exact(session.secrets.get(["s"])) == exact([secret()])


class TestReplacedValues:
    """Values that an update replaces, and does not merge into those that are stored."""

    @clause("tasks.update.replaces")
    def test_tasks(self, backend: Backend) -> None:
        """Otherwise what was taken out of a task's context, outcome or metadata comes back."""
        old = task(
            metadata=OLD, context={"correlation_id": "c", "user_id": "u", "metadata": OLD},
            outcome={"status": "s", "summary": "", "errors": ["e"], "metadata": OLD},
        )  # fmt: skip
        new = task(
            metadata=NEW, context={"correlation_id": "d", "metadata": {}},
            outcome={"status": "s", "summary": "", "errors": [], "metadata": NEW},
        )  # fmt: skip
        names = ("metadata", "context", "outcome")
        with writing(backend) as session:
            session.tasks.add([old])
            assert session.tasks.update("t", {name: getattr(new, name) for name in names}, None, None)
            assert exact(session.tasks.get(["t"], None)) == exact([new])
            session.tasks.update("t", {"metadata": {}}, None, None)
            [found] = session.tasks.get(["t"], None)
        assert found.metadata == {}

    @clause("thoughts.update.replaces")
    def test_thoughts(self, backend: Backend) -> None:
        """Otherwise what was taken out of a thought's context, notes or metadata comes back."""
        action = {"action_type": "a", "reasoning": "", "action_params": OLD}
        old = thought(context=OLD, ponder_notes=["a", "b"], final_action=action, metadata=OLD)
        new = thought(context={}, ponder_notes=[], final_action={**action, "action_params": NEW}, metadata=NEW)
        names = ("context", "ponder_notes", "final_action", "metadata")
        with writing(backend) as session:
            session.thoughts.add([old])
            assert session.thoughts.update("h", {name: getattr(new, name) for name in names}, None)
            assert exact(session.thoughts.get(["h"], None)) == exact([new])

    @pytest.mark.parametrize("tags", [{"changed": "2"}, {}])
    @clause("correlations.update.replaces")
    def test_correlations(self, backend: Backend, tags: dict[str, str]) -> None:
        """Otherwise an event is found by a tag that it has no more."""
        request = {**REQUEST, "parameters": {"kept": "1"}, "task_id": "t", "metadata": OLD}
        old = correlation(
            tags={"kept": "1", "changed": "1"}, metadata=OLD, request_data=request, child_correlation_ids=["a"]
        )
        new = correlation(tags=tags, metadata=NEW, request_data={**REQUEST, "parameters": {}}, child_correlation_ids=[])
        names = ("tags", "metadata", "request_data", "child_correlation_ids")
        with writing(backend) as session:
            session.correlations.add([old])
            assert session.correlations.update("c", {name: getattr(new, name) for name in names})
            assert exact(session.correlations.get(["c"])) == exact([new])

    @clause("graph.put_edges.replaces")
    def test_edges(self, backend: Backend) -> None:
        """Otherwise what was taken out of a relationship comes back."""
        attributes = {"created_at": T0, "context": "c", "nested": {"x": 1}, "kept": 1}
        store_edges(backend, edge("a", "b", attributes=attributes, metadata=OLD))
        new = edge("a", "b", attributes={"created_at": at(1), "nested": {"y": 1}}, metadata={})
        store_edges(backend, new)
        with reading(backend) as session:
            assert exact(session.graph.get_edges([new.key])) == exact([new.replaced(revision=2)])

    @clause("graph.put_nodes.replaces")
    def test_nodes(self, backend: Backend) -> None:
        """Otherwise what was taken out of a memory's metadata, or of an attribute, comes back."""
        with writing(backend) as session:
            session.graph.put_nodes([put(node(attributes=OLD, metadata=OLD), given=["metadata"])], T0)
            session.graph.put_nodes([put(node(attributes=NEW, metadata=NEW), given=["metadata"])], T0)
            [found] = session.graph.get_nodes([NodeKey("n", LOCAL)], None)
            assert exact([found.attributes, found.metadata]) == exact([{**OLD, **NEW}, NEW])
            session.graph.put_nodes([put(node(metadata={}), "replace", given=["metadata"])], T0)
            [found] = session.graph.get_nodes([NodeKey("n", LOCAL)], None)
        assert exact([found.attributes, found.metadata]) == exact([{}, {}])
