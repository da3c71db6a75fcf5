"""Images of series and graphs as PNG files and HTML pages, drawn by matplotlib (extra ``plot``)."""

from __future__ import annotations

import html as markup
import io
import math
from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import Any, cast

from ciris_store_core.cli.terminal_charts import Line
from ciris_store_core.errors import NotSupported
from ciris_store_core.models.graph import Subgraph

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ margin: 2rem; font-family: sans-serif }} svg {{ max-width: 100%; height: auto }}</style>
</head><body>
{picture}
</body></html>
"""


def plot_series(title: str, lines: Mapping[str, Line], html: Path | None, png: Path | None) -> None:
    """Draw lines over time, in UTC."""
    figure = _figure(10, 4.5)
    from matplotlib import dates

    axes, ticks = figure.subplots(), cast(Any, dates)
    for name, line in lines.items():
        axes.plot([point[0] for point in line], [point[1] for point in line], label=name, linewidth=1.4)
    axes.set_title(title, loc="left")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if len(lines) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    axes.xaxis.set_major_formatter(ticks.ConciseDateFormatter(ticks.AutoDateLocator(tz=UTC), tz=UTC))
    _write(figure, title, html, png)


def plot_graph(start: str, found: Subgraph, html: Path | None, png: Path | None) -> None:
    """Draw nodes in rings around the first, by distance, and the edges between them."""
    places = _rings(start, found)
    size = 5 + 1.2 * math.sqrt(len(places))
    figure = _figure(size * 1.4, size)
    axes = figure.subplots()
    for edge in found.edges:
        _draw_edge(axes, places[edge.source], places[edge.target], edge.relationship)
    types = sorted({str(node.type) for node in found.nodes})
    for number, kind in enumerate(types):
        those = [places[node.id] for node in found.nodes if str(node.type) == kind]
        axes.scatter([x for x, _ in those], [y for _, y in those], s=340, color=f"C{number % 10}", label=kind, zorder=3)
    for node in found.nodes:
        x, y = places[node.id]
        weight = "bold" if node.id == start else "normal"
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8}
        text = {"textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 9, "fontweight": weight}
        axes.annotate(_short(node.id), (x, y), (0, -19), bbox=box, zorder=4, **text)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, markerscale=0.5)
    axes.margins(0.15)
    axes.set_aspect("equal")
    axes.set_axis_off()
    _write(figure, f"around {start}", html, png)


def _draw_edge(axes: Any, source: tuple[float, float], target: tuple[float, float], name: str) -> None:
    arrow = {"arrowstyle": "-|>", "color": "0.6", "shrinkA": 10, "shrinkB": 10, "linewidth": 1}
    axes.annotate("", target, source, arrowprops=arrow, zorder=1)
    middle = ((source[0] + target[0]) / 2, (source[1] + target[1]) / 2)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.text(*middle, _short(name), fontsize=7, color="0.4", ha="center", va="center", bbox=box, zorder=2)


def _rings(start: str, found: Subgraph) -> dict[str, tuple[float, float]]:
    """Return the position of each node: the children of a node share its sector of the ring around it."""
    around: dict[str, list[str]] = {node.id: [] for node in found.nodes}
    for edge in found.edges:
        around[edge.source].append(edge.target)
        around[edge.target].append(edge.source)
    places, sectors, level = {start: (0.0, 0.0)}, {start: (0.0, 2 * math.pi)}, [start]
    radius = 0.0
    while level:
        radius += 1.0
        reached: list[str] = []
        for node in level:
            new = [each for each in dict.fromkeys(around[node]) if each not in sectors]
            begin, end = sectors[node]
            for number, each in enumerate(new):
                width = (end - begin) / len(new)
                sectors[each] = (begin + number * width, begin + (number + 1) * width)
                angle = begin + (number + 0.5) * width
                places[each] = (radius * math.cos(angle), radius * math.sin(angle))
            reached += new
        level = reached
    return places


def _short(text: str) -> str:
    return text if len(text) <= 24 else text[:23] + "…"


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise NotSupported("pictures need matplotlib. Install it: pip install 'ciris-store-core[plot]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def _write(figure: Any, title: str, html: Path | None, png: Path | None) -> None:
    if png is not None:
        figure.savefig(png, format="png", dpi=120)
    if html is not None:
        text = io.StringIO()
        figure.savefig(text, format="svg")
        svg = text.getvalue()
        html.write_text(_PAGE.format(title=markup.escape(title), picture=svg[svg.index("<svg") :]), encoding="utf-8")
