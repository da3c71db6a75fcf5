"""The SQL of the graph on PostgreSQL: merges, traversals and searches within the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ciris_store_core.contract.merging import written
from ciris_store_core.models.enums import Direction, GraphScope
from ciris_store_core.models.graph import (
    EdgeKey,
    GraphEdge,
    GraphNode,
    NodeWrite,
    SearchHit,
    SearchQuery,
    Traversal,
    TraversalResult,
)
from ciris_store_core.sql.graph import GET, SqlGraphStore, readable
from ciris_store_core.sql.rows import Row, read_all
from ciris_store_core.sql.statements import (
    collect_given,
    fill_in,
    insert_columns,
    leave_out_nulls,
    where_clause,
)
from ciris_store_core.words import node_words, rank, same_words
from ciris_store_postgres.bulk_copy import copy_new
from ciris_store_postgres.executor import PostgresExecutor
from ciris_store_postgres.node_statements import (
    EXCHANGE,
    EXCHANGE_WITH_WORDS,
    MOST_KEYS,
    TRIES,
    insert_or_read,
    upsert,
)

# The words stand beside the node's own columns.
INSERT = """
INSERT INTO {graph_nodes} AS n (id, scope, type, attributes, version, revision, created_at, updated_by, updated_at,
    consent_stream, expires_at, secret_refs, metadata, words)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id, scope) DO NOTHING
"""

COPY = """
COPY {graph_nodes} (id, scope, type, attributes, version, revision, created_at, updated_by, updated_at, consent_stream,
    expires_at, secret_refs, metadata, words) FROM STDIN
"""

# Only for rows that the transaction has locked, so no other writer can be overwritten.
OVERWRITE = """
INSERT INTO {graph_nodes} (id, scope, type, attributes, version, revision, created_at, updated_by, updated_at,
    consent_stream, expires_at, secret_refs, metadata, words)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id, scope) DO UPDATE
SET type = excluded.type, attributes = excluded.attributes, version = excluded.version, revision = excluded.revision,
    created_at = excluded.created_at, updated_by = excluded.updated_by, updated_at = excluded.updated_at,
    consent_stream = excluded.consent_stream, expires_at = excluded.expires_at, secret_refs = excluded.secret_refs,
    metadata = excluded.metadata, words = excluded.words
"""

# The edges of each side are looked up by an index of their own, which OR would not do. Then all are locked in the order
# of their keys, as every statement locks edges.
DELETE_EDGES_OF = """
DELETE FROM {graph_edges} WHERE {lock_graph_edges} (scope, source, target, relationship) IN (
    SELECT scope, source, target, relationship FROM {graph_edges} WHERE (source, scope) IN {keys2}
    UNION
    SELECT scope, source, target, relationship FROM {graph_edges} WHERE (target, scope) IN {keys2}
) {end_lock_graph_edges}
"""

# The ends are locked first and in key order, as by deletions of nodes, so that the two cannot deadlock. FOR KEY SHARE
# conflicts with deletions only: an edge and an update of its node do not wait for each other. The edges are sorted by
# their key, since an INSERT waits for an uncommitted row of the same key. jsonb_to_recordset would be STABLE: Citus
# rebuilds an INSERT ... SELECT with such a function wrongly.
PUT_EDGES = """
WITH edges AS MATERIALIZED (
    SELECT v ->> 0 AS source, v ->> 1 AS target, v ->> 2 AS relationship, v ->> 3 AS scope,
        (v ->> 4)::double precision AS weight, v -> 5 AS attributes, nullif(v -> 6, 'null') AS metadata,
        (v ->> 7)::bigint AS revision
    FROM jsonb_array_elements(?::jsonb) v
), ends AS MATERIALIZED (
    SELECT n.id, n.scope FROM {graph_nodes} n
    WHERE (n.id, n.scope) IN (SELECT source, scope FROM edges UNION SELECT target, scope FROM edges)
        AND (n.expires_at > ?) IS NOT FALSE
    ORDER BY n.id, n.scope
    FOR KEY SHARE
)
INSERT INTO {graph_edges} AS e (source, target, relationship, scope, weight, attributes, metadata, revision)
SELECT v.source, v.target, v.relationship, v.scope, v.weight, v.attributes, v.metadata, v.revision
FROM edges v
JOIN ends a ON a.id = v.source AND a.scope = v.scope
JOIN ends b ON b.id = v.target AND b.scope = v.scope
ORDER BY v.scope COLLATE "C", v.source COLLATE "C", v.target COLLATE "C", v.relationship COLLATE "C"
ON CONFLICT (scope, source, target, relationship) DO UPDATE
SET weight = excluded.weight, attributes = excluded.attributes, metadata = excluded.metadata, revision = e.revision + 1
RETURNING source, target, relationship, scope, revision
"""

_OUT = "SELECT e.target FROM {graph_edges} e WHERE e.scope = ? AND e.source = ANY (w.frontier)"

_IN = "SELECT e.source FROM {graph_edges} e WHERE e.scope = ? AND e.target = ANY (w.frontier)"

# One row per level: its new nodes, and all nodes seen so far. So no node is visited twice, and the traversal ends at a
# level without new nodes. OFFSET 0 keeps the planner from inlining the subquery, which would compute a level once for
# each use of its ids.
WALK = """
WITH RECURSIVE walk (distance, frontier, seen) AS (
    SELECT 0, s.ids, s.ids FROM (SELECT ARRAY(SELECT DISTINCT unnest(?::text[]) COLLATE "C") AS ids) s
    UNION ALL
    SELECT w.distance + 1, n.ids, w.seen || n.ids
    FROM walk w CROSS JOIN LATERAL (SELECT ARRAY(({neighbours}) EXCEPT SELECT unnest(w.seen)) AS ids OFFSET 0) n
    WHERE w.distance < ? AND cardinality(w.seen) <= ? AND cardinality(n.ids) > 0
)
SELECT f.id, w.distance FROM walk w CROSS JOIN LATERAL unnest(w.frontier) AS f (id)
ORDER BY w.distance, f.id COLLATE "C" LIMIT ?
"""

SEARCH = """
SELECT {node_columns}, length(n.words) AS size FROM {graph_nodes} n {where} ORDER BY size, n.id, n.scope LIMIT ?
"""

WITHOUT_WORDS = """
SELECT id, scope, attributes FROM {graph_nodes}
WHERE words IS NULL AND (id, scope) > (?, ?) ORDER BY id, scope LIMIT ? FOR UPDATE
"""

ADD_WORDS = """
UPDATE {graph_nodes} n SET words = v.words::tsvector
FROM (SELECT unnest(?::text[]) AS id, unnest(?::text[]) AS scope, unnest(?::text[]) AS words) v
WHERE n.id = v.id AND n.scope = v.scope
"""


class _Contradicted(Exception):
    """Raised if a stored node does not meet the conditions of the single statement."""


class PostgresGraphStore(SqlGraphStore):
    """Graph store that merges, traverses and searches in one statement each."""

    executor: PostgresExecutor
    insert_statement = INSERT
    delete_edges_of_statement = DELETE_EDGES_OF

    _without_words = ("", "")
    """The last key that ``add_missing_words`` has read."""

    # --- nodes --------------------------------------------------------------------------------

    def put_nodes(self, writes: Sequence[NodeWrite], now: datetime) -> list[GraphNode]:
        """Write nodes, in one statement if the writes are alike and the stored nodes meet its conditions."""
        if not writes:
            return []
        mode = writes[0].mode
        if mode == "restore" and all(write.mode == mode for write in writes):
            nodes = [written(write, None, write.node.created_at) for write in writes]
            copy_new(self.executor, COPY, map(self.row_of, sorted(nodes, key=_key)), "node")
            return nodes
        if len(writes) == 1 and mode in ("merge", "replace"):
            return self._put_one(writes[0], now)
        if not _alike(writes):
            return super().put_nodes(writes, now)
        try:
            if mode == "insert":
                return self._insert(writes)
            with self.executor.atomic():
                return self._put_alike(writes, now)
        except _Contradicted:
            # Nothing was written. The portable way locks and reads the nodes, and raises the error if it still applies.
            return super().put_nodes(writes, now)

    def _put_one(self, write: NodeWrite, now: datetime) -> list[GraphNode]:
        # One statement where the database can tell the words of the merged node. Otherwise the node is merged here, and
        # exchanged for the one that was read. Nothing is locked: that is a round trip more, and a flush of the log.
        for _ in range(TRIES):
            if write.expected_revision is not None or (write.remove and write.mode == "merge"):
                found = self._read_row(write)
            elif write.mode == "replace" or _has_no_texts(write.node):
                if row := self._upserted(write, now):
                    return [self._as_stored(_as_new(write), row)]
                found = self._read_row(write)
            else:
                node = _as_new(write)
                if (row := self._inserted_or_read(node))[-1]:
                    return [node]
                if row[0] is None:
                    continue  # another caller added it since the statement began
                found = [row[:-1]]
            stored = self._one(found[0]) if found else None
            if stored is not None and stored.expires_at is not None and stored.expires_at <= now:
                break  # its edges go, too
            node = written(write, stored, now)
            if stored is None:
                done = self.executor.insert_new(INSERT, self.row_of(node))
            else:
                done = self._exchanged(found[0], stored, node)
            if done:
                return [node]
        return super().put_nodes([write], now)

    def _read_row(self, write: NodeWrite) -> list[Row]:
        """Return the stored row of a write, if there is one."""
        return self.executor.rows(GET, (write.node.id, write.node.scope.value))

    def _upserted(self, write: NodeWrite, now: datetime) -> Row | None:
        insert, [values] = self._rows_in_order([_as_new(write)])
        keys = tuple(write.node.attributes) if write.mode == "merge" else ()
        statement = upsert(insert, write.mode, write.given, "secret_refs" in insert_columns(insert), len(keys))
        return self.executor.row(statement, (*values, self.codec.time_in(now), *keys))

    def _inserted_or_read(self, node: GraphNode) -> Row:
        insert, [values] = self._rows_in_order([node])
        [row] = self.executor.rows(insert_or_read(insert), (*values, node.id, node.scope.value))
        return row

    def _exchanged(self, row: Row, stored: GraphNode, node: GraphNode) -> bool:
        """Return whether the stored row was still as it was read, and is replaced now."""
        (_, _, _, attributes, version, revision, _, updated_by, updated_at, consent_stream, expires_at, secret_refs,
         metadata) = self.node_values(node)  # fmt: skip
        new = (attributes, version, revision, updated_by, updated_at, consent_stream, expires_at, secret_refs, metadata)
        old = (row[0], row[1], row[5], row[6], row[8], row[3])
        if same_words(stored.attributes, node.attributes):
            return self.executor.run(EXCHANGE, (*new, *old)) == 1
        return self.executor.run(EXCHANGE_WITH_WORDS, (*new, _lexemes(node.id, node.attributes), *old)) == 1

    def _insert(self, writes: Sequence[NodeWrite]) -> list[GraphNode]:
        new = [_as_new(write) for write in writes]
        if len(new) == 1:
            if not self.executor.insert_new(INSERT, self.row_of(new[0])):
                raise _Contradicted
            return new
        with self.executor.atomic():
            statement, rows = self._rows_in_order(new)
            if self.executor.insert(statement, rows) != len(rows):
                raise _Contradicted
        return new

    def _put_alike(self, writes: Sequence[NodeWrite], now: datetime) -> list[GraphNode]:
        new = [_as_new(write) for write in writes]
        insert, values = self._rows_in_order(new)
        first, has_refs = writes[0], "secret_refs" in insert_columns(insert)
        if first.mode == "merge" and (first.remove or self.executor.distributed):
            # The words of removed keys must be removed, too. And Citus refuses subqueries in an INSERT of values.
            raise _Contradicted
        statement = upsert(insert, first.mode, first.given, has_refs)
        rows = self.executor.insert_returning(statement, values, (self.codec.time_in(now),))
        if len(rows) != len(writes):
            raise _Contradicted
        if len(rows) == 1:
            return [self._as_stored(new[0], rows[0])]
        stored = {(row[0], row[1]): row for row in rows}
        return [self._as_stored(node, stored[node.id, node.scope.value]) for node in new]

    def _rows_in_order(self, nodes: Sequence[GraphNode]) -> tuple[str, list[tuple[Any, ...]]]:
        rows = [self.row_of(node) for node in nodes]
        if len(rows) > 1:
            rows.sort(key=lambda row: row[:2])  # all writers lock rows in key order, so that they cannot deadlock
        return leave_out_nulls(INSERT, rows)

    def row_of(self, node: GraphNode) -> tuple[Any, ...]:
        """Return the values of a row, including its words."""
        return (*self.node_values(node), _lexemes(node.id, node.attributes))

    def _as_stored(self, node: GraphNode, row: Row) -> GraphNode:
        return node if row[5] == 1 else self._one(row)

    def _one(self, row: Row) -> GraphNode:
        nodes: list[GraphNode] = read_all([row], self._read_node, "node")
        return nodes[0]

    def update_all(self, nodes: Sequence[GraphNode]) -> None:
        """Overwrite locked nodes in one statement."""
        if nodes:
            self.executor.insert(OVERWRITE, [self.row_of(node) for node in nodes])

    # --- edges --------------------------------------------------------------------------------

    def put_edges(self, edges: Sequence[GraphEdge], now: datetime | None = None) -> list[GraphEdge]:
        if len(edges) < 2:
            return self._put_each(edges, now)
        with self.executor.atomic():
            return self._put_each(edges, now)

    def _put_each(self, edges: Sequence[GraphEdge], now: datetime | None) -> list[GraphEdge]:
        rows = [
            (e.source, e.target, e.relationship, e.scope.value, e.weight, e.attributes, e.metadata or None,
             e.revision or 1)
            for e in edges
        ]  # fmt: skip
        stored = self.executor.rows(PUT_EDGES, (self.codec.json_in(rows), now)) if rows else []
        revisions = {EdgeKey(row[0], row[1], row[2], GraphScope(row[3])): row[4] for row in stored}
        return self.as_stored(edges, revisions, now)

    # --- traversal and search -----------------------------------------------------------------

    def traverse(self, walk: Traversal) -> TraversalResult:
        """Return the nodes that a traversal reaches, in one statement."""
        kind, kinds = self._of_kind(walk.relationships, walk.now)
        sides = {Direction.OUT: [_OUT], Direction.IN: [_IN]}.get(walk.direction, [_OUT, _IN])
        statement = fill_in(WALK, neighbours=" UNION ALL ".join(side + kind for side in sides))
        steps = [walk.scope.value, *kinds] * len(sides)
        rows = self.executor.rows(statement, (list(walk.start), *steps, walk.depth, walk.limit, walk.limit + 1))
        return TraversalResult(dict(rows[: walk.limit]), truncated=len(rows) > walk.limit)

    def search(self, query: SearchQuery) -> list[SearchHit]:
        if not query.words:
            return []
        conditions, params = collect_given((
            ("n.scope = ?", query.scope and query.scope.value), ("n.type = ?", query.type),
            ("(n.expires_at IS NULL OR n.expires_at > ?)", query.now),
        ))  # fmt: skip
        statement = fill_in(SEARCH, where=where_clause(["n.words @@ ?::tsquery", *conditions]))
        rows = self.executor.rows(statement, (" & ".join(map(_quoted, query.words)), *params, query.limit))
        nodes = read_all([row[:-1] for row in rows], self._read_node, "node")
        return [SearchHit(node, rank(query.words, row[-1])) for node, row in zip(nodes, rows, strict=True)]

    def add_missing_words(self, limit: int) -> int:
        """Store the words of some nodes without any. Return the number of nodes found."""
        rows = self.executor.rows(WITHOUT_WORDS, (*self._without_words, limit))
        if rows:
            words = [_lexemes(row[0], readable(row[2])) for row in rows]
            self.executor.run(ADD_WORDS, ([row[0] for row in rows], [row[1] for row in rows], words))
        self._without_words = (rows[-1][0], rows[-1][1]) if rows else ("", "")
        return len(rows)


# Quotes make the server take a word literally. Words contain neither quotes nor backslashes.


def _lexemes(node_id: str, attributes: dict[str, Any]) -> str:
    return " ".join([f"'{word}'" for word in node_words(node_id, attributes)])


def _quoted(term: str) -> str:
    return f"'{term[:-1]}':*" if term.endswith("*") else f"'{term}'"


def _alike(writes: Sequence[NodeWrite]) -> bool:
    """Return True if one statement can execute all writes."""
    first = writes[0]
    return first.expected_revision is None and (
        len(writes) == 1
        or all(
            write.expected_revision is None
            and write.mode == first.mode
            and write.given == first.given
            and write.remove == first.remove
            for write in writes
        )
    )


def _key(node: GraphNode) -> tuple[str, str]:
    return (node.id, node.scope.value)


def _as_new(write: NodeWrite) -> GraphNode:
    node = write.node
    if not write.remove:
        return node if node.revision == 1 else node.replaced(revision=1)
    attributes = {key: value for key, value in node.attributes.items() if key not in write.remove}
    return node.replaced(attributes=attributes, revision=1)


def _has_no_texts(node: GraphNode) -> bool:
    """Return whether the attributes are a few numbers, booleans and nulls."""
    return len(node.attributes) <= MOST_KEYS and not any(
        isinstance(value, str | dict | list) for value in node.attributes.values()
    )
