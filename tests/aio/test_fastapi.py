"""The async store in an application: FastAPI, with requests that come all at once or are given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request

from ciris_store_core import AsyncStore, GraphNode, open_store_async
from ciris_store_core.aio import AsyncTransaction

REQUESTS = 200


def application(url: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_store_async(url, workers=10) as store:
            app.state.store = store
            yield

    return FastAPI(lifespan=lifespan)


def the_store(request: Request) -> AsyncStore:
    store: AsyncStore = request.app.state.store
    return store


async def a_transaction(store: Annotated[AsyncStore, Depends(the_store)]) -> AsyncIterator[AsyncTransaction]:
    async with store.transaction() as tx:
        yield tx


def with_routes(app: FastAPI) -> FastAPI:
    @app.put("/notes/{id}")
    async def put(id: str, text: str, store: Annotated[AsyncStore, Depends(the_store)]) -> int:
        node = GraphNode(id=id, type="note", scope="local", attributes={text: True})
        return (await store.graph.put(node)).revision

    @app.post("/pairs/{id}")
    async def pair(id: str, fail: bool, tx: Annotated[Any, Depends(a_transaction)]) -> str:
        for half in ("a", "b"):
            await tx.graph.put(GraphNode(id=f"{id}-{half}", type="half", scope="local", attributes={}))
            if fail:
                raise HTTPException(400)
        return id

    return app


@pytest.fixture
def serving(url: str) -> Callable[..., Any]:
    def run(body: Callable[[httpx.AsyncClient, AsyncStore], Any]) -> Any:
        async def whole() -> Any:
            app = with_routes(application(url))
            async with app.router.lifespan_context(app):
                transport = httpx.ASGITransport(app)
                async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                    return await body(client, app.state.store)

        return asyncio.run(asyncio.wait_for(whole(), 90))

    return run


def test_two_hundred_requests_at_once(serving: Callable[..., Any]) -> None:
    async def body(client: httpx.AsyncClient, store: AsyncStore) -> None:
        calls = [client.put("/notes/all", params={"text": str(i)}) for i in range(REQUESTS)]
        answers = await asyncio.gather(*calls)
        assert {answer.status_code for answer in answers} == {200}
        assert sorted(answer.json() for answer in answers) == list(range(1, REQUESTS + 1))
        node = await store.graph.get("all", "local")
        assert node is not None and len(node.attributes) == REQUESTS

    serving(body)


def test_a_transaction_for_each_request(serving: Callable[..., Any]) -> None:
    async def body(client: httpx.AsyncClient, store: AsyncStore) -> None:
        calls = [client.post(f"/pairs/{i}", params={"fail": i % 2 == 0}) for i in range(40)]
        answers = await asyncio.gather(*calls)
        assert [answer.status_code for answer in answers] == [400, 200] * 20
        assert await store.graph.count(type="half") == 40
        given_up = [asyncio.create_task(client.post(f"/pairs/late-{i}", params={"fail": False})) for i in range(20)]
        for call in given_up:
            await asyncio.sleep(0.001)
            call.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
        late = [node.id async for node in store.graph.scan(prefix="late-")]
        assert len(late) % 2 == 0 and store.sync.stats().get("in_use", 0) == 0

    serving(body)
