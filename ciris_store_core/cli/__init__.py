"""The command ``ciris-store``.

The command line needs the extra ``cli`` (typer and rich). Only ``main`` runs without it, and then prints the package to
install. Exit codes are those of ``exit_codes.Exit``. No other package of the core imports this one, typer or rich,
except that the demo draws with rich.
"""

from __future__ import annotations

import io
import sys
from importlib.util import find_spec

from ciris_store_core.cli.exit_codes import Exit, exit_code
from ciris_store_core.errors import StoreError

__all__ = ["Exit", "main"]

_INSTALL = "pip install 'ciris-store-core[cli]'"


def main() -> None:
    """Run the command line of this process, and exit."""
    _require_extra()
    # Imported here because these modules import typer and rich.
    from ciris_store_core.cli.app import app
    from ciris_store_core.cli.output import say_error

    _replace_unencodable_characters()
    try:
        app()
    except StoreError as error:
        say_error(str(error))
        sys.exit(exit_code(error))


def _require_extra() -> None:
    missing = [name for name in ("typer", "rich") if find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        verb = "are" if len(missing) > 1 else "is"
        sys.stderr.write(f"error: ciris-store needs {names}, which {verb} not installed. Install: {_INSTALL}\n")
        sys.exit(Exit.NOT_INSTALLED)


def _replace_unencodable_characters() -> None:
    """Make a terminal that cannot show a character print ``?`` instead of raising ``UnicodeEncodeError``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
