from __future__ import annotations

import asyncio
import json
import sys
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from ciris_store_mcp import memory_server
from ciris_store_mcp.reading import size_of
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from ciris_store_core import GraphNode, Metric, Store, Task

ADA = {"name": "Ada", "entityType": "person", "observations": ["drinks tea", "writes programs"]}
BOB = {"name": "Bob B.", "entityType": "Person", "observations": []}
KNOWS = {"from": "Ada", "to": "Bob B.", "relationType": "knows"}
Use = Callable[[Client], Awaitable[None]]


def run(store: Store, use: Use, **options: Any) -> None:
    async def main() -> None:
        async with Client(memory_server(store, **options)) as client:
            await use(client)

    asyncio.run(main())


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    """The structured result of a tool. The text is the same, without the name that wraps a list."""
    result = await client.call_tool(tool, arguments)
    text = result.content[0].text
    assert not result.is_error, text
    found = result.structured_content
    if "message" in found:
        assert text == found["message"]
    else:
        assert json.loads(text) in (found, next(iter(found.values())))
    return found


async def error(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return result.content[0].text


async def pages(client: Client, tool: str, **arguments: Any) -> list[Any]:
    found = [await call(client, tool, **arguments)]
    while cursor := found[-1].get("nextCursor"):
        found.append(await call(client, tool, cursor=cursor, **arguments))
    return found


def in_order(graph: Any) -> Any:
    """A graph with its lists in one order: the reference has the oldest first, and this server the newest."""
    return {name: sorted(graph[name], key=json.dumps) for name in ("entities", "relations")}


#: Calls, and what the reference server (server-memory 2026.8.31) returns for them, one after another.
REFERENCE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("create_entities", {"entities": [ADA, BOB]}, {"entities": [ADA, BOB]}),
    ("create_entities", {"entities": [{**ADA, "observations": ["x"]}]}, {"entities": []}),
    ("create_relations", {"relations": [KNOWS]}, {"relations": [KNOWS]}),
    ("create_relations", {"relations": [KNOWS]}, {"relations": []}),
    (
        "add_observations",
        {"observations": [{"entityName": "Bob B.", "contents": ["likes jazz", "is tall"]}]},
        {"results": [{"entityName": "Bob B.", "addedObservations": ["likes jazz", "is tall"]}]},
    ),
    (
        "add_observations",
        {"observations": [{"entityName": "Bob B.", "contents": ["is tall"]}]},
        {"results": [{"entityName": "Bob B.", "addedObservations": []}]},
    ),
    (
        "delete_observations",
        {"deletions": [{"entityName": "Bob B.", "observations": ["is tall"]}, {"entityName": "?", "observations": []}]},
        {"success": True, "message": "Observations deleted successfully"},
    ),
    (
        "read_graph",
        {},
        {"entities": [ADA, {**BOB, "observations": ["likes jazz"]}], "relations": [KNOWS]},
    ),
    ("search_nodes", {"query": "TEA"}, {"entities": [ADA], "relations": [KNOWS]}),
    ("search_nodes", {"query": "rogram"}, {"entities": [ADA], "relations": [KNOWS]}),
    ("search_nodes", {"query": "observations"}, {"entities": [], "relations": []}),
    ("open_nodes", {"names": ["Ada", "?"]}, {"entities": [ADA], "relations": [KNOWS]}),
    ("open_nodes", {"names": []}, {"entities": [], "relations": []}),
    ("delete_relations", {"relations": [KNOWS, KNOWS]}, {"success": True, "message": "Relations deleted successfully"}),
    ("open_nodes", {"names": ["Ada"]}, {"entities": [ADA], "relations": []}),
    ("delete_entities", {"entityNames": ["Ada", "?"]}, {"success": True, "message": "Entities deleted successfully"}),
    ("read_graph", {}, {"entities": [{**BOB, "observations": ["likes jazz"]}], "relations": []}),
]


async def all_results_are_those_of_the_reference(client: Client) -> None:
    for tool, arguments, expected in REFERENCE:
        found = await call(client, tool, **arguments)
        if "relations" in expected and "entities" in expected:
            found, expected = in_order(found), in_order(expected)
        assert found == expected, (tool, arguments)
    text = await error(client, "add_observations", observations=[{"entityName": "?", "contents": ["x"]}])
    assert "Entity with name ? not found" in text


def test_results_are_those_of_the_reference(store: Store) -> None:
    run(store, all_results_are_those_of_the_reference)


def test_the_tools_take_the_arguments_of_the_reference(store: Store) -> None:
    async def use(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        needed = {tool.name: tool.input_schema.get("required", []) for tool in tools.values()}
        assert needed["create_entities"] == ["entities"] and needed["delete_entities"] == ["entityNames"]
        assert needed["delete_observations"] == ["deletions"] and needed["read_graph"] == []
        for tool in {name for name, *_ in REFERENCE}:
            assert tools[tool].output_schema["type"] == "object"
            assert tools[tool].annotations.read_only_hint is (tool.startswith(("read", "open", "search")))
        [resource] = (await client.list_resources()).resources
        assert str(resource.uri) == "memory://knowledge-graph"
        await call(client, "create_entities", entities=[ADA])
        [content] = (await client.read_resource("memory://knowledge-graph")).contents
        assert json.loads(content.text) == {"entities": [ADA], "relations": []}

    run(store, use)


@pytest.mark.parametrize("scheme", ["sqlite", "postgres"])
def test_over_stdio(scheme: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    if scheme == "postgres":
        from tests.support.pgserver import shared_server

        url = shared_server().create_database()
        request.addfinalizer(lambda: shared_server().drop_database(url))
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "ciris_store_core.cli", "mcp", "--url", url],
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
    )  # fmt: skip

    async def main() -> None:
        async with Client(command) as client:
            await all_results_are_those_of_the_reference(client)
        async with Client(command) as client:  # another process finds what the first one stored
            assert (await call(client, "read_graph"))["entities"][0]["name"] == "Bob B."

    asyncio.run(main())


def test_parallel_calls_lose_nothing(store: Store) -> None:
    async def use(client: Client) -> None:
        await call(client, "create_entities", entities=[ADA])
        many = [
            call(client, "create_entities", entities=[{**BOB, "name": f"b{i}"}, {**BOB, "name": "shared"}])
            for i in range(25)
        ]
        many += [
            call(client, "add_observations", observations=[{"entityName": "Ada", "contents": [f"fact {i}"]}])
            for i in range(25)
        ]
        done = await asyncio.gather(*many)
        assert sum(each["entities"][-1:] != [] and each["entities"][-1]["name"] == "shared" for each in done[:25]) == 1
        graph = await call(client, "read_graph", max_tokens=100_000)
        assert {each["name"] for each in graph["entities"]} == {"Ada", "shared", *(f"b{i}" for i in range(25))}
        [ada] = [each for each in graph["entities"] if each["name"] == "Ada"]
        assert sorted(ada["observations"]) == sorted([*ADA["observations"], *(f"fact {i}" for i in range(25))])

    run(store, use)


def test_a_large_graph_is_read_in_pages_under_the_budget(store: Store) -> None:
    entities = [{"name": f"e{i}", "entityType": "t", "observations": [f"word{i} " * 5] * (i % 4)} for i in range(60)]
    entities.append({"name": "big", "entityType": "t", "observations": [f"{i} " + "x" * 50 for i in range(100)]})
    relations = [{"from": "big", "to": f"e{i}", "relationType": "has"} for i in range(60)]
    relations += [{"from": f"e{i}", "to": f"e{i + 1}", "relationType": "before"} for i in range(59)]

    async def use(client: Client) -> None:
        await call(client, "create_entities", entities=entities)
        await call(client, "create_relations", relations=relations)
        for tool, arguments in (
            ("read_graph", {}),
            ("open_nodes", {"names": [each["name"] for each in entities]}),
            ("search_nodes", {"query": "t"}),
        ):
            found = await pages(client, tool, max_tokens=1000, **arguments)
            assert len(found) > 5
            assert max(map(size_of, found)) < 1000 * 3 * 1.1
            together: dict[str, Any] = {}
            for page in found:
                for each in page["entities"]:
                    together.setdefault(each["name"], []).extend(each["observations"])
            assert together == {each["name"]: each["observations"] for each in entities}
            edges = [each for page in found for each in page["relations"]]
            assert sorted(edges, key=json.dumps) == sorted(relations, key=json.dumps)
        [alone] = await pages(client, "open_nodes", names=["e7"])
        assert {each["relationType"] for each in alone["relations"]} == {"before", "has"} and len(
            alone["relations"]
        ) == 3
        assert "cursor" in await error(client, "read_graph", cursor="nonsense")
        assert "cursor" in await error(client, "open_nodes", names=["e7"], cursor='["x","y",0]')

    run(store, use)


def test_a_changed_entity_is_read_anew(store: Store) -> None:
    async def use(client: Client) -> None:
        made = [{"name": f"e{i}", "entityType": "t", "observations": ["x" * 200]} for i in range(10)]
        await call(client, "create_entities", entities=made)
        first = await call(client, "read_graph", max_tokens=300)
        _, name, _ = json.loads(urlsafe_b64decode(first["nextCursor"]))
        await call(client, "add_observations", observations=[{"entityName": name, "contents": ["new"]}])
        second = await call(client, "read_graph", max_tokens=300, cursor=first["nextCursor"])
        shown = [each["name"] for page in (first, second) for each in page["entities"]]
        assert name not in shown and len(set(shown)) == len(shown)

    run(store, use)


def test_a_long_text_is_cut_until_more_tokens_are_asked_for(store: Store) -> None:
    async def use(client: Client) -> None:
        long = "é" * 5000
        await call(client, "create_entities", entities=[{**ADA, "observations": [long]}])
        [entity] = (await call(client, "read_graph", max_tokens=500))["entities"]
        assert entity["observations"][0].startswith("éé") and "5000 characters" in entity["observations"][0]
        assert size_of(entity) < 1600
        [entity] = (await call(client, "open_nodes", names=["Ada"], max_tokens=10_000))["entities"]
        assert entity["observations"] == [long]

    run(store, use)


def test_scopes_and_other_nodes_are_apart(store: Store) -> None:
    store.graph.put(GraphNode(id="Ada", type="user", scope="local", attributes={"likes": "tea"}))

    async def use(client: Client) -> None:
        assert "'Ada' is a node of type user" in await error(client, "create_entities", entities=[ADA])
        await call(client, "create_entities", entities=[ADA], scope="community")
        await call(client, "delete_entities", entityNames=["Ada"])
        assert await call(client, "read_graph") == {"entities": [], "relations": []}
        assert (await call(client, "read_graph", scope="community"))["entities"] == [ADA]
        [node] = json.loads((await client.call_tool("search_memory", {"query": "tea"})).content[0].text)["nodes"]
        assert node["attributes"] == {"likes": "tea"} and node["type"] == "user"
        assert "'nobody' not found" in (await error(client, "create_relations", relations=[{**KNOWS, "from": "nobody"}])
                                        ).replace("Entity with name nobody", "'nobody'")  # fmt: skip

    run(store, use)


def test_tasks_series_and_audit_can_be_read(store: Store) -> None:
    store.tasks.add(Task(task_id="t1", channel_id="kitchen", description="brew tea"))
    store.correlations.add_metrics([Metric(name="cups", value=3.0)])

    async def use(client: Client) -> None:
        await call(client, "create_entities", entities=[ADA])
        assert (await call(client, "list_tasks", status="pending"))["tasks"][0]["description"] == "brew tea"
        assert await call(client, "list_metrics") == {"metrics": [{"name": "cups"}]}
        points = (await call(client, "read_metric", name="cups", function="sum"))["points"]
        assert sum(each["value"] for each in points) == 3
        [entry] = (await call(client, "read_audit"))["entries"]
        assert entry["event_type"] == "mcp.create_entities"
        assert entry["payload"] == {"scope": "local", "names": ["Ada"]}
        assert "nonsense" in await error(client, "list_tasks", status="nonsense")

    run(store, use, audit=True)
    report = store.audit.verify()
    assert report.entries == 1 and not report.problems  # unproven: the store has no key


def test_a_read_only_server_offers_no_tool_that_writes(store: Store) -> None:
    async def use(client: Client) -> None:
        tools = (await client.list_tools()).tools
        assert len(tools) == 8 and all(tool.annotations.read_only_hint for tool in tools)

    run(store, use, read_only=True)
