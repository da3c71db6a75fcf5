"""``ciris-store audit``: inspection and verification of the audit trail."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from ciris_store_core.cli.exit_codes import Exit
from ciris_store_core.cli.options import Json, Url, file_error, open_existing
from ciris_store_core.cli.output import console, facts, line, say_json
from ciris_store_core.errors import AlreadyExists, Conflict, InvalidArgument
from ciris_store_core.printable import printable_json

if TYPE_CHECKING:
    from datetime import datetime

    from ciris_store_core.models import AuditCheckpoint
    from ciris_store_core.store import AuditReport

_MOST_BYTES = 16 * 2**20
"""The longest checkpoint; it names each chain once."""

_LAST = '{"checkpoint": '
"""The beginning of the last line of an export."""

_VERDICTS = {
    "ok": "unchanged",
    "hashes only": "hashes only: they match, and no key proves that they were not rebuilt",
    "changed": "CHANGED",
}

audit = typer.Typer(help="Inspect and verify the audit trail.", no_args_is_help=True)

Chain = Annotated[str | None, typer.Option(help="Only the chain of this occurrence.", show_default=False)]


@audit.command()
def verify(
    url: Url = None,
    chain: Chain = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A checkpoint, or an export that ends with one.", show_default=False)
    ] = None,
    public_key: Annotated[
        list[str] | None, typer.Option(help="A key whose signatures count; can be repeated.", show_default=False)
    ] = None,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Accept entries without a signature, and hashes that no key proves.")
    ] = False,
    store_id: Annotated[
        list[str] | None,
        typer.Option("--store", help="Another store whose entries may be here; can be repeated.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find audit events that were changed, removed, moved or cut off. If there are any, the exit code is 1.

    It is 8 if the hashes match, but no key proves them: give --public-key, or --unsigned to accept that.
    """
    with open_existing(url) as store:
        report = store.audit.verify(
            chain,
            public_keys=public_key or (),
            checkpoint=_checkpoint_of(checkpoint) if checkpoint else None,
            require_signatures=False if unsigned else None,
            stores=store_id or (),
        )
    _show(report, as_json)
    if report.problems:
        raise typer.Exit(Exit.FAILED)
    if not report.ok and not unsigned:
        raise typer.Exit(Exit.UNPROVEN)


@audit.command()
def tail(
    url: Url = None,
    chain: Chain = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many.")] = 20,
    as_json: Json = False,
) -> None:
    """Show the newest audit events of a chain, by default that of occurrence ``default``."""
    with open_existing(url) as store:
        entries = store.audit.tail(chain, lines)
    if as_json:
        say_json([entry.model_dump(mode="json") for entry in entries])
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("at", "sequence", "event", "actor", "payload", box=SIMPLE_HEAD, show_edge=False)
    for entry in entries:
        at = entry.at.isoformat(sep=" ", timespec="milliseconds")
        table.add_row(
            at, str(entry.sequence), line(entry.event_type), line(entry.actor), line(ascii(dict(entry.payload)))
        )
    console().print(table)


@audit.command()
def export(
    url: Url = None,
    chain: Chain = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this new file.")] = None,
) -> None:
    """Write the trail as JSON Lines: anchor and entries of each chain, then a checkpoint of all chains.

    Keep it on another host, for ``audit verify --checkpoint``.
    """
    with open_existing(url) as store, _new_file(output) if output else nullcontext(sys.stdout) as out:
        for record in store.audit.export(chain):
            kind = type(record).__name__.removeprefix("Audit").lower()
            out.write(printable_json(f'{{"{kind}": {record.to_json()}}}\n'))


@audit.command()
def prune(
    before: Annotated[str, typer.Option(help="A time with its zone, as in 2025-01-31T00:00:00Z.")],
    url: Url = None,
    chain: Chain = None,
    as_json: Json = False,
) -> None:
    """Remove a chain's audit events before a time, and leave an anchor so that the rest still verifies.

    Export events that you want to keep first.
    """
    with open_existing(url) as store:
        found = {"removed": store.audit.prune(_time(before), chain=chain)}
    say_json(found) if as_json else console().print(facts(found))


def _new_file(path: Path) -> TextIO:
    try:
        return path.open("x")
    except OSError as error:
        failure = AlreadyExists if isinstance(error, FileExistsError) else Conflict
        raise failure(
            f"{path} cannot be created ({error.strerror})", kind="file", key=str(path), hint="Choose another name."
        ) from None


def _time(text: str) -> datetime:
    from ciris_store_core.models.base import to_utc

    try:
        return to_utc(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--before") from None


def _checkpoint_of(path: Path) -> AuditCheckpoint:
    """Return the checkpoint in a file: the whole file, or its last line."""
    from ciris_store_core.models import AuditCheckpoint

    if path.exists() and not path.is_file():
        raise InvalidArgument(f"{path} is no regular file. Give a checkpoint, or an export that ends with one.")
    try:
        last = _last_line(path)
    except OSError as error:
        raise file_error(path, error, "Make one with ciris-store audit export.") from None
    if last.startswith(_LAST):
        last = last[len(_LAST) : -1]
    return AuditCheckpoint.from_json(last)


def _last_line(path: Path) -> str:
    """Return the last line of a file. No more of the file is read than the longest checkpoint."""
    with path.open("rb") as file:
        start = max(0, file.seek(0, os.SEEK_END) - _MOST_BYTES)
        file.seek(start)
        _, line_feed, last = file.read(_MOST_BYTES).strip().rpartition(b"\n")
    if start and not line_feed:
        raise InvalidArgument(
            f"the last line of {path} exceeds {_MOST_BYTES:,} bytes, so it is no checkpoint. Name another file."
        )
    return last.decode(errors="replace")


def _show(report: AuditReport, as_json: bool) -> None:
    if as_json:
        say_json({"ok": report.ok, "verdict": report.verdict, **asdict(report)})
        return
    counted = {key: value for key, value in asdict(report).items() if key != "problems"}
    console().print(facts({**counted, "verdict": _VERDICTS[report.verdict]}))
    for problem in report.problems:
        console().print(line(f"{problem.kind}: {problem.message}"), soft_wrap=True)
