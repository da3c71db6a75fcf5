"""The graph as writers get it: what is protected is written with an approval only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from ciris_store_core.models.enums import GraphScope
from ciris_store_core.models.graph import EdgeKey, GraphEdge, GraphNode, NodeKey, NodeQuery, NodeWrite
from ciris_store_core.store.access.known_authorities import APPROVAL_TYPE, RESERVED, all_nodes
from ciris_store_core.store.audit.canonical import fields_of

if TYPE_CHECKING:
    from ciris_store_core.store.access.session_guard import GuardedSession

K = TypeVar("K", NodeKey, EdgeKey)

_PAGE = 1000
_SET_BY_STORE = ("revision", "created_at", "updated_at", "scope")


class GuardedGraph:
    """Nodes and edges of a writing transaction; what is not here, the backend's own store does."""

    __slots__ = ("_inner", "_protected", "_session")

    def __init__(self, session: GuardedSession) -> None:
        """Of that session."""
        self._session = session
        self._inner = session.inner.graph
        # A tuple: members of enums are found in it by identity, without being hashed.
        self._protected = tuple(session.guard.policy.protected)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def put_nodes(self, writes: Sequence[NodeWrite], now: datetime) -> list[GraphNode]:
        """Write nodes, protected ones with an approval."""
        for write in writes:
            if write.node.scope in self._protected:
                self._ask_for_nodes(writes)
                break
        return self._inner.put_nodes(writes, now)

    def delete_nodes(self, keys: Sequence[NodeKey], now: datetime | None = None) -> int:
        """Delete nodes, protected ones with an approval."""
        self._ask_for_keys("delete_nodes", keys)
        return self._inner.delete_nodes(keys, now)

    def increment(self, key: NodeKey, path: Sequence[str], by: int | float, now: datetime) -> int | float | None:
        """Add to an attribute, of protected nodes with an approval."""
        if key.scope in self._protected:
            self._refuse_reserved("increment", key.scope, [key.id])
            self._session.need_approval("increment", key.scope, [{"id": key.id, "path": list(path), "by": by}])
        return self._inner.increment(key, path, by, now)

    def put_edges(self, edges: Sequence[GraphEdge], now: datetime | None = None) -> list[GraphEdge]:
        """Write edges, protected ones with an approval."""
        for scope, inside in self._by_scope((edge.scope, edge) for edge in edges):
            self._session.need_approval("put_edges", scope, [_edge_content(edge) for edge in inside])
        return self._inner.put_edges(edges, now)

    def delete_edges(self, keys: Sequence[EdgeKey], now: datetime | None = None) -> int:
        """Delete edges, protected ones with an approval."""
        self._ask_for_keys("delete_edges", keys)
        return self._inner.delete_edges(keys, now)

    def delete_expired_nodes(self, now: datetime, limit: int) -> int:
        """Delete expired nodes, but no protected ones; those go with ``delete_nodes`` and an approval.

        Of the store's own, approvals that were used and can be used no more go.
        """
        expired = [key for scope in sorted(self._protected) for key in self._expired(scope, now)]
        if not expired:
            return self._inner.delete_expired_nodes(now, limit)
        self._session.need_transaction()
        gone = [key for key, kind in expired if kind == APPROVAL_TYPE][:limit]
        if len(gone) == len(expired):
            return self._inner.delete_expired_nodes(now, limit)
        # Rare: somebody approved of a node that expires. The backend would take it too, so here the others are named.
        for scope in sorted(set(GraphScope) - set(self._protected)):
            if len(gone) < limit:
                gone += [key for key, _ in self._expired(scope, now)][: limit - len(gone)]
        return self._inner.delete_nodes(gone) if gone else 0

    # --- inside -----------------------------------------------------------------------------------

    def _ask_for_nodes(self, writes: Sequence[NodeWrite]) -> None:
        for scope, inside in self._by_scope((write.node.scope, write) for write in writes):
            self._refuse_reserved("put_nodes", scope, [write.node.id for write in inside])
            self._session.need_approval("put_nodes", scope, [_node_content(write) for write in inside])

    def _ask_for_keys(self, operation: str, keys: Sequence[K]) -> None:
        for scope, inside in self._by_scope((key.scope, key) for key in keys):
            if operation == "delete_nodes":
                self._refuse_reserved(operation, scope, [key[0] for key in inside])
            content = [{name: value for name, value in key._asdict().items() if name != "scope"} for key in inside]
            self._session.need_approval(operation, scope, content)

    def _refuse_reserved(self, operation: str, scope: GraphScope, ids: Iterable[str]) -> None:
        if scope != GraphScope.IDENTITY:
            return
        for node_id in ids:
            if node_id.startswith(RESERVED):
                self._session.refuse(operation, scope, f"node {node_id!a} is the store's own: see store.authorities")

    def _by_scope(self, pairs: Iterable[tuple[GraphScope, Any]]) -> list[tuple[GraphScope, list[Any]]]:
        found: dict[GraphScope, list[Any]] = {}
        for scope, item in pairs:
            if scope in self._protected:
                found.setdefault(scope, []).append(item)
        return sorted(found.items())

    def _expired(self, scope: GraphScope, now: datetime) -> list[tuple[NodeKey, str]]:
        query = NodeQuery(_PAGE, scope=scope)
        if self._inner.count_nodes(query) == self._inner.count_nodes(replace(query, now=now)):
            return []
        nodes = all_nodes(self._inner, query)
        return [(node.key, str(node.type)) for node in nodes if node.expires_at is not None and node.expires_at <= now]


def _node_content(write: NodeWrite) -> dict[str, Any]:
    """All of a write but the times, which are the store's to set."""
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
