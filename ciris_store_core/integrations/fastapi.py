"""A store in a FastAPI application: opened with the application, and one transaction for each request.

Needs FastAPI 0.121 or later.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ciris_store_core.aio import open_store_async
from ciris_store_core.errors import NotSupported, StoreClosed

if TYPE_CHECKING:
    from ciris_store_core.aio import AsyncStore, AsyncTransaction, Opening


class FastAPIStore:
    """An ``AsyncStore`` for the routes of FastAPI applications.

    Example::

        database = FastAPIStore("sqlite:///agent.db")
        app = FastAPI(lifespan=database.lifespan)


        @app.post("/tasks/{id}")
        async def add(id: str, tx: Annotated[AsyncTransaction, database.transaction]) -> None:
            await tx.tasks.add(Task(task_id=id, channel_id="web", description="asked for"))

    ``store`` and ``transaction`` are dependencies as they stand, not functions for ``Depends``, whose default ends a
    transaction after the response.
    """

    def __init__(
        self, url: str | os.PathLike[str] | None = None, *, workers: int | None = None, **options: Any
    ) -> None:
        """Take the arguments of ``open_store_async``; the store is opened when the application starts."""
        # A closure, because the URL may hold a password, which an attribute's repr or a traceback could show.
        self._open: Callable[[], Opening] = lambda: open_store_async(url, workers=workers, **options)
        self._opened: AsyncStore | None = None

    @asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncIterator[None]:
        """Open the store while the application runs; an application's own lifespan enters it with ``async with``."""
        async with self._open() as store:
            self._opened = store
            try:
                yield
            finally:
                self._opened = None

    @property
    def current(self) -> AsyncStore:
        """Return the open store, for code outside routes; raise ``StoreClosed`` while the application does not run."""
        if self._opened is None:
            raise StoreClosed("the application has not opened its store. Pass lifespan=database.lifespan to FastAPI.")
        return self._opened

    @cached_property
    def store(self) -> Any:
        """Return the store, as a dependency. Each call on it is a transaction of its own, committed when it returns."""
        return _depends(self._store)

    @cached_property
    def transaction(self) -> Any:
        """Yield one transaction for the request, as a dependency: the same for all dependents of the request.

        It is committed when the route returns and before the response is sent, so that a client with an answer of 200
        finds what it wrote; if the commit fails the answer is 500. It is rolled back if the route raises,
        ``HTTPException`` included; a route that returns an error response commits. It is over when a streaming body or
        a background task runs: give these the store.
        """
        return _depends(self._transaction)

    async def _store(self) -> AsyncStore:
        return self.current

    async def _transaction(self) -> AsyncIterator[AsyncTransaction]:
        async with self.current.transaction() as tx:
            yield tx


def _depends(dependency: Any) -> Any:
    from fastapi import Depends

    if "scope" not in inspect.signature(Depends).parameters:
        raise NotSupported("this FastAPI ends dependencies after the response. Install fastapi 0.121 or later.")
    # The default scope, "request", sends the response first and commits afterwards.
    return Depends(dependency, scope="function")
