from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from agents import Agent, Runner, SQLiteSession, set_tracing_disabled
from agents.items import ModelResponse
from agents.memory import SessionSettings
from agents.models.interface import Model
from agents.usage import Usage
from ciris_store_openai import CirisSession
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from ciris_store_core import Store

set_tracing_disabled(True)


class Echo(Model):
    """A model that answers with the number of items that it was given."""

    async def get_response(self, system_instructions: Any, input: Any, *args: Any, **more: Any) -> ModelResponse:
        text = ResponseOutputText(text=f"{len(input)} items", type="output_text", annotations=[])
        message = ResponseOutputMessage(id="m", content=[text], role="assistant", status="completed", type="message")
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **more: Any) -> Any:
        raise NotImplementedError


def item(role: str, content: Any) -> Any:
    return {"role": role, "content": content}


def test_an_agent_remembers_its_conversation(store: Store) -> None:
    async def main() -> list[str]:
        agent = Agent("echo", model=Echo())
        answers = []
        for _ in range(3):
            result = await Runner.run(agent, "hello", session=CirisSession("user-1", store))
            answers.append(result.final_output)
        return answers

    assert asyncio.run(main()) == ["1 items", "3 items", "5 items"]


def test_it_behaves_as_the_sdks_own_session(store: Store, tmp_path: Path) -> None:
    async def main() -> None:
        ours, theirs = CirisSession("s", store), SQLiteSession("s", tmp_path / "theirs.db")
        other = CirisSession("other", store)
        items = [item("user", f"m{i}") if i % 3 == 0 else item("assistant", {"i": [i, 1.0, None]}) for i in range(10)]
        for session in (ours, theirs):
            await session.add_items([])
            await session.add_items(items[:5])
            await session.add_items(items[5:])
        for limit in (None, 0, 1, 3, 10, 99):
            assert await ours.get_items(limit) == await theirs.get_items(limit)
        assert await ours.pop_item() == await theirs.pop_item() == items[-1]
        assert await ours.get_items() == await theirs.get_items() == items[:-1]
        assert await other.get_items() == [] and await other.pop_item() is None
        for session in (ours, theirs):
            await session.clear_session()
        assert await ours.get_items() == await theirs.get_items() == []
        theirs.close()

    asyncio.run(main())


def test_a_limit_by_turns_cuts_no_turn(store: Store) -> None:
    async def main() -> None:
        session = CirisSession("s", store, session_settings=SessionSettings(limit=2))
        await session.add_items(
            [item("user", "a"), item("assistant", "b"), item("user", "c"), {"type": "call"}, {"type": "result"}]
        )
        assert await session.get_items() == [{"type": "call"}, {"type": "result"}]
        assert await session.get_items(turns=1) == [item("user", "c"), {"type": "call"}, {"type": "result"}]
        assert len(await session.get_items(turns=2)) == 5 == len(await session.get_items(turns=9))

    asyncio.run(main())


def test_no_two_callers_pop_one_item(store: Store) -> None:
    async def main() -> None:
        session = CirisSession("s", store)
        await session.add_items([item("user", i) for i in range(20)])
        popped = await asyncio.gather(*(session.pop_item() for _ in range(25)))
        assert sorted(each["content"] for each in popped if each) == list(range(20))  # type: ignore[index]

    asyncio.run(main())
