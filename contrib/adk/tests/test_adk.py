from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from ciris_store_adk import CirisArtifactService, CirisMemoryService, CirisSessionService, register
from google.adk.cli.service_registry import get_service_registry, load_services_module
from google.adk.errors import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions import DatabaseSessionService, InMemorySessionService, Session
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig
from google.genai import types

from ciris_store_core import InvalidArgument, KeyRing, SecretsConfig, Store, open_store
from ciris_store_core.secrets.keys import new_key

A: Any = {"app_name": "app", "user_id": "ada"}
S: Any = {**A, "session_id": "s"}


def event(text: str = "hello", at: float = 1.0, author: str = "user", **delta: Any) -> Event:
    content = types.Content(role=author, parts=[types.Part(text=text)])
    id = Event.new_id()
    return Event(id=id, author=author, timestamp=at, content=content, actions=EventActions(state_delta=delta))


def texts(session: Session | None) -> list[str | None]:
    assert session is not None
    return [each.content.parts[0].text for each in session.events if each.content and each.content.parts]


Service = Callable[[Store], BaseSessionService]


@pytest.fixture
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Service:
    """Makes a session service: ours, or one of ADK's own, to compare with."""
    made: dict[str, Service] = {
        "ours": CirisSessionService,
        "in memory": lambda _: InMemorySessionService(),
        "database": lambda _: DatabaseSessionService(f"sqlite+aiosqlite:///{tmp_path}/theirs.db"),
    }
    return made[request.param]


SIDE_BY_SIDE = pytest.mark.parametrize(
    ("url", "service"),
    [*((url, "ours") for url in ("memory", "sqlite", "postgres")), ("memory", "in memory"), ("memory", "database")],
    indirect=True,
)


@SIDE_BY_SIDE
def test_sessions_as_adks_own_keep_them(store: Store, service: Service) -> None:
    async def main() -> None:
        sessions = service(store)
        assert await sessions.get_session(**S) is None
        made = await sessions.create_session(**S, state={"k": [1, 1.5, None, {"a": "b"}]})
        assert (made.id, made.app_name, made.user_id, made.events) == ("s", "app", "ada", [])
        assert made.state == {"k": [1, 1.5, None, {"a": "b"}]}
        with pytest.raises(AlreadyExistsError):
            await sessions.create_session(**S)
        other = await sessions.create_session(**A)
        assert other.id not in ("", "s")
        await sessions.create_session(app_name="app", user_id="ada2", session_id="s")
        sent = [event(f"m{i}", float(i)) for i in range(1, 6)]
        for each in sent:
            await sessions.append_event(made, each)
        assert made.events == sent and made.last_update_time == 5.0
        loaded = await sessions.get_session(**S)
        assert loaded is not None and loaded.events == sent and loaded.state == made.state
        assert loaded.last_update_time == 5.0
        await sessions.delete_session(**S)
        await sessions.delete_session(**S)
        assert await sessions.get_session(**S) is None
        again = await sessions.create_session(**S)
        assert again.events == [] and texts(await sessions.get_session(**S)) == []

    asyncio.run(main())


@SIDE_BY_SIDE
def test_state_by_its_prefix(store: Store, service: Service) -> None:
    async def main() -> None:
        sessions = service(store)
        assert await sessions.get_user_state(**A) == {}
        state = {"app:a": 1, "user:u": 1, "own": 1, "temp:t": 1}
        made = await sessions.create_session(**S, state=state)
        assert made.state == {"app:a": 1, "user:u": 1, "own": 1}
        changed: Any = {"app:a": 2, "user:v": None, "own2": 2, "temp:t": 2}
        sent = event(**changed)
        await sessions.append_event(made, sent)
        assert made.state["temp:t"] == 2 and "temp:t" not in sent.actions.state_delta
        loaded = await sessions.get_session(**S)
        kept = {"app:a": 2, "user:u": 1, "user:v": None, "own": 1, "own2": 2}
        assert loaded is not None and loaded.state == kept
        assert "temp:t" not in loaded.events[0].actions.state_delta
        assert await sessions.get_user_state(**A) == {"u": 1, "v": None}
        same_user = await sessions.create_session(**A, session_id="s2")
        assert same_user.state == {"app:a": 2, "user:u": 1, "user:v": None}
        other_user = await sessions.create_session(app_name="app", user_id="bob")
        assert other_user.state == {"app:a": 2}
        assert (await sessions.create_session(app_name="app2", user_id="ada")).state == {}
        await sessions.delete_session(**S)
        assert await sessions.get_user_state(**A) == {"u": 1, "v": None}

    asyncio.run(main())


@SIDE_BY_SIDE
def test_parts_of_a_session(store: Store, service: Service) -> None:
    async def main() -> None:
        sessions = service(store)
        made = await sessions.create_session(**S)
        for i in range(1, 6):
            await sessions.append_event(made, event(str(i), float(i)))

        async def get(**config: Any) -> list[str | None]:
            return texts(await sessions.get_session(**S, config=GetSessionConfig(**config)))

        assert await get(num_recent_events=0) == []
        assert await get(num_recent_events=2) == ["4", "5"]
        assert await get(num_recent_events=9) == ["1", "2", "3", "4", "5"]
        assert await get(after_timestamp=4.0) == ["4", "5"]
        assert await get(after_timestamp=9.0) == []
        assert await get(after_timestamp=2.0, num_recent_events=2) == ["4", "5"]
        part = await sessions.get_session(**S, config=GetSessionConfig(num_recent_events=1))
        assert part is not None
        await sessions.append_event(part, event("6", 6.0))
        assert texts(await sessions.get_session(**S)) == ["1", "2", "3", "4", "5", "6"]

    asyncio.run(main())


@SIDE_BY_SIDE
def test_lists_without_events(store: Store, service: Service) -> None:
    async def main() -> None:
        sessions = service(store)
        assert (await sessions.list_sessions(app_name="app")).sessions == []
        for user, id, at in (("ada", "b", 9e9), ("ada", "a", 8e9), ("bob", "c", 7e9), ("ad", "d", 6e9)):
            made = await sessions.create_session(app_name="app", user_id=user, session_id=id, state={"id": id})
            await sessions.append_event(made, event(at=at, **{f"user:{user}": 1}))
        found = (await sessions.list_sessions(app_name="app", user_id="ada")).sessions
        assert [each.id for each in found] == ["a", "b"]
        assert found[0].state == {"id": "a", "user:ada": 1} and found[0].events == []
        everyone = (await sessions.list_sessions(app_name="app")).sessions
        assert [each.id for each in everyone] == ["d", "c", "a", "b"] and everyone[1].state["user:bob"] == 1
        assert (await sessions.list_sessions(app_name="ap")).sessions == []

    asyncio.run(main())


@SIDE_BY_SIDE
def test_partial_events_are_not_stored(store: Store, service: Service) -> None:
    async def main() -> None:
        sessions = service(store)
        made = await sessions.create_session(**S)
        await sessions.append_event(made, event().model_copy(update={"partial": True}))
        assert made.events == [] and texts(await sessions.get_session(**S)) == []

    asyncio.run(main())


@SIDE_BY_SIDE
def test_every_field_of_an_event_comes_back(store: Store, service: Service) -> None:
    async def main() -> None:
        sessions = service(store)
        made = await sessions.create_session(**S)
        call = types.FunctionCall(id="1", name="f", args={"a": [1, None, {"b": 2.5}]})
        blob = types.Blob(mime_type="image/png", data=bytes(range(256)))
        sent = Event(
            id="e1", author="agent", invocation_id="i", branch="a.b", timestamp=2.5, turn_complete=True,
            long_running_tool_ids={"1"}, custom_metadata={"x": [1]}, error_code="E", error_message="m",
            content=types.Content(role="model", parts=[types.Part(function_call=call), types.Part(inline_data=blob)]),
            actions=EventActions(escalate=True, transfer_to_agent="b", artifact_delta={"f": 1}),
        )  # fmt: skip
        await sessions.append_event(made, deepcopy(sent))
        loaded = await sessions.get_session(**S)
        assert loaded is not None and loaded.events == [sent]

    asyncio.run(main())


def test_an_append_to_a_stale_session_is_refused(store: Store) -> None:
    async def main() -> None:
        sessions = CirisSessionService(store)
        first = await sessions.create_session(**S)
        second = await sessions.get_session(**S)
        assert second is not None
        await sessions.append_event(first, event("one", 5.0))
        with pytest.raises(StaleSessionError):
            await sessions.append_event(second, event("two", 1.0, k=1))
        assert second.events == [] and "k" not in second.state
        loaded = await sessions.get_session(**S)
        assert loaded is not None
        copied = deepcopy(loaded)
        await sessions.append_event(copied, event("two", 5.0))
        with pytest.raises(StaleSessionError):
            await sessions.append_event(loaded, event("three", 5.0))
        assert texts(await sessions.get_session(**S)) == ["one", "two"]
        await sessions.delete_session(**S)
        with pytest.raises(SessionNotFoundError):
            await sessions.append_event(copied, event())
        born_again = await sessions.create_session(**S)
        for _ in range(2):
            await sessions.append_event(born_again, event())
        with pytest.raises(StaleSessionError):
            await sessions.append_event(copied, event())
        assert len(texts(await sessions.get_session(**S))) == 2

    asyncio.run(main())


def test_a_session_made_by_hand_is_judged_by_its_last_event(store: Store) -> None:
    async def main() -> None:
        sessions = CirisSessionService(store)
        made = await sessions.create_session(**S)
        await sessions.append_event(made, event("one", 5.0))

        def by_hand(events: list[Event]) -> Session:
            return Session(id="s", app_name="app", user_id="ada", events=list(events), last_update_time=1.0)

        with pytest.raises(StaleSessionError):
            await sessions.append_event(by_hand([]), event("two"))
        await sessions.append_event(by_hand(made.events), event("two", 6.0))
        assert texts(await sessions.get_session(**S)) == ["one", "two"]
        missing = Session(id="none", app_name="app", user_id="ada")
        with pytest.raises(SessionNotFoundError):
            await sessions.append_event(missing, event())

    asyncio.run(main())


def test_branches_of_one_invocation_append_at_once(store: Store) -> None:
    async def main() -> None:
        sessions = CirisSessionService(store)
        made = await sessions.create_session(**S)
        await asyncio.gather(*(sessions.append_event(made, event(str(i), **{f"k{i}": i})) for i in range(20)))
        loaded = await sessions.get_session(**S)
        assert loaded is not None and sorted(texts(loaded), key=int) == [str(i) for i in range(20)]  # type: ignore[arg-type]
        assert loaded.state == {f"k{i}": i for i in range(20)} and loaded.events == made.events

    asyncio.run(main())


def test_users_and_sessions_append_at_once(store: Store) -> None:
    async def main() -> None:
        sessions = CirisSessionService(store)

        async def talk(user: str) -> None:
            made = await sessions.create_session(app_name="app", user_id=user, session_id="s")
            for i in range(5):
                await sessions.append_event(made, event(str(i), **{f"app:{user}{i}": i, f"user:{i}": i}))

        await asyncio.gather(*(talk(f"u{i}") for i in range(6)))
        loaded = await sessions.get_session(app_name="app", user_id="u3", session_id="s")
        assert loaded is not None and texts(loaded) == ["0", "1", "2", "3", "4"]
        assert len([key for key in loaded.state if key.startswith("app:")]) == 30
        assert len([key for key in loaded.state if key.startswith("user:")]) == 5

    asyncio.run(main())


def test_an_event_sent_again_is_stored_once(store: Store) -> None:
    async def main() -> None:
        sessions = CirisSessionService(store)
        made = await sessions.create_session(**S)
        stale = deepcopy(made)
        sent = event(k=1)
        for session in (made, made, stale):
            await sessions.append_event(session, deepcopy(sent))
        await sessions.append_event(made, event("next"))
        assert texts(await sessions.get_session(**S)) == ["hello", "next"] and len(made.events) == 2

    asyncio.run(main())


# The other backends have one writer at a time.
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_an_append_waits_for_its_own_session_only(url: str) -> None:
    async def main(store: Store) -> None:
        sessions = CirisSessionService(store)
        mine = await sessions.create_session(**S, state={"app:a": 1, "user:u": 1})
        other = await sessions.create_session(**A, session_id="other")
        app, user, head = (
            (("adk", "app"), "app"),
            (("adk", "user", "app"), "ada"),
            (("adk", "session", "app", "ada"), "s"),
        )
        with store.transaction() as tx:
            for place in (app, user, head):
                assert tx.documents.get(*place, for_update=True) is not None
            async with asyncio.timeout(30):
                await sessions.append_event(other, event("free"))
            blocked = asyncio.create_task(sessions.append_event(mine, event("waits")))
            done, _ = await asyncio.wait([blocked], timeout=0.3)
            assert not done
        await blocked

    with open_store(url) as store:
        asyncio.run(main(store))


def test_services_by_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register()
    registry, uri = get_service_registry(), f"ciris://sqlite:///{tmp_path}/agent.db"
    sessions = registry.create_session_service(uri, agents_dir=str(tmp_path))
    memory, files = registry.create_memory_service(uri), registry.create_artifact_service(uri)
    assert isinstance(sessions, CirisSessionService) and isinstance(memory, CirisMemoryService)
    assert isinstance(files, CirisArtifactService) and files._store is sessions._store
    asyncio.run(sessions.create_session(**S))
    with open_store(f"sqlite:///{tmp_path}/agent.db") as store:
        assert asyncio.run(CirisSessionService(store).get_session(**S)) is not None
    listed = [{"scheme": "mine", "type": "session", "class": "ciris_store_adk.CirisSessionService"}]
    (tmp_path / "services.yaml").write_text(json.dumps({"services": listed}))
    monkeypatch.syspath_prepend(str(tmp_path))
    load_services_module(str(tmp_path))
    assert isinstance(registry.create_session_service("mine" + uri.removeprefix("ciris")), CirisSessionService)
    for wrong in (None, "ciris://"):
        with pytest.raises(InvalidArgument):
            CirisSessionService(uri=wrong)


def test_with_a_key_no_content_is_readable(url: str) -> None:
    async def main(store: Store) -> None:
        sessions = CirisSessionService(store)
        made = await sessions.create_session(**S, state={"k": "hunter2", "app:k": "hunter2", "user:k": "hunter2"})
        await sessions.append_event(made, event("my password is hunter2", **{"app:k2": "hunter2"}))
        loaded = await sessions.get_session(**S)
        assert loaded is not None and loaded.events == made.events and loaded.state == made.state
        await CirisMemoryService(store).add_session_to_memory(loaded)
        await CirisArtifactService(store).save_artifact(**S, filename="f", artifact=types.Part(text="hunter2"))

        def rows(session: Any) -> list[bytes]:
            key = store._ctx.crypto.keys.active
            found = session.streams.find_encrypted(key, None, 100)
            return [entry.payload.body for _, entry in found]

        bodies = store._x.read("test", rows)
        assert len(bodies) == 2 and all(b"hunter2" not in body for body in bodies)
        plain = [each.key for each in store.documents.scan(("adk",)) if "hunter2" in json.dumps(each.value)]
        assert len(plain) == 4  # decrypted by reading, and no filter sees them
        from ciris_store_core import field

        assert store.documents.count(("adk",), filter=field("k").exists() | field("entry").exists()) == 0

    with open_store(url, secrets=SecretsConfig(keys=KeyRing(new_key()))) as store:
        asyncio.run(main(store))
