"""Arguments and options of several commands."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ciris_store_core.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from ciris_store_core.store import Store

URL_HELP = (
    "Database to open; by default that of CIRIS_DB_URL, else sqlite:///data/ciris.db. "
    "Other users of this host can see arguments: a URL with a password belongs in CIRIS_DB_URL."
)
Url = Annotated[str | None, typer.Argument(help=URL_HELP, show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Number of records to show.")]
Cursor = Annotated[
    str | None,
    typer.Option("--cursor", help="Position printed by the page before.", show_default=False),
]
Since = Annotated[float, typer.Option("--hours", min=0.01, help="Hours to look back from now.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write the image to this HTML page. Needs the extra plot.")]
Png = Annotated[Path | None, typer.Option("--png", help="Write the image to this file. Needs the extra plot.")]
Tag = Annotated[
    list[str] | None,
    typer.Option("--tag", help="Only records with this tag, as in host=a; repeatable.", metavar="KEY=VALUE"),
]


_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def open_existing(url: str | None) -> Store:
    """Open the store without creating or migrating it."""
    from ciris_store_core.opening import open_store

    return open_store(url, migrate=False, create=False)


def file_error(path: Path, error: OSError, hint: str) -> NotFound:
    """Return the error for a file that cannot be read."""
    return NotFound(f"{path} cannot be read ({error.strerror})", kind="file", key=str(path), hint=hint)


def parse_tags(given: list[str] | None) -> dict[str, str]:
    """Return the tags that were given as KEY=VALUE."""
    pairs = [each.partition("=") for each in given or ()]
    wrong = [key for key, equals, _ in pairs if not equals]
    if wrong:
        raise InvalidArgument(f"--tag must be KEY=VALUE, as in host=a, not {wrong[0]!r}")
    return {key: value for key, _, value in pairs}


def parse_span(text: str) -> timedelta:
    """Return the time span of a text such as 30s, 5m, 1h or 7d."""
    number, unit = text[:-1], _UNITS.get(text[-1:])
    if unit is None or not number.isdecimal() or not 0 < int(number) < 1_000_000:
        raise InvalidArgument(f"a span must be a number with a unit, as in 30s, 5m, 1h or 7d, not {text!r}")
    return int(number) * unit


def format_span(span: timedelta) -> str:
    """Return a whole time span as text for ``parse_span``."""
    name, unit = next((name, unit) for name, unit in reversed(_UNITS.items()) if not span % unit)
    return f"{span // unit}{name}"
