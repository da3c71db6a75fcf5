from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from ciris_store_keyvalue import CirisKeyValue
from key_value.aio.errors import InvalidTTLError
from key_value.aio.protocols.key_value import (
    AsyncCullProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncDestroyStoreProtocol,
    AsyncEnumerateCollectionsProtocol,
    AsyncEnumerateKeysProtocol,
    AsyncKeyValue,
)

from ciris_store_core import ManualClock, TestSeams, open_store

Use = Callable[[CirisKeyValue, ManualClock], Awaitable[None]]


@pytest.fixture
def run(url: str) -> Callable[[Use], None]:
    """Runs a test with an adapter and the clock of its store."""

    def run_it(use: Use) -> None:
        clock = ManualClock()
        with open_store(url, testing=TestSeams(clock=clock, server_clock=clock)) as store:
            asyncio.run(use(CirisKeyValue(store), clock))  # type: ignore[arg-type]

    return run_it


def test_it_is_what_the_protocols_ask_for(store: Any) -> None:
    found = CirisKeyValue(store)
    for protocol in (
        AsyncKeyValue, AsyncCullProtocol, AsyncEnumerateKeysProtocol, AsyncEnumerateCollectionsProtocol,
        AsyncDestroyStoreProtocol, AsyncDestroyCollectionProtocol,
    ):  # fmt: skip
        assert isinstance(found, protocol)


def test_values_by_key_and_collection(run: Callable[[Use], None]) -> None:
    async def use(kv: CirisKeyValue, clock: ManualClock) -> None:
        assert await kv.get("k") is None and await kv.delete("k") is False
        await kv.put("k", {"a": 1})
        await kv.put("k", {"b": 1.0}, collection="other")
        await kv.put("k", {"a": 2})
        assert await kv.get("k") == {"a": 2} and await kv.get("k", collection="other") == {"b": 1.0}
        assert await kv.delete("k") is True and await kv.get("k") is None
        assert await kv.get("k", collection="other") == {"b": 1.0}

    run(use)


def test_many_at_once(run: Callable[[Use], None]) -> None:
    async def use(kv: CirisKeyValue, clock: ManualClock) -> None:
        await kv.put_many(["a", "b", "c"], [{"n": i} for i in range(3)], ttl=10)
        assert await kv.get_many(["c", "x", "a", "a"]) == [{"n": 2}, None, {"n": 0}, {"n": 0}]
        assert await kv.ttl_many(["b", "x"]) == [({"n": 1}, 10.0), (None, None)]
        assert await kv.delete_many(["a", "x", "b"]) == 2
        assert await kv.get_many([]) == [] and await kv.delete_many([]) == 0
        await kv.put_many([], [])
        with pytest.raises(ValueError):
            await kv.put_many(["a"], [])
        await kv.put_many(["a", "a"], [{"n": 1}, {"n": 2}])
        assert await kv.get("a") == {"n": 2}

    run(use)


def test_expiry(run: Callable[[Use], None]) -> None:
    async def use(kv: CirisKeyValue, clock: ManualClock) -> None:
        await kv.put("short", {"x": 1}, ttl=5)
        await kv.put("ever", {"x": 1})
        assert await kv.ttl("ever") == ({"x": 1}, None) and await kv.ttl("none") == (None, None)
        clock.advance(seconds=2)
        assert await kv.ttl("short") == ({"x": 1}, 3.0)
        await kv.put("short", {"x": 2}, ttl=1)
        clock.advance(seconds=1)
        assert await kv.get("short") is None and await kv.delete("short") is False
        assert await kv.keys() == ["ever"] and await kv.collections() == ["default_collection"]
        await kv.put("k", {}, collection="gone", ttl=timedelta(seconds=1).total_seconds())
        clock.advance(seconds=1)
        assert await kv.collections() == ["default_collection"]
        await kv.cull()
        for wrong in (0, -1, float("nan"), "soon"):
            with pytest.raises(InvalidTTLError):
                await kv.put("k", {}, ttl=wrong)  # type: ignore[arg-type]

    run(use)


def test_keys_collections_and_destruction(run: Callable[[Use], None]) -> None:
    async def use(kv: CirisKeyValue, clock: ManualClock) -> None:
        for name in ("a", "a%", "ab", "a_"):
            await kv.put_many(["x", "y", "z"], [{}, {}, {}], collection=name)
        assert await kv.collections() == ["a", "a%", "a_", "ab"] and await kv.collections(limit=2) == ["a", "a%"]
        assert await kv.keys("a") == ["x", "y", "z"] and await kv.keys("a", limit=2) == ["x", "y"]
        assert await kv.destroy_collection("a_") is True and await kv.destroy_collection("a_") is False
        assert await kv.collections() == ["a", "a%", "ab"]
        assert await kv.destroy() is True and await kv.collections() == [] and await kv.keys("a") == []

    run(use)


def test_values_come_back_as_they_were(run: Callable[[Use], None]) -> None:
    async def use(kv: CirisKeyValue, clock: ManualClock) -> None:
        value = {"b": [1, 1.0, None, True, 2**70, "\0\ud800"], "a": {"nested": {"x": "password=hunter2"}}, "": {}}
        await kv.put("ключ/'\"%", value)
        found = await kv.get("ключ/'\"%")
        assert repr(found) == repr(value)
        with pytest.raises(TypeError):
            await kv.put("k", [1])  # type: ignore[arg-type]

    run(use)


def test_many_writers(run: Callable[[Use], None]) -> None:
    async def use(kv: CirisKeyValue, clock: ManualClock) -> None:
        await asyncio.gather(*(kv.put(f"k{i % 10}", {"i": i}) for i in range(100)))
        assert await kv.keys() == [f"k{i}" for i in range(10)]
        deleted = await asyncio.gather(*(kv.delete("k1") for _ in range(10)))
        assert sum(deleted) == 1

    run(use)
