"""Store of the graph, where the portable statement is slow on DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ciris_store_core.errors import NotFound
from ciris_store_core.models.graph import GraphEdge, NodeKey
from ciris_store_core.sql.graph import SqlGraphStore

PUT = """
INSERT INTO {graph_edges} (source, target, relationship, scope, weight, attributes, metadata, revision)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (scope, source, target, relationship) DO UPDATE
SET weight = excluded.weight, attributes = excluded.attributes, metadata = excluded.metadata, revision = revision + 1
"""


class DuckGraphStore(SqlGraphStore):
    """Store of the graph that reads the ends of all edges first: the only writer can rely on them until it commits."""

    def put_edges(self, edges: Sequence[GraphEdge], now: datetime | None = None) -> list[GraphEdge]:
        if not edges:
            return []
        with self.executor.atomic():
            self._check_ends({NodeKey(end, edge.scope) for edge in edges for end in (edge.source, edge.target)}, now)
            self.executor.insert(PUT, [self.edge_values(edge) for edge in edges])
            stored = {edge.key: edge.revision for edge in self.get_edges([edge.key for edge in edges])}
            return self.as_stored(edges, stored, now)

    def _check_ends(self, ends: set[NodeKey], now: datetime | None) -> None:
        missing = sorted(ends - {node.key for node in self.get_nodes(list(ends), now)})
        if missing:
            names = ", ".join(f"{key.id!r} in scope {key.scope}" for key in missing[:3])
            raise NotFound(
                f"an edge needs both of its nodes; there is no {names}", kind="node", hint="Write the nodes first."
            )
