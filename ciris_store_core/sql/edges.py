"""SQL of the graph's edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ciris_store_core.contract.graph import GraphStore
from ciris_store_core.errors import NotFound
from ciris_store_core.models.enums import Direction, GraphScope
from ciris_store_core.models.graph import Degree, EdgeAttributes, EdgeKey, EdgeQuery, GraphEdge, NodeKey, Traversal
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.sql.codec import object_out
from ciris_store_core.sql.rows import Row, read_all, read_page
from ciris_store_core.sql.statements import collect_given, fill_in, match_members, where_clause

if TYPE_CHECKING:
    from ciris_store_core.sql.executor import SqlExecutor

# Locks both ends of all edges before the first edge is stored, in key order: a delete of nodes locks them in this
# order, too, so that the two wait for each other in a line, never in a circle.
LOCK_ENDS = "SELECT id FROM {graph_nodes} WHERE (id, scope) IN {keys2} ORDER BY id, scope {share_lock}"

# There is no foreign key. The INSERT selects and locks both ends, so that a delete of one of them waits until this
# transaction commits, and then sees and deletes the edge. If an end is missing, the SELECT and so the INSERT is empty.
PUT = """
INSERT INTO {graph_edges} AS e (source, target, relationship, scope, weight, attributes, metadata, revision)
SELECT ?, ?, ?, ?, ?, ?, ?, ?
FROM {graph_nodes} a, {graph_nodes} b
WHERE a.id = ? AND a.scope = ? AND b.id = ? AND b.scope = ?
    AND (a.expires_at > ?) IS NOT FALSE AND (b.expires_at > ?) IS NOT FALSE {share_lock}
ON CONFLICT (scope, source, target, relationship) DO UPDATE
SET weight = excluded.weight, attributes = excluded.attributes, metadata = excluded.metadata, revision = e.revision + 1
RETURNING revision
"""

# For a batch, where one transaction writes at a time: the database then runs one statement for all edges.
PUT_MANY = """
INSERT INTO {graph_edges} AS e (source, target, relationship, scope, weight, attributes, metadata, revision)
SELECT ?, ?, ?, ?, ?, ?, ?, ?
FROM {graph_nodes} a, {graph_nodes} b
WHERE a.id = ? AND a.scope = ? AND b.id = ? AND b.scope = ?
    AND (a.expires_at > ?) IS NOT FALSE AND (b.expires_at > ?) IS NOT FALSE
ON CONFLICT (scope, source, target, relationship) DO UPDATE
SET weight = excluded.weight, attributes = excluded.attributes, metadata = excluded.metadata, revision = e.revision + 1
"""

# Most stores hold nothing that expired, which one look at an index tells: only otherwise is each end looked up.
LIVING = """NOT (EXISTS (SELECT 1 FROM {graph_nodes} x WHERE x.expires_at <= ?) AND (
    EXISTS (SELECT 1 FROM {graph_nodes} a WHERE a.id = e.source AND a.scope = e.scope AND a.expires_at <= ?)
    OR EXISTS (SELECT 1 FROM {graph_nodes} b WHERE b.id = e.target AND b.scope = e.scope AND b.expires_at <= ?)))"""

GET = "SELECT {edge_columns} FROM {graph_edges} e WHERE (scope, source, target, relationship) IN {keys4}"

LOCK = """
SELECT {edge_columns} FROM {graph_edges} e WHERE (scope, source, target, relationship) IN {keys4}
ORDER BY scope, source, target, relationship {for_update}
"""

DELETE = """
DELETE FROM {graph_edges}
WHERE {lock_graph_edges} (scope, source, target, relationship) IN {keys4} {end_lock_graph_edges}
"""

DELETE_LIVING = """
DELETE FROM {graph_edges}
WHERE {lock_graph_edges} (scope, source, target, relationship) IN {keys4}
    AND NOT (EXISTS (SELECT 1 FROM {graph_nodes} x WHERE x.expires_at <= ?) AND (
        EXISTS (SELECT 1 FROM {graph_nodes} a
            WHERE a.id = {graph_edges}.source AND a.scope = {graph_edges}.scope AND a.expires_at <= ?)
        OR EXISTS (SELECT 1 FROM {graph_nodes} b
            WHERE b.id = {graph_edges}.target AND b.scope = {graph_edges}.scope AND b.expires_at <= ?)))
    {end_lock_graph_edges}
"""

# One statement for both directions: two would lock the edges of a pair of nodes in different orders, depending on which
# of the nodes is deleted.
DELETE_OF = """
DELETE FROM {graph_edges}
WHERE {lock_graph_edges} (source, scope) IN {keys2} OR (target, scope) IN {keys2} {end_lock_graph_edges}
"""

FIND = "SELECT {edge_columns} FROM {graph_edges} e {where} ORDER BY scope, source, target, relationship LIMIT ?"

AFTER = "(scope, source, target, relationship) > (?, ?, ?, ?)"

OUT = "SELECT {edge_columns} FROM {graph_edges} e WHERE scope = ? AND source {in_texts}"

IN = "SELECT {edge_columns} FROM {graph_edges} e WHERE scope = ? AND target {in_texts}"

# A walk needs no more of an edge than its ends.
LINKS_OUT = "SELECT source, target FROM {graph_edges} e WHERE scope = ? AND source {in_texts}"

LINKS_IN = "SELECT target, source FROM {graph_edges} e WHERE scope = ? AND target {in_texts}"

DEGREES_OUT = "SELECT source AS id FROM {graph_edges} e WHERE scope = ?"

DEGREES_IN = "SELECT target AS id FROM {graph_edges} e WHERE scope = ?"

DEGREES = "SELECT id, count(*) FROM ({ends}) e GROUP BY id ORDER BY count(*) DESC, id LIMIT ?"


class SqlEdges(GraphStore):
    """Store of edges in one table."""

    delete_edges_of_statement = DELETE_OF

    def __init__(self, executor: SqlExecutor) -> None:
        """Run the statements on that executor."""
        self.executor = executor
        self.codec = executor.codec

    def read_edge(self, row: Row) -> GraphEdge:
        """Return the edge of a row."""
        source, target, relationship, scope, weight, attributes, metadata, revision = row
        return GraphEdge.trusted(
            {
                "source": source,
                "target": target,
                "relationship": relationship,
                "scope": GraphScope(scope),
                "weight": weight,
                "attributes": EdgeAttributes(**from_json(attributes)),
                "metadata": object_out(metadata),
                "revision": revision,
            }
        )

    def edge_values(self, edge: GraphEdge) -> tuple[Any, ...]:
        """Return the values of an edge's row, in the order of ``EDGE_COLUMNS``."""
        return (
            edge.source, edge.target, edge.relationship, edge.scope.value, edge.weight,
            self.codec.json_in(edge.attributes), self.codec.object_in(edge.metadata),
            edge.revision or 1,
        )  # fmt: skip

    def put_edges(self, edges: Sequence[GraphEdge], now: datetime | None = None) -> list[GraphEdge]:
        locks = self.executor.dialect.locks_rows
        if len(edges) < 2 and not locks:
            return self._put_each(edges, now)
        with self.executor.atomic():
            if not locks:
                return self._put_together(edges, now)
            ends = sorted({(end, edge.scope.value) for edge in edges for end in (edge.source, edge.target)})
            if len(self.executor.rows(LOCK_ENDS, (self.codec.json_in(ends),))) < len(ends):
                # A node that another caller adds now is locked by no one here: to lock it later would be out of order.
                return self.as_stored(edges, {}, now)
            return self._put_each(edges, now)

    def _put_each(self, edges: Sequence[GraphEdge], now: datetime | None) -> list[GraphEdge]:
        revisions: dict[EdgeKey, int] = {}
        for edge in sorted(edges, key=_key):  # in key order: two callers that write the same edges do not deadlock
            for row in self.executor.rows(PUT, self._put_values(edge, now)):
                revisions[edge.key] = row[0]
        return self.as_stored(edges, revisions, now)

    def _put_together(self, edges: Sequence[GraphEdge], now: datetime | None) -> list[GraphEdge]:
        known = {edge.key: edge.revision or 1 for edge in self.get_edges([edge.key for edge in edges])}
        stored = self.executor.run_many(PUT_MANY, [self._put_values(edge, now) for edge in edges])
        if stored != len(edges):
            return self.as_stored(edges, {}, now)
        return [edge.replaced(revision=known[edge.key] + 1 if edge.key in known else edge.revision or 1)
                for edge in edges]  # fmt: skip

    def _put_values(self, edge: GraphEdge, now: datetime | None) -> tuple[Any, ...]:
        moment = self.codec.maybe_time_in(now)
        ends = (edge.source, edge.scope.value, edge.target, edge.scope.value, moment, moment)
        return (*self.edge_values(edge), *ends)

    def as_stored(
        self, edges: Sequence[GraphEdge], revisions: Mapping[EdgeKey, int], now: datetime | None
    ) -> list[GraphEdge]:
        """Return the edges with their stored revisions. Raise NotFound if some were not stored for lack of a node."""
        if len(revisions) == len(edges):
            return [edge.replaced(revision=revisions[edge.key]) for edge in edges]
        ends = dict.fromkeys(NodeKey(end, edge.scope) for edge in edges for end in (edge.source, edge.target))
        found = {node.key for node in self.get_nodes(list(ends), now)}
        missing = [f"{key.id!r} in scope {key.scope}" for key in ends if key not in found]
        shown = ", ".join(missing[:3]) or "node that was there a moment ago"
        raise NotFound(
            f"an edge needs both of its nodes, and there is no {shown}", kind="node", hint="Write the nodes first."
        )

    def get_edges(self, keys: Sequence[EdgeKey], now: datetime | None = None) -> list[GraphEdge]:
        if not keys:
            return []
        living, moments = self.living(now)
        return read_all(self.executor.rows(GET + living, (self._edge_keys(keys), *moments)), self.read_edge, "edge")

    def living(self, now: datetime | None) -> tuple[str, tuple[Any, ...]]:
        """Return the condition that neither end of an edge, alias ``e``, has expired, and the values that it binds."""
        return ("", ()) if now is None else (f" AND {LIVING}", (self.codec.time_in(now),) * 3)

    def lock_edges(self, keys: Sequence[EdgeKey]) -> list[GraphEdge]:
        if not keys:
            return []
        if not self.executor.dialect.locks_rows:
            return self.get_edges(keys)  # the transaction excludes every other writer: there is no order to keep
        return read_all(self.executor.rows(LOCK, (self._edge_keys(keys),)), self.read_edge, "edge")

    def delete_edges(self, keys: Sequence[EdgeKey], now: datetime | None = None) -> int:
        if not keys:
            return 0
        if now is None:
            return self.executor.run(DELETE, (self._edge_keys(keys),))
        return self.executor.run(DELETE_LIVING, (self._edge_keys(keys), *[self.codec.time_in(now)] * 3))

    def _edge_keys(self, keys: Sequence[EdgeKey]) -> Any:
        return self.codec.json_in([[k.scope.value, k.source, k.target, k.relationship] for k in keys])

    def delete_edges_of(self, keys: Sequence[NodeKey]) -> None:
        """Delete all edges of the nodes, in both directions."""
        nodes = self.codec.json_in([[key.id, key.scope.value] for key in keys])
        self.executor.run(self.delete_edges_of_statement, (nodes, nodes))

    def list_edges(self, query: EdgeQuery) -> ResultPage[GraphEdge]:
        conditions, params = collect_given((
            ("scope = ?", query.scope and query.scope.value), ("source = ?", query.source),
            ("target = ?", query.target), ("relationship = ?", query.relationship),
        ))  # fmt: skip
        if query.scope is None and (query.source or query.target):
            conditions.append(match_members("scope", list(GraphScope)))  # every index of edges begins with the scope
        if query.after is not None:
            conditions.append(AFTER)
            params += query.after
        if query.now is not None:
            conditions.append(LIVING)
            params += [self.codec.time_in(query.now)] * 3
        statement = fill_in(FIND, where=where_clause(conditions))
        rows = self.executor.rows(statement, (*params, query.limit + 1))
        return read_page(rows, self.read_edge, query.limit, lambda row: (row[3], row[0], row[1], row[2]))

    def neighbours(
        self,
        ids: Sequence[str],
        scope: GraphScope,
        direction: Direction,
        relationships: Sequence[str],
        now: datetime | None = None,
    ) -> list[GraphEdge]:
        if not ids:
            return []
        texts = self.codec.texts_in(ids)
        kind, kinds = self._of_kind(relationships, now)
        params = (scope.value, texts, *kinds)
        statement = (OUT if direction is Direction.OUT else IN) + kind
        if direction is Direction.BOTH:
            # An edge between two of the nodes is found by its source and would be found again by its target.
            statement = f"{OUT}{kind} UNION ALL {IN}{kind} AND NOT (source {{in_texts}})"
            params = (*params, *params, texts)
        return read_all(self.executor.rows(statement, params), self.read_edge, "edge")

    def _of_kind(self, relationships: Sequence[str], now: datetime | None) -> tuple[str, tuple[Any, ...]]:
        living, moments = self.living(now)
        if not relationships:
            return living, moments
        return f" AND relationship {{in_texts}}{living}", (self.codec.texts_in(relationships), *moments)

    def _links(self, ids: Sequence[str], walk: Traversal) -> list[Row]:
        kind, kinds = self._of_kind(walk.relationships, walk.now)
        sides = {Direction.OUT: [LINKS_OUT], Direction.IN: [LINKS_IN]}.get(walk.direction, [LINKS_OUT, LINKS_IN])
        params = (walk.scope.value, self.codec.texts_in(ids), *kinds) * len(sides)
        return self.executor.rows(" UNION ALL ".join(side + kind for side in sides), params)

    def degrees(
        self,
        scope: GraphScope,
        direction: Direction,
        relationships: Sequence[str],
        limit: int,
        now: datetime | None = None,
    ) -> list[Degree]:
        kind, kinds = self._of_kind(relationships, now)
        sides = {Direction.OUT: [DEGREES_OUT], Direction.IN: [DEGREES_IN]}.get(direction, [DEGREES_OUT, DEGREES_IN])
        ends = " UNION ALL ".join(side + kind for side in sides)
        rows = self.executor.rows(fill_in(DEGREES, ends=ends), (*(scope.value, *kinds) * len(sides), limit))
        return [Degree(*row) for row in rows]


def _key(edge: GraphEdge) -> tuple[str, ...]:
    return (edge.scope.value, edge.source, edge.target, edge.relationship)
