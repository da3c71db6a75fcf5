from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from ciris_store_mcp import CirisEventStore, memory_server, separate_sessions
from ciris_store_mcp.events import _KEPT
from mcp import Client
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context
from mcp.server.streamable_http import EventMessage
from mcp_types import JSONRPCNotification, JSONRPCResponse
from test_mcp import ADA, all_results_are_those_of_the_reference, call

from ciris_store_core import KeyRing, ManualClock, SecretsConfig, Store, TestSeams, open_store
from ciris_store_core.secrets.keys import new_key


@contextmanager
def served(url: str) -> Iterator[str]:
    """The address of ``ciris-store mcp --http`` in a process of its own."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ciris_store_core.cli", "mcp", "--url", url, "--http", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, env={"PYTHONPATH": ":".join(path for path in sys.path if path)}) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                with closing(socket.socket()) as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)  # for another process, whose clock cannot be ours
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.terminate()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_over_streamable_http(mode: str, tmp_path: Path) -> None:
    async def main(address: str) -> None:
        async with Client(address, mode=mode) as one, Client(address, mode=mode) as other:
            await all_results_are_those_of_the_reference(one)
            many = [
                call(client, "create_entities", entities=[{**ADA, "name": f"{name}{i}"}])
                for i in range(25)
                for name, client in (("one", one), ("other", other))
            ]
            await asyncio.gather(*many)
            graph = await call(one, "read_graph")
            assert len(graph["entities"]) == 51

    with served(f"sqlite:///{tmp_path}/store.db") as address:
        asyncio.run(main(address))


def response(number: int) -> JSONRPCResponse:
    return JSONRPCResponse(jsonrpc="2.0", id=number, result={"text": "password=hunter2 \0", "n": number})


async def replayed(events: CirisEventStore, event_id: str) -> tuple[str | None, list[EventMessage]]:
    found: list[EventMessage] = []

    async def keep(message: EventMessage) -> None:
        found.append(message)

    return await events.replay_events_after(event_id, keep), found


def test_events_are_replayed_after_the_last_one_that_came(store: Store) -> None:
    async def main() -> None:
        events = CirisEventStore(store)
        note = JSONRPCNotification(jsonrpc="2.0", method="notifications/progress", params={"progress": 1})
        first = await events.store_event("7", None)
        ids = [await events.store_event("7", message) for message in (note, None, response(1))]
        await events.store_event("8", response(2))
        stream, found = await replayed(events, first)
        assert stream == "7" and [each.message for each in found] == [note, response(1)]
        assert [each.event_id for each in found] == [ids[0], ids[2]]
        assert await replayed(events, ids[2]) == ("7", [])
        for unknown in ("", "x:7", "1:", "1:none", "²:7"):
            assert await replayed(events, unknown) == (None, [])

    asyncio.run(main())


def test_sessions_do_not_read_each_others_events(store: Store) -> None:
    async def main() -> None:
        server = memory_server(store)
        app = server.streamable_http_app(event_store=CirisEventStore(store))
        assert app
        separate_sessions(server.session_manager)
        one, other = server.session_manager.event_store, server.session_manager.event_store
        assert isinstance(one, CirisEventStore) and isinstance(other, CirisEventStore)
        first = await one.store_event("1", None)
        await other.store_event("1", response(1))
        await other.store_event("1", response(2))
        await one.store_event("1", response(3))
        _, found = await replayed(one, first)
        assert [each.message for each in found] == [response(3)]

    asyncio.run(main())


def test_old_events_are_deleted_when_a_session_begins(url: str) -> None:
    async def main() -> None:
        clock = ManualClock()
        with open_store(url, testing=TestSeams(clock=clock, server_clock=clock)) as store:
            events = CirisEventStore(store)
            await events.for_session().store_event("old", None)
            clock.advance(seconds=_KEPT.total_seconds() / 2)
            await events.for_session().store_event("newer", None)
            clock.advance(seconds=_KEPT.total_seconds() / 2 + 1)
            await events.for_session().store_event("new", None)
            assert {each.name for each in store.streams.find(("mcp",))} == {"newer", "new"}

    asyncio.run(main())


def test_with_a_key_events_are_encrypted(url: str) -> None:
    async def main() -> None:
        with open_store(url, secrets=SecretsConfig(keys=KeyRing(new_key()))) as store:
            events = CirisEventStore(store)
            first = await events.store_event("1", None)
            await events.store_event("1", response(1))
            assert [each.message for each in (await replayed(events, first))[1]] == [response(1)]
            found = store._x.read("test", lambda s: s.streams.find_encrypted(store._ctx.crypto.keys.active, None, 10))
            assert len(found) == 2 and all(b"hunter2" not in each[1].payload.body for each in found)

    asyncio.run(main())


def test_a_client_resumes_a_stream_that_broke(tmp_path: Path) -> None:
    """The SDK's client sends the last event's id by itself when a connection ends before the response."""

    async def main(store: Store) -> None:
        import uvicorn

        server: Any = memory_server(store)

        @server.tool()
        async def slow(ctx: Context) -> str:
            """Close the connection before the answer."""
            await ctx.close_sse_stream()
            return "the answer"

        app = server.streamable_http_app(event_store=CirisEventStore(store), retry_interval=10)
        separate_sessions(server.session_manager)
        running = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
        task = asyncio.create_task(running.serve())
        while not running.started:
            await asyncio.sleep(0.01)
        port = running.servers[0].sockets[0].getsockname()[1]
        try:
            async with (
                streamable_http_client(f"http://127.0.0.1:{port}/mcp") as streams,
                ClientSession(streams[0], streams[1]) as session,
            ):
                await session.initialize()
                result = await asyncio.wait_for(session.call_tool("slow", {}), 60)
                assert result.content[0].text == "the answer"
        finally:
            running.should_exit = True
            await task

    with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        asyncio.run(main(store))
