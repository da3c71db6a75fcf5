"""Parts that the stores of the harness share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ciris_store_core import AlreadyExists, AsyncStore, Store, Transaction
from ciris_store_core.integrations.frameworks import secrets_mode

T = TypeVar("T")

_TRIES = 10

Key = tuple[tuple[str, ...], str]


class OnStore:
    """The common base of the stores."""

    def __init__(self, store: Store | AsyncStore, namespace: Sequence[str]) -> None:
        """Work on an open store, which the caller closes, below a namespace."""
        self._store = store if isinstance(store, AsyncStore) else AsyncStore(store)
        self._root = tuple(namespace)
        self._mode = secrets_mode(self._store.sync, "Pydantic AI harness")

    async def _run(self, fn: Callable[..., T], *args: Any) -> T:
        """Run a function in a transaction.

        A document that does not exist cannot be locked. If two callers insert one, the second runs again, and finds it.
        """

        def again(tx: Transaction) -> T:
            return fn(tx, *args)

        for _ in range(_TRIES - 1):
            try:
                return await self._store.run(again)  # type: ignore[no-any-return]
            except AlreadyExists:
                pass
        return await self._store.run(again)  # type: ignore[no-any-return]
