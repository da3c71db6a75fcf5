"""Factories of valid records for tests. Each accepts the fields that matter to the test."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from ciris_store_core.conformance.support import writing
from ciris_store_core.contract import Backend
from ciris_store_core.models import (
    AuditAnchor,
    AuditEntry,
    Correlation,
    CorrelationType,
    GraphEdge,
    GraphNode,
    GraphScope,
    Lease,
    NodeType,
    Occurrence,
    SecretAccess,
    SecretRecord,
    Sensitivity,
    Task,
    Thought,
)
from ciris_store_core.models.graph import KEPT_UNLESS_GIVEN, NodeWrite, NodeWriteMode

T0 = datetime(2025, 1, 1, 12, tzinfo=UTC)
"""The time at which the tests start."""

LOCAL = GraphScope.LOCAL


def at(seconds: float) -> datetime:
    """Return the time that many seconds after ``T0``."""
    return T0 + timedelta(seconds=seconds)


def node(id: str = "n", **fields: Any) -> GraphNode:
    """Return a concept of the local scope, created and updated at ``T0``."""
    given = {"type": NodeType.CONCEPT, "scope": LOCAL, "attributes": {}, "created_at": T0, "updated_at": T0}
    return GraphNode(id=id, **{**given, **fields})


def put(
    record: GraphNode,
    mode: NodeWriteMode = "merge",
    *,
    remove: Iterable[str] = (),
    expected: int | None = None,
    given: Iterable[str] = (),
) -> NodeWrite:
    """Return a write of a node."""
    return NodeWrite(record, mode, tuple(remove), expected, frozenset(given))


def store_nodes(backend: Backend, *nodes: GraphNode) -> list[GraphNode]:
    """Write nodes in a transaction of their own, replacing stored ones."""
    with writing(backend) as session:
        return session.graph.put_nodes([put(record, "replace", given=KEPT_UNLESS_GIVEN) for record in nodes], T0)


def edge(source: str = "a", target: str = "b", relationship: str = "knows", **fields: Any) -> GraphEdge:
    """Return an edge of the local scope."""
    given = {"scope": LOCAL, "attributes": {"created_at": T0}, "revision": 1}
    return GraphEdge(source=source, target=target, relationship=relationship, **{**given, **fields})


def store_edges(backend: Backend, *edges: GraphEdge) -> None:
    """Write edges and the nodes that they connect, in a transaction of their own."""
    ends = {(end, each.scope) for each in edges for end in (each.source, each.target)}
    with writing(backend) as session:
        session.graph.put_nodes([put(node(id, scope=scope)) for id, scope in sorted(ends)], T0)
        session.graph.put_edges(edges)


def correlation(id: str = "c", **fields: Any) -> Correlation:
    """Return a service interaction at ``T0``."""
    given = {"service_type": "llm", "handler_name": "h", "action_type": "speak"}
    times = dict.fromkeys(("created_at", "updated_at", "timestamp"), T0)
    return Correlation(correlation_id=id, **{**given, **times, **fields})


def metric(id: str, value: float, seconds: float = 0, **fields: Any) -> Correlation:
    """Return a data point of the metric ``cpu``, that many seconds after ``T0``."""
    given = {
        "correlation_type": CorrelationType.METRIC_DATAPOINT,
        "timestamp": at(seconds),
        "metric_data": {"metric_name": "cpu", "metric_value": float(value)},
    }
    return correlation(id, **{**given, **fields})


def task(id: str = "t", **fields: Any) -> Task:
    """Return a pending task of the default occurrence, created and updated at ``T0``."""
    given = {"channel_id": "channel", "description": "do it", "created_at": T0, "updated_at": T0}
    return Task(task_id=id, **{**given, **fields})


def thought(id: str = "h", task_id: str = "t", **fields: Any) -> Thought:
    """Return a pending thought of the default occurrence, created and updated at ``T0``."""
    given = {"source_task_id": task_id, "content": "hm", "created_at": T0, "updated_at": T0}
    return Thought(thought_id=id, **{**given, **fields})


def occurrence(id: str = "o", **fields: Any) -> Occurrence:
    """Return an occurrence that expires one minute after ``T0``."""
    given = {"started_at": T0, "heartbeat_at": T0, "expires_at": at(60)}
    return Occurrence(occurrence_id=id, **{**given, **fields})


def lease(name: str = "job", **fields: Any) -> Lease:
    """Return a lease that expires ten seconds after ``T0``."""
    given = {"owner": "me", "fence": 1, "acquired_at": T0, "expires_at": at(10)}
    return Lease(name=name, **{**given, **fields})


def secret(id: str = "s", **fields: Any) -> SecretRecord:
    """Return an encrypted secret."""
    given = {
        "description": "API key",
        "sensitivity": Sensitivity.HIGH,
        "key_id": "k1",
        "ciphertext": b"encrypted",
        "created_at": T0,
    }
    return SecretRecord(secret_id=id, **{**given, **fields})


def access(id: str = "x", secret_id: str = "s", **fields: Any) -> SecretAccess:
    """Return an access log entry of a secret resolved at ``T0``."""
    given = {"accessor": "me", "action": "speak", "granted": True, "at": T0}
    return SecretAccess(access_id=id, secret_id=secret_id, **{**given, **fields})


def entry(sequence: int = 1, chain: str = "default", **fields: Any) -> AuditEntry:
    """Return an entry of a chain. Its hash is its sequence number, since backends compute no hashes."""
    given = {
        "entry_id": f"{chain}/{sequence}",
        "event_type": "login",
        "actor": "me",
        "at": T0,
        "previous_hash": f"hash {sequence - 1}",
        "entry_hash": f"hash {sequence}",
    }
    return AuditEntry(chain=chain, sequence=sequence, **{**given, **fields})


def anchor(sequence: int = 1, chain: str = "default", **fields: Any) -> AuditAnchor:
    """Return an anchor that replaces all entries up to a sequence number."""
    given = {"entry_hash": f"hash {sequence}", "removed_count": sequence, "at": T0}
    return AuditAnchor(chain=chain, sequence=sequence, **{**given, **fields})
