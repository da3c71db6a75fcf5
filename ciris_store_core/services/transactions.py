"""Several calls in one transaction of a store, or as a part of a given transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ciris_store_core.store import Store, Transaction

T = TypeVar("T")


def as_one(store: Store | Transaction, fn: Callable[[Transaction], T]) -> T:
    """Run ``fn(tx)`` in a transaction, repeated after a retryable error, or in a savepoint of the given one."""
    if isinstance(store, Store):
        return store.run(fn)
    with store.savepoint():
        return fn(store)
