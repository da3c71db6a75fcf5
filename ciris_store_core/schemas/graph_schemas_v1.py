"""Nodes and edges of the graph memory."""

from ciris_store_core.models.enums import ConfigNodeType, GraphScope, NodeType
from ciris_store_core.models.graph import EdgeAttributes, GraphEdge, GraphNode, GraphNodeAttributes
from ciris_store_core.models.tsdb import TSDBGraphNode

__all__ = [
    "ConfigNodeType",
    "EdgeAttributes",
    "GraphEdge",
    "GraphNode",
    "GraphNodeAttributes",
    "GraphScope",
    "NodeType",
    "TSDBGraphNode",
]
