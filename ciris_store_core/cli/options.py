"""Arguments and options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

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
