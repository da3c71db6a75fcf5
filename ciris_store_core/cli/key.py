"""``ciris-store key``: the keys that encrypt secrets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ciris_store_core.cli.exit_codes import Exit
from ciris_store_core.cli.options import Json, Url, open_existing
from ciris_store_core.cli.output import console, errors, facts, say_error, say_json

if TYPE_CHECKING:
    from rich.progress import Progress

    from ciris_store_core.secrets.rotation import SecretsReport

app = typer.Typer(name="key", help="Create, rotate and check the keys that encrypt secrets.", no_args_is_help=True)


@app.command()
def new(
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            help="Put the key at the head of this file, readable by its owner alone, in place of printing it.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create a key.

    By default the key is printed: keep it in a safe place, and set CIRIS_SECRETS_KEY to it. Otherwise it is written to
    a file; set CIRIS_SECRETS_KEY_FILE to its path. In a file that has keys already, the new key becomes the first,
    which encrypts new secrets, and the others only decrypt. Then run `ciris-store key rotate`.
    """
    from ciris_store_core.secrets.key_files import FILE_VARIABLE, KEY_VARIABLE, add_to_key_file
    from ciris_store_core.secrets.keys import KeyRing, new_key

    key = new_key()
    made: dict[str, Any] = {"key_id": KeyRing(key).active}
    if file is None:
        made["key"] = key
    else:
        add_to_key_file(file, key)
        made["file"] = str(file)
    if as_json:
        say_json(made)
        return
    if file is None:
        typer.echo(key)
    what = f"in {file}: give it in {FILE_VARIABLE}" if file else f"on standard output: give it in {KEY_VARIABLE}"
    errors().print(f"key {made['key_id']} is {what}. Keep a copy: without it the secrets are lost.", soft_wrap=True)


@app.command()
def rotate(url: Url = None, as_json: Json = False) -> None:
    """Encrypt all secrets again under the first given key, and verify that none is left under another.

    The other keys decrypt: give them behind it. The command may be interrupted and run again, while the store is in
    use. Give the new key to all running programs first: from then on, a program that only has an older key can store no
    secrets. Keep old keys for as long as you keep backups that were made under them.
    """
    with open_existing(url) as store, _progress() as progress:
        task = progress.add_task("moved", total=None, count=0)
        report = store.secrets.rotate(lambda moved: progress.update(task, count=moved))
    _say(report, as_json, {"moved": report.moved, "rotated": report.rotated}, report.rotated)


@app.command()
def check(url: Url = None, as_json: Json = False) -> None:
    """Decrypt every secret with the given keys, without showing any, and count the secrets by key."""
    with open_existing(url) as store:
        report = store.secrets.check()
    _say(report, as_json, {}, not report.corrupt)


def _progress() -> Progress:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.fields[count]:,} secrets moved"), TimeElapsedColumn())
    return Progress(*columns, console=errors(), transient=True)


def _say(report: SecretsReport, as_json: bool, more: dict[str, Any], well: bool) -> None:
    found = {"active_key": report.active_key, "secrets": report.total, "by_key": dict(report.by_key), **more}
    if as_json:
        say_json({**found, "corrupt": report.corrupt})
    else:
        console().print(facts({**found, "corrupt": len(report.corrupt)}))
    if not well:
        if report.corrupt and not as_json:
            say_error(f"secrets cannot be decrypted: {', '.join(report.corrupt[:5])}. Restore these from a backup.")
        raise typer.Exit(Exit.FAILED)
