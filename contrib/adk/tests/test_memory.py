from __future__ import annotations

import asyncio
from typing import Any

from ciris_store_adk import CirisMemoryService
from google.adk.events.event import Event
from google.adk.memory.memory_entry import MemoryEntry
from google.adk.sessions import Session
from google.genai import types

from ciris_store_core import Store

A: Any = {"app_name": "app", "user_id": "ada"}


def event(text: str) -> Event:
    return Event(id=Event.new_id(), author="user", content=types.Content(role="user", parts=[types.Part(text=text)]))


def test_memory(store: Store) -> None:
    async def main() -> None:
        memory = CirisMemoryService(store)

        async def find(query: str, user: str = "ada") -> list[str | None]:
            found = await memory.search_memory(app_name="app", user_id=user, query=query)
            return [each.content.parts[0].text for each in found.memories if each.content.parts]

        assert await find("tea") == []
        said = [event("I like green tea"), event("Black tea, please"), event("私はPythonを使う"), Event(author="x")]
        session = Session(id="s", app_name="app", user_id="ada", events=said)
        for _ in range(2):
            await memory.add_session_to_memory(session)
        assert await find("GREEN tea?") == ["I like green tea", "Black tea, please"]
        assert await find("python") == ["私はPythonを使う"] and await find("coffee") == [] and await find("") == []
        assert await find("tea", "bob") == []
        await memory.add_events_to_memory(**A, events=[said[0], event("Coffee too")], session_id="s")
        assert await find("coffee") == ["Coffee too"] and len(await find("green")) == 1
        await memory.add_session_to_memory(session)
        assert await find("coffee") == []
        await memory.delete_memory(**A, memory_id=said[0].id)
        await memory.delete_memory(**A, memory_id="none")
        await memory.add_session_to_memory(session)
        assert await find("green") == []
        content = types.Content(parts=[types.Part(text="Allergic to nuts")])
        await memory.add_memory(**A, memories=[MemoryEntry(content=content)], custom_metadata={"by": "doctor"})
        [entry] = (await memory.search_memory(**A, query="nuts")).memories
        assert entry.id and entry.custom_metadata == {"by": "doctor"}
        await memory.add_events_to_memory(**A, events=[event(f"tea {i}") for i in range(20)])
        assert len(await find("tea")) == 10

    asyncio.run(main())
