from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

from ciris_store_claude import CirisSessionStore
from claude_agent_sdk.testing import run_session_store_conformance

from ciris_store_core import KeyRing, SecretsConfig, Store, open_store
from ciris_store_core.secrets.keys import new_key

KEY: Any = {"project_key": "p", "session_id": "s"}


def test_the_sdks_own_suite(store: Store) -> None:
    made = count()
    asyncio.run(run_session_store_conformance(lambda: CirisSessionStore(store, namespace=(f"suite{next(made)}",))))
    assert next(made) > 12  # a store for each contract


def test_an_entry_sent_again_is_stored_once(store: Store) -> None:
    async def main() -> None:
        sessions = CirisSessionStore(store)
        first: Any = {"type": "user", "uuid": "u1", "text": "my password is hunter2\0\ud800", "n": 2**70}
        await sessions.append(KEY, [first, {"type": "title"}])
        await sessions.append(KEY, [first, {"type": "user", "uuid": "u2"}, {"type": "title"}])
        assert await sessions.load(KEY) == [first, {"type": "title"}, {"type": "user", "uuid": "u2"}, {"type": "title"}]

    asyncio.run(main())


def test_concurrent_appends_lose_nothing(store: Store) -> None:
    async def main() -> None:
        sessions = CirisSessionStore(store)
        entry: Any = {"type": "user", "timestamp": "2024-01-01T00:00:00.000Z", "customTitle": "x"}
        await asyncio.gather(
            *(sessions.append(KEY, [{**entry, "uuid": f"{worker}.{i}"} for i in range(5)]) for worker in range(16))
        )
        loaded = await sessions.load(KEY)
        assert loaded is not None and len({each["uuid"] for each in loaded}) == 80
        [summary] = await sessions.list_session_summaries("p")
        [listed] = await sessions.list_sessions("p")
        assert summary["mtime"] >= listed["mtime"]

    asyncio.run(main())


def test_with_a_key_nothing_is_readable(url: str) -> None:
    async def main() -> None:
        with open_store(url, secrets=SecretsConfig(keys=KeyRing(new_key()))) as store:
            sessions = CirisSessionStore(store)
            await sessions.append(KEY, [{"type": "user", "text": "hunter2"}])
            assert await sessions.load(KEY) == [{"type": "user", "text": "hunter2"}]
            found = store._x.read("test", lambda s: s.streams.find_encrypted(store._ctx.crypto.keys.active, None, 10))
            assert len(found) == 1 and b"hunter2" not in found[0][1].payload.body

    asyncio.run(main())
