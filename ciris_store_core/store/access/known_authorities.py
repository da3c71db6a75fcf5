"""Stored Wise Authorities and used approvals: nodes in IDENTITY that only the store writes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ciris_store_core.contract.backend import Session
from ciris_store_core.contract.graph import GraphStore
from ciris_store_core.errors import Conflict
from ciris_store_core.models.base import Id, Record
from ciris_store_core.models.enums import GraphScope
from ciris_store_core.models.graph import GraphNode, NodeKey, NodeQuery, NodeWrite, NodeWriteMode
from ciris_store_core.models.ids import uuid7
from ciris_store_core.signing import is_signed
from ciris_store_core.store.access.approvals import LONGEST_LIFE, Approval
from ciris_store_core.store.audit.store_identity import STORE_CHAIN
from ciris_store_core.store.work.ownership import queue_up

RESERVED = "wa:"
"""The prefix of the ids of these nodes."""

ROOT_TYPE, AUTHORITY_TYPE, APPROVAL_TYPE = "wa_root", "wa_authority", "wa_approval"

ROOT_ID = "wa:root"
ROOT_KEY = NodeKey(ROOT_ID, GraphScope.IDENTITY)
"""The node that marks the store as having authorities."""
_PAGE = 1000
_SKEW = timedelta(minutes=5)
"""The tolerance for an authority's clock that runs ahead."""


class Authority(Record):
    """A Wise Authority: a person or service whose signature approves writes to protected scopes."""

    key_id: Id
    public_key: Id
    name: Id
    revoked: bool = False


class KnownAuthorities:
    """Authorities as one transaction sees them. Transactions that use it run one after the other."""

    def __init__(self, session: Session, now: datetime) -> None:
        """In a writing transaction of the backend's own; ``now`` is the store's time."""
        queue_up(session, "wise_authorities")
        lock_authorities(session)
        self._graph = session.graph
        self._now = now

    def bootstrapped(self) -> bool:
        """Return whether the store has authorities."""
        return has_authorities(self._graph)

    def bootstrap(self) -> bool:
        """Mark the store as having authorities from now on; return False if it was marked before."""
        if self.bootstrapped():
            return False
        if self.all():
            raise Conflict("an interrupted import left authorities here", hint="Delete this database, and begin anew.")
        self._write(ROOT_ID, ROOT_TYPE, {"store": uuid7()}, "insert")
        return True

    def all(self) -> list[Authority]:
        """Return all registered authorities, revoked ones included, by id."""
        return stored_authorities(self._graph)

    def get(self, key_id: str) -> Authority | None:
        """Return the authority with that key."""
        node = self._node(_id_of(key_id))
        return None if node is None else _authority(node)

    def put(self, authority: Authority, mode: NodeWriteMode) -> None:
        """Store an authority."""
        self._write(_id_of(authority.key_id), AUTHORITY_TYPE, dict(authority), mode)

    def fault(self, approval: Approval) -> str | None:
        """Return why an approval does not count, or None."""
        if approval.expires_at <= self._now:
            return f"the approval expired at {approval.expires_at.isoformat(timespec='seconds')}: ask for a new one"
        authority = self.get(approval.authority)
        if authority is None:
            return f"{approval.authority} is not registered as an authority"
        if authority.revoked:
            return f"the authority {authority.name!a} was revoked"
        if not is_signed(approval.statement, approval.signature, authority.public_key):
            return "the approval's signature is wrong"
        if approval.expires_at > self._now + LONGEST_LIFE + _SKEW:
            days = LONGEST_LIFE.days
            return f"the approval is valid for more than {days} days: ask for one that expires within {days} days"
        return None if self._use(approval) else "the approval was used before: each is good for one write"

    def _use(self, approval: Approval) -> bool:
        """Store the approval as used until it has expired; return False if it was used already."""
        about = {"authority": approval.authority, "request": approval.request}
        try:
            self._write(f"wa:used:{approval.nonce}", APPROVAL_TYPE, about, "insert", approval.expires_at)
        except Conflict:  # Backends of contract 1 raise no AlreadyExists.
            return False
        return True

    def _node(self, node_id: str) -> GraphNode | None:
        found = self._graph.get_nodes([NodeKey(node_id, GraphScope.IDENTITY)], None)
        return found[0] if found else None

    def _write(
        self,
        node_id: str,
        kind: str,
        attributes: dict[str, Any],
        mode: NodeWriteMode,
        expires_at: datetime | None = None,
    ) -> None:
        node = GraphNode(
            id=node_id,
            type=kind,
            scope=GraphScope.IDENTITY,
            attributes=attributes,
            created_at=self._now,
            updated_at=self._now,
            consent_stream=None,
            expires_at=expires_at,
        )
        self._graph.put_nodes([NodeWrite(node, mode)], self._now)


def has_authorities(graph: GraphStore) -> bool:
    """Return whether a store was bootstrapped."""
    return bool(graph.get_nodes([ROOT_KEY], None))


def lock_authorities(session: Session) -> None:
    """Wait until no other transaction is between here and its commit.

    Bootstrap and import both look for the root node and then write. With the lock, the second of them sees the writes
    of the first.
    """
    # A head locks without a record of any kind, which an import would find as a difference at its end.
    session.audit.head(STORE_CHAIN)


def stored_authorities(graph: GraphStore) -> list[Authority]:
    """Return all registered authorities, revoked ones included, by id."""
    query = NodeQuery(_PAGE, scope=GraphScope.IDENTITY, type=AUTHORITY_TYPE)
    return sorted(map(_authority, all_nodes(graph, query)), key=lambda authority: authority.key_id)


def all_nodes(graph: GraphStore, query: NodeQuery) -> list[GraphNode]:
    """Return the nodes of all pages of a query."""
    nodes: list[GraphNode] = []
    while True:
        page = graph.list_nodes(query)
        nodes += page.items
        if page.next_after is None:
            return nodes
        query = replace(query, after=page.next_after)


def _authority(node: GraphNode) -> Authority:
    return Authority(**node.attributes)


def _id_of(key_id: str) -> str:
    return f"wa:key:{key_id}"
