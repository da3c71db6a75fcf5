"""Services over an async store: each is the synchronous one, reached through the store's threads."""

from __future__ import annotations

from typing import Any

from ciris_store_core.aio.facade import Facade, async_class_of, async_name
from ciris_store_core.aio.store import AsyncStore
from ciris_store_core.store import Store
from ciris_store_core.store.execution import Blocking


class OfStore:
    """What the counterparts of services have in common: they are made from a store or transaction, async or not."""

    kind: type

    def __init__(self, store: Facade | Store, *args: Any, **kwargs: Any) -> None:
        """``store``: an async store or transaction, or an ordinary store; the rest goes to the service."""
        facade = AsyncStore(store) if isinstance(store, Store) else store
        Facade.__init__(self, self.kind(facade._target, *args, **kwargs), facade._caller)  # type: ignore[arg-type]


def service(kind: type[Blocking]) -> type[Facade]:
    """The class of the counterparts of a service, which users make by themselves."""
    members = {"kind": kind, "__doc__": kind.__doc__, "__module__": kind.__module__}
    return type(async_name(kind), (OfStore, async_class_of(kind)), members)
