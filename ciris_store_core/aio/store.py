"""The async store: how it is opened, and its differences from the rules of the facade."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Self, TypeVar

from ciris_store_core.aio.facade import AsyncTransactionContext, async_class_of
from ciris_store_core.aio.workers import Workers, answer, in_thread, settled
from ciris_store_core.errors import InvalidArgument, StoreError
from ciris_store_core.opening import open_store
from ciris_store_core.store import RetryPolicy, Store, Transaction

T = TypeVar("T")

DEFAULT_WORKERS = 10


class AsyncStore(async_class_of(Store)):  # type: ignore[misc]  # its methods are made of those of Store
    """An open store for asyncio: every method of ``Store`` and of its parts, to be awaited. Close it after use.

    Calls run on a bounded number of threads, first come, first served. A call that is cancelled before it got a thread
    never runs. A call that runs already finishes, as a transaction of its own. A block (``transaction``, ``savepoint``,
    ``leases.lock``, an occurrence's handle) is ended before the cancellation continues.
    """

    def __init__(self, store: Store, *, workers: int | Workers | None = None) -> None:
        """Wrap an open store, which closes with this one.

        ``workers`` is the number of concurrent calls: by default the size of the store's connection pool. A fleet
        passes its own threads.
        """
        limit = store.stats().get("size", DEFAULT_WORKERS) if workers is None else workers
        super().__init__(store, limit if isinstance(limit, Workers) else Workers(limit, "ciris-store"))

    @property
    def sync(self) -> Store:
        """Return the wrapped synchronous store, for code that runs in threads."""
        store: Store = self._target
        return store

    def transaction(self) -> AsyncTransactionContext:
        """Return a transaction over all calls on the handle that ``async with`` gives; see ``Store.transaction``.

        It occupies a thread and a connection until the block ends. Inside it, the store's own methods raise
        ``TransactionError`` in this task and in the tasks that it starts there.
        """
        return AsyncTransactionContext(self._target, self._caller)

    async def run(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run ``fn(tx, ...)`` as one transaction, again as a whole after a retryable error; see ``Store.run``.

        An async function runs in the event loop and gets an ``AsyncTransaction``; an ordinary one runs on a thread and
        gets a ``Transaction``.

        Raises:
            InvalidArgument: An ordinary function, such as a lambda, returned a coroutine, which would run after the
                transaction; nothing was written.
        """
        if inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__):
            return await self._run_async(lambda tx: fn(tx, *args, **kwargs))

        def checked(tx: Transaction) -> Any:
            return refuse_awaitable(fn(tx, *args, **kwargs))

        return await answer(self._caller.submit(lambda: self._target.run(checked)))

    async def _run_async(self, fn: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        policy: RetryPolicy = self._target._executor.retry
        failures, started = 0, 0.0
        while True:
            try:
                async with self.transaction() as tx:
                    return await fn(tx)
            except StoreError as error:
                failures += 1
                started = started or policy.monotonic()
                delay = policy.pause(error, failures, started)
            # The policy's own sleep would block the event loop.
            await asyncio.sleep(delay)

    async def close(self) -> None:
        """Roll back open transactions, wait for all other calls, and close the wrapped store."""
        await settled(in_thread(self._close, "ciris-store-close"))

    def _close(self) -> None:
        self._caller.close()
        self._target.close()

    async def __aenter__(self) -> Self:
        """Return the store."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the store."""
        await self.close()


def refuse_awaitable(result: T) -> T:
    """Raise ``InvalidArgument`` if a function's result is awaitable; else return it."""
    if not inspect.isawaitable(result):
        return result
    if inspect.iscoroutine(result):
        result.close()
    raise InvalidArgument(
        "the function returned a coroutine, which would run after its transaction. Pass the async function itself, "
        "as in 'await store.run(fn, arg)'."
    )


class Opening:
    """A store to be opened: ``await`` it, or use it in ``async with``, which also closes it."""

    def __init__(self, open_it: Callable[[], Store], workers: int | None) -> None:
        """Keep the arguments; ``open_store_async`` calls this."""
        self._open_it = open_it
        self._workers = workers
        self._store: AsyncStore | None = None

    def __await__(self) -> Generator[Any, None, AsyncStore]:
        """Open the store and return it."""
        return self._open().__await__()

    async def __aenter__(self) -> AsyncStore:
        """Open the store and return it."""
        self._store = await self._open()
        return self._store

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the store."""
        if self._store is not None:
            await self._store.close()

    async def _open(self) -> AsyncStore:
        future = in_thread(self._open_it, "ciris-store-open")
        try:
            return AsyncStore(await settled(future), workers=self._workers)
        except BaseException:
            if future.exception() is None:
                future.result().close()
            raise


def open_store_async(
    url: str | os.PathLike[str] | None = None, *, workers: int | None = None, **options: Any
) -> Opening:
    """Open a store for asyncio: await the call, or use it in ``async with``, which also closes the store.

    Args:
        url: As for ``open_store``, as are the other options and the errors.
        workers: How many calls run at the same time; by default as many as the store's pool has connections, or 10.
        options: Those of ``open_store``.
    """
    place = [url]  # Removed from the object at use: the URL may hold a password, which a traceback could show.
    return Opening(lambda: open_store(place.pop(), **options), workers)
