"""Plugin hook by which the registry finds this backend."""

from __future__ import annotations

from ciris_store_core.contract import Backend
from ciris_store_core.contract.fleet import FleetBackend
from ciris_store_core.contract.foreign import ForeignDatabase
from ciris_store_core.contract.hookspecs import CONTRACT_VERSION, BackendContext, BackendSpec, hookimpl
from ciris_store_core.url import StoreURL
from ciris_store_sqlite.backend import CAPABILITIES, SqliteBackend


def open_backend(url: StoreURL, context: BackendContext) -> Backend:
    """Return the backend for a URL. ``prepare`` opens the database."""
    return SqliteBackend(url, context)


def open_foreign(url: StoreURL) -> ForeignDatabase:
    """Return a database that another program wrote, open for reading."""
    from ciris_store_sqlite.foreign import SqliteForeign

    return SqliteForeign(url)


def open_fleet(url: StoreURL) -> FleetBackend:
    """Return the files of a folder, one for each agent."""
    from ciris_store_sqlite.fleet import SqliteFleet

    return SqliteFleet(url)


@hookimpl
def ciris_store_backend() -> BackendSpec:
    """Describe this backend."""
    return BackendSpec(
        name="SQLite",
        schemes=("sqlite",),
        factory=open_backend,
        capabilities=CAPABILITIES,
        contract_version=CONTRACT_VERSION,
        distribution="ciris-store-sqlite",
        open_foreign=open_foreign,
        open_fleet=open_fleet,
    )
