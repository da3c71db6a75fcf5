"""Output of commands: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ciris_store_core.printable import printable, printable_json, printable_lines

PADDING = 3
"""Characters between the columns of a table."""
SMALLEST = 12
"""The minimum width of a column in a narrow terminal."""

_ARGUMENT = re.compile(r"\b(into_existing|overwrite|skip_corrupt)=True\b")
"""Arguments of functions that are options of commands: advice names the option."""


class _SafeConsole(Console):
    """A terminal in which no stored text can move the cursor, change colours or reverse the direction."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Escape control characters of stored text."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable_lines(text), style)


def console() -> Console:
    """Return the console for results."""
    return _SafeConsole(highlight=False)


def errors() -> Console:
    """Return the console for errors and progress."""
    return _SafeConsole(stderr=True, highlight=False)


def line(text: str, style: str = "") -> Text:
    """Return stored text as a single line."""
    return Text(printable(text), style)


def say_json(value: Any) -> None:
    """Print a value as JSON, and nothing else."""
    sys.stdout.write(printable_json(json.dumps(value, indent=2, default=str, ensure_ascii=False)) + "\n")


def say_error(message: str) -> None:
    """Print an error as one line."""
    in_options = _ARGUMENT.sub(lambda found: f"--{found[1].replace('_', '-')}", message)
    said = printable(" ".join(in_options.split()))
    errors().print(Text.assemble(("error: ", "bold red"), (said, "red")), soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[str] = ()) -> Table:
    """Rows under their headings. Columns in ``numbers`` are right-aligned; the last column gets the remaining width."""
    drawn = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    lines = [[printable(cell) for cell in row] for row in rows]
    left = console().width
    for number, column in enumerate(columns):
        widest = max((cell_len(cells[number]) for cells in lines), default=0)
        width = max(cell_len(column), widest)
        if number == len(columns) - 1:
            width = max(SMALLEST, min(width, left))
        left -= width + PADDING
        side: Literal["right", "left"] = "right" if column in numbers else "left"
        drawn.add_column(column, justify=side, width=width, overflow="ellipsis", no_wrap=True)
    for cells in lines:
        drawn.add_row(*map(Text, cells))
    return drawn


def size(count: float) -> str:
    """Return a readable size in bytes."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:,.0f} {unit}" if unit == "B" or count >= 100 else f"{count:,.1f} {unit}"


def ago(moment: datetime, now: datetime) -> str:
    """Return a readable distance in time, past or future."""
    seconds = (now - moment).total_seconds()
    past, seconds = seconds >= 0, abs(seconds)
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    unit, length = next((each for each in units if seconds >= 2 * each[1]), units[-1])
    text = f"{seconds / length:.0f} {unit}"
    return f"{text} ago" if past else f"in {text}"


def facts(values: Mapping[str, Any]) -> Table:
    """Return a table of names and values, one pair a line."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in values.items():
        grid.add_row(name.replace("_", " "), line(_shown(value)))
    return grid


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(number)}" for name, number in value.items()) or "none"
    if type(value) is int:
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
