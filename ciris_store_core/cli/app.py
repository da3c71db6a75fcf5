"""The commands, and what they have in common."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ciris_store_core import ANY, MigrationRequired, Store, __version__, open_store
from ciris_store_core.registry import Registry

from .conformance import BackendsCommand, conformance, matrix
from .demo import demo
from .exits import MEANINGS, Exit
from .import_ciris import import_engine
from .new_backend import new_backend
from .options import Json, Url
from .output import console, facts, say_json

app = typer.Typer(
    name="ciris-store",
    help="Look after a store of CIRIS agents.",
    epilog="Exit codes: " + "; ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items()) + ".",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
)
app.command()(demo)
app.command()(new_backend)
app.command("import-ciris")(import_engine)
app.command(cls=BackendsCommand)(conformance)
app.command()(matrix)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ciris-store {__version__}")
        raise typer.Exit()


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Look after a store of CIRIS agents."""


@app.command()
def backends(as_json: Json = False) -> None:
    """List the installed backends, by URL scheme. None of them is imported."""
    plugins = Registry().installed()
    if as_json:
        keys = ("scheme", "distribution", "version")
        say_json([{key: getattr(plugin, key) for key in keys} for plugin in plugins])
        return
    table = Table("scheme", "distribution", "version", box=SIMPLE_HEAD, show_edge=False)
    for plugin in plugins:
        table.add_row(f"{plugin.scheme}://", plugin.distribution, plugin.version)
    console().print(table)


@app.command()
def info(url: Url = None, as_json: Json = False) -> None:
    """Show a store's versions, settings and contents. It is neither created nor migrated."""
    with open_store(url, migrate=False, create=False) as store:
        found = {**store.info(), **_contents(store)}
    _show(found, as_json)


@app.command()
def migrate(
    url: Url = None,
    status: Annotated[bool, typer.Option("--status", help="Only say whether the schema is up to date.")] = False,
    as_json: Json = False,
) -> None:
    """Bring a store's schema up to date, making the store where there is none.

    With --status nothing is changed, and the exit code is 4 if there is something to do.
    """
    try:
        with open_store(url, migrate=not status, create=not status) as store:
            found = {key: value for key, value in store.info().items() if key in ("url", "schema_version")}
    except MigrationRequired as error:
        if not (status and as_json):
            raise
        say_json({"up_to_date": False, "reason": str(error)})
        raise typer.Exit(Exit.MIGRATION_REQUIRED) from None
    _show({**found, "up_to_date": True}, as_json)


def _contents(store: Store) -> dict[str, Any]:
    tasks, thoughts = store.tasks.count_by_status(occurrence_id=ANY), store.thoughts.count_by_status(occurrence_id=ANY)
    return {
        "nodes": store.graph.count(include_expired=True),
        "correlations": store.correlations.count(),
        "tasks": {status.value: number for status, number in tasks.items() if number},
        "thoughts": {status.value: number for status, number in thoughts.items() if number},
        "occurrences_alive": len(store.occurrences.list()),
    }


def _show(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say_json(values)
    else:
        console().print(facts(values))
