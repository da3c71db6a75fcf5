"""The commands ``ciris-store graph ...``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text
from rich.tree import Tree

from ciris_store_core.cli.options import Html, Json, Png, Url, open_existing
from ciris_store_core.cli.output import console, line, say_json
from ciris_store_core.errors import NotFound
from ciris_store_core.printable import printable

if TYPE_CHECKING:
    from ciris_store_core.models.graph import GraphEdge, GraphNode, Subgraph

graph = typer.Typer(help="Inspect the graph memory.", no_args_is_help=True)

_SHOWN_CHARACTERS = 60


@graph.callback()
def common() -> None:
    """Inspect the graph memory."""


@graph.command()
def show(
    node: Annotated[str, typer.Argument(help="Id of the first node.", show_default=False)],
    url: Url = None,
    scope: Annotated[str, typer.Option(help="Scope of the node.")] = "local",
    depth: Annotated[int, typer.Option(min=1, max=10, help="Number of steps along edges, in any direction.")] = 2,
    html: Html = None,
    png: Png = None,
    as_json: Json = False,
) -> None:
    """Draw a node and its surroundings."""
    with open_existing(url) as store:
        start = store.graph.get(node, scope)
        if start is None:
            raise NotFound(
                f"there is no node {node!r} in the scope {scope}",
                kind="node",
                key=node,
                hint="See other scopes with --scope.",
            )
        found = store.graph.subgraph(node, scope, depth=depth)
    if html or png:
        from ciris_store_core.cli.picture_files import plot_graph  # imports matplotlib, an optional package

        plot_graph(node, found, html, png)
    if as_json:
        say_json({"nodes": [json.loads(each.to_json()) for each in found.nodes],
                  "edges": [json.loads(each.to_json()) for each in found.edges]})  # fmt: skip
    else:
        console().print(tree_of(start, found, depth))


def tree_of(start: GraphNode, found: Subgraph, depth: int) -> Tree:
    """Return the nodes as a tree from the first on. A node that is reached again appears by name only."""
    nodes = {node.id: node for node in found.nodes}
    around: dict[str, list[GraphEdge]] = {}
    for edge in sorted(found.edges, key=lambda edge: (-edge.weight, edge.relationship, edge.target)):
        around.setdefault(edge.source, []).append(edge)
        if edge.target != edge.source:
            around.setdefault(edge.target, []).append(edge)
    root = Tree(_node(start), guide_style="dim")
    branches, level, drawn = {start.id: root}, [start.id], set[tuple[str, str, str]]()
    for _ in range(depth):  # Breadth first, so that every node has its nearest neighbour as its parent.
        reached: list[str] = []
        for each in level:
            for edge in around.get(each, ()):
                key = (edge.source, edge.relationship, edge.target)
                if key in drawn:
                    continue
                drawn.add(key)
                other = edge.target if edge.source == each else edge.source
                again = other in branches
                branch = branches[each].add(_edge(edge, each, nodes.get(other), other, again))
                if not again:
                    branches[other] = branch
                    reached.append(other)
        level = reached
    return root


def _node(node: GraphNode) -> Text:
    attributes = ", ".join(f"{key}: {value}" for key, value in node.attributes.items())
    short = attributes if len(attributes) <= _SHOWN_CHARACTERS else attributes[: _SHOWN_CHARACTERS - 1] + "…"
    parts = ((node.id, "bold"), (f" {node.type}", "cyan"), (f"  {short}" if short else "", "dim"))
    return Text.assemble(*((printable(text), style) for text, style in parts))


def _edge(edge: GraphEdge, at: str, node: GraphNode | None, other: str, again: bool) -> Text:
    weight = "" if edge.weight == 1 else f" {edge.weight:g}"
    shown = printable(edge.relationship)
    arrow = f"─ {shown}{weight} → " if edge.source == at else f"← {shown}{weight} ─ "
    name = line(f"{other} ↑", style="dim") if again or node is None else _node(node)
    return Text.assemble((arrow, "magenta"), name)
