"""The reference backend, ``memory://``: the whole contract in plain dicts, written to be obviously right.

``memory://name`` is one database per process and name, for as long as a backend is open on it; ``memory://`` is a new,
private one each time. Nothing outlives the process.
"""

from __future__ import annotations

from ciris_store_core.contract.hookspecs import CONTRACT_VERSION, BackendContext, BackendSpec, hookimpl
from ciris_store_core.inmemory.backend import CAPABILITIES, MemoryBackend
from ciris_store_core.url import StoreURL
from ciris_store_core.url_options import OptionReader

__all__ = ["BACKEND", "MemoryBackend", "ciris_store_backend"]


def _open(url: StoreURL, context: BackendContext) -> MemoryBackend:
    OptionReader(url.options).finish()
    return MemoryBackend(context.clock, url.database, create=context.create)


BACKEND = BackendSpec(
    name="memory",
    schemes=("memory",),
    factory=_open,
    capabilities=CAPABILITIES,
    contract_version=CONTRACT_VERSION,
    distribution="ciris-store-core",
)
"""The backend, described without opening it."""


@hookimpl
def ciris_store_backend() -> BackendSpec:
    """The answer to the registry's question."""
    return BACKEND
