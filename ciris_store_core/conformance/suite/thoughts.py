"""Thoughts: add, update, delete, transfer."""

from __future__ import annotations

from typing import Any

import pytest

from ciris_store_core.conformance.factories import at, task, thought
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.samples import full_thought
from ciris_store_core.conformance.support import BackgroundCall, everything, exact, race, reading, transact, writing
from ciris_store_core.contract import Backend, Session, ThoughtSelector
from ciris_store_core.errors import AlreadyExists, NotFound
from ciris_store_core.models import Thought, ThoughtStatus
from ciris_store_core.models.thoughts import UPDATABLE_THOUGHT_FIELDS, ThoughtQuery

NOW = at(100)
FAILED = ThoughtStatus.FAILED


def add(backend: Backend, *records: Thought) -> None:
    """Store thoughts in a transaction of their own."""
    with writing(backend) as session:
        session.thoughts.add(records)


def alone(backend: Backend, *records: Thought) -> None:
    """Store thoughts of tasks that exist, as the only call of a session."""
    with backend.session(write=True, single=True) as session:
        session.thoughts.add(records, needs_task=True)


def ids(backend: Backend, **fields: Any) -> list[str]:
    """The ids that a query finds; checks that it counts as many."""
    query = ThoughtQuery(**{"limit": 2, **fields})
    with reading(backend) as session:
        found = [each.thought_id for each in everything(session.thoughts.find, query)]
        assert session.thoughts.count(query) == len(found)
    return found


def get(backend: Backend, id: str = "h") -> Thought:
    """The stored thought."""
    with reading(backend) as session:
        [found] = session.thoughts.get([id], None)
    return found


class TestWriteThoughts:
    """``add``, ``get``, ``update``, ``retry``, ``escalate`` and ``delete``."""

    @clause("thoughts.add.conflict")
    def test_add_what_exists(self, backend: Backend) -> None:
        """Otherwise one thought overwrites another, or half of a batch is stored."""
        add(backend, thought("b"))
        with pytest.raises(AlreadyExists):
            add(backend, thought("a"), thought("b", content="other"), thought("c"))
        assert ids(backend) == ["b"]
        assert get(backend, "b").content == "hm"

    @clause("thoughts.add.without_task")
    def test_the_task_need_not_exist(self, backend: Backend) -> None:
        """Otherwise thoughts that arrive before their task are lost."""
        add(backend, thought(task_id="gone"))
        assert ids(backend, source_task_id="gone") == ["h"]

    @pytest.mark.parametrize("others", [0, 3])
    @clause("thoughts.add.needs_task")
    def test_a_thought_without_its_task_is_refused(self, backend: Backend, others: int) -> None:
        """Otherwise a thought is accepted for a task that does not exist, and maintenance deletes it soon after."""
        add(backend, thought("old", "lost"))
        with writing(backend) as session:
            session.tasks.add([task()])
        batch = [thought(f"h{number}") for number in range(others)]
        with pytest.raises(NotFound), writing(backend) as session:
            session.thoughts.add([*batch, thought("x", "gone")], needs_task=True)
        with pytest.raises(NotFound):
            alone(backend, *batch, thought("x", "gone"))
        with pytest.raises(AlreadyExists):
            alone(backend, *batch, thought("old"))
        assert ids(backend) == ["old"]
        alone(backend, *batch, thought("x"))
        assert ids(backend, source_task_id="t") == [*(each.thought_id for each in batch), "x"]
        with writing(backend) as session:
            session.tasks.add([task("new")])
            session.thoughts.add([thought("y", "new")], needs_task=True)
        assert ids(backend, source_task_id="new") == ["y"]

    @pytest.mark.parametrize("count", [1, 3])
    @clause("thoughts.add.needs_task.race", Level.CONCURRENT)
    def test_a_thought_and_the_delete_of_its_task(self, backend: Backend, count: int) -> None:
        """Otherwise a thought that is added while its task is deleted stays behind."""
        batch = [thought(f"h{number}") for number in range(count)]

        def delete(session: Session) -> int:
            return session.tasks.delete(["t"])

        for _ in range(3):
            with writing(backend) as session:
                session.tasks.add([task()])
            with writing(backend) as session:
                session.thoughts.add(batch, needs_task=True)
                later = BackgroundCall(lambda: transact(backend, delete))
                assert not later.finished()
            assert later.result() == 1
            assert ids(backend) == []
        with writing(backend) as session:
            session.tasks.add([task()])
        with writing(backend) as session:
            session.tasks.delete(["t"])
            late = BackgroundCall(lambda: alone(backend, *batch))
            assert not late.finished()
        with pytest.raises(NotFound):
            late.result()
        assert ids(backend) == []

    @clause("thoughts.add.batch")
    def test_batches_of_any_size(self, backend: Backend) -> None:
        """Otherwise a long deliberation cannot be stored or removed."""
        add(backend)
        names = [f"h{i:04}" for i in range(2000)]
        add(backend, *map(thought, names))
        with writing(backend) as session:
            assert sorted(each.thought_id for each in session.thoughts.get([*names, "?"], None)) == names
            assert session.thoughts.delete(names) == 2000

    @clause("thoughts.get.existing")
    def test_get(self, backend: Backend) -> None:
        """Otherwise one occurrence sees the thoughts of another, or not its own."""
        add(backend, thought("a"), thought("b", agent_occurrence_id="o"), thought("c"))
        with reading(backend) as session:
            assert session.thoughts.get([], None) == []
            assert {each.thought_id for each in session.thoughts.get(["a", "b", "?"], None)} == {"a", "b"}
            assert {each.thought_id for each in session.thoughts.get(["a", "b", "?"], "o")} == {"b"}

    @pytest.mark.parametrize("field", sorted(UPDATABLE_THOUGHT_FIELDS))
    @clause("thoughts.update.each")
    def test_update_of_one_field(self, backend: Backend, field: str) -> None:
        """Otherwise a decision is lost, or an update changes more than it was told to."""
        changes = {field: getattr(full_thought(), field), "updated_at": at(9)}
        add(backend, thought("a"), thought("b"))
        with writing(backend) as session:
            assert session.thoughts.update("a", changes, None) is True
        assert exact(get(backend, "a")) == exact(thought("a").replaced(**changes))
        assert exact(get(backend, "b")) == exact(thought("b"))

    @pytest.mark.parametrize("field", ["context", "ponder_notes", "final_action", "parent_thought_id", "channel_id"])
    @clause("thoughts.update.to_none")
    def test_update_to_none(self, backend: Backend, field: str) -> None:
        """Otherwise what was taken away stays."""
        add(backend, full_thought())
        with writing(backend) as session:
            session.thoughts.update("full", {field: None}, None)
        assert exact(get(backend, "full")) == exact(full_thought().replaced(**{field: None}))

    @clause("thoughts.update.owner")
    def test_update_for_an_owner(self, backend: Backend) -> None:
        """Otherwise one occurrence finishes the thoughts of another."""
        add(backend, thought(agent_occurrence_id="o"))
        with writing(backend) as session:
            assert session.thoughts.update("h", {"status": FAILED}, "default") is False
            assert session.thoughts.update("?", {"status": FAILED}, None) is False
            assert session.thoughts.get(["h"], None)[0].status == ThoughtStatus.PENDING
            assert session.thoughts.update("h", {"status": FAILED}, "o") is True
        assert get(backend).status == FAILED

    @clause("thoughts.update.race", Level.CONCURRENT)
    def test_no_concurrent_update_is_lost(self, backend: Backend) -> None:
        """Otherwise of two things noted about a thought at the same time one is lost."""
        full = full_thought()
        fields = [
            "status",
            "final_action",
            "context",
            "metadata",
            "content",
            "ponder_notes",
            "thought_depth",
            "channel_id",
        ]
        add(backend, thought())

        def change(number: int) -> bool:
            changes = {fields[number]: getattr(full, fields[number])}
            return transact(backend, lambda s: s.thoughts.update("h", changes, None))

        assert all(race(len(fields), change))
        assert exact(get(backend)) == exact(thought().replaced(**{name: getattr(full, name) for name in fields}))

    @clause("thoughts.retry")
    def test_retry(self, backend: Backend) -> None:
        """Otherwise a failed thought is never tried again."""
        add(backend, thought(status=FAILED, retry_count=2, escalation_level=1))
        with writing(backend) as session:
            assert session.thoughts.retry("h", "default", 3, NOW) is True
        assert exact(get(backend)) == exact(thought(retry_count=3, escalation_level=1, updated_at=NOW))

    @pytest.mark.parametrize("status", [status for status in ThoughtStatus if status != FAILED])
    @clause("thoughts.retry.not_failed")
    def test_retry_of_what_has_not_failed(self, backend: Backend, status: ThoughtStatus) -> None:
        """Otherwise finished thoughts are thought again."""
        add(backend, thought(status=status))
        with writing(backend) as session:
            assert session.thoughts.retry("h", None, 3, NOW) is False
        assert exact(get(backend)) == exact(thought(status=status))

    @clause("thoughts.retry.refused")
    def test_retry_has_a_bound(self, backend: Backend) -> None:
        """Otherwise a thought that always fails is tried for ever, or by one who does not own it."""
        stored = thought(status=FAILED, retry_count=3, agent_occurrence_id="o")
        add(backend, stored)
        with writing(backend) as session:
            assert session.thoughts.retry("h", "o", 3, NOW) is False
            assert session.thoughts.retry("h", "default", 9, NOW) is False
            assert session.thoughts.retry("?", None, 9, NOW) is False
        assert exact(get(backend)) == exact(stored)

    @clause("thoughts.retry.race", Level.CONCURRENT)
    def test_one_of_many_retries(self, backend: Backend) -> None:
        """Otherwise one failure counts as many."""
        add(backend, thought(status=FAILED))
        assert sum(race(8, lambda number: transact(backend, lambda s: s.thoughts.retry("h", None, 9, NOW)))) == 1
        assert get(backend).retry_count == 1

    @clause("thoughts.escalate")
    def test_escalate(self, backend: Backend) -> None:
        """Otherwise a question that needs a person never reaches one."""
        add(backend, thought(escalation_level=4))
        with writing(backend) as session:
            assert session.thoughts.escalate("h", "o", NOW) is False
            assert session.thoughts.escalate("?", None, NOW) is False
            assert session.thoughts.escalate("h", "default", NOW) is True
        assert exact(get(backend)) == exact(thought(escalation_level=5, updated_at=NOW))

    @clause("thoughts.escalate.race", Level.CONCURRENT)
    def test_every_escalation_counts(self, backend: Backend) -> None:
        """Otherwise escalations that happen at once count as one."""
        add(backend, thought())
        assert all(race(8, lambda number: transact(backend, lambda s: s.thoughts.escalate("h", None, NOW))))
        assert get(backend).escalation_level == 8

    @clause("thoughts.delete.count")
    def test_delete(self, backend: Backend) -> None:
        """Otherwise deleting reports success without deleting."""
        add(backend, thought("a"), thought("b"))
        with writing(backend) as session:
            assert session.thoughts.delete([]) == 0
            assert session.thoughts.delete(["a", "?"]) == 1
            assert session.thoughts.delete(["a"]) == 0
        assert ids(backend) == ["b"]


class TestTransferThoughts:
    """``ThoughtStore.transfer``."""

    @pytest.mark.parametrize(
        ("selector", "moved"),
        [
            pytest.param(ThoughtSelector(thought_ids=["a", "x", "foreign", "?"]), {"a", "x"}, id="ids"),
            pytest.param(ThoughtSelector(task_id="t"), {"a", "b"}, id="task"),
            pytest.param(ThoughtSelector(thought_ids=[]), set(), id="none"),
            pytest.param(ThoughtSelector(task_id="?"), set(), id="no_task"),
        ],
    )
    @clause("thoughts.transfer")
    def test_transfer(self, backend: Backend, selector: ThoughtSelector, moved: set[str]) -> None:
        """Otherwise thoughts are left behind, taken from others, or altered on the way."""
        stored = [thought("a"), thought("b", status=FAILED, metadata={"m": 1}), thought("x", "other")]
        stored.append(thought("foreign", agent_occurrence_id="y"))
        add(backend, *stored)
        with writing(backend) as session:
            assert session.thoughts.transfer(selector, "default", "o", NOW) == len(moved)
            assert session.thoughts.transfer(selector, "default", "o", NOW) == 0
        for each in stored:
            changes = {"agent_occurrence_id": "o", "updated_at": NOW} if each.thought_id in moved else {}
            assert exact(get(backend, each.thought_id)) == exact(each.replaced(**changes))
