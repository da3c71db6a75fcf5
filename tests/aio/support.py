"""Helpers of the tests of the async store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from ciris_store_core import AsyncStore, GraphNode, ManualClock, TestSeams, open_store_async

WAIT = 30.0


@pytest.fixture
def within(url: str, clock: ManualClock) -> Callable[..., Any]:
    """Runs a coroutine function on a new async store, within a bound on time."""

    def run(body: Callable[[AsyncStore], Coroutine[Any, Any, Any]], **options: Any) -> Any:
        async def whole() -> Any:
            async with open_store_async(url, testing=TestSeams(clock=clock, server_clock=clock), **options) as store:
                return await body(store)

        return asyncio.run(asyncio.wait_for(whole(), WAIT))

    return run


class Busy:
    """Calls that last until they are let go."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.let_go = threading.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self, tx: Any, *nodes: GraphNode) -> str:
        for each in nodes:
            tx.graph.put(each)
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self.let_go.wait(WAIT)
        return "done"
