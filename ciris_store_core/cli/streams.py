"""The commands ``ciris-store streams ...``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ciris_store_core.cli.documents import (
    Namespace,
    Prefix,
    Separator,
    corrupt_rows,
    plain_value,
    segments,
    short,
    show_end,
)
from ciris_store_core.cli.options import Cursor, Json, Limit, Url, open_existing
from ciris_store_core.cli.output import ago, console, facts, say_json, table
from ciris_store_core.errors import NotFound
from ciris_store_core.printable import printable, printable_json

if TYPE_CHECKING:
    from ciris_store_core.models.streams import StreamEntry, StreamInfo

streams = typer.Typer(help="Inspect streams.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the stream.", show_default=False)]


@streams.callback()
def common() -> None:
    """Inspect streams."""


@streams.command("list")
def list_(
    url: Url = None,
    prefix: Prefix = "",
    separator: Separator = "/",
    limit: Limit = 20,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """List streams, the one that changed last first."""
    with open_existing(url) as store:
        page = store.streams.find(
            segments(prefix, separator), order="updated", descending=True, limit=limit, cursor=cursor
        )
        now = store.server_now()
    if as_json:
        shown = [json.loads(each.to_json()) for each in page]
        say_json({"streams": shown, "next_cursor": page.next_cursor, "corrupt": corrupt_rows(page)})
        return
    rows = [(separator.join(each.namespace), each.name, f"{each.length:,}", ago(each.updated_at, now)) for each in page]
    console().print(table(("namespace", "name", "entries", "updated"), rows, numbers=("entries",)))
    show_end(page)


@streams.command()
def show(namespace: Namespace, name: Name, url: Url = None, separator: Separator = "/", as_json: Json = False) -> None:
    """Show the facts of one stream."""
    found = _info(url, segments(namespace, separator), name)
    if as_json:
        say_json(json.loads(found.to_json()))
    else:
        console().print(facts({**found.__dict__, "namespace": namespace}))


@streams.command()
def tail(
    namespace: Namespace,
    name: Name,
    url: Url = None,
    separator: Separator = "/",
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=10_000, help="Entries to show first.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show new entries until interrupted.")] = False,
    as_json: Json = False,
) -> None:
    """Show the newest entries, oldest first. --json prints one object a line."""
    key = segments(namespace, separator)
    with open_existing(url) as store:
        shown = store.streams.tail(key, name, lines)
        _print(shown, as_json)
        seen = shown[-1].position if shown else 0
        while follow:
            time.sleep(1)
            for entry in store.streams.scan(key, name, after=seen):
                _print([entry], as_json)
                seen = entry.position


@streams.command()
def delete(
    namespace: Namespace, name: Name, url: Url = None, separator: Separator = "/", as_json: Json = False
) -> None:
    """Delete one stream with all its entries."""
    with open_existing(url) as store:
        count = store.streams.delete(segments(namespace, separator), name)
    if as_json:
        say_json({"deleted": count})
    elif count:
        console().print(facts({"deleted": f"{namespace}{separator}{name}"}))
    else:
        raise _absent(name)


def _info(url: str | None, namespace: tuple[str, ...], name: str) -> StreamInfo:
    with open_existing(url) as store:
        found = store.streams.info(namespace, name)
    if found is None:
        raise _absent(name)
    return found


def _absent(name: str) -> NotFound:
    return NotFound(f"there is no stream {name!r} there", hint="See streams list.")


def _print(entries: Iterable[StreamEntry], as_json: bool) -> None:
    screen = console()
    for entry in entries:
        if as_json:
            fields: dict[str, Any] = {**entry.__dict__, "value": plain_value(entry.value)}
            fields["created_at"] = entry.created_at.isoformat()
            sys.stdout.write(printable_json(json.dumps(fields, ensure_ascii=False)) + "\n")
        else:
            line = Text.assemble(
                (f"{entry.position:>6} ", "dim"), (f"{entry.created_at:%Y-%m-%d %H:%M:%S} ", "dim"),
                (f"{printable(entry.kind)} " if entry.kind else "", "cyan"), printable(short(entry.value)),
            )  # fmt: skip
            screen.print(line, soft_wrap=True)
    sys.stdout.flush()
