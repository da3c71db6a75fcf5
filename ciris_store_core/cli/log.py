"""The commands ``ciris-store log ...``."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ciris_store_core.cli.options import Json, Tag, Url, open_existing, parse_tags
from ciris_store_core.cli.output import console
from ciris_store_core.printable import printable, printable_json

if TYPE_CHECKING:
    from ciris_store_core.models.correlations import Correlation
    from ciris_store_core.store import Store

log = typer.Typer(help="Inspect log entries.", no_args_is_help=True)

_STYLES = {
    "DEBUG": "dim",
    "INFO": "green",
    "WARNING": "yellow",
    "WARN": "yellow",
    "ERROR": "red",
    "CRITICAL": "bold red",
    "FATAL": "bold red",
}


@log.callback()
def common() -> None:
    """Inspect log entries."""


@log.command()
def tail(
    url: Url = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=10_000, help="Entries to show first.")] = 20,
    level: Annotated[str | None, typer.Option(help="Only entries at least as severe, as in WARNING.")] = None,
    tag: Tag = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show new entries until interrupted.")] = False,
    as_json: Json = False,
) -> None:
    """Show the newest log entries, oldest first. --json prints one object a line."""
    filters: dict[str, Any] = {"type": "log_entry", "min_log_level": level, "tags": parse_tags(tag)}
    with open_existing(url) as store:
        shown = store.correlations.recent(lines, **filters).items[::-1]
        _print(shown, as_json)
        if follow:
            _follow(store, shown, filters, as_json)


def _follow(store: Store, shown: list[Correlation], filters: dict[str, Any], as_json: bool) -> None:
    since = shown[-1].timestamp if shown else store.server_now()
    while True:
        seen = {row.correlation_id for row in shown}
        new = [row for row in store.correlations.scan(time_from=since, **filters) if row.correlation_id not in seen]
        if new:
            _print(new, as_json)
            since = new[-1].timestamp
            shown = [row for row in (*shown, *new) if row.timestamp == since]
        time.sleep(1)


def _print(rows: list[Correlation], as_json: bool) -> None:
    screen = console()
    for row in rows:
        entry = row.log_data
        if entry is None:
            continue
        if as_json:
            fields = {
                "timestamp": row.timestamp.isoformat(),
                "level": entry.log_level,
                "logger": entry.logger_name,
                "message": entry.log_message,
                "tags": row.tags,
                "occurrence": row.agent_occurrence_id,
            }
            sys.stdout.write(printable_json(json.dumps(fields, ensure_ascii=False)) + "\n")
        else:
            style = _STYLES.get(entry.log_level.upper(), "")
            line = Text.assemble(
                (f"{row.timestamp:%Y-%m-%d %H:%M:%S} ", "dim"), (f"{printable(entry.log_level):<8} ", style),
                (f"{printable(entry.logger_name)} " if entry.logger_name else "", "cyan"), printable(entry.log_message),
            )  # fmt: skip
            screen.print(line, soft_wrap=True)
    sys.stdout.flush()
