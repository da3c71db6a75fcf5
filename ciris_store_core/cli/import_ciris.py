"""The command ``ciris-store import-ciris``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ciris_store_core.cli.exit_codes import Exit
from ciris_store_core.cli.options import URL_HELP, Json
from ciris_store_core.cli.output import console, errors, line, say_json
from ciris_store_core.errors import InvalidArgument, SecretKeyError
from ciris_store_core.url import resolve_url

if TYPE_CHECKING:
    from ciris_store_core.importer import ImportReport, OnProgress
    from ciris_store_core.secrets.keys import SecretsConfig

OLD_HELP = (
    "The engine's database: the path of an SQLite file, or a postgresql:// URL. It is only read. "
    "Other users of this host can see arguments: name a password's file in the URL, as in ?passfile=..."
)


class SecretsChoice(StrEnum):
    """Values of ``--secrets``."""

    PLAIN = "plain"
    ENCRYPT = "encrypt"


COUNTS = ("read", "written", "present", "fixed", "refused")


def import_engine(
    old: Annotated[str, typer.Argument(help=OLD_HELP, show_default=False)],
    new: Annotated[str | None, typer.Argument(help=URL_HELP, show_default=False)] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write a line of JSON about every row that was fixed or refused.", dir_okay=False),
    ] = None,
    secrets: Annotated[
        SecretsChoice | None,
        typer.Option(
            help="plain: import passwords, keys and tokens as they are; encrypt: encrypt them under the store's key, "
            "which must be configured. By default they are encrypted, and without a key nothing is imported if there "
            "are any.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create a store from a database of the original CIRIS engine.

    Run it again after an interruption, or when the engine has written more: records that are stored already are
    compared and left as they are. The exit code is 1 if a row could not be imported.
    """
    from ciris_store_core.importer import ImportReport, import_ciris, open_engine
    from ciris_store_core.opening import AccessConfig, open_store
    from ciris_store_core.store import ScopePolicy

    source, target = resolve_url(old), resolve_url(new)
    if source == target:
        raise InvalidArgument("OLD and NEW are the same database. Name another one for the store.")
    done = ImportReport(str(source), str(target))
    # Until it has its own authority, the store accepts the identity of the engine's agent.
    policy = ScopePolicy(approve=lambda request: None if request.store else "import-ciris")
    with (
        open_engine(old) as engine,
        open_store(new, access=AccessConfig(policy=policy), secrets=_secrets(secrets)) as store,
        _lines(report) as say,
        _bar() as progress,
    ):
        import_ciris(engine, store, done, say=say, progress=progress)
    if as_json:
        say_json(done.to_dict())
    else:
        console().print(_view(done, report))
    if done.refused:
        raise typer.Exit(Exit.FAILED)


def _secrets(mode: SecretsChoice | None) -> SecretsConfig | Literal[False] | None:
    from ciris_store_core.secrets.key_files import HOW_TO_GET_A_KEY
    from ciris_store_core.secrets.keys import SecretsConfig, ring_of_variables

    if mode is SecretsChoice.PLAIN:
        return False
    if mode is None:
        return None
    if ring_of_variables(os.environ) is None:
        raise SecretKeyError(f"--secrets=encrypt needs a key. {HOW_TO_GET_A_KEY}.")
    return SecretsConfig(detect=True)


@contextmanager
def _lines(path: Path | None) -> Iterator[Any]:
    """Yield a function that writes lines of the report, or None without a report."""
    if path is None:
        yield None
        return
    try:
        with path.open("w", encoding="utf-8") as file:
            yield lambda row: file.write(json.dumps(row, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InvalidArgument(
            f"the report {path} cannot be written ({error.strerror}). Choose another path."
        ) from error


@contextmanager
def _bar() -> Iterator[OnProgress]:
    """Yield a function that draws a progress bar for each table on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors(), transient=True) as bar:
        bars: dict[str, Any] = {}

        def told(table: str, done: int, total: int) -> None:
            if table not in bars:
                bars[table] = bar.add_task(table)
            bar.update(bars[table], completed=done, total=total)

        yield told


# --- display of the report ----------------------------------------------------------------------


def _view(done: ImportReport, report: Path | None) -> Group:
    parts: list[Any] = [Text.assemble(("from ", "dim"), done.source, ("  to ", "dim"), done.target), _table(done)]
    reasons = [(number, f"{table.table}: {why}") for table in done.tables for why, number in table.reasons.items()]
    if reasons:
        parts += [*_reasons(sorted(reasons, reverse=True)), Text()]
    if done.left_behind:
        left = ", ".join(f"{table} ({rows})" for table, rows in sorted(done.left_behind.items()))
        parts.append(Text.assemble(("left behind, for which a store has no place: ", "bold"), left))
    if reasons and report is None:
        parts.append(Text("--report FILE writes a line about each row that was fixed or refused", style="dim"))
    return Group(*parts)


def _table(done: ImportReport) -> Table:
    grid = Table("table", *COUNTS, box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    grid.columns[0].no_wrap = True
    for column in grid.columns[1:]:
        column.justify = "right"
    for table in done.tables:
        counts = [f"{getattr(table, name):,}" for name in COUNTS]
        grid.add_row(table.table, *counts, style="red" if table.refused else None)
    return grid


def _reasons(reasons: list[tuple[int, str]]) -> Iterator[Text]:
    for number, why in reasons[:20]:
        yield line(f"  {number:>9,}  {why}")
    if len(reasons) > 20:
        yield Text(f"  and {len(reasons) - 20} more kinds")
