"""SQL of the graph's nodes. The module ``edges`` holds that of the edges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ciris_store_core.contract.merging import written
from ciris_store_core.errors import InvalidArgument, Unavailable
from ciris_store_core.models.enums import GraphScope, NodeType
from ciris_store_core.models.graph import GraphNode, NodeKey, NodeQuery, NodeWrite
from ciris_store_core.models.paging import ResultPage, SortKey
from ciris_store_core.sql.codec import list_out, object_out
from ciris_store_core.sql.edges import SqlEdges
from ciris_store_core.sql.name_ranges import prefix_end
from ciris_store_core.sql.rows import Row, read_all, read_page
from ciris_store_core.sql.statements import LIVE, collect_given, fill_in, leave_out_nulls, where_clause
from ciris_store_core.words import same_words

if TYPE_CHECKING:
    from ciris_store_core.sql.executor import SqlExecutor

MAX_JSON_BYTES = 16 * 2**20

INSERT = """
INSERT INTO {graph_nodes} (id, scope, type, attributes, version, revision, created_at, updated_by, updated_at,
    consent_stream, expires_at, secret_refs, metadata)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id, scope) DO NOTHING
"""

UPDATE = """
UPDATE {graph_nodes} SET type = ?, attributes = ?, version = ?, revision = ?, created_at = ?, updated_by = ?,
    updated_at = ?, consent_stream = ?, expires_at = ?, secret_refs = ?, metadata = ?
WHERE id = ? AND scope = ?
"""

GET = "SELECT {node_columns} FROM {graph_nodes} n WHERE id = ? AND scope = ?"

GET_MANY = "SELECT {node_columns} FROM {graph_nodes} n WHERE (id, scope) IN {keys2}"

FIND = "SELECT {node_columns} FROM {graph_nodes} n {where} ORDER BY updated_at DESC, id, scope LIMIT ?"

# The first rows of each scope, each by the index of its scope, then the first of all of those.
FIND_IN_SCOPES = "{branches} ORDER BY updated_at DESC, id, scope LIMIT ?"

BRANCH = "SELECT {node_columns} FROM ({find}) {alias}"

COUNT = "SELECT count(*) FROM {graph_nodes} n {where}"

# The scope's index gives the order; the first part of the condition lets it begin at the right place.
AFTER = "updated_at <= ? AND (updated_at < ? OR (id, scope) > (?, ?))"

LOCK_ONE = "SELECT {node_columns} FROM {graph_nodes} n WHERE id = ? AND scope = ? {for_update}"

# In key order, as every statement locks several nodes: two transactions then never wait for each other in a circle.
LOCK = """
SELECT {node_columns} FROM {graph_nodes} n WHERE (id, scope) IN {keys2} ORDER BY id, scope {for_update}
"""

DELETE = "DELETE FROM {graph_nodes} WHERE id = ? AND scope = ?"

DELETE_MANY = "DELETE FROM {graph_nodes} WHERE {lock_graph_nodes} (id, scope) IN {keys2} {end_lock_graph_nodes}"

# Locks rows in the order of expiry, which is not that of the key. SKIP LOCKED passes over rows that another transaction
# has locked, so that no circle of waits can form.
EXPIRED = "SELECT id, scope FROM {graph_nodes} WHERE expires_at <= ? ORDER BY expires_at LIMIT ? {skip_locked}"


class SqlGraphStore(SqlEdges):
    """Store of nodes and edges in two tables."""

    insert_statement = INSERT

    def __init__(self, executor: SqlExecutor) -> None:
        """Run the statements on that executor."""
        super().__init__(executor)
        self._read_node = self._node_mapper()

    # --- rows and records ---------------------------------------------------------------------

    def _node_mapper(self) -> Any:
        time, maybe_time = self.codec.time_out, self.codec.maybe_time_out
        scopes, types = GraphScope._value2member_map_, NodeType._value2member_map_

        def read(row: Row) -> GraphNode:
            (node_id, scope, node_type, attributes, version, revision, created_at, updated_by, updated_at,
             consent_stream, expires_at, secret_refs, metadata) = row  # fmt: skip
            return GraphNode.trusted(
                {
                    "id": node_id,
                    "scope": scopes[scope],
                    "type": types.get(node_type, node_type),
                    "attributes": _object(attributes),
                    "version": version,
                    "revision": revision,
                    "created_at": time(created_at),
                    "updated_by": updated_by,
                    "updated_at": time(updated_at),
                    "consent_stream": consent_stream,
                    "expires_at": maybe_time(expires_at),
                    "secret_refs": list_out(secret_refs),
                    "metadata": object_out(metadata),
                }
            )

        return read

    def node_values(self, node: GraphNode) -> tuple[Any, ...]:
        """Return the values of a node's row, in the order of ``NODE_COLUMNS``."""
        codec = self.codec
        return (
            node.id, node.scope.value, str(node.type), self._attributes(node), node.version, node.revision,
            codec.time_in(node.created_at), node.updated_by, codec.time_in(node.updated_at or node.created_at),
            node.consent_stream, codec.maybe_time_in(node.expires_at), codec.object_in(node.secret_refs),
            codec.object_in(node.metadata),
        )  # fmt: skip

    def _attributes(self, node: GraphNode) -> str:
        text = self.codec.json_in(node.attributes)
        if len(text) > MAX_JSON_BYTES // 4 and len(text.encode()) > MAX_JSON_BYTES:
            raise too_large(node)
        return text

    # --- writing ------------------------------------------------------------------------------

    def put_nodes(self, writes: Sequence[NodeWrite], now: datetime) -> list[GraphNode]:
        # A merge depends on the stored node, so the row is locked from the read until the commit: concurrent merges of
        # one node run one after another, and none is lost.
        with self.executor.atomic():
            keys = [write.node.key for write in writes]
            several = len(keys) > 1 and self.executor.dialect.locks_rows
            stored = {node.key: node for node in (self.get_nodes(keys, None) if several else self.lock_nodes(keys))}
            nodes = [written(write, stored.get(write.node.key), now) for write in writes]
            # New rows first, then the locks. An insert waits for an uncommitted row of the same key; a caller that
            # waits there has locked no stored row yet, so that no circle of waits can form. The nodes are read once
            # more under the lock, since another transaction may have changed them before it.
            self._insert_all([node for node in nodes if node.key not in stored])
            if several and stored:
                stored = self._locked(list(stored))
                nodes = [written(w, stored[w.node.key], now) if w.node.key in stored else n
                         for w, n in zip(writes, nodes, strict=True)]  # fmt: skip
            self.delete_edges_of_expired(stored.values(), now)
            self.update_all([node for node in nodes if node.key in stored])
            changed = [
                node
                for node in nodes
                if node.key not in stored or not same_words(stored[node.key].attributes, node.attributes)
            ]
            if changed:
                self.put_words(changed)
            return nodes

    def _insert_all(self, nodes: Sequence[GraphNode]) -> None:
        if not nodes:
            return
        statement, rows = leave_out_nulls(self.insert_statement, sorted(map(self.row_of, nodes), key=itemgetter(0, 1)))
        if self.executor.insert(statement, rows) != len(rows):
            # A row that does not exist cannot be locked, so another transaction may have inserted it since the read.
            raise Unavailable("another caller added one of the same nodes just now. Run the transaction again.")

    def update_all(self, nodes: Sequence[GraphNode]) -> None:
        """Overwrite stored nodes, which the transaction has locked."""
        if nodes:
            rows = [self.node_values(node) for node in nodes]
            self.executor.insert(UPDATE, [(*row[2:], *row[:2]) for row in rows])

    def delete_edges_of_expired(self, stored: Iterable[GraphNode], now: datetime) -> None:
        """Delete the edges of nodes that expired, before they are written anew."""
        expired = [node.key for node in stored if node.expires_at is not None and node.expires_at <= now]
        if expired:
            self.delete_edges_of(expired)

    def row_of(self, node: GraphNode) -> tuple[Any, ...]:
        """Return the values that ``insert_statement`` binds."""
        return self.node_values(node)

    def put_words(self, nodes: Sequence[GraphNode]) -> None:
        """Index nodes whose words may have changed. Called inside the transaction that wrote them."""

    def words_deleted(self, nodes: int) -> None:
        """Take note that so many nodes were deleted. Called inside the transaction that deleted them."""

    def add_missing_words(self, limit: int) -> int:
        """Index up to ``limit`` nodes that an older program stored without words; return how many it found."""
        return 0

    def increment(self, key: NodeKey, path: Sequence[str], by: int | float, now: datetime) -> int | float | None:
        with self.executor.atomic():  # the lock of the read must last until the write
            return super().increment(key, path, by, now)

    def _locked(self, keys: Sequence[NodeKey]) -> dict[NodeKey, GraphNode]:
        nodes = {node.key: node for node in self.lock_nodes(keys)}
        if len(nodes) != len(keys):
            raise Unavailable("another caller deleted one of the same nodes just now. Run the transaction again.")
        return nodes

    def lock_nodes(self, keys: Sequence[NodeKey]) -> list[GraphNode]:
        if not keys:
            return []
        if not self.executor.dialect.locks_rows:
            return self.get_nodes(keys, None)  # the transaction excludes every other writer: there is no order to keep
        statement, bound = self.for_keys(keys, LOCK_ONE, LOCK)
        return read_all(self.executor.rows(statement, bound), self._read_node, "node")

    def for_keys(self, keys: Sequence[NodeKey], one: str, many: str) -> tuple[str, tuple[Any, ...]]:
        """Return the statement for one key or for several, and the values that it binds."""
        texts = [(key[0], key[1].value) for key in keys]
        return (one, texts[0]) if len(texts) == 1 else (many, (self.codec.json_in(texts),))

    def delete_nodes(self, keys: Sequence[NodeKey], now: datetime | None = None) -> int:
        if not keys:
            return 0
        statement, bound = self.for_keys(keys, DELETE, DELETE_MANY)
        with self.executor.atomic():
            # Nodes first: that waits for every transaction that is adding an edge to one of them, as those lock both
            # ends. The statement after it then sees all their edges.
            gone = self.executor.rows(f"{statement} RETURNING expires_at", bound)
            self.delete_edges_of(keys)
            self.words_deleted(len(gone))
            return len(gone) if now is None else self.codec.count_living(gone, now)

    def delete_expired_nodes(self, now: datetime, limit: int) -> int:
        with self.executor.atomic():
            rows = self.executor.rows(EXPIRED, (self.codec.time_in(now), limit))
            return self.delete_nodes([NodeKey(row[0], GraphScope(row[1])) for row in rows])

    # --- reading ------------------------------------------------------------------------------

    def get_nodes(self, keys: Sequence[NodeKey], now: datetime | None) -> list[GraphNode]:
        if not keys:
            return []
        statement, bound = self.for_keys(keys, GET, GET_MANY)
        if now is not None:
            statement, bound = f"{statement} AND {LIVE}", (*bound, self.codec.time_in(now))
        return read_all(self.executor.rows(statement, bound), self._read_node, "node")

    def list_nodes(self, query: NodeQuery) -> ResultPage[GraphNode]:
        conditions, params = self._conditions(query)
        if query.after is not None:
            moment = self.codec.time_in(query.after[0])
            conditions.append(AFTER)
            params += [moment, moment, query.after[1], query.after[2]]
        statement, params = self._in_scopes(query, conditions, [*params, query.limit + 1])
        rows = self.executor.rows(statement, params)
        return read_page(rows, self._read_node, query.limit, self._sort_key)

    def _in_scopes(self, query: NodeQuery, conditions: list[str], params: list[Any]) -> tuple[str, list[Any]]:
        # Every index of nodes begins with the scope. If the query names none, each scope gives its first rows by its
        # index, and the database merges five short lists, at a cost that does not grow with the store.
        scopes = [query.scope] if query.scope else list(GraphScope)
        branches = [fill_in(FIND, where=where_clause([_scope_is(scope, query), *conditions])) for scope in scopes]
        if len(branches) == 1:
            return branches[0], params
        selects = [fill_in(BRANCH, find=branch, alias=f"b{i}") for i, branch in enumerate(branches)]
        statement = fill_in(FIND_IN_SCOPES, branches=" UNION ALL ".join(selects))
        return statement, [*params * len(branches), query.limit + 1]

    def count_nodes(self, query: NodeQuery) -> int:
        conditions, params = self._conditions(query)
        if query.scope:
            conditions.append(_scope_is(query.scope, query))
        row = self.executor.row(fill_in(COUNT, where=where_clause(conditions)), params)
        return row[0] if row else 0

    def _conditions(self, query: NodeQuery) -> tuple[list[str], list[Any]]:
        time = self.codec.maybe_time_in
        conditions, params = collect_given((
            ("type = ?", query.type), ("id >= ?", query.id_prefix), ("id < ?", prefix_end(query.id_prefix)),
            ("updated_at >= ?", time(query.updated_from)), ("updated_at <= ?", time(query.updated_to)),
            (LIVE, time(query.now)),
        ))  # fmt: skip
        for key, value in query.attributes:
            conditions.append("{has_attribute}")
            params += self.executor.dialect.attribute_params(key, value)
        return conditions, params

    def _sort_key(self, row: Row) -> SortKey:
        return (self.codec.time_out(row[8]), row[0], row[1])


def _object(text: str) -> dict[str, Any]:
    attributes = from_json(text)
    if type(attributes) is not dict:
        raise ValueError("not a JSON object")
    return attributes


def readable(attributes: str) -> dict[str, Any]:
    """Return stored attributes, or none if they are damaged: nothing of them can be found then, nor read."""
    try:
        return _object(attributes)
    except ValueError:
        return {}


def too_large(node: GraphNode) -> InvalidArgument:
    """Return the error for attributes that a write would make too large."""
    return InvalidArgument(f"the attributes of node {node.id!r} would exceed 16 MiB. Split the node, or remove keys.")


def _scope_is(scope: GraphScope, query: NodeQuery) -> str:
    column = "{no_index}scope" if query.id_prefix else "scope"  # a prefix narrows more than any scope
    return f"{column} = '{scope.value}'"
