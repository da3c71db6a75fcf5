"""Functions on the graph memory."""

from __future__ import annotations

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.enums import GraphScope, NodeType
from ciris_store_core.models.graph import GraphEdge, GraphNode
from ciris_store_core.persistence.arguments import TimeService, clocked, counterpart, some
from ciris_store_core.persistence.default_store import DbPath, get_store
from ciris_store_core.persistence.shapes import to_edge, to_node
from ciris_store_core.store import Transaction
from ciris_store_core.store.graph.graph import Graph

AnyScope = GraphScope | str


def _graph(db_path: DbPath, time_service: TimeService = None) -> Graph:
    return clocked(get_store(db_path).graph, time_service)


# --- nodes ------------------------------------------------------------------------------------


def add_graph_node(node: GraphNode, time_service: TimeService = None, db_path: DbPath = None) -> str:
    """Write a node and return its id. An existing node's attributes are merged atomically: the given keys win.

    Raise ``Conflict`` if the stored node has another type.
    """
    return _graph(db_path, time_service).put(to_node(node)).id


def get_graph_node(node_id: str, scope: AnyScope, db_path: DbPath = None) -> GraphNode | None:
    """Return the node of that id and scope, or None if it does not exist or has expired."""
    return _graph(db_path).get(node_id, scope)


def delete_graph_node(node_id: str, scope: AnyScope, db_path: DbPath = None) -> int:
    """Delete a node and its edges; return the number of deleted nodes (0 or 1)."""
    return _graph(db_path).delete(node_id, scope)


def get_all_graph_nodes(
    scope: AnyScope | None = None,
    node_type: NodeType | str | None = None,
    limit: int | None = None,
    offset: int | None = None,
    db_path: DbPath = None,
) -> list[GraphNode]:
    """Return nodes, most recently updated first: ``limit`` (None: all) of them after the first ``offset``.

    The first ``offset`` nodes are read as well: for pages prefer ``store.graph.find``, whose cursors cost nothing.
    """
    return some(_graph(db_path), limit, offset or 0, scope=scope, type=node_type)


def get_nodes_by_type(
    node_type: NodeType | str,
    scope: AnyScope | None = None,
    limit: int | None = None,
    offset: int | None = None,
    db_path: DbPath = None,
) -> list[GraphNode]:
    """Return nodes of one type; see ``get_all_graph_nodes``."""
    return get_all_graph_nodes(scope, node_type, limit, offset, db_path)


# --- edges ------------------------------------------------------------------------------------
# The id of an edge consists of its parts, so that ``delete_graph_edge`` can split it again.

_ARROW = "->"


def add_graph_edge(edge: GraphEdge, db_path: DbPath = None) -> str:
    """Write an edge and return its id, ``source->target->relationship``; raise ``NotFound`` if an end does not exist.

    An existing edge takes the given weight and attributes. An ``->`` within a part is written ``%2D>`` in the id,
    and a ``%`` before two such digits ``%25``.
    """
    edge = to_edge(edge)
    _graph(db_path).put_edge(edge)
    return _ARROW.join(map(_quoted, (edge.source, edge.target, edge.relationship)))


def delete_graph_edge(edge_id: str, db_path: DbPath = None) -> int:
    """Delete the edge of that id in every scope that has it; return the number of deleted edges."""
    parts = edge_id.split(_ARROW)
    if len(parts) != 3:
        raise InvalidArgument(
            "an edge's id is source->target->relationship. Pass the one that add_graph_edge returned."
        )
    source, target, relationship = map(_unquoted, parts)

    def fn(tx: Transaction) -> int:
        # The lookup comes first: deleting in a protected scope needs an approval even if no edge is there.
        scopes = [scope for scope in GraphScope if tx.graph.get_edge(source, target, relationship, scope)]
        return sum(tx.graph.delete_edge(source, target, relationship, scope) for scope in scopes)

    return get_store(db_path).run(fn)


def _quoted(part: str) -> str:
    return part.replace("%25", "%2525").replace("%2D>", "%252D>").replace(_ARROW, "%2D>")


def _unquoted(part: str) -> str:
    return part.replace("%2D>", _ARROW).replace("%252D>", "%2D>").replace("%2525", "%25")


def get_edges_for_node(node_id: str, scope: AnyScope, db_path: DbPath = None) -> list[GraphEdge]:
    """Return all edges that begin or end at the node, ordered by source, target and relationship."""
    return _graph(db_path).neighbours(node_id, scope)


async_add_graph_node = counterpart(add_graph_node)
async_get_graph_node = counterpart(get_graph_node)
async_delete_graph_node = counterpart(delete_graph_node)
async_get_all_graph_nodes = counterpart(get_all_graph_nodes)
async_get_nodes_by_type = counterpart(get_nodes_by_type)
async_add_graph_edge = counterpart(add_graph_edge)
async_delete_graph_edge = counterpart(delete_graph_edge)
async_get_edges_for_node = counterpart(get_edges_for_node)

__all__ = [
    "add_graph_edge",
    "add_graph_node",
    "async_add_graph_edge",
    "async_add_graph_node",
    "async_delete_graph_edge",
    "async_delete_graph_node",
    "async_get_all_graph_nodes",
    "async_get_edges_for_node",
    "async_get_graph_node",
    "async_get_nodes_by_type",
    "delete_graph_edge",
    "delete_graph_node",
    "get_all_graph_nodes",
    "get_edges_for_node",
    "get_graph_node",
    "get_nodes_by_type",
]
