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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; report the changes of a run.")] = False,
    archive: Annotated[
        Path, typer.Option(help="Folder for the archive of removed records; created if missing.")
    ] = Path("data/archive"),
    no_archive: Annotated[bool, typer.Option("--no-archive", help="Do not archive removed records.")] = False,
    completed_days: Annotated[
        float, typer.Option(min=0, help="Age in days at which completed tasks are removed; 0 keeps them.")
    ] = 30,
    orphan_minutes: Annotated[float, typer.Option(min=0.01, help="Age in minutes at which orphans are removed.")] = 2,
    shared_minutes: Annotated[
        float, typer.Option(min=0.01, help="Age in minutes at which unclaimed shared tasks are removed.")
    ] = 5,
    no_rescue: Annotated[bool, typer.Option("--no-rescue", help="Do not release work of dead occurrences.")] = False,
    no_expire: Annotated[bool, typer.Option("--no-expire", help="Keep expired records.")] = False,
    occurrence: Annotated[
        str, typer.Option("--occurrence", help="Living occurrence whose completed tasks are removed too.")
    ] = "default",
    batch: Annotated[int, typer.Option("--batch", min=1, max=10_000, help="Rows that one transaction removes.")] = 100,
    as_json: Json = False,
) -> None:
    """Remove old and orphaned records once, and release the work of dead occurrences. Live work is never touched.

    Records are archived before they are removed. On one database, only one process at a time runs maintenance.
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
        typer.echo("another process runs maintenance: nothing was done")
    else:
        shown = {name: value for name, value in asdict(report).items() if value or name == "removed"}
        console().print(facts({**shown, "removed": report.removed}))
