"""The command ``ciris-store mcp``."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import typer

from ciris_store_core.cli.exit_codes import Exit

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""The distribution reads its arguments, ``--help`` too, so that this command needs no release to offer another one."""


def mcp(context: typer.Context) -> None:
    """Serve the memory to MCP clients. Needs the distribution ciris-store-mcp."""
    if find_spec("ciris_store_mcp") is None:
        sys.stderr.write("error: 'ciris-store mcp' needs a distribution. Install: pip install ciris-store-mcp\n")
        raise typer.Exit(Exit.NOT_INSTALLED)
    from ciris_store_mcp.cli import serve

    raise typer.Exit(serve(context.args))
