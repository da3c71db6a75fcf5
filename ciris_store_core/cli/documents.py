"""The commands ``ciris-store documents ...``."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ciris_store_core.cli.options import Cursor, Json, Limit, Url, open_existing
from ciris_store_core.cli.output import ago, console, errors, facts, line, say_json, table
from ciris_store_core.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from ciris_store_core.models.documents import Document
    from ciris_store_core.models.paging import Page

documents = typer.Typer(help="Inspect and write documents.", no_args_is_help=True)

NAMESPACE_HELP = "Segments of the namespace, with / between them; --separator chooses another text."
Namespace = Annotated[str, typer.Argument(help=NAMESPACE_HELP, show_default=False)]
Prefix = Annotated[str, typer.Option("--prefix", help="Only below this namespace, as in users/ada.")]
Separator = Annotated[str, typer.Option("--separator", help="Text between the segments of a namespace.")]
Key = Annotated[str, typer.Argument(help="Key of the document.", show_default=False)]

_SHOWN_CHARACTERS = 200


@documents.callback()
def common() -> None:
    """Inspect and write documents."""


@documents.command("list")
def list_(
    url: Url = None,
    prefix: Prefix = "",
    separator: Separator = "/",
    limit: Limit = 20,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """List documents by namespace and key."""
    with open_existing(url) as store:
        page = store.documents.find(segments(prefix, separator), limit=limit, cursor=cursor)
        now = store.server_now()
    if as_json:
        shown = [as_plain(each) for each in page]
        say_json({"documents": shown, "next_cursor": page.next_cursor, "corrupt": corrupt_rows(page)})
        return
    rows = [
        (separator.join(each.namespace), each.key, str(each.revision), ago(each.updated_at, now), short(each.value))
        for each in page
    ]
    console().print(table(("namespace", "key", "revision", "updated", "value"), rows, numbers=("revision",)))
    show_end(page)


@documents.command()
def show(namespace: Namespace, key: Key, url: Url = None, separator: Separator = "/", as_json: Json = False) -> None:
    """Show one document whole."""
    with open_existing(url) as store:
        found = store.documents.get(segments(namespace, separator), key)
    if found is None:
        raise NotFound(f"there is no document {key!r} in {namespace!r}", hint="See documents list.")
    if as_json:
        say_json(as_plain(found))
        return
    values = as_plain(found)
    value = values.pop("value")
    console().print(facts({name: each for name, each in values.items() if each not in (None, {})}))
    say_json(value)


@documents.command()
def put(
    namespace: Namespace,
    key: Key,
    value: Annotated[str, typer.Argument(help="JSON; - reads it from standard input.", show_default=False)],
    url: Url = None,
    separator: Separator = "/",
    file: Annotated[Path | None, typer.Option(help="Store the bytes of this file in place of the JSON.")] = None,
    media_type: Annotated[str | None, typer.Option(help="Media type of the file.")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Keep the keys that the value does not name.")] = False,
    revision: Annotated[int | None, typer.Option(help="Write only over this revision; 0: only a new one.")] = None,
    ttl: Annotated[float | None, typer.Option(help="Seconds until it expires.")] = None,
    encrypt: Annotated[bool, typer.Option("--encrypt", help="Encrypt the whole value.")] = False,
    as_json: Json = False,
) -> None:
    """Write one document."""
    content: Any = file.read_bytes() if file else parsed(sys.stdin.read() if value == "-" else value)
    with open_existing(url) as store:
        stored = store.documents.put(
            segments(namespace, separator), key, content, merge=merge, expected_revision=revision, ttl=ttl,
            media_type=media_type, secrets="encrypt" if encrypt else None,
        )  # fmt: skip
    if as_json:
        say_json(as_plain(stored))
    else:
        console().print(facts({"stored": f"{namespace}{separator}{key}", "revision": stored.revision}))


@documents.command()
def delete(namespace: Namespace, key: Key, url: Url = None, separator: Separator = "/", as_json: Json = False) -> None:
    """Delete one document."""
    with open_existing(url) as store:
        count = store.documents.delete(segments(namespace, separator), key)
    if as_json:
        say_json({"deleted": count})
    elif count:
        console().print(facts({"deleted": f"{namespace}{separator}{key}"}))
    else:
        raise NotFound(f"there is no document {key!r} in {namespace!r}", hint="See documents list.")


# --- parts that the commands of streams share -----------------------------------------------------


def segments(text: str, separator: str) -> tuple[str, ...]:
    """Return the segments of a namespace that was given as one text."""
    if not separator:
        raise InvalidArgument("--separator needs a text")
    return tuple(text.split(separator)) if text else ()


def parsed(text: str) -> Any:
    """Return the value of a JSON text that was given as an argument."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidArgument(f"the value is no JSON ({error})", hint="Put a text into quotes: '\"text\"'.") from None


def plain_value(value: Any) -> Any:
    """Return a value as JSON: bytes as an object with their base64 text."""
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def as_plain(document: Document) -> dict[str, Any]:
    """Return a document as JSON."""
    times = {name: getattr(document, name) for name in ("created_at", "updated_at", "expires_at")}
    return {
        "namespace": list(document.namespace),
        "key": document.key,
        "value": plain_value(document.value),
        "media_type": document.media_type,
        "metadata": document.metadata,
        "revision": document.revision,
        **{name: moment and moment.isoformat() for name, moment in times.items()},
        "ttl": document.ttl,
    }


def short(value: Any) -> str:
    """Return a value as one short line."""
    text = f"{len(value):,} bytes" if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def show_end(page: Page[Any]) -> None:
    """Show the rows of a page that cannot be read, and tell how to see the next page, if there is one."""
    for row in page.corrupt:
        errors().print(line(f"{row.key}: {row.error}", style="red"))
    if page.next_cursor is not None:
        errors().print(f"more: --cursor {page.next_cursor}", soft_wrap=True)


def corrupt_rows(page: Page[Any]) -> list[dict[str, str]]:
    """Return the rows of a page that cannot be read, for JSON."""
    return [{"key": row.key, "error": row.error} for row in page.corrupt]
