"""The command ``ciris-store maintain``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from ciris_store_core.cli.options import Json, Url
from ciris_store_core.cli.output import console, facts, say_json


def maintain(
    url: Url = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what a run would do.")] = False,
    archive: Annotated[
        Path, typer.Option(help="Folder for a file of what is removed; made where it is missing.")
    ] = Path("data/archive"),
    no_archive: Annotated[bool, typer.Option("--no-archive", help="Keep nothing of what is removed.")] = False,
    completed_days: Annotated[
        float, typer.Option(min=0, help="Remove completed tasks after so many days; 0 keeps them.")
    ] = 30,
    orphan_minutes: Annotated[float, typer.Option(min=0.01, help="Remove orphans after so many minutes.")] = 2,
    shared_minutes: Annotated[
        float, typer.Option(min=0.01, help="Remove shared tasks that nobody took after so many minutes.")
    ] = 5,
    no_rescue: Annotated[bool, typer.Option("--no-rescue", help="Leave the work of the dead where it is.")] = False,
    no_expire: Annotated[bool, typer.Option("--no-expire", help="Leave what has expired.")] = False,
    occurrence: Annotated[
        str, typer.Option("--occurrence", help="Whose completed tasks may go although it is alive.")
    ] = "default",
    batch: Annotated[int, typer.Option("--batch", min=1, max=10_000, help="Rows that one transaction removes.")] = 100,
    as_json: Json = False,
) -> None:
    """Tidy up once: what nobody needs any more goes, and work of the dead goes on. Live work is never touched.

    What is removed is archived first. Of all processes on one database, one at a time is at it.
    """
    from ciris_store_core.opening import open_store
    from ciris_store_core.services import DatabaseMaintenanceService, MaintenancePolicy

    policy = MaintenancePolicy(
        stale_shared_after=timedelta(minutes=shared_minutes),
        orphan_guard=timedelta(minutes=orphan_minutes),
        completed_after=timedelta(days=completed_days) if completed_days else None,
        rescue=not no_rescue,
        expire=not no_expire,
        batch_size=batch,
    )
    with open_store(url, migrate=False, create=False, occurrence_id=occurrence) as store:
        service = DatabaseMaintenanceService(store, archive_dir=None if no_archive else archive, policy=policy)
        report = service.run(dry_run=dry_run)
    if as_json:
        say_json(asdict(report))
    elif report.skipped:
        typer.echo("another process is at it: nothing was done")
    else:
        shown = {name: value for name, value in asdict(report).items() if value or name == "removed"}
        console().print(facts({**shown, "removed": report.removed}))
