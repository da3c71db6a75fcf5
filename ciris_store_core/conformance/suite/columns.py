"""Columns: values that each keeps, and values that each tells apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from ciris_store_core.conformance.factories import (
    LOCAL,
    T0,
    access,
    at,
    correlation,
    edge,
    entry,
    node,
    occurrence,
    put,
    secret,
    store_edges,
    store_nodes,
    task,
    thought,
)
from ciris_store_core.conformance.levels import clause
from ciris_store_core.conformance.samples import RECORD_KINDS, RecordKind, retold
from ciris_store_core.conformance.support import everything, exact, reading, writing
from ciris_store_core.contract import Backend, Session, ThoughtSelector
from ciris_store_core.models import TaskStatus, ThoughtStatus
from ciris_store_core.models.audit import AuditQuery
from ciris_store_core.models.base import Record
from ciris_store_core.models.correlations import CorrelationFilter, CorrelationQuery
from ciris_store_core.models.graph import EdgeQuery, NodeKey, NodeQuery
from ciris_store_core.models.paging import PageRequest
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery

STEM = "n" * 253
LONG = STEM + "na"
NEAR = (
    STEM + "nA",
    STEM + "nb",
    STEM + "n",
    STEM + "n ",
    STEM + "\u00e1",
    STEM + "a",
    STEM,
    STEM[:63],
    STEM[:64],
    STEM[:63] + "a",
)
"""Ids of up to 255 bytes that differ from ``LONG`` at the end, by case, an accent, a space or their length."""
VALUES = (LONG, *NEAR)
TYPES = ("a" * 63 + "b", "a" * 63 + "c", "a" * 63, "a" * 63 + "_")

TELLING = (
    "", "\\N", '""', "\\.", "\\", "{}", "[]", "null", "NULL", "0", "true", "2025-01-01T12:00:00+00:00",
    "2025-01-01 12:00:00.000000", "2025-01-01", "1735732800000000", "\t", "\\t", "a\tb\nc", "'", "a,b", "{a,b}",
    "x" * 70_000,
)  # fmt: skip
"""Texts that formats of bulk inserts, or conversions, take for something else."""


@dataclass(frozen=True)
class Batch:
    """Call that stores many records, and one that reads them all."""

    keys: tuple[str, ...]
    save: Callable[[Session, Sequence[Any]], object]
    load: Callable[[Session, Sequence[Any]], list[Any]]


def _put_edges(session: Session, edges: Sequence[Any]) -> object:
    ends = sorted({(end, each.scope) for each in edges for end in (each.source, each.target)})
    session.graph.put_nodes([put(node(id, scope=scope)) for id, scope in ends], T0)
    return session.graph.put_edges(edges)


BATCHES: dict[str, Batch] = {
    "node": Batch(
        ("id",),
        lambda s, rows: s.graph.put_nodes([put(each, "insert") for each in rows], T0),
        lambda s, rows: s.graph.get_nodes([each.key for each in rows], None),
    ),
    "edge": Batch(("target",), _put_edges, lambda s, rows: s.graph.get_edges([each.key for each in rows])),
    "correlation": Batch(
        ("correlation_id",),
        lambda s, rows: s.correlations.add(rows),
        lambda s, rows: s.correlations.get([each.correlation_id for each in rows]),
    ),
    "task": Batch(
        ("task_id",),
        lambda s, rows: s.tasks.add(rows),
        lambda s, rows: s.tasks.get([each.task_id for each in rows], None),
    ),
    "thought": Batch(
        ("thought_id",),
        lambda s, rows: s.thoughts.add(rows),
        lambda s, rows: s.thoughts.get([each.thought_id for each in rows], None),
    ),
    "occurrence": Batch(
        ("occurrence_id",),
        lambda s, rows: [s.coordination.put_occurrence(each) for each in rows],
        lambda s, rows: s.coordination.list_occurrences(None),
    ),
    "secret": Batch(
        ("secret_id",),
        lambda s, rows: s.secrets.add(rows),
        lambda s, rows: s.secrets.get([each.secret_id for each in rows]),
    ),
    "access": Batch(
        ("access_id",),
        lambda s, rows: s.secrets.log_access(rows),
        lambda s, rows: everything(lambda page: s.secrets.list_access(page, None), PageRequest(7)),
    ),
    "audit": Batch(
        ("chain",), lambda s, rows: s.audit.append(rows), lambda s, rows: everything(s.audit.find, AuditQuery(limit=7))
    ),
}


def batch_of(kind: RecordKind) -> list[Any]:
    """Return full records with each telling text in all their texts and names, and plain ones between them."""
    keys, rows = BATCHES[kind.name].keys, []
    plain, full = (sample() for sample in kind.samples)
    for number, text in enumerate(TELLING):
        name = dict.fromkeys(keys, f"{number:02}")
        rows += [retold(full, text).replaced(**name), plain.replaced(**dict.fromkeys(keys, f"p{number:02}"))]
    # Unique on its own, where a row has more than one key.
    return [
        row.replaced(entry_id=f"e{i}") if "entry_id" in type(row).model_fields else row for i, row in enumerate(rows)
    ]


def by_key(records: Sequence[Record], keys: tuple[str, ...]) -> list[Any]:
    """Return the records in the order of their keys, as exact values."""
    return [exact(each) for each in sorted(records, key=lambda each: [getattr(each, key) for key in keys])]


class TestColumns:
    """Values of each column, read as they were written."""

    @pytest.mark.parametrize("kind", RECORD_KINDS, ids=lambda kind: kind.name)
    @clause("records.batch.each")
    def test_each_record_of_a_batch(self, backend: Backend, kind: RecordKind) -> None:
        """Otherwise records written together lose or exchange what each of them says, though single ones do not."""
        batch, rows = BATCHES[kind.name], batch_of(kind)
        with writing(backend) as session:
            batch.save(session, rows)
        with reading(backend) as session:
            found = batch.load(session, rows)
        assert by_key(found, batch.keys) == by_key(rows, batch.keys)

    @pytest.mark.parametrize("kind", RECORD_KINDS, ids=lambda kind: kind.name)
    @clause("records.text.long")
    def test_long_texts_in_every_column(self, backend: Backend, kind: RecordKind) -> None:
        """Otherwise a column that is shorter than the others cuts a text, or refuses it."""
        record = retold(kind.samples[1](), "\u00e9" * 40_000 + "x" * 65_536 + "!", names=False)
        with writing(backend) as session:
            kind.save(session, record)
        with reading(backend) as session:
            assert [exact(found) for found in kind.load(session, record)] == [exact(record)]

    @clause("records.empty")
    def test_empty_is_not_missing(self, backend: Backend) -> None:
        """Otherwise what is known to be empty cannot be told from what is not known."""
        thoughts = [thought("a", context={}, ponder_notes=[]), thought("b"), thought("c", context={"a": None})]
        outcome = {"status": "", "summary": "", "actions_taken": [], "errors": [""]}
        tasks = [task("a", outcome=outcome, signature="", updated_info_content="", created_by="0"), task("b")]
        data = {"metric_name": "m", "metric_value": 0.0, "min_value": 0.0, "sample_count": 0, "metric_unit": ""}
        correlations = [correlation("a", metric_data=data, tags={"k": ""}), correlation("b")]
        with writing(backend) as session:
            session.thoughts.add(thoughts)
            session.tasks.add(tasks)
            session.correlations.add(correlations)
            session.secrets.add([secret("a", detected_by="", ciphertext=b""), secret("b")])
            session.graph.put_nodes([put(node("a", consent_stream=None, attributes={"k": None}))], T0)
        with reading(backend) as session:
            assert by_key(session.thoughts.get(["a", "b", "c"], None), ("thought_id",)) == list(map(exact, thoughts))
            assert by_key(session.tasks.get(["a", "b"], None), ("task_id",)) == list(map(exact, tasks))
            found = by_key(session.correlations.get(["a", "b"]), ("correlation_id",))
            assert found == list(map(exact, correlations))
            assert [(each.detected_by, each.ciphertext) for each in session.secrets.get(["a"])] == [("", b"")]
            [kept] = session.graph.get_nodes([NodeKey("a", LOCAL)], None)
        assert (kept.consent_stream, kept.attributes) == (None, {"k": None})


def _request(**fields: str) -> dict[str, Any]:
    return {"request_data": {"service_type": "s", "method_name": "m", "request_timestamp": T0, **fields}}


TASK_COLUMNS: dict[str, Callable[[str], dict[str, Any]]] = {
    "occurrence_id": lambda value: {"agent_occurrence_id": value},
    "channel_id": lambda value: {"channel_id": value},
    "parent_task_id": lambda value: {"parent_task_id": value},
    "shared_type": lambda value: {"shared_type": value},
    "correlation_id": lambda value: {"context": {"correlation_id": value}},
}
THOUGHT_COLUMNS: dict[str, Callable[[str], dict[str, Any]]] = {
    "occurrence_id": lambda value: {"agent_occurrence_id": value},
    "source_task_id": lambda value: {"source_task_id": value},
    "parent_thought_id": lambda value: {"parent_thought_id": value},
}
CORRELATION_COLUMNS: dict[str, Callable[[str], dict[str, Any]]] = {
    "types": lambda value: {"correlation_type": value},
    "occurrence_id": lambda value: {"agent_occurrence_id": value},
    "metric_names": lambda value: {"metric_data": {"metric_name": value, "metric_value": 1.0}},
    "log_levels": lambda value: {"log_data": {"log_level": value, "log_message": "oh"}},
    "task_id": lambda value: _request(task_id=value),
    "thought_id": lambda value: _request(thought_id=value),
    "channel_id": lambda value: _request(channel_id=value),
    "action_type": lambda value: {"action_type": value},
    "service_type": lambda value: {"service_type": value},
    "trace_id": lambda value: {"trace_context": {"trace_id": value, "span_id": "s", "span_name": "n"}},
    "parent_correlation_id": lambda value: {"parent_correlation_id": value},
    "tags": lambda value: {"tags": {"k": value * 40}},
    "tag_keys": lambda value: {"tags": {value: "v"}},
}


def _wanted(name: str, value: str) -> dict[str, Any]:
    match name:
        case "types" | "metric_names" | "log_levels":
            return {name: (value,)}
        case "tags":
            return {"tags": (("k", value * 40),)}
        case "tag_keys":
            return {"tags": ((value, "v"),)}
    return {name: value}


class TestFilteredColumns:
    """Filters tell apart the last of 255 bytes, letters' case, accents and trailing spaces."""

    @pytest.mark.parametrize("name", TASK_COLUMNS)
    @clause("tasks.find.exact")
    def test_tasks(self, backend: Backend, name: str) -> None:
        """Otherwise tasks of others are found whose names merely begin alike, or look alike."""
        with writing(backend) as session:
            session.tasks.add([task(f"t{i}", **TASK_COLUMNS[name](value)) for i, value in enumerate(VALUES)])
        with reading(backend) as session:
            for i, value in enumerate(VALUES):
                wanted: dict[str, Any] = {name: value}
                query = TaskQuery(**wanted)
                assert [each.task_id for each in session.tasks.find(query).items] == [f"t{i}"], value
                assert session.tasks.count(query) == 1

    @pytest.mark.parametrize("name", THOUGHT_COLUMNS)
    @clause("thoughts.find.exact")
    def test_thoughts(self, backend: Backend, name: str) -> None:
        """Otherwise thoughts of others are found whose names merely begin alike, or look alike."""
        with writing(backend) as session:
            session.thoughts.add([thought(f"h{i}").replaced(**THOUGHT_COLUMNS[name](v)) for i, v in enumerate(VALUES)])
        with reading(backend) as session:
            for i, value in enumerate(VALUES):
                wanted: dict[str, Any] = {name: value}
                query = ThoughtQuery(**wanted)
                assert [each.thought_id for each in session.thoughts.find(query).items] == [f"h{i}"], value
                assert session.thoughts.count(query) == 1

    @pytest.mark.parametrize("name", CORRELATION_COLUMNS)
    @clause("correlations.find.exact")
    def test_correlations(self, backend: Backend, name: str) -> None:
        """Otherwise events of others are found whose names merely begin alike, or look alike."""
        values = TYPES if name == "types" else VALUES
        with writing(backend) as session:
            session.correlations.add(
                [correlation(f"c{i}", **CORRELATION_COLUMNS[name](value)) for i, value in enumerate(values)]
            )
        with reading(backend) as session:
            for i, value in enumerate(values):
                where = CorrelationFilter(**_wanted(name, value))
                found = session.correlations.find(CorrelationQuery(where=where)).items
                assert [each.correlation_id for each in found] == [f"c{i}"], value
                assert session.correlations.count(where) == 1

    @clause("graph.list_edges.exact")
    def test_edges(self, backend: Backend) -> None:
        """Otherwise edges whose three long names differ only at the end become one, or are found for one another."""
        ends = VALUES[:3]
        edges = [edge(a, b, r, weight=0.5) for a in ends for b in ends for r in ends]
        store_edges(backend, *edges)
        with reading(backend) as session:
            assert len(session.graph.get_edges([each.key for each in edges])) == 27
            for value in ends:
                for name in ("source", "target", "relationship"):
                    query: dict[str, Any] = {name: value}
                    found = session.graph.list_edges(EdgeQuery(**query)).items
                    assert {getattr(each, name) for each in found} == {value} and len(found) == 9
        with writing(backend) as session:
            assert session.graph.delete_edges([edges[0].key]) == 1
            assert session.graph.delete_nodes([NodeKey(ends[1], LOCAL)]) == 1
            left = everything(session.graph.list_edges, EdgeQuery(limit=5))
        expected = [each.key for each in edges[1:] if ends[1] not in each.key[:2]]
        assert sorted(each.key for each in left) == sorted(expected)

    @clause("graph.list_nodes.exact")
    def test_nodes(self, backend: Backend) -> None:
        """Otherwise nodes are found whose attributes merely begin alike, or look alike."""
        texts = [value * 40 for value in VALUES]
        store_nodes(backend, *(node(f"n{i}", attributes={"k": text}) for i, text in enumerate(texts)))
        store_nodes(backend, *(node(f"k{i}", attributes={value: "v"}) for i, value in enumerate(VALUES)))
        store_nodes(backend, *(node(f"t{i}", type=value) for i, value in enumerate(TYPES)))
        with reading(backend) as session:
            for i, value in enumerate(VALUES):
                for wanted, found in ((("k", texts[i]), f"n{i}"), ((value, "v"), f"k{i}")):
                    query = NodeQuery(attributes=(wanted,))
                    assert [each.id for each in session.graph.list_nodes(query).items] == [found], wanted
            for i, value in enumerate(TYPES):
                assert [each.id for each in session.graph.list_nodes(NodeQuery(type=value)).items] == [f"t{i}"]

    @clause("secrets.find.exact")
    def test_secrets_and_chains(self, backend: Backend) -> None:
        """Otherwise a secret passes for one of another key, or two chains become one."""
        with writing(backend) as session:
            session.secrets.add([secret(f"s{i}", key_id=value) for i, value in enumerate(VALUES)])
            session.secrets.log_access([access(f"x{i}", value) for i, value in enumerate(VALUES)])
            session.audit.append([entry(i + 1, value) for i, value in enumerate(VALUES)])
        with writing(backend) as session:
            for i, value in enumerate(VALUES):
                assert [each.secret_id for each in session.secrets.find(PageRequest(), value).items] == [f"s{i}"]
                assert [each.access_id for each in session.secrets.list_access(PageRequest(), value).items] == [f"x{i}"]
                assert [each.sequence for each in session.audit.find(AuditQuery(chain=value)).items] == [i + 1]
                assert session.audit.head(value) == (i + 1, f"hash {i + 1}")


class TestOwners:
    """Owners, queues, occurrences and leases with names of up to 255 bytes."""

    @clause("tasks.owner.exact")
    def test_owners_of_tasks_and_thoughts(self, backend: Backend) -> None:
        """Otherwise an occurrence works on what belongs to another whose name begins alike, or looks alike."""
        failed = ThoughtStatus.FAILED
        with writing(backend) as session:
            session.tasks.add([task(f"t{i}", agent_occurrence_id=owner) for i, owner in enumerate(VALUES)])
            session.thoughts.add(
                [thought(f"h{i}", f"t{i}", agent_occurrence_id=owner, status=failed) for i, owner in enumerate(VALUES)]
            )
            finished = [(f"{i}.{j}", owner) for i, owner in enumerate(VALUES) for j in range(i)]
            done, deferred = TaskStatus.COMPLETED, ThoughtStatus.DEFERRED
            session.tasks.add([task(id, agent_occurrence_id=owner, status=done) for id, owner in finished])
            session.thoughts.add(
                [thought(id, id, agent_occurrence_id=owner, status=deferred) for id, owner in finished]
            )
        tasks, thoughts = [f"t{i}" for i in range(len(VALUES))], [f"h{i}" for i in range(len(VALUES))]
        for i, owner in enumerate(VALUES):
            with writing(backend) as session:
                assert [each.task_id for each in session.tasks.get(tasks, owner)] == [f"t{i}"]
                assert [each.thought_id for each in session.thoughts.get(thoughts, owner)] == [f"h{i}"]
                assert session.tasks.count_by_status(owner).get(TaskStatus.COMPLETED, 0) == i
                assert session.thoughts.count_by_status(owner).get(ThoughtStatus.DEFERRED, 0) == i
                for j in range(len(VALUES)):
                    assert session.tasks.update(f"t{j}", {"priority": 1}, owner, None) is (i == j)
                    assert session.thoughts.update(f"h{j}", {"round_number": 1}, owner) is (i == j)
                    assert session.thoughts.escalate(f"h{j}", owner, at(1)) is (i == j)
                assert [each.task_id for each in session.tasks.claim_next(f"w{i}", owner, 99, at(1))] == [f"t{i}"]
                [released] = session.tasks.release(f"w{i}", at(2), 99)
                assert released.agent_occurrence_id == owner
                assert session.thoughts.retry(f"h{i}", owner, 9, at(2)) is True
        for i, owner in reversed(list(enumerate(VALUES))):
            with writing(backend) as session:
                assert session.tasks.transfer(tasks, owner, f"o{i}", at(3)) == 1
                assert session.thoughts.transfer(ThoughtSelector(thought_ids=thoughts), owner, f"o{i}", at(3)) == 1
                assert session.tasks.get([f"t{i}"], None)[0].agent_occurrence_id == f"o{i}"
                assert session.thoughts.get([f"h{i}"], None)[0].agent_occurrence_id == f"o{i}"

    @clause("coordination.ids")
    def test_occurrences_and_leases(self, backend: Backend) -> None:
        """Otherwise one occurrence counts as alive for the heartbeats of another, or two jobs share a lease."""
        with writing(backend) as session:
            for i, name in enumerate(VALUES):
                session.coordination.put_occurrence(occurrence(name, expires_at=at(10 + i)))
            session.tasks.add([task(f"t{i}", agent_occurrence_id=name) for i, name in enumerate(VALUES)])
        last = len(VALUES) - 1
        with writing(backend) as session:
            dead = session.tasks.find(TaskQuery(owner_dead_at=at(10 + last - 1))).items
            assert len(dead) == last and f"t{last}" not in {each.task_id for each in dead}
            assert session.coordination.heartbeat(LONG, at(50), at(99)) is True
            assert [each.occurrence_id for each in session.coordination.list_occurrences(at(60))] == [LONG]
            for name in VALUES:
                assert session.coordination.remove_occurrence(name) is True
        for i, name in enumerate(VALUES):
            with writing(backend) as session:
                acquired = session.coordination.acquire_lease(name, str(i), T0, at(10))
            assert acquired is not None and acquired.owner == str(i)
        for owner in VALUES:
            with writing(backend) as session:
                taken = session.coordination.acquire_lease("job", owner, T0, at(10))
            assert (taken is not None) == (owner == LONG)
        with writing(backend) as session:
            assert len(session.coordination.list_leases(None)) == len(VALUES) + 1
            assert [session.coordination.renew_lease("job", o, 1, T0, at(20)) for o in VALUES[1:]] == [False] * last
            assert session.coordination.release_lease("job", LONG, 1, at(1)) is True
