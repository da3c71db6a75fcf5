"""The application of all commands, and its common options.

Each command imports its modules when it runs, so that ``--help`` and completion answer at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from ciris_store_core.cli import databases, tasks, transfer
from ciris_store_core.cli.audit import audit
from ciris_store_core.cli.authority import authority
from ciris_store_core.cli.conformance import BackendsCommand, conformance, matrix
from ciris_store_core.cli.demo import demo
from ciris_store_core.cli.documents import documents
from ciris_store_core.cli.exit_codes import MEANINGS
from ciris_store_core.cli.fleet import fleet
from ciris_store_core.cli.graph import graph
from ciris_store_core.cli.import_ciris import import_engine
from ciris_store_core.cli.key import app as key
from ciris_store_core.cli.log import log
from ciris_store_core.cli.maintain import maintain
from ciris_store_core.cli.mcp import PASS_ON, mcp
from ciris_store_core.cli.metrics import metrics
from ciris_store_core.cli.new_backend import new_backend
from ciris_store_core.cli.streams import streams

app = typer.Typer(
    name="ciris-store",
    help="Inspect, maintain and transfer the stores of CIRIS agents.",
    epilog="Exit codes: " + "; ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items()) + ".",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from ciris_store_core import __version__

        typer.echo(f"ciris-store {__version__}")
        raise typer.Exit()


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Inspect, maintain and transfer the stores of CIRIS agents."""


LOOK, MOVE, INSIDE, BUILD = "Maintain a database", "Transfer a store", "Inspect records", "Demo and backend development"
"""The headings of ``--help``."""

app.command(rich_help_panel=LOOK)(databases.info)
app.command(rich_help_panel=LOOK)(databases.doctor)
app.command(rich_help_panel=LOOK)(databases.migrate)
app.command(rich_help_panel=LOOK)(maintain)
app.add_typer(fleet, name="fleet", rich_help_panel=LOOK)
app.add_typer(key, rich_help_panel=LOOK)
app.command(rich_help_panel=LOOK)(databases.backends)
app.command(rich_help_panel=MOVE)(transfer.copy)
app.command(rich_help_panel=MOVE)(transfer.backup)
app.command(rich_help_panel=MOVE)(transfer.restore)
app.command(rich_help_panel=MOVE)(transfer.export)
app.command("import", rich_help_panel=MOVE)(transfer.import_)
app.command("import-ciris", rich_help_panel=MOVE)(import_engine)
app.add_typer(tasks.tasks, name="tasks", rich_help_panel=INSIDE)
app.add_typer(tasks.thoughts, name="thoughts", rich_help_panel=INSIDE)
app.add_typer(tasks.occurrences, name="occurrences", rich_help_panel=INSIDE)
app.add_typer(tasks.leases, name="leases", rich_help_panel=INSIDE)
app.add_typer(graph, name="graph", rich_help_panel=INSIDE)
app.add_typer(documents, name="documents", rich_help_panel=INSIDE)
app.add_typer(streams, name="streams", rich_help_panel=INSIDE)
app.add_typer(log, name="log", rich_help_panel=INSIDE)
app.add_typer(metrics, name="metrics", rich_help_panel=INSIDE)
app.add_typer(audit, name="audit", rich_help_panel=INSIDE)
app.add_typer(authority, name="authority", rich_help_panel=INSIDE)
app.command(rich_help_panel=INSIDE, add_help_option=False, context_settings=PASS_ON)(mcp)
app.command(rich_help_panel=BUILD)(demo)
app.command(cls=BackendsCommand, rich_help_panel=BUILD)(conformance)
app.command(rich_help_panel=BUILD)(matrix)
app.command(rich_help_panel=BUILD)(new_backend)
