"""Plugin hook by which the registry finds this backend."""

from __future__ import annotations

from ciris_store_core.contract import Backend
from ciris_store_core.contract.hookspecs import CONTRACT_VERSION, BackendContext, BackendSpec, hookimpl
from ciris_store_core.url import StoreURL
from ciris_store_duckdb.backend import CAPABILITIES, DuckBackend


def open_backend(url: StoreURL, context: BackendContext) -> Backend:
    """Return the backend for a URL. ``prepare`` opens the database."""
    return DuckBackend(url, context)


@hookimpl
def ciris_store_backend() -> BackendSpec:
    """Describe this backend."""
    return BackendSpec(
        name="DuckDB",
        schemes=("duckdb",),
        factory=open_backend,
        capabilities=CAPABILITIES,
        contract_version=CONTRACT_VERSION,
        distribution="ciris-store-duckdb",
    )
