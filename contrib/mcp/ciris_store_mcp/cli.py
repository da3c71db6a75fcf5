"""Commands ``ciris-store mcp`` and ``ciris-store-mcp import``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ciris_store_core import InvalidArgument, Store, StoreError, open_store
from ciris_store_mcp.knowledge import KnowledgeGraph

SCOPES = ["local", "identity", "environment", "community"]
_BATCH = 500


def serve(arguments: Sequence[str] | None = None, prog: str = "ciris-store mcp") -> int:
    """Serve a store until the client ends the connection, and return the exit code."""
    parser = argparse.ArgumentParser(prog=prog, description="Serve the memory of a store to MCP clients.")
    parser.add_argument("--url", help="database; by default that of CIRIS_DB_URL, else sqlite:///data/ciris.db")
    parser.add_argument("--http", metavar="HOST:PORT", help="serve streamable HTTP at /mcp, instead of stdio")
    parser.add_argument("--scope", choices=SCOPES, default="local", help="scope of the graph (default: local)")
    parser.add_argument("--max-tokens", type=int, default=8000, help="size of an answer (default: 8000)")
    parser.add_argument("--read-only", action="store_true", help="offer no tool that writes")
    parser.add_argument("--audit", action="store_true", help="record every change in the audit trail")
    given = parser.parse_args(arguments)
    host, colon, port = (given.http or "").rpartition(":")
    if given.http and not (colon and port.isdecimal()):
        parser.error("--http must be HOST:PORT, as in 127.0.0.1:8000")
    from ciris_store_mcp import CirisEventStore, memory_server, separate_sessions

    with open_store(given.url) as store:
        server = memory_server(
            store, scope=given.scope, max_tokens=given.max_tokens, read_only=given.read_only, audit=given.audit
        )
        if not given.http:
            server.run("stdio")
            return 0
        import uvicorn

        app = server.streamable_http_app(event_store=CirisEventStore(store), host=host or "127.0.0.1")
        separate_sessions(server.session_manager)
        uvicorn.run(app, host=host or "127.0.0.1", port=int(port), log_level="warning")
    return 0


def import_file(path: Path, store: Store, scope: str = "local") -> tuple[int, int, list[str]]:
    """Import a file of the reference memory server; return its new entities and relations, and what cannot be imported.

    Batches are transactions of their own. It may be repeated: entities and relations that exist are left alone.
    """
    graph, lines = KnowledgeGraph(store), list(_lines(path))
    entities = [each for each in lines if each.get("type") == "entity"]
    relations = [each for each in lines if each.get("type") == "relation"]
    names = {each["name"] for each in entities}
    left = [f"{each['from']} {each['relationType']} {each['to']}: an end is missing" for each in relations
            if not {each["from"], each["to"]} <= names]  # fmt: skip
    relations = [each for each in relations if {each["from"], each["to"]} <= names]
    made = sum(len(graph.create_entities(batch, scope)) for batch in _batches(entities))
    return made, sum(len(graph.create_relations(batch, scope)) for batch in _batches(relations)), left


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code: 1 if something could not be imported, 2 if it could not run."""
    parser = argparse.ArgumentParser(prog="ciris-store-mcp", description="Import the reference memory server's file.")
    commands = parser.add_subparsers(required=True)
    moving = commands.add_parser("import", help="import a file of @modelcontextprotocol/server-memory")
    moving.add_argument("file", type=Path, help="memory.jsonl")
    moving.add_argument("url", help="URL of the store, as for open_store")
    moving.add_argument("--scope", choices=SCOPES, default="local")
    given = parser.parse_args(arguments)
    try:
        with open_store(given.url) as store:
            entities, relations, left = import_file(given.file, store, given.scope)
    except (StoreError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"imported {entities} entities and {relations} relations; left out {len(left)} relations")
    for each in left:
        print(f"left out: {each}", file=sys.stderr)
    return 1 if left else 0


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield _checked(json.loads(line))
                except (ValueError, KeyError, TypeError) as error:
                    raise InvalidArgument(f"{path}, line {number}: no entity or relation", hint="Fix it.") from error


def _checked(item: Any) -> dict[str, Any]:
    names = ("name", "entityType", "observations") if item["type"] == "entity" else ("from", "to", "relationType")
    return {"type": item["type"], **{name: item[name] for name in names}}


def _batches(items: list[Any]) -> Iterator[list[Any]]:
    for begin in range(0, len(items), _BATCH):
        yield items[begin : begin + _BATCH]


if __name__ == "__main__":
    sys.exit(main())
