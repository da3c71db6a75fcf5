"""Graph of a writing transaction: nodes and edges of protected scopes are written with an approval only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from ciris_store_core.contract.graph import GraphStore
from ciris_store_core.models.enums import GraphScope
from ciris_store_core.models.graph import EdgeKey, GraphEdge, GraphNode, NodeKey, NodeQuery, NodeWrite
from ciris_store_core.store.access.approval_gate import ApprovalGate, pass_on
from ciris_store_core.store.access.known_authorities import APPROVAL_TYPE, RESERVED, all_nodes
from ciris_store_core.store.audit.canonical import fields_of

K = TypeVar("K", NodeKey, EdgeKey)

_PAGE = 1000
_SET_BY_STORE = ("revision", "created_at", "updated_at", "scope")


class GuardedGraph:
    """Graph store that asks for an approval before each write to a protected scope.

    It has every method of the contract by name. A method that it doesn't name cannot be called.
    """

    __slots__ = ("_gate", "_inner", "_protected")

    def __init__(self, inner: GraphStore, gate: ApprovalGate, protected: Iterable[GraphScope]) -> None:
        """Guard the graph of one transaction."""
        self._inner = inner
        self._gate = gate
        # A tuple: members of enums are found in it by identity, without being hashed.
        self._protected = tuple(protected)

    get_nodes = pass_on("get_nodes")
    lock_nodes = pass_on("lock_nodes")
    list_nodes = pass_on("list_nodes")
    count_nodes = pass_on("count_nodes")
    search = pass_on("search")
    get_edges = pass_on("get_edges")
    lock_edges = pass_on("lock_edges")
    list_edges = pass_on("list_edges")
    neighbours = pass_on("neighbours")
    degrees = pass_on("degrees")
    traverse = pass_on("traverse")
    shortest_path = pass_on("shortest_path")

    def put_nodes(self, writes: Sequence[NodeWrite], now: datetime) -> list[GraphNode]:
        """Write nodes; those in protected scopes need an approval."""
        for write in writes:
            if write.node.scope in self._protected:
                self._ask_for_nodes(writes)
                break
        return self._inner.put_nodes(writes, now)

    def delete_nodes(self, keys: Sequence[NodeKey], now: datetime | None = None) -> int:
        """Delete nodes; those in protected scopes need an approval."""
        self._ask_for_keys("delete_nodes", keys)
        return self._inner.delete_nodes(keys, now)

    def increment(self, key: NodeKey, path: Sequence[str], by: int | float, now: datetime) -> int | float | None:
        """Add to an attribute; in a protected scope it needs an approval."""
        if key.scope in self._protected:
            self._refuse_reserved("increment", key.scope, [key.id])
            self._gate.need_approval("increment", key.scope, [{"id": key.id, "path": list(path), "by": by}])
        return self._inner.increment(key, path, by, now)

    def put_edges(self, edges: Sequence[GraphEdge], now: datetime | None = None) -> list[GraphEdge]:
        """Write edges; those in protected scopes need an approval."""
        for scope, inside in self._group_by_scope((edge.scope, edge) for edge in edges):
            self._gate.need_approval("put_edges", scope, [_edge_content(edge) for edge in inside])
        return self._inner.put_edges(edges, now)

    def delete_edges(self, keys: Sequence[EdgeKey], now: datetime | None = None) -> int:
        """Delete edges; those in protected scopes need an approval."""
        self._ask_for_keys("delete_edges", keys)
        return self._inner.delete_edges(keys, now)

    def delete_expired_nodes(self, now: datetime, limit: int) -> int:
        """Delete expired nodes outside the protected scopes; ``delete_nodes`` with an approval deletes protected ones.

        Used approvals that have expired are the exception: they are the store's own nodes, and are deleted here.
        """
        expired = [key for scope in sorted(self._protected) for key in self._list_expired(scope, now)]
        if not expired:
            return self._inner.delete_expired_nodes(now, limit)
        self._gate.need_transaction()
        deletable = [key for key, kind in expired if kind == APPROVAL_TYPE][:limit]
        if len(deletable) == len(expired):
            return self._inner.delete_expired_nodes(now, limit)
        # Rare: an approved node in a protected scope has expired. The backend's own method would delete it too, so the
        # keys to delete are listed here.
        for scope in sorted(set(GraphScope) - set(self._protected)):
            if len(deletable) < limit:
                deletable += [key for key, _ in self._list_expired(scope, now)][: limit - len(deletable)]
        return self._inner.delete_nodes(deletable) if deletable else 0

    # --- inside -----------------------------------------------------------------------------------

    def _ask_for_nodes(self, writes: Sequence[NodeWrite]) -> None:
        for scope, inside in self._group_by_scope((write.node.scope, write) for write in writes):
            self._refuse_reserved("put_nodes", scope, [write.node.id for write in inside])
            self._gate.need_approval("put_nodes", scope, [_node_content(write) for write in inside])

    def _ask_for_keys(self, operation: str, keys: Sequence[K]) -> None:
        for scope, inside in self._group_by_scope((key.scope, key) for key in keys):
            if operation == "delete_nodes":
                self._refuse_reserved(operation, scope, [key[0] for key in inside])
            content = [{name: value for name, value in key._asdict().items() if name != "scope"} for key in inside]
            self._gate.need_approval(operation, scope, content)

    def _refuse_reserved(self, operation: str, scope: GraphScope, ids: Iterable[str]) -> None:
        if scope != GraphScope.IDENTITY:
            return
        for node_id in ids:
            if node_id.startswith(RESERVED):
                self._gate.refuse(operation, scope, f"node {node_id!a} is the store's own: see store.authorities")

    def _group_by_scope(self, pairs: Iterable[tuple[GraphScope, Any]]) -> list[tuple[GraphScope, list[Any]]]:
        found: dict[GraphScope, list[Any]] = {}
        for scope, item in pairs:
            if scope in self._protected:
                found.setdefault(scope, []).append(item)
        return sorted(found.items())

    def _list_expired(self, scope: GraphScope, now: datetime) -> list[tuple[NodeKey, str]]:
        query = NodeQuery(_PAGE, scope=scope)
        if self._inner.count_nodes(query) == self._inner.count_nodes(replace(query, now=now)):
            return []
        nodes = all_nodes(self._inner, query)
        return [(node.key, str(node.type)) for node in nodes if node.expires_at is not None and node.expires_at <= now]


def _node_content(write: NodeWrite) -> dict[str, Any]:
    """Return every field of a write except the times, which the store sets."""
    fields = {name: value for name, value in write.node.__dict__.items() if name not in _SET_BY_STORE}
    return {
        **fields,
        "mode": write.mode,
        "remove": list(write.remove),
        "expected_revision": write.expected_revision,
        "given": sorted(write.given),
    }


def _edge_content(edge: GraphEdge) -> dict[str, Any]:
    attributes = {name: value for name, value in fields_of(edge.attributes).items() if name != "created_at"}
    return {
        "source": edge.source,
        "target": edge.target,
        "relationship": edge.relationship,
        "weight": edge.weight,
        "attributes": attributes,
        "metadata": edge.metadata,
    }
