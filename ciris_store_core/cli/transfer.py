"""The commands that transfer whole stores: copy, export, import, backup, restore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ciris_store_core.cli.options import URL_HELP, Json, Url, open_existing
from ciris_store_core.cli.output import console, facts, line, say_json, size, table
from ciris_store_core.cli.progress import showing

if TYPE_CHECKING:
    from ciris_store_core.store import Store
    from ciris_store_core.transfer import TransferReport

Without = Annotated[
    list[str] | None,
    typer.Option(
        "--without",
        metavar="WHAT",
        help="Leave out a kind (tasks, correlations...), a group (graph, secrets, audit) or a scope (identity); "
        "repeatable.",
    ),
]
IntoExisting = Annotated[
    bool, typer.Option("--into-existing", help="Add to the records of the target; an existing record is an error.")
]
NoVerify = Annotated[bool, typer.Option("--no-verify", help="Do not read the target again to compare it.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file of that name.")]
Target = Annotated[str | None, typer.Argument(help=f"Empty store. {URL_HELP}", show_default=False)]


def copy(
    source: Annotated[str, typer.Argument(metavar="SRC", help="URL of the store to copy. It is not changed.")],
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[DST]", help="URL of an empty store; by default that of CIRIS_DB_URL.", show_default=False
        ),
    ] = None,
    without: Without = None,
    into_existing: IntoExisting = False,
    skip_corrupt: Annotated[
        bool, typer.Option("--skip-corrupt", help="Leave out corrupt rows, and list them.")
    ] = False,
    no_verify: NoVerify = False,
    as_json: Json = False,
) -> None:
    """Copy a whole store to another one, of any backend, unchanged.

    If it is stopped, the same command continues where it stopped. At the end the target is read again, and the digests
    of each kind of records are compared.
    """
    from ciris_store_core.transfer import copy_store

    with open_existing(source) as origin, _new(target) as store, showing(as_json) as on_step:
        report = copy_store(
            origin,
            store,
            without=without or (),
            into_existing=into_existing,
            skip_corrupt=skip_corrupt,
            verify=not no_verify,
            on_step=on_step,
        )
    _show(report, as_json)


def export(
    file: Annotated[Path, typer.Argument(help="File to write: JSON Lines, compressed where it ends with .gz.")],
    url: Url = None,
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Export encrypted secrets and their access log, too.")
    ] = False,
    without: Without = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a store to a file of JSON Lines, with digests at its end. Secrets are left out unless asked for."""
    from ciris_store_core.transfer import export_store

    with open_existing(url) as store, showing(as_json) as on_step:
        report = export_store(store, file, secrets=secrets, without=without or (), overwrite=overwrite, on_step=on_step)
    _show(report, as_json)


def import_(
    file: Annotated[Path, typer.Argument(help="File that export or backup --portable wrote.")],
    url: Target = None,
    into_existing: IntoExisting = False,
    no_verify: NoVerify = False,
    as_json: Json = False,
) -> None:
    """Write the records of an exported file into an empty store. Nothing is written if the file is damaged.

    If it is stopped, the same command continues where it stopped.
    """
    from ciris_store_core.transfer.dump import checked, import_checked

    with showing(as_json) as on_step:
        reader, _ = checked(file, on_step)  # checked before a store is created for it
        with _new(url) as store:
            report = import_checked(reader, store, into_existing=into_existing, verify=not no_verify, on_step=on_step)
    _show(report, as_json)


def backup(
    file: Annotated[Path, typer.Argument(help="File to write. With --portable, compressed where it ends with .gz.")],
    url: Url = None,
    portable: Annotated[
        bool, typer.Option("--portable", help="JSON Lines that every backend can restore; PostgreSQL always does so.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Back up a store, as it is at one moment, while other programs write to it. The backup is verified.

    Encrypted secrets are part of it; their key is not.
    """
    from ciris_store_core.transfer import backup_store

    with open_existing(url) as store, showing(as_json) as on_step:
        report = backup_store(store, file, portable=portable, overwrite=overwrite, on_step=on_step)
    found: dict[str, Any] = {
        "file": report.path,
        "format": "portable" if report.portable else "database",
        "bytes": report.bytes,
        "seconds": round(report.seconds, 3),
    }
    if as_json:
        say_json(found)
    else:
        console().print(facts({**found, "bytes": size(report.bytes)}))


def restore(
    file: Annotated[Path, typer.Argument(help="File that backup wrote.")],
    url: Target = None,
    no_verify: NoVerify = False,
    as_json: Json = False,
) -> None:
    """Write a backup into an empty store, of any backend. If it is interrupted, run the same command again."""
    from ciris_store_core.transfer.backups import opened_backup

    with showing(as_json) as on_step, opened_backup(file, url, on_step=on_step) as restore_to, _new(url) as store:
        report = restore_to(store, verify=not no_verify)
    _show(report, as_json)


@contextmanager
def _new(url: str | None) -> Iterator[Store]:
    from ciris_store_core.opening import open_store

    with open_store(url) as store:
        yield store


def _show(report: TransferReport, as_json: bool) -> None:
    if as_json:
        say_json(report.to_dict())
        return
    rows = [(name, f"{tally.count:,}", f"{tally.total:064x}"[:16]) for name, tally in report.kinds.items()]
    screen = console()
    screen.print(table(("kind", "records", "digest"), rows, numbers=("records",)))
    speed = f"{report.records / max(report.seconds, 0.001):,.0f} records/s"
    state = ["resumed"] * report.resumed + ["verified"] * report.verified
    screen.print(
        f"{report.records:,} records in {report.seconds:.1f} s ({speed})" + "".join(f", {each}" for each in state)
    )
    for row in report.corrupt:
        screen.print(line(f"left out, because it is corrupt: {row}"))
