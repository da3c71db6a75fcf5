"""Services over an async store: each synchronous service runs on the store's threads."""

from __future__ import annotations

from typing import Any

from ciris_store_core.aio.facade import Facade, async_class_of, async_name
from ciris_store_core.aio.store import AsyncStore
from ciris_store_core.store import Store
from ciris_store_core.store.execution import Blocking


class ServiceFacade:
    """The common base of async services: each is created from a store or transaction, async or not."""

    kind: type

    def __init__(self, store: Facade | Store, *args: Any, **kwargs: Any) -> None:
        """Create the service over a store or transaction, async or not; the other arguments go to the service."""
        facade = AsyncStore(store) if isinstance(store, Store) else store
        Facade.__init__(self, self.kind(facade._target, *args, **kwargs), facade._caller)  # type: ignore[arg-type]


def service(kind: type[Blocking]) -> type[Facade]:
    """Return the async counterpart of a service, which users instantiate themselves."""
    members = {"kind": kind, "__doc__": kind.__doc__, "__module__": kind.__module__}
    return type(async_name(kind), (ServiceFacade, async_class_of(kind)), members)
