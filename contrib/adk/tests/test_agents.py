from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from ciris_store_adk import CirisArtifactService, CirisMemoryService, CirisSessionService
from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm, LlmRequest, LlmResponse
from google.adk.runners import Runner
from google.genai import types

from ciris_store_core import Store, open_store

A: Any = {"app_name": "app", "user_id": "ada"}
S: Any = {**A, "session_id": "s"}


class Echo(BaseLlm):
    """A model that answers with the number of contents that it was given."""

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        text = f"{len(llm_request.contents)} contents"
        yield LlmResponse(content=types.Content(role="model", parts=[types.Part(text=text)]))


async def ask(runner: Runner, text: str) -> str | None:
    message = types.Content(role="user", parts=[types.Part(text=text)])
    answer = None
    async for each in runner.run_async(user_id="ada", session_id="s", new_message=message):
        answer = each.content.parts[0].text if each.content and each.content.parts else answer
    return answer


def test_an_agent_goes_on_after_a_restart(url: str) -> None:
    async def main(store: Store) -> list[str | None]:
        agent = LlmAgent(name="echo", model=Echo(model="echo"), output_key="app:last")
        services: Any = {
            "session_service": CirisSessionService(store), "memory_service": CirisMemoryService(store),
            "artifact_service": CirisArtifactService(store),
        }  # fmt: skip
        runner = Runner(app_name="app", agent=agent, auto_create_session=True, **services)
        answers = [await ask(runner, "hello"), await ask(runner, "again")]
        session = await services["session_service"].get_session(**S)
        assert session.state["app:last"] == answers[-1]
        await services["memory_service"].add_session_to_memory(session)
        found = await services["memory_service"].search_memory(**A, query="Again!")
        assert {each.content.parts[0].text for each in found.memories} == {"again"}
        return answers

    if url.startswith("memory"):
        with open_store(url) as store:
            assert asyncio.run(main(store)) == ["1 contents", "3 contents"]
        return
    with open_store(url) as store:
        assert asyncio.run(main(store)) == ["1 contents", "3 contents"]
    with open_store(url) as store:
        assert asyncio.run(main(store)) == ["5 contents", "7 contents"]
