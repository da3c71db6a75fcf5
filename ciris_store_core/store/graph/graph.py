"""The graph memory: nodes and edges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict, TypeVar, Unpack

from ciris_store_core.errors import InvalidArgument, NotFound
from ciris_store_core.models.enums import GraphScope, NodeType
from ciris_store_core.models.graph import (
    KEPT_UNLESS_GIVEN,
    GraphNode,
    NodeKey,
    NodeQuery,
    NodeWrite,
    NodeWriteMode,
)
from ciris_store_core.models.paging import Page
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.store.access.secret_refs import as_read, delete_with_secrets, put_extracted, refs_of
from ciris_store_core.store.graph.edges import GraphEdges, tuples_of
from ciris_store_core.store.graph.traversal import Scope
from ciris_store_core.store.graph.upcast_writes import put_upcast
from ciris_store_core.store.graph.upcasters import upcast_page
from ciris_store_core.store.resource import (
    SCAN_SIZE,
    OnCorrupt,
    all_pages,
    living,
    page_of,
    position,
    refuse_repeats,
    refuse_unknown,
)
from ciris_store_core.validation.validator import limit_of, moment, whole

T = TypeVar("T")

Nodes = list[GraphNode]
NodeWrites = list[NodeWrite]
NodeKeys = list[NodeKey]
AnyNodeKey = NodeKey | tuple[str, Scope]

_NODE_KEY = "a node's key is (id, scope)"

_KEPT = frozenset(KEPT_UNLESS_GIVEN)
_NODE_SHAPE = (datetime, str, str)


class NodeFilters(TypedDict, total=False):
    """Conditions on nodes; all that are given must hold."""

    scope: Scope | None
    type: NodeType | str | None
    prefix: str | None
    """The beginning of the id. It has no wildcards."""
    attributes: Mapping[str, Any]
    """Top-level attributes that must equal a text, number (1 equals 1.0), boolean or None."""
    updated_from: datetime | None
    updated_to: datetime | None
    """Both bounds inclusive, and aware."""
    include_expired: bool
    """Include nodes whose ``expires_at`` has passed; by default they are left out."""


class Graph(GraphEdges):
    """Graph memory of an agent: nodes by (id, scope), and the weighted edges between them.

    Scopes are members or text. An expired node counts as absent, deleted already or not, and so do its edges.
    """

    __slots__ = ()

    # --- nodes ------------------------------------------------------------------------------------

    def put(
        self,
        node: GraphNode,
        *,
        merge: bool = True,
        remove: Iterable[str] = (),
        expected_revision: int | None = None,
        insert: bool = False,
    ) -> GraphNode:
        """Write a node and return it as stored.

        A new node is stored as given. The attributes of an existing one are merged, atomically: given keys win,
        others stay. ``version``, ``updated_by``, ``consent_stream``, ``expires_at`` and ``metadata`` change if they
        were given; ``created_at`` stays, ``updated_at`` changes and ``revision`` grows by 1. If an upcaster of its
        version is known, the stored node is upcast first, for which ``revision`` grows by another 1.

        Args:
            node: The node to write. It is not changed.
            merge: False replaces all attributes by the given ones.
            remove: Attribute keys to delete after the merge.
            expected_revision: Write only if the stored node has this revision; 0: only if there is none.
            insert: Write only if there is none.

        Raises:
            RevisionMismatch: The stored revision is not ``expected_revision``.
            AlreadyExists: ``insert`` met a stored node.
            Conflict: The stored node has another type.
            InvalidArgument: A field cannot be stored, or a configuration is in the wrong scope. Nothing was written.
        """
        if isinstance(remove, str):
            raise InvalidArgument("remove: expected several, not one text. Put it into a list.")
        keys = tuple(self._attribute_key(key) for key in remove)
        if expected_revision is not None:
            whole(expected_revision, "expected_revision", 0, 2**63 - 1)
        extracted = ExtractedSecrets()
        write = self._prepare_write(node, _mode(merge, insert), keys, expected_revision, extracted)
        return self._put([write], extracted)[0]

    def put_many(self, nodes: Iterable[GraphNode], *, merge: bool = True, insert: bool = False) -> Nodes:
        """Write many nodes, all or none, in a constant number of round trips; return them as stored. See ``put``.

        A batch that names a node twice is refused.
        """
        extracted = ExtractedSecrets()
        writes = [self._prepare_write(node, _mode(merge, insert), (), None, extracted) for node in nodes]
        refuse_repeats([write.node.key for write in writes], "node")
        return self._put(writes, extracted) if writes else []

    def _put(self, writes: NodeWrites, extracted: ExtractedSecrets) -> Nodes:
        now, upcasters = self._ctx.server_now(), self._ctx.upcasters
        if upcasters.concern(writes):
            return as_read(put_upcast(self._x, upcasters, self._ctx.check, writes, now, extracted))
        if not extracted:
            return as_read(self._x.write("graph.put", lambda session: session.graph.put_nodes(writes, now)))
        return as_read(
            self._x.write("graph.put", lambda session: put_extracted(session, writes, now), extracted=extracted)
        )

    def _prepare_write(
        self,
        node: GraphNode,
        mode: NodeWriteMode,
        remove: tuple[str, ...],
        expected: int | None,
        extracted: ExtractedSecrets,
    ) -> NodeWrite:
        now = self._ctx.clock.now()
        ready = self._ctx.check.record(node, GraphNode, now, extracted)
        if extracted or ready.secret_refs:
            ready.__dict__["secret_refs"] = refs_of(ready, extracted)
        given = node.__pydantic_fields_set__
        if "updated_at" not in given or ready.updated_at is None:
            ready.__dict__["updated_at"] = now
        ready.__dict__["revision"] = 1  # that of a new node
        _check_configuration(ready)
        return NodeWrite(ready, mode, remove, expected, _KEPT & given)

    def get(
        self, id: str, scope: Scope, *, include_expired: bool = False, for_update: bool = False
    ) -> GraphNode | None:
        """Return the node with that key, or None if there is none, or it expired and ``include_expired`` is False.

        ``for_update``, in a transaction only, locks the node: no other transaction changes or deletes it until this
        one ends, so a write that depends on what was read overwrites no concurrent change.
        """
        found = self._nodes([self._node_key(id, scope)], include_expired, for_update)
        return found[0] if found else None

    def get_many(
        self, keys: Iterable[AnyNodeKey], *, include_expired: bool = False, for_update: bool = False
    ) -> dict[NodeKey, GraphNode]:
        """Return the existing nodes among these (id, scope), by key, in the order given. See ``get``.

        One round trip.
        """
        wanted = self._node_keys(keys)
        found = {node.key: node for node in self._nodes(wanted, include_expired, for_update)}
        return {key: found[key] for key in wanted if key in found}

    def _nodes(self, keys: NodeKeys, include_expired: bool, for_update: bool) -> Nodes:
        if for_update:
            found = self._x.lock(lambda session: session.graph.lock_nodes(keys))
        else:
            found = self._x.read("graph.get", lambda session: session.graph.get_nodes(keys, None)) if keys else []
        if not include_expired:
            found = living(found, self._ctx.server_now)
        return as_read(self._ctx.upcasters.upcast_all(found))

    def increment(self, id: str, scope: Scope, key: str | Sequence[str], by: int | float = 1) -> int | float:
        """Add to a number among a node's attributes and return the sum; no concurrent increment is lost.

        Args:
            id: The id of the node.
            scope: The scope of the node.
            key: The attribute, or a path of keys through objects. Missing parts are created, starting at 0.
            by: The number to add; a negative one subtracts.

        Raises:
            NotFound: There is no such node, or it expired.
            InvalidArgument: The attribute is no number, or the sum cannot be stored. Nothing was written.
            SecretDetected: A key holds a secret, or names one and ``by`` may be it. Nothing was written.
        """
        node_key, now = self._node_key(id, scope), self._ctx.server_now()
        path = [self._attribute_key(each) for each in ([key] if isinstance(key, str) else key)]
        if not path or type(by) not in (int, float):
            raise InvalidArgument("an increment needs a key and a number. Name the attribute, and what to add.")
        self._ctx.check.scalar(by, "by")
        # A database adds to the stored number by itself, so no redaction of a node sees these keys.
        added: Any = by
        for each in reversed(path):
            added = {each: added}
        self._ctx.check.refuse_secrets(self._ctx.check.json_object(added, "increment"), "increment")
        if self._ctx.upcasters:
            self._upcast_stored(node_key)
        value = self._x.write(
            "graph.increment", lambda session: session.graph.increment(node_key, path, by, now), single=False
        )
        if value is None:
            raise NotFound(
                f"there is no node {id!r} in scope {node_key.scope}", kind="node", key=node_key, hint="Write it first."
            )
        return value

    def _upcast_stored(self, key: NodeKey) -> None:
        stored = self._x.read("graph.increment", lambda session: session.graph.get_nodes([key], self._ctx.server_now()))
        if stored and self._ctx.upcasters.upcast(stored[0]) is not stored[0]:
            self.put(GraphNode(id=key.id, scope=key.scope, type=stored[0].type, attributes={}))

    def find(self, *, limit: int = 100, cursor: str | None = None, **filters: Unpack[NodeFilters]) -> Page[GraphNode]:
        """Return one page of nodes, newest ``updated_at`` first, ties by id, then scope.

        Args:
            limit: The longest page, 1 to 10,000 nodes.
            cursor: The ``next_cursor`` of the page before, of the same filters.
            filters: See ``NodeFilters``.
        """
        return self._node_page(self._query(**filters), limit, cursor)

    def scan(self, *, on_corrupt: OnCorrupt | None = None, **filters: Unpack[NodeFilters]) -> Iterator[GraphNode]:
        """Yield every node that matches the filters, read page by page. See ``find``.

        A corrupt row raises ``Corrupt``, or is passed to ``on_corrupt``.
        """
        query = self._query(**filters)
        return all_pages(lambda cursor: self._node_page(query, SCAN_SIZE, cursor), on_corrupt)

    def count(self, **filters: Unpack[NodeFilters]) -> int:
        """Return the number of nodes that match the filters, without loading them."""
        query = NodeQuery(**self._query(**filters))
        return self._x.read("graph.count", lambda session: session.graph.count_nodes(query))

    def delete(self, id: str, scope: Scope) -> int:
        """Delete a node and all its edges, in one transaction; return the number of deleted nodes (0 or 1)."""
        return self._delete([self._node_key(id, scope)])

    def delete_many(self, keys: Iterable[AnyNodeKey]) -> int:
        """Delete the nodes of these (id, scope) with their edges; return the number of deleted nodes.

        Outside a transaction, more than 1,000 are deleted in batches, each a transaction of its own, so that others
        need not wait for all of them; after an error, some batches may be deleted. In a transaction it is all or none.
        Nodes of protected scopes are approved, and deleted, together.
        """
        wanted = self._node_keys(keys)
        return self._delete(wanted) if wanted else 0

    def _delete(self, keys: NodeKeys) -> int:
        now = self._ctx.server_now()
        return delete_with_secrets(
            "graph.delete_many",
            self._x,
            self._ctx,
            keys,
            lambda session, batch: session.graph.get_nodes(batch, None),
            lambda session, batch: session.graph.delete_nodes(batch, now),
        )

    # --- inside -----------------------------------------------------------------------------------

    def _node_key(self, id: str, scope: Scope) -> NodeKey:
        return NodeKey(self._ctx.check.ident(id, "id"), GraphScope.parse(scope))

    def _node_keys(self, keys: Iterable[AnyNodeKey]) -> NodeKeys:
        return [*dict.fromkeys(self._node_key(*key) for key in tuples_of(keys, 2, _NODE_KEY))]

    def _attribute_key(self, key: str) -> str:
        return self._ctx.check.text(key, "attribute key")

    def _query(
        self,
        *,
        scope: Scope | None = None,
        type: NodeType | str | None = None,
        prefix: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        updated_from: datetime | None = None,
        updated_to: datetime | None = None,
        include_expired: bool = False,
        **unknown: object,
    ) -> dict[str, Any]:
        refuse_unknown(unknown, NodeFilters)
        check = self._ctx.check
        if attributes is not None and not isinstance(attributes, Mapping):
            raise InvalidArgument("attributes: expected a dict, of keys and the values that they must have")
        wanted = {self._attribute_key(key): check.scalar(value, key) for key, value in (attributes or {}).items()}
        return {
            "scope": None if scope is None else GraphScope.parse(scope),
            "type": None if type is None else str(NodeType.parse(type)),
            "id_prefix": check.text(prefix, "prefix") if prefix else None,
            "attributes": tuple(wanted.items()),
            "updated_from": moment(updated_from, "updated_from"),
            "updated_to": moment(updated_to, "updated_to"),
            "now": None if include_expired else self._ctx.server_now(),
        }

    def _node_page(self, query: dict[str, Any], limit: int, cursor: str | None) -> Page[GraphNode]:
        after = position(self._ctx, "nodes", _NODE_SHAPE, cursor)
        page = NodeQuery(**query, limit=limit_of(limit), after=after)
        found = upcast_page(
            self._ctx.upcasters, self._x.read("graph.find", lambda session: session.graph.list_nodes(page))
        )
        as_read(found.items)
        return page_of(found, "nodes")


def _mode(merge: bool, insert: bool) -> NodeWriteMode:
    if insert:
        return "insert"
    return "merge" if merge else "replace"


def _check_configuration(node: GraphNode) -> None:
    kind = node.config_type() if node.type == NodeType.CONFIG else None
    if kind is not None and kind.required_scope != node.scope:
        raise InvalidArgument(
            f"a configuration of type {kind.value} belongs to scope {kind.required_scope.value}, "
            f"not {node.scope.value}. Change the scope."
        )
