"""Graph memory: nodes, edges and traversal."""
