"""Nodes and edges of the graph memory."""

from ciris_store_core.models.enums import ConfigNodeType, GraphScope, NodeType
from ciris_store_core.models.graph import EdgeAttributes, GraphEdge, GraphNode, GraphNodeAttributes

GraphEdgeAttributes = EdgeAttributes

__all__ = [
    "ConfigNodeType",
    "EdgeAttributes",
    "GraphEdge",
    "GraphEdgeAttributes",
    "GraphNode",
    "GraphNodeAttributes",
    "GraphScope",
    "NodeType",
]
