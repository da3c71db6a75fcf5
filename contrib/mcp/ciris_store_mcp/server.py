"""MCP server over the memory of a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Annotated, Any, Literal

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import Field
from typing_extensions import TypedDict

from ciris_store_core import Store, StoreError
from ciris_store_mcp import reading
from ciris_store_mcp.knowledge import Added, Deletion, Entity, KnowledgeGraph, Observation, Relation
from ciris_store_mcp.reading import Page

__all__ = ["memory_server"]

URI = "memory://knowledge-graph"
INSTRUCTIONS = (
    "A knowledge graph that lasts: entities with observations, and relations between them. Answers are pages: if there "
    "is a nextCursor, call again with it as cursor to read on."
)
_READ = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
_ADD = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
_DELETE = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)

Scope = Literal["local", "identity", "environment", "community"]
InScope = Annotated[Scope | None, Field(description="Part of the memory; leave it out for the server's own")]
Cursor = Annotated[str | None, Field(description="The nextCursor of the page before")]
MaxTokens = Annotated[int | None, Field(ge=100, description="Size of the page; leave it out for the server's own")]
Limit = Annotated[int, Field(ge=1, le=200)]


class Created(TypedDict):
    """Entities that were created."""

    entities: list[Entity]


class Related(TypedDict):
    """Relations that were created."""

    relations: list[Relation]


class AddedResults(TypedDict):
    """Observations that were added."""

    results: list[Added]


class Done(TypedDict):
    """Success of a deletion."""

    success: bool
    message: str


Answer = CallToolResult


def memory_server(
    store: Store, *, scope: str = "local", max_tokens: int = 8000, read_only: bool = False, audit: bool = False
) -> MCPServer[Any]:
    """Return an MCP server with the nine tools of the reference memory server, and more to read.

    Args:
        store: An open store, which the caller closes.
        scope: The scope of the graph that tools use unless a call names one.
        max_tokens: The size of answers that read, estimated, unless a call says otherwise.
        read_only: Leave out the tools that write.
        audit: Record every change in the audit trail, in its transaction.
    """
    server: MCPServer[Any] = MCPServer("ciris-store", instructions=INSTRUCTIONS, log_level="WARNING")
    _add_reading(server, store, scope, max_tokens)
    _add_records(server, store, scope, max_tokens)
    if not read_only:
        _add_writing(server, KnowledgeGraph(store, audit=audit), scope)
    return server


def _tool(server: MCPServer[Any], hints: ToolAnnotations) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(fn: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return fn(*args, **kwargs)
            except StoreError as error:
                raise ToolError(str(error)) from error

        title = fn.__name__.replace("_", " ").title()
        server.add_tool(call, title=title, annotations=hints)
        return fn

    return register


def _answer(shown: Any, structured: Any = None) -> CallToolResult:
    """Return a result as text and as data. Without line breaks and indents, it takes a third fewer tokens."""
    text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=structured or shown)


def _add_writing(server: MCPServer[Any], graph: KnowledgeGraph, own: str) -> None:
    def done(message: str) -> CallToolResult:
        return _answer(message, {"success": True, "message": message})

    @_tool(server, _ADD)
    def create_entities(entities: list[Entity], scope: InScope = None) -> Annotated[Answer, Created]:
        """Create multiple new entities in the knowledge graph."""
        created = graph.create_entities(entities, scope or own)
        return _answer(created, {"entities": created})

    @_tool(server, _ADD)
    def create_relations(relations: list[Relation], scope: InScope = None) -> Annotated[Answer, Related]:
        """Create multiple new relations between existing entities. Relations should be in active voice."""
        created = graph.create_relations(relations, scope or own)
        return _answer(created, {"relations": created})

    @_tool(server, _ADD)
    def add_observations(observations: list[Observation], scope: InScope = None) -> Annotated[Answer, AddedResults]:
        """Add new observations to existing entities in the knowledge graph."""
        added = graph.add_observations(observations, scope or own)
        return _answer(added, {"results": added})

    @_tool(server, _DELETE)
    def delete_entities(entityNames: list[str], scope: InScope = None) -> Annotated[Answer, Done]:
        """Delete multiple entities and their associated relations from the knowledge graph."""
        graph.delete_entities(entityNames, scope or own)
        return done("Entities deleted successfully")

    @_tool(server, _DELETE)
    def delete_observations(deletions: list[Deletion], scope: InScope = None) -> Annotated[Answer, Done]:
        """Delete specific observations from entities in the knowledge graph."""
        graph.delete_observations(deletions, scope or own)
        return done("Observations deleted successfully")

    @_tool(server, _DELETE)
    def delete_relations(relations: list[Relation], scope: InScope = None) -> Annotated[Answer, Done]:
        """Delete multiple relations from the knowledge graph."""
        graph.delete_relations(relations, scope or own)
        return done("Relations deleted successfully")


def _add_reading(server: MCPServer[Any], store: Store, own: str, budget: int) -> None:
    @_tool(server, _READ)
    def read_graph(
        cursor: Cursor = None, scope: InScope = None, max_tokens: MaxTokens = None
    ) -> Annotated[Answer, Page]:
        """Read the knowledge graph, page by page, newest change first."""
        return _answer(reading.read_graph(store, scope or own, max_tokens or budget, cursor))

    @_tool(server, _READ)
    def search_nodes(
        query: Annotated[str, Field(description="Words, or their beginnings, of names, types and observations")],
        cursor: Cursor = None, scope: InScope = None, max_tokens: MaxTokens = None,
    ) -> Annotated[Answer, Page]:  # fmt: skip
        """Search for entities that have all words of a query."""
        return _answer(reading.search_nodes(store, query, scope or own, max_tokens or budget, cursor))

    @_tool(server, _READ)
    def open_nodes(
        names: list[str], cursor: Cursor = None, scope: InScope = None, max_tokens: MaxTokens = None
    ) -> Annotated[Answer, Page]:
        """Open specific entities of the knowledge graph by their names."""
        return _answer(reading.open_nodes(store, names, scope or own, max_tokens or budget, cursor))

    @server.resource(URI, title="Knowledge Graph", mime_type="application/json")
    def knowledge_graph() -> str:
        """The first page of the knowledge graph."""
        return json.dumps(reading.read_graph(store, own, budget, None), ensure_ascii=False)


def _add_records(server: MCPServer[Any], store: Store, own: str, budget: int) -> None:
    def answer(name: str, items: Any, next_cursor: str | None = None) -> CallToolResult:
        shown: dict[str, Any] = {name: reading.fitting(items, budget)}
        if next_cursor:
            shown["nextCursor"] = next_cursor
        return _answer(shown)

    @_tool(server, _READ)
    def search_memory(query: str, scope: InScope = None, type: str | None = None, limit: Limit = 20) -> Answer:
        """Search all of the memory, not only entities, for nodes that have all words of a query, best first."""
        hits = store.graph.search(query, scope=scope or own, type=type, limit=limit)
        return answer("nodes", (_fields(hit.node, "id", "type", "attributes", "updated_at") for hit in hits))

    @_tool(server, _READ)
    def list_tasks(status: str | None = None, cursor: Cursor = None, limit: Limit = 20) -> Answer:
        """List the tasks of the agent, changed last first."""
        page = store.tasks.find(order="updated_desc", status=status, cursor=cursor, limit=limit)
        names = ("task_id", "status", "description", "priority", "channel_id", "created_at", "updated_at")
        # A page is whole: its cursor leads behind its last task, so that a long description is cut.
        tasks = [_fields(each, *names) for each in page]
        for each in tasks:
            each["description"] = each["description"][:200]
        return _answer({"tasks": tasks, **({"nextCursor": page.next_cursor} if page.next_cursor else {})})

    @_tool(server, _READ)
    def list_metrics() -> Answer:
        """List the names of all metrics."""
        return answer("metrics", ({"name": name} for name in store.correlations.metric_names()))

    @_tool(server, _READ)
    def read_metric(
        name: str,
        hours: Annotated[float, Field(gt=0, le=24 * 366)] = 24,
        function: Literal["avg", "sum", "min", "max", "count", "last"] = "avg",
        points: Limit = 24,
    ) -> Answer:
        """Read a metric over the last hours, as so many points of time."""
        until = store.server_now()
        begin, bucket = until - timedelta(hours=hours), timedelta(seconds=max(1, round(hours * 3600 / points)))
        found = store.correlations.aggregate(function, bucket, metric_name=name, time_from=begin, time_to=until)
        return answer("points", ({"start": each.start.isoformat(), "value": each.value} for each in found))

    @_tool(server, _READ)
    def read_audit(limit: Limit = 20) -> Answer:
        """Read the newest entries of the audit trail, newest first."""
        names = ("sequence", "event_type", "actor", "at", "payload")
        return answer("entries", (_fields(each, *names) for each in reversed(store.audit.tail(limit=limit))))


def _fields(record: Any, *names: str) -> dict[str, Any]:
    found: dict[str, Any] = record.model_dump(mode="json", include=set(names))
    return {name: found[name] for name in names}
