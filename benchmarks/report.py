"""Results as tables, as JSON and as one last line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.measure import Ratio

BASE = "raw driver"
WIDTH = 160


@dataclass(frozen=True)
class Result:
    """Times of one workload, and their ratios."""

    section: str
    """``single``, ``many`` (callers), ``start``, ``documents``, ``streams``, ``level`` (at two sizes) or ``growth``."""
    database: str
    name: str
    title: str
    seconds: dict[str, float]
    """Of one operation, by contender, or by size for growth."""
    ratios: dict[str, Ratio]
    """To the raw driver, or to the smallest size."""
    judged: str
    """Whose ratio the goal is for."""
    goal: float | None

    @property
    def met(self) -> bool | None:
        """True if the goal is met; None without a goal."""
        return None if self.goal is None else self.ratios[self.judged].value <= self.goal


def show(console: Console, results: Sequence[Result]) -> None:
    """A table for each database and section."""
    for table in _tables(results):
        console.print(table)


def _tables(results: Sequence[Result]) -> Iterator[Table]:
    for section in dict.fromkeys((result.section, result.database) for result in results):
        rows = [result for result in results if (result.section, result.database) == section]
        yield _growth_table(rows) if section[0] in ("level", "growth") else _table(rows)


_TITLES = {
    "single": "one caller",
    "many": "many callers at once",
    "start": "a fresh process",
    "documents": "documents, one caller",
    "streams": "streams, one caller",
}


def _table(results: Sequence[Result]) -> Table:
    first = results[0]
    others = [name for result in results for name in result.ratios if name != "store"]
    table = Table(title=f"{first.database}: {_TITLES[first.section]}, microseconds and times the raw driver")
    _columns(table, "operation", BASE, "store", "ratio", "middle half", "goal", "", *dict.fromkeys(others))
    for result in results:
        ours = result.ratios["store"]
        peers = [_times(result.ratios.get(name)) for name in dict.fromkeys(others)]
        figures = [_micros(result.seconds[BASE]), _micros(result.seconds["store"]), _times(ours), _range(ours)]
        table.add_row(result.title, *figures, _goal(result), _verdict(result), *peers)
    return table


def _growth_table(results: Sequence[Result]) -> Table:
    names = list(results[0].seconds)
    grown = "documents and streams as the store grows" if results[0].section == "level" else "as the store grows"
    table = Table(title=f"{results[0].database}: {grown}, microseconds and times the smallest")
    _columns(table, "operation", *names, "largest to smallest", "middle half", "goal", "")
    for result in results:
        ratio = result.ratios[result.judged]
        figures = [_micros(result.seconds[name]) for name in names]
        table.add_row(result.title, *figures, _times(ratio), _range(ratio), _goal(result), _verdict(result))
    return table


def _columns(table: Table, first: str, *others: str) -> None:
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")


def _micros(seconds: float) -> str:
    micros = seconds * 1e6
    return f"{micros:,.0f}" if micros >= 100 else f"{micros:.1f}"


def _times(ratio: Ratio | None) -> str:
    return "-" if ratio is None else f"{ratio.value:.2f}"


def _range(ratio: Ratio) -> str:
    return f"{ratio.low:.2f}-{ratio.high:.2f}" + (" noisy" if ratio.noisy else "")


def _goal(result: Result) -> str:
    return "-" if result.goal is None else f"{result.goal:g}"


def _verdict(result: Result) -> str:
    return {True: "[green]met", False: "[red]missed", None: ""}[result.met]


def show_facts(console: Console, facts: dict[str, Any]) -> None:
    """Return the lines about the machine and about figures that are no ratios."""
    for name, value in facts.items():
        console.print(f"{name}: {value}", highlight=False)


def as_json(results: Sequence[Result], facts: dict[str, Any]) -> str:
    """Everything, for other programs."""
    rows = [{**asdict(result), "met": result.met} for result in results]
    return json.dumps({"facts": facts, "results": rows}, indent=1)


def read_json(path: Path) -> tuple[list[Result], dict[str, Any]]:
    """The results and facts of ``as_json``."""
    found = json.loads(path.read_text())
    return [_result(row) for row in found["results"]], found["facts"]


def _result(row: dict[str, Any]) -> Result:
    ratios = {name: Ratio(**ratio) for name, ratio in row["ratios"].items()}
    return Result(**{name: value for name, value in row.items() if name != "met"} | {"ratios": ratios})


BEGIN, END = "<!-- figures: written by python -m benchmarks --markdown -->", "<!-- end of figures -->"


def write_markdown(path: Path, results: Sequence[Result], facts: dict[str, Any]) -> None:
    """Put the figures between the two marks of a page, in place of those that were there."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{as_markdown(results, facts)}\n{END}{after}")


def as_markdown(results: Sequence[Result], facts: dict[str, Any]) -> str:
    """The tables and facts of ``show`` and ``show_facts``, for the docs."""
    parts = []
    for table in _tables(results):
        rows = zip(*([_plain(cell) for cell in column.cells] for column in table.columns), strict=True)
        head = [str(column.header) for column in table.columns]
        lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
        parts.append(f"### {table.title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines))
    parts.append("".join(f"- {name}: {value}\n" for name, value in facts.items()))
    return "\n".join(parts)


def _plain(cell: Any) -> str:
    return Text.from_markup(str(cell)).plain


def summary(results: Sequence[Result]) -> tuple[str, bool]:
    """The last line, and whether every goal is met."""
    judged = [result.met for result in results if result.met is not None]
    met = sum(judged)
    return f"{met} of {len(judged)} ratios meet their goals", met == len(judged)
