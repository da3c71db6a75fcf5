"""Where commands write: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def console() -> Console:
    """For results."""
    return Console(highlight=False)


def errors() -> Console:
    """For errors and progress."""
    return Console(stderr=True, highlight=False)


def say_json(value: Any) -> None:
    """Print a value as JSON, and nothing else."""
    sys.stdout.write(json.dumps(value, indent=2, default=str, ensure_ascii=False) + "\n")


def say_error(message: str) -> None:
    """Print one line that says what is wrong."""
    line = " ".join(message.split())
    errors().print(Text.assemble(("error: ", "bold red"), (line, "red")), soft_wrap=True)


def facts(values: Mapping[str, Any]) -> Table:
    """Names and values, one pair a line."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in values.items():
        grid.add_row(name.replace("_", " "), Text(_shown(value)))
    return grid


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
