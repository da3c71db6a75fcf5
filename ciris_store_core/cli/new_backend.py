"""The command ``ciris-store new-backend``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ciris_store_core.errors import InvalidArgument

NEXT = """{folder} is there. Next:
  pip install ./{folder}
  ciris-store conformance {url}
The report says what is still to be written; {folder}/README.md, in what order."""


def new_backend(
    name: Annotated[str, typer.Argument(help="Its name and URL scheme: letters, digits and _, as in acme.")],
    sql: Annotated[
        bool, typer.Option("--sql", help="On the SQL toolkit, working at once on SQLite as a stand-in.")
    ] = False,
) -> None:
    """Create an installable plugin for another database in ./ciris-store-NAME, ready for the conformance suite."""
    from ciris_store_core import __version__
    from ciris_store_core.contract.registry import Registry
    from ciris_store_core.scaffold import Names
    from ciris_store_core.scaffold import new_backend as make

    names = Names(name)
    if names.scheme in {plugin.scheme for plugin in Registry().installed()}:
        raise InvalidArgument(f"an installed backend serves {names.scheme}:// already. Choose another name.")
    folder = make(name, Path(), sql=sql, core_version=".".join(__version__.split(".")[:2]))
    url = f"{names.scheme}:///{names.scheme}.db" if sql else f"{names.scheme}://"
    typer.echo(NEXT.format(folder=folder, url=url))
