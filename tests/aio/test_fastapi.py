"""The async store in an application: FastAPI behind uvicorn, with requests that come all at once or are given up."""

# FastAPI looks the names in annotations up, which it cannot where they are texts and the names are those of a function:
# no ``from __future__ import annotations`` here.

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Annotated, Any

import fastapi
import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException
from fastapi.responses import StreamingResponse

from ciris_store_core import AsyncStore, NotSupported, Unavailable, open_store
from ciris_store_core.aio import AsyncTransaction
from ciris_store_core.errors import StoreClosed
from ciris_store_core.integrations.fastapi import FastAPIStore
from tests.aio.serving import served
from tests.support.factories import concept

REQUESTS = 200
ROUNDS = 25


def application(database: FastAPIStore) -> FastAPI:
    app = FastAPI(lifespan=database.lifespan)

    @app.put("/notes/{id}")
    async def put(id: str, text: str, store: Annotated[AsyncStore, database.store]) -> int:
        return (await store.graph.put(concept(id, **{text: True}))).revision

    @app.post("/pairs/{id}")
    async def pair(id: str, fail: bool, tx: Annotated[AsyncTransaction, database.transaction]) -> str:
        for half in ("a", "b"):
            await tx.graph.put(concept(f"{id}-{half}"))
            if fail:
                raise HTTPException(400)
        return id

    return app


def test_two_hundred_requests_at_once(url: str) -> None:
    database = FastAPIStore(url, workers=10)
    with served(application(database)) as client, ThreadPoolExecutor(40) as threads:
        answers = list(threads.map(lambda i: client.put("/notes/all", params={"text": str(i)}), range(REQUESTS)))
        assert {answer.status_code for answer in answers} == {200}
        assert sorted(answer.json() for answer in answers) == list(range(1, REQUESTS + 1))
        found = database.current.sync.graph.get("all", "local")
        assert found is not None and len(found.attributes) == REQUESTS


def test_a_transaction_for_each_request(url: str) -> None:
    database = FastAPIStore(url, workers=10)
    with served(application(database)) as client, ThreadPoolExecutor(20) as threads:
        answers = threads.map(lambda i: client.post(f"/pairs/{i}", params={"fail": i % 2 == 0}), range(40))
        assert [answer.status_code for answer in answers] == [400, 200] * 20
        store = database.current.sync
        assert store.graph.count(type="concept") == 40

        def given_up(i: int) -> None:
            with suppress(httpx.TimeoutException):
                client.post(f"/pairs/late-{i}", params={"fail": False}, timeout=0.001 * (i + 1))

        list(threads.map(given_up, range(20)))
    with open_store(url) as later:
        assert url == "memory://" or len(list(later.graph.scan(prefix="late-"))) % 2 == 0


class Late(FastAPIStore):
    """Commits later than a quick client asks again; and, if told so, fails to commit."""

    fail = False

    async def _transaction(self) -> AsyncIterator[AsyncTransaction]:
        async for tx in super()._transaction():
            yield tx
            await asyncio.sleep(0.05)
            if self.fail:
                raise Unavailable("the commit failed")


def test_the_answer_comes_after_the_commit(url: str) -> None:
    database = Late(url)
    with served(application(database)) as client:
        for i in range(ROUNDS):
            assert client.post(f"/pairs/{i}", params={"fail": False}).status_code == 200
            assert database.current.sync.graph.get(f"{i}-b", "local") is not None


def test_a_commit_that_fails_is_no_success(url: str) -> None:
    database = Late(url)
    with served(application(database)) as client:
        database.fail = True
        assert client.post("/pairs/x", params={"fail": False}).status_code == 500
        assert database.current.sync.graph.count() == 0


def test_the_recipe_that_forgets_the_scope_answers_first(url: str) -> None:
    """The control: with FastAPI's default scope the client has its answer before the commit."""
    database = Late(url)
    app = FastAPI(lifespan=database.lifespan)

    @app.post("/notes/{id}")
    async def put(id: str, tx: Annotated[AsyncTransaction, Depends(database._transaction)]) -> None:
        await tx.graph.put(concept(id))

    with served(app) as client:
        client.post("/notes/x")
        assert database.current.sync.graph.get("x", "local") is None


def test_the_dependencies_cannot_be_given_another_scope(url: str) -> None:
    database = FastAPIStore(url)
    for wrong in (Depends(database.transaction), Depends(database.transaction, scope="request")):
        app = FastAPI()
        with pytest.raises(TypeError):

            @app.get("/")
            async def route(tx: Annotated[Any, wrong]) -> None: ...


def test_parts_of_a_request_share_its_transaction(url: str) -> None:
    database = FastAPIStore(url)
    app = FastAPI(lifespan=database.lifespan)

    async def user(tx: Annotated[AsyncTransaction, database.transaction]) -> str:
        return (await tx.graph.put(concept("user"))).id

    async def later(store: AsyncStore) -> None:
        await store.graph.put(concept("from-the-background"))

    @app.post("/")
    async def route(
        user: Annotated[str, Depends(user, scope="function")],
        tx: Annotated[AsyncTransaction, database.transaction],
        store: Annotated[AsyncStore, database.store],
        background: BackgroundTasks,
    ) -> StreamingResponse:
        assert await tx.graph.get(user, "local") is not None

        async def body() -> AsyncIterator[str]:
            async for each in store.graph.scan():
                yield each.id

        background.add_task(later, store)
        return StreamingResponse(body())

    with served(app) as client:
        answer = client.post("/")
        assert (answer.status_code, answer.text) == (200, "user")
        for _ in range(200):
            if database.current.sync.graph.get("from-the-background", "local"):
                break
            threading.Event().wait(0.01)
        else:
            raise AssertionError("the background task did not write")


def test_without_its_lifespan_a_route_says_what_to_do(url: str) -> None:
    database = FastAPIStore(url)
    app = application(database)
    app.router.lifespan_context = FastAPI().router.lifespan_context
    with served(app) as client:
        assert client.put("/notes/x", params={"text": "a"}).status_code == 500
    with pytest.raises(StoreClosed, match=r"lifespan=database\.lifespan"):
        _ = database.current


def test_an_old_fastapi_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def old(dependency: Any = None, *, use_cache: bool = True) -> None:
        raise AssertionError

    monkeypatch.setattr(fastapi, "Depends", old)
    with pytest.raises(NotSupported, match=r"0\.121"):
        _ = FastAPIStore("memory://").transaction
