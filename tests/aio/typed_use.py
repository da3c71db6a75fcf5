"""Programs on the async store, for a type checker. Not run: ``test_aio.py`` has it checked."""

from __future__ import annotations

from typing import assert_type

from ciris_store_core import AsyncMemoryService, AsyncStore, GraphNode, Page, Task, open_store_async
from ciris_store_core.aio import AsyncAdaptiveConfiguration, AsyncClaimedTask, AsyncTransaction
from ciris_store_core.models import Lease, TimeSeriesDataPoint, UserTracking
from ciris_store_core.services import Count


async def both(tx: AsyncTransaction, n: int) -> int:
    return await tx.tasks.count() + n


async def right() -> None:
    async with open_store_async("url", workers=3, occurrence_id="a") as store:
        assert_type(store, AsyncStore)
        assert_type(await store.graph.get("a", "local"), GraphNode | None)
        async for node in store.graph.scan(type="user"):
            assert_type(node, GraphNode)
        async with store.transaction() as tx:
            assert_type(tx, AsyncTransaction)
            assert_type(await tx.tasks.add(Task(task_id="t", channel_id="c", description="d")), Task)
        async with store.for_occurrence("a") as me:
            assert_type(await me.claim_next(), list[AsyncClaimedTask])
        async with store.leases.lock("a", "b") as lease:
            assert_type(lease, Lease)
        assert_type(await store.run(lambda tx, n: tx.tasks.count() + n, 3), int)
        assert_type(await store.run(both, 3), int)
        assert_type(await AsyncMemoryService(store).recall_timeseries(hours=3), Page[TimeSeriesDataPoint])
        configuration = AsyncAdaptiveConfiguration(store)
        assert_type(await configuration.learn(UserTracking, "a", Count("x")), UserTracking)
    assert_type(await open_store_async("url"), AsyncStore)


async def wrong(store: AsyncStore) -> None:
    store.graph.get("a", "local")  # type: ignore[unused-coroutine]
    await store.graph.get("a")  # type: ignore[call-arg]
    await store.graph.put(3)  # type: ignore[arg-type]
    await store.no_such_part.get("a")  # type: ignore[attr-defined]
    for _ in store.graph.scan():  # type: ignore[attr-defined]
        pass
