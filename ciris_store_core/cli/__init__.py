"""The command ``ciris-store``.

Exit codes are those of ``exits.Exit``. Nothing else of the package imports this part, nor typer or rich.
"""

from __future__ import annotations

import io
import sys

from ciris_store_core.cli.app import app
from ciris_store_core.cli.exits import Exit, exit_code
from ciris_store_core.cli.output import say_error
from ciris_store_core.errors import StoreError

__all__ = ["Exit", "app", "main"]


def main() -> None:
    """Run the command line of this process, and exit."""
    _accept_any_terminal()
    try:
        app()
    except StoreError as error:
        say_error(str(error))
        sys.exit(exit_code(error))


def _accept_any_terminal() -> None:
    """A terminal that cannot show a character gets a ``?`` in place of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
