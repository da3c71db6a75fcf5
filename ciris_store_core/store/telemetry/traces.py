"""The spans of a trace, assembled as trees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ciris_store_core.models.correlations import Correlation


@dataclass(slots=True)
class TraceNode:
    """One span and its child spans."""

    correlation: Correlation
    children: list[TraceNode] = field(default_factory=list)


def tree_of(correlations: Iterable[Correlation]) -> list[TraceNode]:
    """Return the roots, each with its children, in the order given; every correlation occurs exactly once."""
    nodes = [TraceNode(correlation) for correlation in correlations]
    by_span = {context.span_id: node for node in reversed(nodes) if (context := node.correlation.trace_context)}
    by_correlation = {node.correlation.correlation_id: node for node in nodes}
    parents: dict[int, TraceNode] = {}
    roots = []
    for node in nodes:
        parent = _parent(node.correlation, by_span, by_correlation)
        if parent is None or _is_above(node, parent, parents):
            roots.append(node)
        else:
            parents[id(node)] = parent
            parent.children.append(node)
    return roots


def _parent(row: Correlation, by_span: dict[str, TraceNode], by_correlation: dict[str, TraceNode]) -> TraceNode | None:
    span = row.trace_context.parent_span_id if row.trace_context else None
    return (by_span.get(span) if span else None) or by_correlation.get(row.parent_correlation_id or "")


def _is_above(node: TraceNode, start: TraceNode, parents: dict[int, TraceNode]) -> bool:
    """Return True if ``node`` is ``start`` or one of its ancestors: adding it there would close a cycle."""
    step: TraceNode | None = start
    while step is not None and step is not node:
        step = parents.get(id(step))
    return step is node
