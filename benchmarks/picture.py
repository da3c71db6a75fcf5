"""Draws the results: bars of ratios, and latency against size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from benchmarks.report import Result

COLOURS = {
    "store": "#1f77b4",
    "SQLAlchemy ORM": "#b0b0b0",
    "LangGraph store": "#d8b26e",
    "procrastinate": "#9ec49e",
}


def draw(results: Sequence[Result], folder: Path) -> list[Path]:
    """Write the pictures that the results allow; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[Path] = []
    compared = [result for result in results if result.section in ("single", "many")]
    if compared:
        drawn.append(_save(_ratios(compared), folder / "bench-ratios.png"))
    grown = [result for result in results if result.section == "growth"]
    if grown:
        drawn.append(_save(_growth(grown), folder / "bench-growth.png"))
    return drawn


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _ratios(results: Sequence[Result]) -> Any:
    databases = list(dict.fromkeys(result.database for result in results))
    figure, axes = plt.subplots(
        1, len(databases), figsize=(7 * len(databases), 8.5), layout="constrained", squeeze=False
    )
    for axis, database in zip(axes[0], databases, strict=True):
        _bars(axis, [result for result in results if result.database == database][::-1])
        axis.set_title(f"{database}: times the raw driver (left is faster)")
    axes[0][0].legend(*_legend(axes[0]), loc="lower right", fontsize=8)
    return figure


def _bars(axis: Any, results: Sequence[Result]) -> None:
    height = 0.8 / len(COLOURS)
    for place, (name, colour) in enumerate(COLOURS.items()):
        rows = [(i, result.ratios[name]) for i, result in enumerate(results) if name in result.ratios]
        if not rows:
            continue
        heights = [i + 0.4 - height * (place + 0.5) for i, _ in rows]
        errors = [[r.value - r.low for _, r in rows], [r.high - r.value for _, r in rows]]
        axis.barh(
            heights, [r.value for _, r in rows], height, color=colour, label=name, xerr=errors,
            error_kw={"elinewidth": 0.8, "ecolor": "#333333"},
        )  # fmt: skip
    goals = [(i, result.goal) for i, result in enumerate(results) if result.goal is not None]
    axis.vlines(
        [g for _, g in goals], [i - 0.42 for i, _ in goals], [i + 0.42 for i, _ in goals], "#c00000", label="goal"
    )
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_yticks(range(len(results)), [result.title for result in results], fontsize=9)
    axis.set_xscale("log")
    ticks = [0.5, 1, 2, 5, 10, 20]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()


def _legend(axes: Any) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)


def _growth(results: Sequence[Result]) -> Any:
    databases = list(dict.fromkeys(result.database for result in results))
    figure, axes = plt.subplots(1, len(databases), figsize=(7 * len(databases), 6), layout="constrained", squeeze=False)
    for axis, database in zip(axes[0], databases, strict=True):
        rows = [result for result in results if result.database == database]
        for result, style in zip(rows, _styles(), strict=False):
            axis.plot(list(result.seconds), [s * 1e6 for s in result.seconds.values()], label=result.title, **style)
        axis.set_yscale("log")
        axis.set_title(f"{database}: one operation as the store grows")
        axis.set_ylabel("microseconds")
        axis.set_xlabel("tasks, nodes and correlations in the store, of each")
        axis.grid(axis="y", linewidth=0.3)
        axis.legend(fontsize=8, ncols=2, loc="upper left")
        axis.set_ylim(top=axis.get_ylim()[1] * 6)
    return figure


def _styles() -> list[dict[str, Any]]:
    colours = [f"C{i}" for i in range(10)]
    return [{"color": colours[i % 10], "marker": "os^"[i // 10], "markersize": 4} for i in range(20)]
