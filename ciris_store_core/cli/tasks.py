"""The commands ``ciris-store tasks``, ``thoughts``, ``occurrences`` and ``leases``: inspection and release."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ciris_store_core.cli.options import Cursor, Json, Limit, Url, open_existing
from ciris_store_core.cli.output import ago, console, facts, line, say_json, table
from ciris_store_core.errors import LeaseHeld, NotFound

if TYPE_CHECKING:
    from datetime import datetime

    from ciris_store_core.models.base import Record
    from ciris_store_core.models.paging import Page

tasks = typer.Typer(help="Look at tasks, and release those of the dead.", no_args_is_help=True)
thoughts = typer.Typer(help="Look at thoughts, and free those that are stuck.", no_args_is_help=True)
occurrences = typer.Typer(help="Look at running instances.", no_args_is_help=True)
leases = typer.Typer(help="Look at leases, and end one.", no_args_is_help=True)

Owner = Annotated[str | None, typer.Option("--occurrence", help="Of this owner only; by default of all.")]
Status = Annotated[list[str] | None, typer.Option("--status", help="Of this status only; repeatable.")]
Batch = Annotated[int, typer.Option("--batch", min=1, max=10_000, help="How many at a time.")]


def _owner(name: str | None) -> Any:
    from ciris_store_core.store import ANY_OCCURRENCE

    return ANY_OCCURRENCE if name is None else name


# --- tasks ------------------------------------------------------------------------------------


@tasks.command("list")
def list_tasks(
    url: Url = None,
    status: Status = None,
    occurrence: Owner = None,
    channel: Annotated[str | None, typer.Option("--channel", help="Of this channel only.")] = None,
    parent: Annotated[str | None, typer.Option("--parent", help="Children of this task only.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """List tasks, oldest first."""
    given = {"channel_id": channel, "parent_task_id": parent, "status": status}
    filters: dict[str, Any] = {name: value for name, value in given.items() if value}
    with open_existing(url) as store:
        page = store.tasks.find(occurrence_id=_owner(occurrence), limit=limit, cursor=cursor, **filters)
        now = store.server_now()
    columns = ("task_id", "status", "priority", "agent_occurrence_id", "claimed_by", "updated_at", "description")
    _show_page(page, columns, now, as_json)


@tasks.command("show")
def show_task(task_id: Annotated[str, typer.Argument(help="Its id.")], url: Url = None, as_json: Json = False) -> None:
    """Show a task with its children and thoughts."""
    with open_existing(url) as store:
        task = store.tasks.get(task_id, occurrence_id=_owner(None))
        if task is None:
            raise NotFound(
                f"there is no task {task_id!r}", kind="task", key=task_id, hint="See ciris-store tasks list."
            )
        steps = store.thoughts.find(source_task_id=task_id, occurrence_id=_owner(None), limit=1000).items
        children = store.tasks.find(parent_task_id=task_id, occurrence_id=_owner(None), limit=1000).items
        now = store.server_now()
    if as_json:
        say_json({"task": _json(task), "thoughts": list(map(_json, steps)), "children": list(map(_json, children))})
        return
    _show_record(task, now)
    _show_rows("children", children, ("task_id", "status", "agent_occurrence_id", "updated_at", "description"), now)
    _show_rows("thoughts", steps, ("thought_id", "status", "thought_type", "updated_at", "content"), now)


@tasks.command("rescue")
def rescue_tasks(url: Url = None, batch: Batch = 100, as_json: Json = False) -> None:
    """Release the tasks of dead occurrences to their queues, and return their unfinished thoughts to pending."""
    from ciris_store_core.services import DatabaseMaintenanceService, MaintenancePolicy

    policy = MaintenancePolicy(batch_size=batch)
    with open_existing(url) as store:
        found = DatabaseMaintenanceService(store, archive_dir=None, policy=policy).rescue()
    result = {"tasks": found.rescued_tasks, "thoughts": found.recovered_thoughts}
    say_json(result) if as_json else console().print(facts(result))


@tasks.command("transfer")
def transfer_task(
    task_id: Annotated[str, typer.Argument(help="Its id.")],
    from_owner: Annotated[str, typer.Option("--from", help="Current owner, such as a dead occurrence.")],
    to_owner: Annotated[str, typer.Option("--to", help="New owner: an occurrence, or a queue such as default.")],
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Give a task and its thoughts to another owner. Writes of the old owner are rejected."""
    with open_existing(url) as store, store.transaction() as tx:
        if not tx.tasks.transfer(task_id, from_occurrence=from_owner, to_occurrence=to_owner):
            raise NotFound(
                f"{from_owner!r} owns no task {task_id!r}",
                kind="task",
                key=task_id,
                hint=f"See ciris-store tasks show {task_id}",
            )
        moved = tx.thoughts.transfer(task_id=task_id, from_occurrence=from_owner, to_occurrence=to_owner)
    result = {"task": task_id, "owner": to_owner, "thoughts": moved}
    say_json(result) if as_json else console().print(facts(result))


# --- thoughts ---------------------------------------------------------------------------------


@thoughts.command("list")
def list_thoughts(
    url: Url = None,
    status: Status = None,
    occurrence: Owner = None,
    task: Annotated[str | None, typer.Option("--task", help="Of this task only.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """List thoughts, oldest first."""
    filters: dict[str, Any] = {name: value for name, value in (("source_task_id", task), ("status", status)) if value}
    with open_existing(url) as store:
        page = store.thoughts.find(occurrence_id=_owner(occurrence), limit=limit, cursor=cursor, **filters)
        now = store.server_now()
    columns = ("thought_id", "status", "source_task_id", "agent_occurrence_id", "thought_type", "updated_at", "content")
    _show_page(page, columns, now, as_json)


@thoughts.command("show")
def show_thought(
    thought_id: Annotated[str, typer.Argument(help="Its id.")], url: Url = None, as_json: Json = False
) -> None:
    """Show a thought."""
    with open_existing(url) as store:
        thought = store.thoughts.get(thought_id, occurrence_id=_owner(None))
        now = store.server_now()
    if thought is None:
        raise NotFound(f"there is no thought {thought_id!r}", kind="thought", key=thought_id, hint="Check the id.")
    say_json(_json(thought)) if as_json else _show_record(thought, now)


@thoughts.command("unstick")
def unstick_thoughts(url: Url = None, as_json: Json = False) -> None:
    """Give thoughts that remained in __shared__ to the owners of their tasks."""
    from ciris_store_core.services.doctor import unstick

    with open_existing(url) as store:
        result = {"thoughts": unstick(store)}
    say_json(result) if as_json else console().print(facts(result))


# --- occurrences and leases -------------------------------------------------------------------


@occurrences.command("list")
def list_occurrences(
    url: Url = None,
    dead: Annotated[bool, typer.Option("--all", help="Include dead occurrences.")] = False,
    as_json: Json = False,
) -> None:
    """List the living occurrences."""
    with open_existing(url) as store:
        found = store.occurrences.find(alive_only=not dead)
        now = store.server_now()
    if as_json:
        say_json([{**_json(each), "alive": each.alive(now)} for each in found])
        return
    rows = [
        (
            each.occurrence_id,
            "alive" if each.alive(now) else "dead",
            ago(each.started_at, now),
            ago(each.heartbeat_at, now),
        )
        for each in found
    ]
    console().print(table(("occurrence", "", "started", "last heartbeat"), rows))


@leases.command("list")
def list_leases(
    url: Url = None,
    ended: Annotated[bool, typer.Option("--all", help="Include expired leases.")] = False,
    as_json: Json = False,
) -> None:
    """List the active leases."""
    with open_existing(url) as store:
        found = store.leases.find(held_only=not ended)
        now = store.server_now()
    if as_json:
        say_json(list(map(_json, found)))
        return
    rows = [(x.name, x.owner, str(x.fence), ago(x.acquired_at, now), ago(x.expires_at, now)) for x in found]
    console().print(table(("lease", "owner", "fence", "acquired", "ends"), rows, numbers=("fence",)))


@leases.command("release")
def release_lease(
    name: Annotated[str, typer.Argument(help="Its name.")], url: Url = None, as_json: Json = False
) -> None:
    """End the lease of a dead owner, so that another one can acquire it."""
    with open_existing(url) as store:
        held = {lease.name: lease for lease in store.leases.find()}
        if name not in held:
            raise NotFound(
                f"no owner holds a lease {name!r}", kind="lease", key=name, hint="See ciris-store leases list."
            )
        if not store.leases.release(held[name]):
            raise LeaseHeld(f"the lease {name!r} has another owner now", kind="lease", key=name, hint="Look again.")
    result = {"released": name, "owner": held[name].owner, "fence": held[name].fence}
    say_json(result) if as_json else console().print(facts(result))


# --- display ----------------------------------------------------------------------------------


def _json(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record.to_json())
    return found


def _show_page(page: Page[Any], columns: Sequence[str], now: datetime, as_json: bool) -> None:
    if as_json:
        corrupt = [{"key": row.key, "error": row.error} for row in page.corrupt]
        say_json({"items": list(map(_json, page)), "next_cursor": page.next_cursor, "corrupt": corrupt})
        return
    screen = console()
    screen.print(_table(page.items, columns, now))
    for row in page.corrupt:
        screen.print(line(f"{row.key}: {row.error}", style="red"))
    if page.next_cursor is not None:
        screen.print(Text(f"there are more: --cursor {page.next_cursor}", style="dim"), soft_wrap=True)


def _table(records: Sequence[Record], columns: Sequence[str], now: datetime) -> Any:
    rows = [[_cell(getattr(record, column), now) for column in columns] for record in records]
    return table([column.replace("agent_occurrence_id", "owner").replace("_", " ") for column in columns], rows)


def _cell(value: Any, now: datetime) -> str:
    from datetime import datetime

    if value is None:
        return ""
    return ago(value, now) if isinstance(value, datetime) else " ".join(str(value).split())


def _show_rows(title: str, records: Sequence[Record], columns: Sequence[str], now: datetime) -> None:
    if records:
        screen = console()
        screen.print(Text(f"\n{title}", style="bold"))
        screen.print(_table(records, columns, now))


def _show_record(record: Record, now: datetime) -> None:
    found = {name: value for name, value in _json(record).items() if value not in (None, [], {}, False, "")}
    console().print(facts({name: _shown(value) for name, value in found.items()}))


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)
