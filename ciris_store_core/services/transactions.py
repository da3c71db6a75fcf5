"""Several calls as one, over a store or within a transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ciris_store_core.store import Store, Transaction

T = TypeVar("T")


def as_one(store: Store | Transaction, fn: Callable[[Transaction], T]) -> T:
    """Run ``fn(tx)`` as a transaction, again as a whole after a retryable error; or as a part of the one given."""
    if isinstance(store, Store):
        return store.run(fn)
    with store.savepoint():
        return fn(store)
