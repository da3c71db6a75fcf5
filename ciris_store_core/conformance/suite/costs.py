"""Costs: statements and rows at one, ten and a hundred times the size, counted by the instrument of the harness."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from ciris_store_core.capabilities import Capability
from ciris_store_core.conformance.calls import READS, WRITES, Call, fill, offered
from ciris_store_core.conformance.factories import LOCAL, T0, at, correlation, edge, metric, node, put, task, thought
from ciris_store_core.conformance.instruments import Instrument, Steps
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.payload_samples import NS, S, document, stream_entry, write
from ciris_store_core.conformance.support import transact, writing
from ciris_store_core.contract import Backend, Session
from ciris_store_core.models import Direction, NodeKey, TaskStatus, ThoughtStatus
from ciris_store_core.models.correlations import CorrelationFilter, CorrelationQuery
from ciris_store_core.models.documents import DocumentKey, DocumentQuery
from ciris_store_core.models.graph import EdgeQuery, NodeQuery
from ciris_store_core.models.streams import EntryQuery, StreamKey, StreamQuery
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery

SIZES = (1, 10, 100)
ODD = "13579"
OPERABLE = Level.OPERABLE
Ids = Sequence[str]

BATCHES: Mapping[str, Callable[[Session, Ids], Any]] = {
    "tasks.add": lambda s, ids: s.tasks.add([task(f"new {id}") for id in ids]),
    "tasks.get": lambda s, ids: s.tasks.get(ids, None),
    "tasks.lock": lambda s, ids: s.tasks.lock(ids, None),
    "tasks.transfer": lambda s, ids: s.tasks.transfer(ids, "default", "o", at(1)),
    "thoughts.add": lambda s, ids: s.thoughts.add([thought(f"new {id}") for id in ids]),
    "thoughts.get": lambda s, ids: s.thoughts.get(ids, None),
    "thoughts.delete": lambda s, ids: s.thoughts.delete(ids),
    "correlations.add": lambda s, ids: s.correlations.add([correlation(f"new {id}") for id in ids]),
    "correlations.get": lambda s, ids: s.correlations.get(ids),
    "correlations.delete": lambda s, ids: s.correlations.delete(ids),
    "graph.put_nodes": lambda s, ids: s.graph.put_nodes([put(node(id, attributes={"a": 1})) for id in ids], T0),
    "graph.get_nodes": lambda s, ids: s.graph.get_nodes([NodeKey(id, LOCAL) for id in ids], None),
    "graph.lock_nodes": lambda s, ids: s.graph.lock_nodes([NodeKey(id, LOCAL) for id in ids]),
    "graph.delete_nodes": lambda s, ids: s.graph.delete_nodes([NodeKey(id, LOCAL) for id in ids]),
    "graph.put_edges": lambda s, ids: s.graph.put_edges([edge(id, "n") for id in ids]),
    "graph.get_edges": lambda s, ids: s.graph.get_edges([edge(id, "m").key for id in ids]),
    "graph.delete_edges": lambda s, ids: s.graph.delete_edges([edge(id, "m").key for id in ids]),
    "graph.neighbours": lambda s, ids: s.graph.neighbours(ids, LOCAL, Direction.BOTH, ()),
    "secrets.get": lambda s, ids: s.secrets.get(ids),
    "documents.put": lambda s, ids: s.documents.put([write(document(id, 1)) for id in ids], T0),
    "documents.get": lambda s, ids: s.documents.get([DocumentKey(NS, id) for id in ids], None),
    "documents.touch": lambda s, ids: s.documents.touch([DocumentKey(NS, id) for id in ids], T0),
    "documents.lock": lambda s, ids: s.documents.lock([DocumentKey(NS, id) for id in ids]),
    "documents.delete": lambda s, ids: s.documents.delete([DocumentKey(NS, id) for id in ids], T0),
    "streams.append": lambda s, ids: s.streams.append(S, [stream_entry(1, f"new {id}") for id in ids], T0, None),
    "streams.get": lambda s, ids: s.streams.get(S, ids),
    "streams.info": lambda s, ids: s.streams.info([StreamKey(NS, id) for id in ids]),
    "streams.delete": lambda s, ids: s.streams.delete([StreamKey(NS, id) for id in ids]),
}
"""Calls whose round trips do not grow with the number of ids."""

PAGES: Mapping[str, Call] = {
    "tasks.find": lambda s: s.tasks.find(TaskQuery(5)),
    "tasks.find (of a status)": lambda s: s.tasks.find(TaskQuery(5, statuses=(TaskStatus.PENDING,))),
    "tasks.claim_next": lambda s: s.tasks.claim_next("w", "default", 5, at(1)),
    "thoughts.find": lambda s: s.thoughts.find(ThoughtQuery(5)),
    "thoughts.find (of a status)": lambda s: s.thoughts.find(ThoughtQuery(5, statuses=(ThoughtStatus.PENDING,))),
    "correlations.find": lambda s: s.correlations.find(CorrelationQuery(5)),
    "correlations.find (filtered)": lambda s: s.correlations.find(
        CorrelationQuery(5, where=CorrelationFilter(action_type="speak"))
    ),
    "correlations.points": lambda s: s.correlations.points(CorrelationQuery(5)),
    "correlations.delete_expired": lambda s: s.correlations.delete_expired(at(9), 5),
    "graph.list_nodes": lambda s: s.graph.list_nodes(NodeQuery(5)),
    "graph.list_nodes (by prefix)": lambda s: s.graph.list_nodes(NodeQuery(5, id_prefix="i")),
    "graph.list_edges": lambda s: s.graph.list_edges(EdgeQuery(5)),
    "graph.delete_expired_nodes": lambda s: s.graph.delete_expired_nodes(at(9), 5),
    "documents.find": lambda s: s.documents.find(DocumentQuery(5)),
    "documents.find (by key)": lambda s: s.documents.find(DocumentQuery(5, prefix=NS, key_prefix="i")),
    "documents.delete_expired": lambda s: s.documents.delete_expired(at(9), 5),
    "streams.read": lambda s: s.streams.read(S, EntryQuery(5)),
    "streams.read (backwards)": lambda s: s.streams.read(S, EntryQuery(5, reverse=True)),
    "streams.append": lambda s: s.streams.append(S, [stream_entry()], T0, None),
    "streams.pop": lambda s: s.streams.pop(S, T0),
    "streams.find": lambda s: s.streams.find(StreamQuery(5)),
    "streams.truncate": lambda s: s.streams.truncate(S, 99, None, T0, 5),
}
"""Calls whose cost grows with the answer, each with a limit of 5."""

COUNTS = (
    "tasks.count", "tasks.count_by_status", "thoughts.count", "thoughts.count_by_status", "correlations.count",
    "graph.count_nodes", "documents.count",
)  # fmt: skip
"""Calls that load no row of a record."""

ONE_STATEMENT = (
    "tasks.get", "tasks.count_by_status", "thoughts.get", "thoughts.count_by_status", "thoughts.update",
    "thoughts.retry", "thoughts.escalate", "correlations.get", "graph.get_nodes", "graph.get_edges",
    "graph.neighbours", "coordination.put_occurrence", "coordination.heartbeat", "coordination.renew_lease",
    "coordination.release_lease", "secrets.get", "secrets.reencrypt", "tasks.update",
    "documents.get", "documents.reencrypt", "streams.get", "streams.info", "streams.reencrypt",
)  # fmt: skip
"""Calls that are one statement."""


class Undone(Exception):
    """Raised to roll a transaction back."""


def ids(count: int) -> list[str]:
    """Return the ids of that many records."""
    return [f"i{number:03}" for number in range(count)]


def grow(session: Session, capabilities: frozenset[Capability], count: int) -> None:
    """Add records of each kind, some of them expired, up to a number."""
    grow_payloads(session, capabilities, count)
    new = ids(count)[session.tasks.count(TaskQuery()) :]
    session.tasks.add([task(id) for id in new])
    session.thoughts.add([thought(id, id) for id in new])
    session.correlations.add([metric(id, 1.0, ttl_seconds=1) for id in new])
    session.graph.put_nodes([put(node(id, expires_at=at(1) if id[-1] in ODD else None)) for id in (*new, "m", "n")], T0)
    session.graph.put_edges([edge(id, "m") for id in new if id[-1] not in ODD])


def grow_payloads(session: Session, capabilities: frozenset[Capability], count: int) -> None:
    """Write that many documents, half of them expired, streams, and entries of one stream."""
    if Capability.DOCUMENTS in capabilities:
        odd: dict[str, Any] = {"expires_at": at(1)}
        session.documents.put([write(document(id, **(odd if id[-1] in ODD else {}))) for id in ids(count)], T0)
    if Capability.STREAMS in capabilities:
        new = ids(count)[sum(each.length for each in session.streams.info([S])) :]
        session.streams.append(S, [stream_entry(id, id) for id in new], T0, None)
        for id in new:
            session.streams.append(StreamKey(NS, id), [stream_entry(id)], T0, None)


def _with(call: Callable[[Session, Ids], Any], some: Ids, session: Session) -> Any:
    return call(session, some)


def steps_of(backend: Backend, instrument: Instrument, call: Call) -> Steps:
    """Return the steps of one call, in a transaction that is rolled back."""
    with instrument.watch() as steps, suppress(Undone), writing(backend) as session:
        call(session)
        raise Undone
    return steps


class TestCosts:
    """Numbers of statements and rows."""

    @clause("session.costs.batches", OPERABLE)
    def test_batches(self, backend: Backend, instrument: Instrument) -> None:
        """Otherwise a batch of a thousand records takes a thousand round trips."""
        transact(backend, partial(grow, capabilities=backend.capabilities, count=max(SIZES)))
        for name, call in offered(BATCHES, backend.capabilities).items():
            found = {}
            for size in SIZES:
                found[size] = steps_of(backend, instrument, partial(_with, call, ids(size))).statements
            # A few more, since a backend may index the words of many nodes at once.
            assert found[100] <= found[10] + 4 <= found[1] + 8, f"{name}: statements by size of the batch: {found}"

    @clause("session.costs.answers", OPERABLE)
    def test_pages(self, backend: Backend, instrument: Instrument) -> None:
        """Otherwise each page of a large store reads the whole of it."""
        calls = offered(PAGES, backend.capabilities)
        found: dict[str, list[tuple[int, int]]] = {name: [] for name in calls}
        for size in (20, 200):
            transact(backend, partial(grow, capabilities=backend.capabilities, count=size))
            for name, call in calls.items():
                steps = steps_of(backend, instrument, call)
                found[name].append((steps.statements, steps.rows))
        for name, (small, large) in found.items():
            assert large <= small, f"{name}: (statements, rows) with 20 and 200 records: {small}, {large}"

    @clause("session.costs.counts", OPERABLE)
    def test_counts(self, backend: Backend, instrument: Instrument) -> None:
        """Otherwise to count the records of a large store takes its whole memory."""
        transact(backend, partial(grow, capabilities=backend.capabilities, count=max(SIZES)))
        for name, call in offered({name: READS[name] for name in COUNTS}, backend.capabilities).items():
            steps = steps_of(backend, instrument, call)
            assert steps.rows <= len(TaskStatus), f"{name} loads {steps.rows} rows"

    @clause("session.costs.one_statement", OPERABLE)
    def test_one_statement(self, backend: Backend, instrument: Instrument) -> None:
        """Otherwise a call waits for the server several times, and another transaction comes in between."""
        transact(backend, fill)
        calls = {**READS, **WRITES}
        for name, call in offered({name: calls[name] for name in ONE_STATEMENT}, backend.capabilities).items():
            with instrument.watch() as steps, backend.session(write=name in WRITES, single=True) as session:
                call(session)
            assert steps.statements == 1, f"{name}: {steps.statements} statements"
