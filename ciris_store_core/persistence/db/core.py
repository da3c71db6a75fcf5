"""Creation and migration of a database, and information about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.persistence.arguments import counterpart
from ciris_store_core.persistence.default_store import DbPath, get_store, renew_store
from ciris_store_core.persistence.unsupported import (
    execute_with_retry,
    get_db_connection,
    get_db_connection_with_retry,
    get_graph_edges_table_schema_sql,
    get_graph_nodes_table_schema_sql,
    get_service_correlations_table_schema_sql,
    with_retry,
)
from ciris_store_core.url import resolve_url


def initialize_database(db_path: DbPath = None) -> None:
    """Create the database if there is none and migrate its schema. Every other function does so on demand.

    If an SQLite file was deleted or replaced since this process opened it, open what is there now, or create it again.
    """
    renew_store(db_path)


def run_migrations(db_path: DbPath = None) -> None:
    """Do the same as ``initialize_database``."""
    renew_store(db_path)


def get_connection_diagnostics(db_path: DbPath = None) -> dict[str, Any]:
    """Return information about the store and its connections, without its password."""
    store = get_store(db_path)
    return {**store.info(), "stats": dict(store.stats())}


def get_sqlite_db_full_path(db_path: DbPath = None) -> str:
    """Return the absolute path of the SQLite file for this ``db_path``, without opening it.

    Raises:
        InvalidArgument: It is no SQLite database, or one in memory.
    """
    target = resolve_url(db_path)
    if target.scheme != "sqlite" or target.database == ":memory:":
        raise InvalidArgument(
            "get_sqlite_db_full_path: the database is not an SQLite file. Use the store's URL instead."
        )
    return str(Path(target.database).absolute())


async_initialize_database = counterpart(initialize_database)
async_run_migrations = counterpart(run_migrations)
async_get_connection_diagnostics = counterpart(get_connection_diagnostics)

__all__ = [
    "async_get_connection_diagnostics",
    "async_initialize_database",
    "async_run_migrations",
    "execute_with_retry",
    "get_connection_diagnostics",
    "get_db_connection",
    "get_db_connection_with_retry",
    "get_graph_edges_table_schema_sql",
    "get_graph_nodes_table_schema_sql",
    "get_service_correlations_table_schema_sql",
    "get_sqlite_db_full_path",
    "initialize_database",
    "run_migrations",
    "with_retry",
]
