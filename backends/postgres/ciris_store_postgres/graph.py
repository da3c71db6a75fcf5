"""The SQL of the graph on PostgreSQL: merges, traversals and searches within the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from ciris_store_core.contract.merging import written
from ciris_store_core.models.enums import Direction, GraphScope
from ciris_store_core.models.graph import (
    KEPT_UNLESS_GIVEN,
    EdgeKey,
    GraphEdge,
    GraphNode,
    NodeWrite,
    NodeWriteMode,
    SearchHit,
    SearchQuery,
    Traversal,
    TraversalResult,
)
from ciris_store_core.sql.graph import SqlGraphStore, readable
from ciris_store_core.sql.rows import Row, read_all
from ciris_store_core.sql.statements import (
    collect_given,
    fill_in,
    insert_columns,
    leave_out_nulls,
    replace_conflict_clause,
    where_clause,
)
from ciris_store_core.words import SEARCHED_WHOLE, node_words, rank
from ciris_store_postgres.bulk_copy import copy_new
from ciris_store_postgres.executor import PostgresExecutor

_LIVE = "n.type = excluded.type AND (n.expires_at IS NULL OR n.expires_at > ?)"

# The upsert can add words, but cannot tell which words a replaced text removes. So a merge that replaces texts matches
# no row here, and is done by reading the node first. The same holds for large attributes, whose words may be too many;
# see ``node_words``.
_ADDS_WORDS = f"""octet_length(n.attributes::text) + octet_length(excluded.attributes::text) <= {SEARCHED_WHOLE}
AND NOT EXISTS (
    SELECT 1 FROM jsonb_each(n.attributes) o
    WHERE jsonb_typeof(o.value) IN ('string', 'object', 'array') AND excluded.attributes -> o.key <> o.value)"""

# Added only if a write has secret references: planning this subquery takes longer than the rest of the statement.
_MERGED_REFS = """secret_refs = (
    SELECT jsonb_agg(ref ORDER BY position) FROM (
        SELECT ref, min(position) AS position
        FROM jsonb_array_elements(coalesce(n.secret_refs, '[]') || coalesce(excluded.secret_refs, '[]'))
            WITH ORDINALITY AS r (ref, position)
        GROUP BY ref) refs)"""

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
# their key, since an INSERT waits for an uncommitted row of the same key.
PUT_EDGES = """
WITH edges AS MATERIALIZED (
    SELECT source, target, relationship, scope, weight, attributes, metadata, revision
    FROM jsonb_to_recordset(?::jsonb) AS v (source text, target text, relationship text, scope text,
        weight double precision, attributes jsonb, metadata jsonb, revision bigint)
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
            return self._restored(writes)
        if not _alike(writes):
            return super().put_nodes(writes, now)
        try:
            if mode == "insert":
                return self._insert(writes)
            if len(writes) == 1:
                return self._put_alike(writes, now)
            with self.executor.atomic():
                return self._put_alike(writes, now)
        except _Contradicted:
            # Nothing was written. The portable way locks and reads the nodes, and raises the error if it still applies.
            return super().put_nodes(writes, now)

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

    def _restored(self, writes: Sequence[NodeWrite]) -> list[GraphNode]:
        nodes = [written(write, None, write.node.created_at) for write in writes]
        copy_new(self.executor, COPY, map(self.row_of, sorted(nodes, key=_key)), "node")
        return nodes

    def _put_alike(self, writes: Sequence[NodeWrite], now: datetime) -> list[GraphNode]:
        new = [_as_new(write) for write in writes]
        insert, values = self._rows_in_order(new)
        first, has_refs = writes[0], "secret_refs" in insert_columns(insert)
        if first.remove and first.mode == "merge":
            raise _Contradicted  # the words of removed keys must be removed, too
        statement = _upsert(insert, first.mode, first.given, has_refs)
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
        """Write edges between existing nodes."""
        if len(edges) < 2:
            return self._put_each(edges, now)
        with self.executor.atomic():
            return self._put_each(edges, now)

    def _put_each(self, edges: Sequence[GraphEdge], now: datetime | None) -> list[GraphEdge]:
        rows = [
            {"source": e.source, "target": e.target, "relationship": e.relationship, "scope": e.scope.value,
             "weight": e.weight, "attributes": e.attributes, "metadata": e.metadata or None,
             "revision": e.revision or 1}
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
        """Return nodes by their words, best first."""
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


@cache
def _upsert(insert: str, mode: NodeWriteMode, given: frozenset[str], has_refs: bool) -> str:
    """Return the statement that merges or replaces nodes by the rows of an INSERT, and returns the stored nodes.

    It binds the time after the rows.
    """
    changes = ["updated_at = excluded.updated_at", "revision = n.revision + 1"]
    changes += [f"{field} = excluded.{field}" for field in KEPT_UNLESS_GIVEN if field in given]
    if mode == "replace":
        changes += ["attributes = excluded.attributes", "words = excluded.words"]
        changes += ["secret_refs = excluded.secret_refs"]
    else:
        changes += ["attributes = n.attributes || excluded.attributes", "words = n.words || excluded.words"]
        changes += [_MERGED_REFS] if has_refs else []
    fits = f" AND {_ADDS_WORDS}" if mode == "merge" else ""
    changed, condition = ", ".join(changes), f"{_LIVE}{fits}"
    return replace_conflict_clause(
        insert, f"ON CONFLICT (id, scope) DO UPDATE SET {changed} WHERE {condition} RETURNING {{node_columns}}"
    )
