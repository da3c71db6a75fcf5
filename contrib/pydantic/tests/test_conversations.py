from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from ciris_store_pydantic import CirisConversationStore
from pydantic_ai import Agent, BinaryContent, DeferredToolRequests
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models.test import TestModel

from ciris_store_core import KeyRing, SecretsConfig, Store, open_store
from ciris_store_core.secrets.keys import new_key

Make = Callable[[Store], ConversationStore]


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a conversation store: ours, or Pydantic AI's own, to compare with."""
    return CirisConversationStore if request.param == "ours" else lambda _: InMemoryConversationStore()


SIDE_BY_SIDE = pytest.mark.parametrize(
    ("url", "make"),
    [*((url, "ours") for url in ("memory", "sqlite", "postgres")), ("memory", "theirs")],
    indirect=True,
)


def talk(*texts: Any) -> list[ModelMessage]:
    return [
        ModelResponse(parts=[TextPart(text)]) if i % 2 else ModelRequest(parts=[UserPromptPart(text)])
        for i, text in enumerate(texts)
    ]


def texts(messages: list[ModelMessage]) -> list[Any]:
    return [each.parts[0].content for each in messages]  # type: ignore[union-attr]


def record(id: str, **more: Any) -> ConversationRecord:
    return ConversationRecord(**{"conversation_id": id, "head_id": None, **more})


@SIDE_BY_SIDE
def test_a_conversation_grows(store: Store, make: Make) -> None:
    async def main() -> None:
        kept = make(store)
        assert await kept.load("c") is None and await kept.read_record("c") is None
        picture = [BinaryContent(data=bytes(range(256)), media_type="application/x"), "what is it\0?"]
        first = Conversation(conversation_id="c", messages=talk(picture, "b"))
        saved = await kept.save(first, scope="ada")
        assert [each.message for each in saved] == first.messages
        loaded = await kept.load("c")
        assert loaded is not None and loaded.messages == first.messages and loaded.revision == first.revision
        loaded.messages += talk("c", "d")
        assert len(await kept.save(loaded)) == 2
        assert await kept.save(loaded) == []
        again = await kept.load("c", limit=3)
        assert again is not None and texts(again.messages) == ["b", "c", "d"]
        again.messages += talk("e")
        await kept.save(again)
        entries = await kept.load_entries("c")
        assert entries is not None and texts([each.message for each in entries])[1:] == ["b", "c", "d", "e"]
        assert entries[0] == saved[0] and await kept.read_entry(entries[2].id) == entries[2]
        assert await kept.load("c", limit=0) is not None
        with pytest.raises(LookupError):
            await kept.read_entry("none")

    asyncio.run(main())


@SIDE_BY_SIDE
def test_another_revision_is_a_conflict(store: Store, make: Make) -> None:
    async def main() -> None:
        kept = make(store)
        await kept.save(Conversation(conversation_id="c", messages=talk("a", "b")))
        with pytest.raises(ConversationConflict):
            await kept.save(Conversation(conversation_id="c", messages=talk("x")))
        one, two = await kept.load("c"), await kept.load("c")
        assert one is not None and two is not None
        one.messages += talk("c")
        two.messages += talk("d")
        await kept.save(one)
        with pytest.raises(ConversationConflict):
            await kept.save(two)
        entry = ConversationEntry(parent_id=None, message=talk("x")[0])
        with pytest.raises(ConversationConflict):
            await kept.write_record(record("c", head_id=entry.id), new_entries=[entry], expected_revision="other")
        with pytest.raises(LookupError):
            await kept.read_entry(entry.id)
        with pytest.raises(ConversationConflict):
            await kept.write_record(record("new", head_id="none"), expected_revision=None)
        with pytest.raises(ConversationConflict):
            await kept.delete_record("c", expected_revision="other")
        with pytest.raises(ConversationConflict):
            await kept.delete_record("none", expected_revision="r")
        await kept.delete("c")
        await kept.delete("c")
        with pytest.raises(ConversationConflict):
            await kept.save(one)
        assert await kept.read_record("new") is None

    asyncio.run(main())


@SIDE_BY_SIDE
def test_branches_and_forks_share_entries(store: Store, make: Make) -> None:
    async def main() -> None:
        kept = make(store)
        first = Conversation(conversation_id="c", messages=talk("a", "b", "c", "d"))
        saved = await kept.save(first)
        branched = await kept.branch("c", at=2, expected_revision=first.revision)
        branched.messages += talk("x", "y")
        await kept.save(branched)
        loaded = await kept.load("c")
        assert loaded is not None and texts(loaded.messages) == ["a", "b", "x", "y"]
        fork = await kept.fork("c", at=3, new_conversation_id="f")
        fork.messages += talk("z")
        await kept.save(fork)
        deep = await kept.fork("f", new_conversation_id="g")
        deep.messages += talk("w")
        await kept.save(deep)
        assert texts(deep.messages) == ["a", "b", "x", "z", "w"]
        with pytest.raises(ConversationConflict):
            await kept.fork("c", new_conversation_id="f")
        back = await kept.branch("c", from_entry=saved[3].id, expected_revision=loaded.revision)
        assert texts(back.messages) == ["a", "b", "c", "d"]
        with pytest.raises(UserError):
            await kept.branch("c", from_entry="none", expected_revision=back.revision)
        for id, expected in (("f", ["a", "b", "x", "z"]), ("g", ["a", "b", "x", "z", "w"])):
            for limit in (None, 1, 2, 4, 9):
                found = await kept.load(id, limit=limit)
                assert found is not None and texts(found.messages) == expected[-limit if limit else 0 :]
        await kept.delete("c")
        await kept.delete("f")
        found = await kept.load("g")
        assert found is not None and texts(found.messages) == ["a", "b", "x", "z", "w"]
        await kept.delete("g")
        for each in saved:
            with pytest.raises(LookupError):
                await kept.read_entry(each.id)

    asyncio.run(main())


@SIDE_BY_SIDE
def test_records_by_scope_newest_first(store: Store, make: Make) -> None:
    async def main() -> None:
        kept = make(store)
        for day, (id, scope) in enumerate((("a", "ada"), ("b", "bob"), ("c", "ada"), ("d", None), ("e", "ad")), 1):
            await kept.write_record(
                record(id, scope=scope, updated_at=datetime(2026, 1, day, tzinfo=UTC)), expected_revision=None
            )

        async def ids(**which: Any) -> list[str]:
            return [each.conversation_id for each in await kept.list_conversations(**which)]

        assert await ids() == ["e", "d", "c", "b", "a"] and await ids(limit=2) == ["e", "d"]
        assert await ids(scope="ada") == ["c", "a"] and await ids(scope="ada", limit=1) == ["c"]
        assert await ids(scope="%") == [] and await ids(limit=0) == []
        await kept.delete("c", scope="bob")
        await kept.delete("a", scope="ada")
        assert await ids(scope="ada") == ["c"]
        assert await kept.load("c", scope="bob") is None
        with pytest.raises(ConversationConflict):
            await kept.save(Conversation(conversation_id="c"), scope="bob")

    asyncio.run(main())


@SIDE_BY_SIDE
def test_every_field_of_a_record_comes_back(store: Store, make: Make) -> None:
    async def main() -> None:
        kept = make(store)
        waiting = DeferredToolRequests(approvals=[ToolCallPart("f", {"a": [1, None]}, "id")], metadata={"id": {"k": 1}})
        full = record("c", deferred_tool_requests=waiting, scope="s", forked_from="x", forked_at="y", branches=["z"])
        full.usage.requests, full.usage.details = 3, {"thinking": 5}
        await kept.write_record(full, expected_revision=None)
        assert await kept.read_record("c") == full
        changed = dataclasses.replace(full, revision="r2", scope="t")
        await kept.write_record(changed, expected_revision=full.revision)
        assert await kept.read_records(scope="t") == [changed] and await kept.read_records(scope="s") == []

    asyncio.run(main())


def test_one_of_many_writers_of_a_revision_wins(store: Store) -> None:
    async def main() -> None:
        kept = CirisConversationStore(store)
        await kept.save(Conversation(conversation_id="c", messages=talk("a")))

        async def write(text: str, id: str) -> bool:
            conversation = await kept.load(id) or Conversation(conversation_id=id)
            conversation.messages += talk(text)
            await asyncio.sleep(0)
            try:
                await kept.save(conversation)
            except ConversationConflict:
                return False
            return True

        for id, before in (("c", 1), ("new", 0)):
            done = await asyncio.gather(*(write(str(i), id) for i in range(8)))
            loaded = await kept.load(id)
            assert loaded is not None and len(loaded.messages) == before + sum(done) and any(done)

    asyncio.run(main())


def test_a_fork_and_a_deletion_at_once_leave_no_broken_history(store: Store) -> None:
    async def main() -> None:
        kept = CirisConversationStore(store)
        for i in range(5):
            await kept.save(Conversation(conversation_id=f"c{i}", messages=talk("a", "b")))
            deleted, _ = await asyncio.gather(
                kept.delete(f"c{i}"), kept.fork(f"c{i}", new_conversation_id=f"f{i}"), return_exceptions=True
            )
            assert deleted is None and await kept.load(f"c{i}") is None
            found = await kept.load(f"f{i}")
            assert found is None or texts(found.messages) == ["a", "b"]

    asyncio.run(main())


def test_an_agent_goes_on_after_a_restart(url: str) -> None:
    async def turn(store: Store, prompt: str) -> int:
        kept = CirisConversationStore(store)
        conversation = await kept.load("c") or Conversation(conversation_id="c")
        result = await Agent(TestModel()).run(prompt, conversation=conversation)
        await kept.save(result)
        return len(result.all_messages())

    if url.startswith("memory"):
        with open_store(url) as store:
            assert [asyncio.run(turn(store, "hello")), asyncio.run(turn(store, "again"))] == [2, 4]
        return
    for expected in (2, 4, 6):
        with open_store(url) as store:
            assert asyncio.run(turn(store, "hello")) == expected


def test_with_a_key_no_message_is_readable(url: str) -> None:
    async def main(store: Store) -> None:
        kept = CirisConversationStore(store)
        said = talk("my password is hunter2", "ok")
        await kept.save(Conversation(conversation_id="c", messages=said))
        loaded = await kept.load("c")
        assert loaded is not None and loaded.messages == said
        key = store._ctx.crypto.keys.active
        found = store._x.read("test", lambda s: s.streams.find_encrypted(key, None, 10))
        assert len(found) == 2 and all(b"hunter2" not in entry.payload.body for _, entry in found)

    with open_store(url, secrets=SecretsConfig(keys=KeyRing(new_key()))) as store:
        asyncio.run(main(store))
