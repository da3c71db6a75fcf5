"""Bounds, order, cancellation and the end of the async store."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ciris_store_core import AsyncStore, InvalidArgument, Store, aio, open_store, open_store_async
from ciris_store_core.errors import StoreClosed, TransactionError
from tests.aio.support import WAIT, Busy
from tests.support.factories import concept, task

# --- bounds and order -------------------------------------------------------------------------


def test_two_hundred_tasks_share_a_pool_of_ten(url: str) -> None:
    target = f"{url}{'&' if '?' in url else '?'}pool_size=10" if url != "memory://" else url
    most, others = 0, set(threading.enumerate())

    async def add(store: AsyncStore, i: int) -> None:
        nonlocal most
        async with store.transaction() as tx:
            found = await tx.graph.get(f"counter-{i % 5}", "local")
            await tx.graph.put(concept(f"{i}", after=found is not None))
            most = max(most, store.sync.stats().get("in_use", 0))
            await tx.graph.put(concept(f"counter-{i % 5}", **{str(i): True}))
        assert (await store.graph.get(f"{i}", "local")) is not None

    async def body() -> None:
        async with open_store_async(target, workers=10) as store:
            await asyncio.gather(*(add(store, i) for i in range(200)))
            counters = await store.graph.get_many([(f"counter-{k}", "local") for k in range(5)])
            assert sum(len(each.attributes) for each in counters.values()) == 200
            stats = store.sync.stats()
            assert stats.get("waiting", 0) == stats.get("in_use", 0) == 0
            threads = [each for each in threading.enumerate() if each.name.startswith("ciris-store_")]
            assert len(set(threads) - others) <= 10
        print("most connections at the same time:", most)
        assert most <= 10

    asyncio.run(asyncio.wait_for(body(), 90))


def test_calls_wait_in_order(within: Callable[..., Any]) -> None:
    async def body(store: AsyncStore) -> None:
        busy, order = Busy(), []
        first = asyncio.create_task(store.run(busy))
        await busy.begun.wait()
        rest = [asyncio.create_task(store.run(lambda tx, i=i: order.append(i))) for i in range(20)]
        await asyncio.sleep(0)
        busy.let_go.set()
        await asyncio.gather(first, *rest)
        assert order == list(range(20))

    within(body, workers=1)


def test_as_many_workers_as_connections(url: str) -> None:
    with open_store(url) as store:
        expected = store.stats().get("size", 10)
        assert AsyncStore(store)._caller._executor._max_workers == expected
        with pytest.raises(InvalidArgument, match="workers"):
            AsyncStore(store, workers=0)


# --- cancellation -----------------------------------------------------------------------------


def test_a_cancelled_call_that_had_not_begun_never_runs(within: Callable[..., Any]) -> None:
    async def body(store: AsyncStore) -> None:
        busy = Busy()
        first = asyncio.create_task(store.run(busy))
        await busy.begun.wait()
        waiting = [asyncio.create_task(store.tasks.add(task())), asyncio.create_task(_whole(store))]
        await asyncio.sleep(0)
        for each in waiting:
            each.cancel()
        assert all(
            isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(*waiting, return_exceptions=True)
        )
        busy.let_go.set()
        assert await first == "done" and await store.tasks.count() == 0

    async def _whole(store: AsyncStore) -> None:
        async with store.transaction() as tx:
            await tx.tasks.add(task())

    within(body, workers=1)


def test_a_cancelled_call_that_had_begun_finishes(within: Callable[..., Any]) -> None:
    async def body(store: AsyncStore) -> None:
        busy = Busy()
        call = asyncio.create_task(store.run(busy, concept()))
        await busy.begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        busy.let_go.set()
        assert await store.graph.count() == 1  # After it, as there is one worker.

    within(body, workers=1)


def test_a_cancelled_block_is_rolled_back_before_the_cancellation_goes_on(within: Callable[..., Any]) -> None:
    async def hold(store: AsyncStore, inside: asyncio.Event) -> None:
        async with store.transaction() as tx:
            await tx.tasks.add(task())
            inside.set()
            await asyncio.sleep(WAIT)

    async def body(store: AsyncStore) -> None:
        inside = asyncio.Event()
        held = asyncio.create_task(hold(store, inside))
        await inside.wait()
        held.cancel()
        with pytest.raises(asyncio.CancelledError):
            await held
        assert await store.tasks.count() == 0 and store.sync.stats().get("in_use", 0) == 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await hold(store, inside)
        assert await store.tasks.count() == 0

    within(body, workers=1)


def test_a_commit_that_is_cancelled_finishes(within: Callable[..., Any]) -> None:
    async def body(store: AsyncStore) -> None:
        busy = Busy()

        async def whole() -> None:
            async with store.transaction() as tx:
                await tx.tasks.add(task())
                tx._caller.submit(lambda: busy(tx))  # The commit comes after this.

        committing = asyncio.create_task(whole())
        await busy.begun.wait()
        await asyncio.sleep(0.01)
        for _ in range(3):
            committing.cancel()
            await asyncio.sleep(0)
        assert not committing.done()
        busy.let_go.set()
        with pytest.raises(asyncio.CancelledError):
            await committing
        assert await store.tasks.count() == 1

    within(body, workers=2)


def test_a_cancelled_entry_is_taken_back(within: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(store: AsyncStore) -> None:
        busy = Busy()
        acquire = type(store.sync.leases).acquire

        def slow(self: Any, *args: Any) -> Any:
            lease = acquire(self, *args)
            busy(None)
            return lease

        monkeypatch.setattr(type(store.sync.leases), "acquire", slow)
        entering = asyncio.create_task(store.leases.lock("l", "me").__aenter__())
        await busy.begun.wait()
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        busy.let_go.set()
        while await store.leases.find():
            await asyncio.sleep(0)

    within(body, workers=1)


@pytest.mark.parametrize("seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 100))])
def test_cancellations_at_any_moment_leave_no_half(within: Callable[..., Any], seed: int) -> None:
    chance = random.Random(seed)

    async def pair(store: AsyncStore, i: int) -> None:
        async with store.transaction() as tx:
            await tx.graph.put(concept(f"{i}-a"))
            await tx.graph.put(concept(f"{i}-b"))

    async def body(store: AsyncStore) -> None:
        pairs = [asyncio.create_task(pair(store, i)) for i in range(60)]
        for each in chance.sample(pairs, 40):
            await asyncio.sleep(chance.random() / 500)
            each.cancel()
        results = await asyncio.gather(*pairs, return_exceptions=True)
        found = {each.id async for each in store.graph.scan()}
        for i, result in enumerate(results):
            assert (f"{i}-a" in found) == (f"{i}-b" in found)
            assert result is None or isinstance(result, asyncio.CancelledError), result
            assert f"{i}-a" in found or result is not None
        assert store.sync.stats().get("in_use", 0) == 0
        print(f"{len(found) // 2} of 60 committed")

    within(body, workers=4)


# --- the end ----------------------------------------------------------------------------------


def test_close_rolls_back_what_is_open_and_waits_for_the_rest(within: Callable[..., Any], url: str) -> None:
    async def body(store: AsyncStore) -> None:
        manager = store.transaction()
        tx = await manager.__aenter__()
        await tx.tasks.add(task())
        await store.close()
        with pytest.raises(TransactionError, match="over"):
            await tx.tasks.count()
        await manager.__aexit__(None, None, None)
        for call in (store.tasks.count, store.transaction().__aenter__):
            with pytest.raises(StoreClosed):
                await call()
        if url != "memory://":
            async with open_store_async(url) as again:
                assert await again.tasks.count() == 0

    within(body)


def test_close_waits_for_calls_that_were_made(within: Callable[..., Any]) -> None:
    async def body(store: AsyncStore) -> None:
        busy = Busy()
        calls = [asyncio.create_task(store.run(busy)), asyncio.create_task(store.tasks.add(task()))]
        begin = asyncio.create_task(store.transaction().__aenter__())
        await busy.begun.wait()
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0.01)
        assert not closing.done()
        busy.let_go.set()
        await closing
        assert await calls[0] == "done" and (await calls[1]).task_id == "t"
        with pytest.raises(StoreClosed):
            await begin

    within(body, workers=1)


def test_a_transaction_whose_loop_is_gone_is_rolled_back(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aio.workers, "LOOP_CHECK_SECONDS", 0.01)
    with open_store(url) as store:
        left = AsyncStore(store, workers=1)
        loop = asyncio.new_event_loop()
        tx = loop.run_until_complete(left.transaction().__aenter__())
        loop.run_until_complete(tx.tasks.add(task()))
        loop.close()
        assert asyncio.run(left.tasks.count()) == 0  # It has the only worker, once that is free.


def test_opening(url: str, tmp_path: Any) -> None:
    async def body() -> None:
        store = await open_store_async(url)
        assert repr(store).startswith("AsyncStore(") and isinstance(store.sync, Store)
        await store.close()
        await store.close()
        opening = asyncio.create_task(_opened(url))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        with pytest.raises(InvalidArgument) as caught:
            await open_store_async("postgresql://me:hunter2@localhost/db?no=1")
        frame = caught.tb
        while frame is not None:
            shown = {name: value for name, value in frame.tb_frame.f_locals.items() if name not in ("caught", "frame")}
            assert frame.tb_frame.f_code is body.__code__ or "hunter2" not in repr(shown)
            frame = frame.tb_next  # type: ignore[assignment]

    async def _opened(url: str) -> AsyncStore:
        return await open_store_async(url)

    asyncio.run(body())
