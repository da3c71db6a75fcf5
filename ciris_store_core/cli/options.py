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
