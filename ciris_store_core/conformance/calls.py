"""One call of each method of the contract, on a store that ``fill`` filled, and the whole contents of a store.

Each read finds something there, and each write changes something.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from ciris_store_core.capabilities import Capability
from ciris_store_core.conformance import payload_calls
from ciris_store_core.conformance.backend_pair import UNORDERED, plain
from ciris_store_core.conformance.factories import (
    LOCAL,
    T0,
    access,
    anchor,
    at,
    correlation,
    edge,
    entry,
    lease,
    metric,
    node,
    occurrence,
    put,
    secret,
    task,
    thought,
)
from ciris_store_core.conformance.support import everything
from ciris_store_core.contract import Session, ThoughtSelector
from ciris_store_core.errors import NotSupported
from ciris_store_core.models import Direction, NodeKey, TaskStatus, ThoughtStatus
from ciris_store_core.models.audit import AuditQuery
from ciris_store_core.models.correlations import (
    AggregateQuery,
    CorrelationFilter,
    CorrelationQuery,
    Metric,
    PercentileQuery,
)
from ciris_store_core.models.documents import DocumentQuery
from ciris_store_core.models.graph import EdgeQuery, NodeQuery, SearchQuery, Traversal
from ciris_store_core.models.paging import PageRequest, ResultPage
from ciris_store_core.models.streams import EntryQuery, StreamKey, StreamQuery
from ciris_store_core.models.tasks import TaskQuery
from ciris_store_core.models.thoughts import ThoughtQuery

Call = Callable[[Session], Any]
T = TypeVar("T")

N, M, OLD = (NodeKey(id, LOCAL) for id in ("n", "m", "old"))
EDGE = edge("n", "m").key
METRICS = CorrelationFilter(metric_names=("cpu",))
MEASURED = Metric("load", 1.0, {}, at(1), None, "measured")
HOUR = timedelta(hours=1)
FAILED = ThoughtStatus.FAILED
CHANGED = {"description": "changed", "updated_at": at(9)}


def fill(session: Session, capabilities: Collection[Capability] = tuple(Capability)) -> None:
    """Add the records on which the calls act, as far as a backend with these capabilities keeps them."""
    for needed, add in PAYLOADS.items():
        with suppress(NotSupported):
            if needed in capabilities:
                add(session)
    nodes = [node("n", attributes={"n": 1, "text": "blue sky"}), node("m"), node("old", expires_at=at(1))]
    session.graph.put_nodes([put(each, "insert") for each in nodes], T0)
    session.graph.put_edges([edge("n", "m"), edge("m", "n", "likes")])
    session.tasks.add([task(), task("child", parent_task_id="t", priority=3), claimed_task("mine")])
    session.thoughts.add([thought(), thought("of child", "child"), thought("failed", "mine", status=FAILED)])
    session.correlations.add([correlation(), metric("m1", 3.0), metric("m2", 5.0), correlation("old", ttl_seconds=1)])
    session.coordination.put_occurrence(occurrence())
    session.coordination.add_leases([lease()])
    session.secrets.add([secret()])
    session.secrets.log_access([access()])
    session.audit.append([entry(1), entry(2), entry(1, "other")])
    session.audit.prune(anchor(1))


PAYLOADS = {Capability.DOCUMENTS: payload_calls.fill_documents, Capability.STREAMS: payload_calls.fill_streams}


def claimed_task(id: str) -> Any:
    """Return an active task that ``w`` claimed from the default queue."""
    given = {"status": TaskStatus.ACTIVE, "claimed_at": T0, "claimed_from": "default", "fence": 1}
    return task(id, agent_occurrence_id="w", claimed_by="w", **given)


READS: Mapping[str, Call] = {
    "graph.get_nodes": lambda s: s.graph.get_nodes([N, M], None),
    "graph.list_nodes": lambda s: s.graph.list_nodes(NodeQuery()),
    "graph.count_nodes": lambda s: s.graph.count_nodes(NodeQuery()),
    "graph.get_edges": lambda s: s.graph.get_edges([EDGE]),
    "graph.list_edges": lambda s: s.graph.list_edges(EdgeQuery()),
    "graph.neighbours": lambda s: s.graph.neighbours(["n"], LOCAL, Direction.BOTH, ()),
    "graph.degrees": lambda s: s.graph.degrees(LOCAL, Direction.BOTH, (), 9),
    "graph.traverse": lambda s: s.graph.traverse(Traversal(("n",), LOCAL, Direction.BOTH, (), 3)),
    "graph.shortest_path": lambda s: s.graph.shortest_path(Traversal(("n",), LOCAL, Direction.BOTH, (), 3), "m"),
    "graph.search": lambda s: s.graph.search(SearchQuery(("sky",))),
    "correlations.get": lambda s: s.correlations.get(["c", "m1"]),
    "correlations.find": lambda s: s.correlations.find(CorrelationQuery()),
    "correlations.count": lambda s: s.correlations.count(CorrelationFilter()),
    "correlations.points": lambda s: s.correlations.points(CorrelationQuery(where=METRICS)),
    "correlations.aggregate": lambda s: s.correlations.aggregate(AggregateQuery(METRICS, "sum", HOUR, ())),
    "correlations.percentiles": lambda s: s.correlations.percentiles(PercentileQuery(METRICS, (0.5,), HOUR, ())),
    "correlations.metric_names": lambda s: s.correlations.metric_names(),
    "tasks.get": lambda s: s.tasks.get(["t"], None),
    "tasks.find": lambda s: s.tasks.find(TaskQuery()),
    "tasks.count": lambda s: s.tasks.count(TaskQuery()),
    "tasks.count_by_status": lambda s: s.tasks.count_by_status(None),
    "thoughts.get": lambda s: s.thoughts.get(["h"], None),
    "thoughts.find": lambda s: s.thoughts.find(ThoughtQuery()),
    "thoughts.count": lambda s: s.thoughts.count(ThoughtQuery()),
    "thoughts.count_by_status": lambda s: s.thoughts.count_by_status(None),
    "coordination.list_occurrences": lambda s: s.coordination.list_occurrences(None),
    "coordination.list_leases": lambda s: s.coordination.list_leases(None),
    "secrets.get": lambda s: s.secrets.get(["s"]),
    "secrets.find": lambda s: s.secrets.find(PageRequest(), None),
    "secrets.list_access": lambda s: s.secrets.list_access(PageRequest(), "s"),
    "audit.find": lambda s: s.audit.find(AuditQuery()),
    "audit.chains": lambda s: s.audit.chains(),
    "audit.anchor": lambda s: s.audit.anchor("default"),
    **payload_calls.READS,
}
"""A call of each method that may be called in a read transaction."""

LOCKS: Mapping[str, Call] = {
    "graph.lock_nodes": lambda s: s.graph.lock_nodes([N]),
    "graph.lock_edges": lambda s: s.graph.lock_edges([EDGE]),
    "correlations.lock": lambda s: s.correlations.lock(["c"]),
    "correlations.find_locked": lambda s: s.correlations.find_locked(CorrelationQuery()),
    "tasks.lock": lambda s: s.tasks.lock(["t"], None),
    "tasks.lock_claim": lambda s: s.tasks.lock_claim("t", 0),
    "thoughts.lock": lambda s: s.thoughts.lock(["h"], None),
    "audit.head": lambda s: s.audit.head("default"),
    **payload_calls.LOCKS,
}
"""A call of each method that locks and changes nothing."""

WRITES: Mapping[str, Call] = {
    "graph.put_nodes": lambda s: s.graph.put_nodes([put(node("n", attributes={"k": 1})), put(node("new"))], at(9)),
    "graph.increment": lambda s: s.graph.increment(N, ["n"], 1, at(9)),
    "graph.delete_edges": lambda s: s.graph.delete_edges([EDGE]),
    "graph.delete_nodes": lambda s: s.graph.delete_nodes([N]),
    "graph.delete_expired_nodes": lambda s: s.graph.delete_expired_nodes(at(9), 9),
    "graph.put_edges": lambda s: s.graph.put_edges([edge("n", "m", weight=0.5), edge("n", "n")]),
    "correlations.add": lambda s: s.correlations.add([correlation("new"), metric("newer", 7.0)]),
    "correlations.add_metrics": lambda s: s.correlations.add_metrics([MEASURED], correlation()),
    "correlations.update": lambda s: s.correlations.update("c", {"action_type": "act", "updated_at": at(9)}),
    "correlations.delete": lambda s: s.correlations.delete(["c"]),
    "correlations.delete_expired": lambda s: s.correlations.delete_expired(at(9), 9),
    "tasks.add": lambda s: s.tasks.add([task("new"), task("newer")]),
    "tasks.add_or_get": lambda s: s.tasks.add_or_get(task("got")),
    "tasks.update": lambda s: s.tasks.update("t", CHANGED, None, 0),
    "tasks.delete": lambda s: s.tasks.delete(["t"]),
    "tasks.claim_next": lambda s: s.tasks.claim_next("x", "default", 1, at(9)),
    "tasks.release": lambda s: s.tasks.release("w", at(9), 9),
    "tasks.transfer": lambda s: s.tasks.transfer(["t"], "default", "o", at(9)),
    "thoughts.add": lambda s: s.thoughts.add([thought("new"), thought("newer")]),
    "thoughts.update": lambda s: s.thoughts.update("h", {"content": "changed", "updated_at": at(9)}, None),
    "thoughts.retry": lambda s: s.thoughts.retry("failed", None, 3, at(9)),
    "thoughts.escalate": lambda s: s.thoughts.escalate("h", None, at(9)),
    "thoughts.delete": lambda s: s.thoughts.delete(["failed"]),
    "thoughts.transfer": lambda s: s.thoughts.transfer(ThoughtSelector(task_id="t"), "default", "o", at(9)),
    "coordination.put_occurrence": lambda s: s.coordination.put_occurrence(occurrence(expires_at=at(99))),
    "coordination.heartbeat": lambda s: s.coordination.heartbeat("o", at(9), at(99)),
    "coordination.remove_occurrence": lambda s: s.coordination.remove_occurrence("o"),
    "coordination.acquire_lease": lambda s: s.coordination.acquire_lease("new", "me", at(9), at(99)),
    "coordination.renew_lease": lambda s: s.coordination.renew_lease("job", "me", 1, at(9), at(99)),
    "coordination.release_lease": lambda s: s.coordination.release_lease("job", "me", 1, at(9)),
    "coordination.add_leases": lambda s: s.coordination.add_leases([lease("copied", fence=2)]),
    "secrets.add": lambda s: s.secrets.add([secret("new")]),
    "secrets.reencrypt": lambda s: s.secrets.reencrypt("s", b"encrypted", "k2", b"again"),
    "secrets.delete": lambda s: s.secrets.delete(["s"]),
    "secrets.log_access": lambda s: s.secrets.log_access([access("new")]),
    "audit.append": lambda s: s.audit.append([entry(3), entry(4), entry(1, "new")]),
    "audit.prune": lambda s: s.audit.prune(anchor(2)),
    **payload_calls.WRITES,
}  # fmt: skip
"""A call of each method that changes something."""


def offered(calls: Mapping[str, T], capabilities: Collection[Capability]) -> dict[str, T]:
    """Return the calls that a backend with these capabilities offers."""
    needs = {"documents": Capability.DOCUMENTS, "streams": Capability.STREAMS, "graph.search": Capability.FULL_TEXT}
    absent = {name for name, needed in needs.items() if needed not in capabilities}
    return {name: call for name, call in calls.items() if not absent & {name, name.partition(".")[0]}}


def in_order(capabilities: Collection[Capability]) -> list[tuple[str, Call]]:
    """Return the writes that a backend offers; deletions come last, since the others act on what they delete."""
    return sorted(offered(WRITES, capabilities).items(), key=lambda item: "delete" in item[0] or "remove" in item[0])


def form(method: str, answer: Any) -> Any:
    """Return a form of an answer that is equal to that of the same answer in another order, where it has none."""
    found = plain(answer.items if isinstance(answer, ResultPage) else answer)
    unordered = method.partition(".")[2] in UNORDERED and isinstance(found, list)
    return sorted(found, key=repr) if unordered else found


def contents(session: Session) -> dict[str, Any]:
    """Return every stored record, by kind, in a form that can be compared."""
    chains = session.audit.chains()
    found = {
        "nodes": everything(session.graph.list_nodes, NodeQuery()),
        "edges": everything(session.graph.list_edges, EdgeQuery()),
        "correlations": everything(session.correlations.find, CorrelationQuery()),
        "tasks": everything(session.tasks.find, TaskQuery()),
        "thoughts": everything(session.thoughts.find, ThoughtQuery()),
        "occurrences": session.coordination.list_occurrences(None),
        "leases": session.coordination.list_leases(None),
        "secrets": everything(lambda page: session.secrets.find(page, None), PageRequest()),
        "accesses": everything(lambda page: session.secrets.list_access(page, None), PageRequest()),
        "entries": everything(session.audit.find, AuditQuery()),
        "anchors": [session.audit.anchor(chain) for chain in chains],
    }
    found.update(_payloads(session))
    return {"chains": chains, **{kind: plain(rows) for kind, rows in found.items()}}


def _payloads(session: Session) -> dict[str, Any]:
    """Return documents, streams and their entries, as far as there are any: not every backend keeps them."""
    found: dict[str, Any] = {}
    with suppress(NotSupported):
        found["documents"] = everything(session.documents.find, DocumentQuery())
    with suppress(NotSupported):
        found["streams"] = everything(session.streams.find, StreamQuery())
        keys = [StreamKey(each.namespace, each.name) for each in found["streams"]]
        found["stream entries"] = [session.streams.read(key, EntryQuery(1000)).items for key in keys]
    return {kind: rows for kind, rows in found.items() if rows}
