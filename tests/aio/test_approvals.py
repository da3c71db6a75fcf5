from __future__ import annotations

import asyncio

import pytest

from ciris_store_core import AccessDenied, GraphNode, ManualClock, SigningKey, TestSeams, approved, open_store_async


def test_an_approval_goes_along_with_what_is_awaited(url: str, clock: ManualClock) -> None:
    key = SigningKey.generate()
    node = GraphNode(id="self", type="identity", scope="identity", attributes={})

    async def body() -> None:
        async with open_store_async(url, testing=TestSeams(clock=clock, server_clock=clock)) as store:
            await store.authorities.bootstrap(key.public_key, "Wanda")
            with pytest.raises(AccessDenied) as caught:
                await store.graph.put(node)
            with approved(caught.value.request.approve(key, now=clock.now())):
                async with store.transaction() as tx:
                    assert (await tx.graph.put(node)).revision == 1
            with pytest.raises(AccessDenied):
                await store.graph.put(node)

    asyncio.run(body())
