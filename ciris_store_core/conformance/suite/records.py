"""Records: each is read as it was written."""

from __future__ import annotations

from contextlib import closing

import pytest

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.factories import T0, correlation, entry, node, secret, store_nodes, task, thought
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.samples import (
    AWKWARD_KEYS,
    AWKWARD_TEXTS,
    BEFORE_EPOCH,
    FIRST,
    LAST,
    RECORD_KINDS,
    RecordKind,
    awkward_json,
    nested,
)
from ciris_store_core.conformance.support import everything, exact, reading, writing
from ciris_store_core.contract import Backend
from ciris_store_core.models import Correlation, GraphScope
from ciris_store_core.models.base import Record
from ciris_store_core.models.graph import NodeKey, NodeQuery
from ciris_store_core.models.tasks import TaskQuery

SAMPLES = [
    pytest.param(kind, sample(), id=f"{kind.name}-{which}")
    for kind in RECORD_KINDS
    for which, sample in zip(("plain", "full"), kind.samples, strict=True)
]


class TestRecords:
    """Round trips: same values, same types, same microseconds, same Unicode."""

    @pytest.mark.parametrize(("kind", "record"), SAMPLES)
    @clause("records.round_trip")
    def test_round_trip(self, backend: Backend, kind: RecordKind, record: Record) -> None:
        """Otherwise an agent remembers something else than what it was told."""
        with writing(backend) as session:
            kind.save(session, record)
            assert [exact(found) for found in kind.load(session, record)] == [exact(record)]
        with reading(backend) as session:
            assert [exact(found) for found in kind.load(session, record)] == [exact(record)]

    @pytest.mark.parametrize(("kind", "record"), SAMPLES)
    @clause("records.reopen", Level.DURABLE, needs=Capability.DURABLE)
    def test_reopen(
        self, harness: Harness, clock: ManualClock, backend: Backend, kind: RecordKind, record: Record
    ) -> None:
        """Otherwise a restart of the agent loses or bends what it knew."""
        with writing(backend) as session:
            kind.save(session, record)
        backend.close()
        with closing(harness.open(clock)) as reopened, reading(reopened) as session:
            assert [exact(found) for found in kind.load(session, record)] == [exact(record)]

    @clause("records.json.values")
    def test_json_values(self, backend: Backend) -> None:
        """Otherwise 1.0 becomes 1, a large number is rounded, or a strange key is lost."""
        store_nodes(backend, node(attributes=awkward_json()))
        with reading(backend) as session:
            [found] = session.graph.get_nodes([NodeKey("n", GraphScope.LOCAL)], None)
        assert exact(found.attributes) == exact(awkward_json())

    @clause("records.json.depth")
    def test_json_depth(self, backend: Backend) -> None:
        """Otherwise a deeply nested memory that was accepted cannot be read any more."""
        store_nodes(backend, node(attributes=nested(100)))
        with reading(backend) as session:
            [found] = session.graph.get_nodes([NodeKey("n", GraphScope.LOCAL)], None)
        assert found.attributes == nested(100)

    @clause("records.json.size")
    def test_json_size(self, backend: Backend) -> None:
        """Otherwise a long document that was accepted comes back cut."""
        text = "\u00e9" * 2**22
        store_nodes(backend, node(attributes={"text": text}))
        with reading(backend) as session:
            [found] = session.graph.get_nodes([NodeKey("n", GraphScope.LOCAL)], None)
        assert found.attributes["text"] == text

    @clause("records.json.separate")
    def test_stored_values_are_copies(self, backend: Backend) -> None:
        """Otherwise changing an object after writing it, or one that was read, changes the memory unseen."""
        given = node(attributes={"list": [1]})
        [returned] = store_nodes(backend, given)
        given.attributes["list"].append(2)
        returned.attributes["list"].append(3)
        with reading(backend) as session:
            [found] = session.graph.get_nodes([given.key], None)
            found.attributes["list"].append(4)
            [again] = session.graph.get_nodes([given.key], None)
        assert again.attributes == {"list": [1]}

    @clause("records.ids.distinct")
    def test_ids_are_kept_apart(self, backend: Backend) -> None:
        """Otherwise two things whose ids merely look alike become one."""
        ids = [*AWKWARD_TEXTS, *AWKWARD_KEYS, "abc", "ABC", "abc ", "\u00c9", "n" * 255]
        ids = sorted(set(ids))
        store_nodes(backend, *(node(id) for id in ids))
        with writing(backend) as session:
            session.tasks.add([task(id) for id in ids])
            session.thoughts.add([thought(id) for id in ids])
            session.correlations.add([correlation(id) for id in ids])
            session.secrets.add([secret(id) for id in ids])
            session.audit.append([entry(1, id) for id in ids])
        with writing(backend) as session:
            for id in ids:
                assert [found.id for found in session.graph.get_nodes([NodeKey(id, GraphScope.LOCAL)], None)] == [id]
                assert [found.task_id for found in session.tasks.get([id], None)] == [id]
                assert [found.thought_id for found in session.thoughts.get([id], None)] == [id]
                assert [found.correlation_id for found in session.correlations.get([id])] == [id]
                assert [found.secret_id for found in session.secrets.get([id])] == [id]
                assert session.audit.head(id) == (1, "hash 1")

    @clause("records.text.order")
    def test_text_order_is_by_bytes(self, backend: Backend) -> None:
        """Otherwise a listing has another order on another database, and copied cursors skip records."""
        ids = [
            "Z",
            "a",
            "B",
            "a b",
            "a-b",
            "aB",
            "ab",
            "\u00e9",
            "e\u0301",
            "z",
            "\ufb01",
            "\U0001f600",
            "10",
            "9",
            "_",
        ]
        store_nodes(backend, *(node(id) for id in ids))
        with writing(backend) as session:
            session.tasks.add([task(id) for id in ids])
        expected = sorted(ids, key=str.encode)
        with reading(backend) as session:
            assert [found.id for found in everything(session.graph.list_nodes, NodeQuery(limit=4))] == expected
            assert [found.task_id for found in everything(session.tasks.find, TaskQuery(limit=4))] == expected

    @clause("records.time.extremes")
    def test_times_sort_over_their_whole_range(self, backend: Backend) -> None:
        """Otherwise very old, very late or sub-second times are listed in the wrong order."""
        times = [FIRST, BEFORE_EPOCH, T0, T0.replace(microsecond=1), T0.replace(microsecond=999_999), LAST]
        with writing(backend) as session:
            session.tasks.add([task(f"t{-i}", created_at=time) for i, time in enumerate(times)])
        with reading(backend) as session:
            assert [found.created_at for found in everything(session.tasks.find, TaskQuery(limit=2))] == times

    @clause("records.types.own")
    def test_own_type_names(self, backend: Backend) -> None:
        """Otherwise agents with vocabularies of their own cannot use the store."""
        store_nodes(backend, node("a", type="robot_arm"), node("b", type="agent"))
        with writing(backend) as session:
            session.correlations.add([correlation("a", correlation_type="torque")])
        with reading(backend) as session:
            kept: list[Correlation] = session.correlations.get(["a"])
            assert [exact(found.type) for found in session.graph.list_nodes(NodeQuery()).items] == [
                exact("robot_arm"),
                exact(node(type="agent").type),
            ]
        assert [exact(found.correlation_type) for found in kept] == [exact("torque")]

    @clause("records.batch")
    def test_a_batch_of_all_kinds(self, backend: Backend) -> None:
        """Otherwise one step of an agent, which writes many kinds of records, cannot be one transaction."""
        with writing(backend) as session:
            for kind in RECORD_KINDS:
                kind.save(session, kind.samples[1]())
        with reading(backend) as session:
            for kind in RECORD_KINDS:
                record = kind.samples[1]()
                assert exact(record) in [exact(found) for found in kind.load(session, record)]
