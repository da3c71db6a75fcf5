"""Opening of a store for an adapter, and threads for its async methods."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from ciris_store_core import Store, open_store

T = TypeVar("T")


class Adapter(Protocol):
    """Adapter that an ``Opened`` makes over a store."""

    def close(self) -> None:
        """End the threads of the adapter."""
        ...


A = TypeVar("A", bound=Adapter)


class Opened(Generic[A]):
    """A store that is opened for an adapter; use it in ``with`` or ``async with``, which close the store too."""

    def __init__(self, url: str | os.PathLike[str] | None, make: Callable[[Store], A], options: dict[str, Any]) -> None:
        """Open nothing yet. ``options`` go to ``open_store``."""
        self._url = url
        self._make = make
        self._options = options
        self._store: Store | None = None
        self._adapter: A | None = None

    def __enter__(self) -> A:
        """Open the store and return the adapter over it."""
        self._store = open_store(self._url, **self._options)
        self._adapter = self._make(self._store)
        return self._adapter

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the adapter and the store."""
        if self._adapter is not None:
            self._adapter.close()
        if self._store is not None:
            self._store.close()

    async def __aenter__(self) -> A:
        """Open the store on a thread, and return the adapter over it."""
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the adapter and the store."""
        await asyncio.to_thread(self.__exit__, kind, error, traceback)


class Threads:
    """Threads for the async methods of an adapter, made at the first use."""

    def __init__(self, workers: int = 16) -> None:
        """Have at most so many threads."""
        self._workers = workers
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, fn: Callable[..., T], *args: Any) -> T:
        """Run a function on a thread. It ends there even if the caller is cancelled."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, "ciris-langgraph")
        return await asyncio.get_running_loop().run_in_executor(self._pool, fn, *args)

    def close(self) -> None:
        """End the threads, once what they do is over."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            self._pool = None
