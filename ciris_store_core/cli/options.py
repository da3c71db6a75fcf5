"""Arguments and options that several commands take."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ciris_store_core.errors import InvalidArgument

if TYPE_CHECKING:
    from ciris_store_core.store import Store

URL_HELP = (
    "Database to open; by default that of CIRIS_DB_URL, else sqlite:///data/ciris.db. "
    "Other users of this host can see arguments: a URL with a password belongs in CIRIS_DB_URL."
)
Url = Annotated[str | None, typer.Argument(help=URL_HELP, show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many to show.")]
Cursor = Annotated[
    str | None, typer.Option("--cursor", help="Where to go on: as the page before says.", show_default=False)
]
Since = Annotated[float, typer.Option("--hours", min=0.01, help="How far to look back from now.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write a page with the picture there. Needs the extra plot.")]
Png = Annotated[Path | None, typer.Option("--png", help="Write the picture there. Needs the extra plot.")]
Tag = Annotated[
    list[str] | None,
    typer.Option("--tag", help="Only what has this tag, as in host=a; may be repeated.", metavar="KEY=VALUE"),
]


_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def open_existing(url: str | None) -> Store:
    """The store as it is: neither created nor migrated."""
    from ciris_store_core.opening import open_store

    return open_store(url, migrate=False, create=False)


def tags_of(given: list[str] | None) -> dict[str, str]:
    """The tags that were given as KEY=VALUE."""
    pairs = [each.partition("=") for each in given or ()]
    wrong = [key for key, equals, _ in pairs if not equals]
    if wrong:
        raise InvalidArgument(f"--tag takes KEY=VALUE, as in host=a, not {wrong[0]!r}")
    return {key: value for key, _, value in pairs}


def span_of(text: str) -> timedelta:
    """The span of 30s, 5m, 1h or 7d."""
    number, unit = text[:-1], _UNITS.get(text[-1:])
    if unit is None or not number.isdecimal() or not 0 < int(number) < 1_000_000:
        raise InvalidArgument(f"a span is a number with a unit, as in 30s, 5m, 1h or 7d, not {text!r}")
    return int(number) * unit


def text_of(span: timedelta) -> str:
    """A whole span as ``span_of`` takes it."""
    name, unit = next((name, unit) for name, unit in reversed(_UNITS.items()) if not span % unit)
    return f"{span // unit}{name}"
