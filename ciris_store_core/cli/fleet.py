"""The commands ``ciris-store fleet ...``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ciris_store_core.cli.exit_codes import Exit
from ciris_store_core.cli.options import Json
from ciris_store_core.cli.output import console, facts, say_json, size, table

fleet = typer.Typer(help="Operate the stores of many agents under one URL.", no_args_is_help=True)

URL_HELP = (
    "Fleet to open: sqlite:///FOLDER or a PostgreSQL database; by default that of CIRIS_DB_URL. "
    "Other users of this host can see arguments: a URL with a password belongs in CIRIS_DB_URL."
)
Url = Annotated[str | None, typer.Argument(help=URL_HELP, show_default=False)]
Agent = Annotated[str, typer.Argument(help="Name of the agent.", show_default=False)]


@fleet.callback()
def common() -> None:
    """Operate the stores of many agents under one URL."""


@fleet.command("list")
def list_(url: Url = None, as_json: Json = False) -> None:
    """List the agents that have a store, each with its node."""
    from ciris_store_core.fleet import open_fleet

    with open_fleet(url) as opened:
        places = opened.agents()
    if as_json:
        say_json([asdict(place) for place in places])
    else:
        console().print(table(("agent", "node"), [(place.agent, place.node) for place in places]))


@fleet.command()
def create(agent: Agent, url: Url = None) -> None:
    """Create the store of an agent, or migrate the one that exists."""
    from ciris_store_core.fleet import open_fleet

    with open_fleet(url) as opened:
        opened.create(agent)


@fleet.command()
def move(
    agent: Agent, node: Annotated[str, typer.Argument(help="Node, as in 10.0.0.7:5432.")], url: Url = None
) -> None:
    """Move an agent to another node of a Citus cluster. Its writers go on."""
    from ciris_store_core.fleet import open_fleet

    with open_fleet(url) as opened:
        opened.move(agent, node)


@fleet.command()
def sizes(url: Url = None, as_json: Json = False) -> None:
    """Show the size of each agent's store, largest first."""
    from ciris_store_core.fleet import open_fleet

    with open_fleet(url) as opened:
        found = dict(sorted(opened.sizes().items(), key=lambda each: -each[1]))
    if as_json:
        say_json(found)
        return
    rows = [(agent, size(count)) for agent, count in [*found.items(), ("all", sum(found.values()))]]
    console().print(table(("agent", "size"), rows, numbers=("size",)))


@fleet.command()
def health(
    url: Url = None,
    agents: Annotated[bool, typer.Option("--agents", help="Open each agent's store too. Slow.")] = False,
    as_json: Json = False,
) -> None:
    """Show the state of each node. The exit code is 1 if there is a problem."""
    from ciris_store_core.fleet import open_fleet

    with open_fleet(url) as opened:
        found = opened.health(agents=agents)
    if as_json:
        say_json({**asdict(found), "ok": found.ok})
    else:
        rows = [(node.node, str(node.agents), _used(node.connections, node.max_connections), node.problem or "ok")
                for node in found.nodes]  # fmt: skip
        console().print(table(("node", "agents", "connections", "state"), rows, numbers=("agents", "connections")))
        console().print(facts(found.problems))
    raise typer.Exit(Exit.OK if found.ok else Exit.FAILED)


def _used(connections: int | None, most: int | None) -> str:
    return "" if connections is None else f"{connections} of {most}"
