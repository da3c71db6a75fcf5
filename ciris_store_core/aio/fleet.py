"""The async counterpart of a fleet."""

from __future__ import annotations

import os
from typing import Any

from ciris_store_core.aio.facade import async_class_of
from ciris_store_core.aio.store import DEFAULT_WORKERS, AsyncStore
from ciris_store_core.aio.workers import Workers, answer, in_thread, settled
from ciris_store_core.fleet import Fleet, open_fleet
from ciris_store_core.store import Store


class AsyncFleet(async_class_of(Fleet)):  # type: ignore[misc]  # its methods are made of those of Fleet
    """A fleet for asyncio: every method of ``Fleet``, to be awaited. Close it after use, or use ``async with``.

    All stores of the fleet share its threads. So inside a transaction of one agent's store, the calls of every store of
    the fleet raise ``TransactionError``: end the transaction first.
    """

    def __init__(self, fleet: Fleet, *, workers: int = DEFAULT_WORKERS) -> None:
        """Wrap a fleet, which closes with this one. ``workers`` is the number of concurrent calls."""
        super().__init__(fleet, Workers(workers, "ciris-fleet"))

    async def store(self, agent: str, *, create: bool = True) -> AsyncStore:
        """Return the store of an agent; see ``Fleet.store``."""
        store: Store = await answer(self._caller.submit(lambda: self._target.store(agent, create=create)))
        return _FleetStore(store, workers=self._caller)

    async def close(self) -> None:
        """Roll back open transactions, wait for all other calls, and close the fleet."""
        await settled(in_thread(self._close, "ciris-fleet-close"))

    def _close(self) -> None:
        self._caller.close()
        self._target.close()

    async def __aenter__(self) -> AsyncFleet:
        """Return the fleet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the fleet."""
        await self.close()


class _FleetStore(AsyncStore):
    """A store on the threads of its fleet, which outlive it."""

    def _close(self) -> None:
        self._target.close()


def open_fleet_async(
    url: str | os.PathLike[str] | None = None, *, workers: int = DEFAULT_WORKERS, **options: Any
) -> AsyncFleet:
    """Open a fleet for asyncio. No store is opened yet, and no server contacted.

    Args:
        url: As for ``open_fleet``, as are the other options and the errors.
        workers: How many calls run at the same time, over all agents.
        options: Those of ``open_fleet`` and ``open_store``.
    """
    place = [url]  # Removed from the object at use: the URL may hold a password, which a traceback could show.
    return AsyncFleet(open_fleet(place.pop(), **options), workers=workers)
