"""The commands on a database as a whole: backends, info, migrate, doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ciris_store_core.capabilities import Capability
from ciris_store_core.cli.exit_codes import Exit
from ciris_store_core.cli.options import Json, Url, open_existing
from ciris_store_core.cli.output import console, facts, say_json, table
from ciris_store_core.errors import MigrationRequired

if TYPE_CHECKING:
    from ciris_store_core.contract import Backend
    from ciris_store_core.services.doctor import DoctorReport
    from ciris_store_core.store import Store


def backends(as_json: Json = False) -> None:
    """List the installed backends by URL scheme, without importing them."""
    from ciris_store_core.contract.registry import Registry

    plugins = Registry().installed()
    if as_json:
        keys = ("scheme", "distribution", "version")
        say_json([{key: getattr(plugin, key) for key in keys} for plugin in plugins])
        return
    rows = [(f"{plugin.scheme}://", plugin.distribution, plugin.version) for plugin in plugins]
    console().print(table(("scheme", "distribution", "version"), rows))


def info(url: Url = None, as_json: Json = False) -> None:
    """Show a store's versions, settings and contents, without creating or migrating it."""
    with open_existing(url) as store:
        about = store.info()
        _show({"url": about["url"], **about, **_contents(store)}, as_json)


def _contents(store: Store) -> dict[str, Any]:
    from ciris_store_core.store import ANY_OCCURRENCE

    tasks, thoughts = (
        store.tasks.count_by_status(occurrence_id=ANY_OCCURRENCE),
        store.thoughts.count_by_status(occurrence_id=ANY_OCCURRENCE),
    )
    return {
        "nodes": store.graph.count(include_expired=True),
        "correlations": store.correlations.count(),
        "tasks": {status.value: number for status, number in tasks.items() if number},
        "thoughts": {status.value: number for status, number in thoughts.items() if number},
        "occurrences_alive": len(store.occurrences.find()),
        **({"documents": store.documents.count()} if Capability.DOCUMENTS in store.capabilities else {}),
        **({"streams": store.streams.count()} if Capability.STREAMS in store.capabilities else {}),
    }


def _show(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say_json(values)
    else:
        console().print(facts(values))


# --- migrate ----------------------------------------------------------------------------------


def migrate(
    url: Url = None,
    status: Annotated[bool, typer.Option("--status", help="Only report whether the schema is up to date.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only list the migrations that would be applied.")] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Only print the statements that would be run.")] = False,
    as_json: Json = False,
) -> None:
    """Migrate a store's schema, and create the store if there is none.

    With --status, --plan or --sql nothing is changed. With --status and --plan the exit code is 4 if there is something
    to do.
    """
    if plan or sql:
        _plan(url, sql, as_json)
    else:
        _migrate(url, status, as_json)


def _migrate(url: str | None, status: bool, as_json: bool) -> None:
    from ciris_store_core.opening import open_store

    try:
        with open_store(url, migrate=not status, create=not status) as store:
            found = {key: value for key, value in store.info().items() if key in ("url", "schema_version")}
    except MigrationRequired as error:
        if not (status and as_json):
            raise
        say_json({"up_to_date": False, "reason": str(error)})
        raise typer.Exit(Exit.MIGRATION_REQUIRED) from None
    _show({**found, "up_to_date": True}, as_json)


def _plan(url: str | None, sql: bool, as_json: bool) -> None:
    pending = _backend(url).pending()
    if as_json:
        keys = ("version", "name", *(("statements",) if sql else ()))
        say_json([{key: getattr(each, key) for key in keys} for each in pending])
    elif sql:
        for each in pending:
            typer.echo(f"-- {each.version:03}_{each.name}\nBEGIN;\n")
            for statement in each.statements:
                typer.echo(f"{statement};\n")
            typer.echo("COMMIT;\n")
    elif pending:
        rows = [(f"{each.version:03}", each.name, str(len(each.statements))) for each in pending]
        console().print(table(("migration", "name", "statements"), rows, numbers=("statements",)))
    else:
        typer.echo("up to date")
    if pending and not sql:
        raise typer.Exit(Exit.MIGRATION_REQUIRED)


def _backend(url: str | None) -> Backend:
    """Return the backend of a URL, which has not touched the database yet."""
    from ciris_store_core.clock import SystemClock
    from ciris_store_core.contract.hookspecs import BackendContext
    from ciris_store_core.contract.registry import Registry
    from ciris_store_core.url import resolve_url

    target = resolve_url(url)
    return (
        Registry().spec_for(target.scheme).factory(target, BackendContext(SystemClock(), migrate=False, create=False))
    )


# --- doctor -----------------------------------------------------------------------------------


def doctor(
    url: Url = None,
    thorough: Annotated[bool, typer.Option("--thorough", help="Read every row, index and audit chain. Slow.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="The exit code is 1 for warnings too.")] = False,
    as_json: Json = False,
) -> None:
    """Examine a store: damage, stuck work, missing indexes, sizes and growth, with a fix for each finding.

    Nothing is changed. The exit code is 1 if there is an error.
    """
    from ciris_store_core.models.operations import Severity
    from ciris_store_core.services.doctor import examine

    with open_existing(url) as store:
        report = examine(store, thorough=thorough)
    _show_report(report, as_json)
    bad = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    raise typer.Exit(Exit.FAILED if report.worst() in bad else Exit.OK)


def _show_report(report: DoctorReport, as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        say_json({**asdict(report), "ok": report.worst() != "error"})
    else:
        from ciris_store_core.cli.doctor_view import draw

        console().print(draw(report))
