"""``ciris-store authority``: Wise Authorities, their keys and their approvals."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ciris_store_core.cli.options import Json, Url, file_error, open_existing
from ciris_store_core.cli.output import console, errors, facts, line, say_json
from ciris_store_core.errors import AccessDenied
from ciris_store_core.signing import SigningKey

if TYPE_CHECKING:
    from ciris_store_core.store import Authority, Store

authority = typer.Typer(help="Manage Wise Authorities, who approve writes to identity.", no_args_is_help=True)

PublicKey = Annotated[str, typer.Argument(help="64 hexadecimal digits, as 'authority new' prints them.")]
Name = Annotated[str, typer.Option(help="Name of the authority.")]
Key = Annotated[Path, typer.Option("--key", help="Key file of the authority that approves.")]


@authority.command()
def new(file: Annotated[Path, typer.Argument(help="File for the key; must not exist.")], as_json: Json = False) -> None:
    """Create a key in a file that only its owner can read, and show its public half."""
    key = SigningKey.generate()
    key.save(file)
    _say({"file": str(file), "key_id": key.key_id, "public_key": key.public_key}, as_json)


@authority.command("list")
def list_them(url: Url = None, as_json: Json = False) -> None:
    """Show all authorities of a store, including revoked ones."""
    with open_existing(url) as store:
        found = store.authorities.find()
    if as_json:
        say_json([each.model_dump() for each in found])
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("name", "key id", "state", box=SIMPLE_HEAD, show_edge=False)
    for each in found:
        table.add_row(line(each.name), line(each.key_id), "revoked" if each.revoked else "active")
    console().print(table)


@authority.command()
def bootstrap(public_key: PublicKey, name: Name, url: Url = None, as_json: Json = False) -> None:
    """Register the first authority of a store. Only this registration needs no approval."""
    with open_existing(url) as store:
        if not store.authorities.bootstrap(public_key, name):
            raise AccessDenied(
                "the store has authorities already. Register another one with the approval of one of them."
            )
        _show(store.authorities.find()[0], as_json)


@authority.command()
def register(public_key: PublicKey, name: Name, key: Key, url: Url = None, as_json: Json = False) -> None:
    """Register another authority, approved with the key of a registered one."""
    with open_existing(url) as store:
        _show(_done(lambda: store.authorities.register(public_key, name), store, key), as_json)


@authority.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Key id of the authority: see 'authority list'.")],
    key: Key,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Revoke an authority permanently, approved with the key of a registered one."""
    with open_existing(url) as store:
        _show(_done(lambda: store.authorities.revoke(key_id), store, key), as_json)


@authority.command()
def approve(
    request: Annotated[Path, typer.Argument(help="File with the request, as JSON; - for standard input.")],
    key: Key,
    valid_seconds: Annotated[float, typer.Option(help="Validity of the approval.")] = 3600,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Sign without asking.")] = False,
) -> None:
    """Show a requested write, sign it, and print its approval as JSON. No store is needed."""
    from ciris_store_core.store import ApprovalRequest

    wish = ApprovalRequest.from_json(sys.stdin.read() if str(request) == "-" else _read(request))
    signer = SigningKey.load(key)
    errors().print_json(wish.to_json())
    if not yes:
        typer.confirm("Sign this?", abort=True, err=True)
    typer.echo(wish.approve(signer, valid_seconds=valid_seconds).to_json())


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise file_error(path, error, "Name a file that holds error.request.to_json().") from None


def _done(write: Callable[[], Authority], store: Store, key: Path) -> Authority:
    """Run a write; if it is refused, approve its request and run it again."""
    from ciris_store_core.store import approved

    signer = SigningKey.load(key)
    try:
        return write()
    except AccessDenied as error:
        if error.request is None:
            raise
        approval = error.request.approve(signer, now=store.server_now())
    with approved(approval):
        return write()


def _show(found: Authority, as_json: bool) -> None:
    _say(found.model_dump(), as_json)


def _say(values: dict[str, object], as_json: bool) -> None:
    say_json(values) if as_json else console().print(facts(values))
