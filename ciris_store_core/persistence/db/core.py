"""Making a database ready, and facts about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.persistence.arguments import counterpart
from ciris_store_core.persistence.default_store import DbPath, get_store
from ciris_store_core.persistence.unsupported import (
    get_db_connection,
    get_graph_edges_table_schema_sql,
    get_graph_nodes_table_schema_sql,
    get_service_correlations_table_schema_sql,
)
from ciris_store_core.url import resolve_url


def initialize_database(db_path: DbPath = None) -> None:
    """Make the database if there is none and bring its schema up to date; any other function does so by itself."""
    get_store(db_path)


def run_migrations(db_path: DbPath = None) -> None:
    """The same as ``initialize_database``."""
    get_store(db_path)


def get_connection_diagnostics(db_path: DbPath = None) -> dict[str, Any]:
    """Facts about the store and its connections, without its password."""
    store = get_store(db_path)
    return {**store.info(), "stats": dict(store.stats())}


def get_sqlite_db_full_path(db_path: DbPath = None) -> str:
    """The absolute path of the SQLite file that functions with this ``db_path`` use; opens nothing.

    Raises:
        InvalidArgument: It is no SQLite database, or one in memory.
    """
    target = resolve_url(db_path)
    if target.scheme != "sqlite" or target.database == ":memory:":
        raise InvalidArgument("get_sqlite_db_full_path: the database is not an SQLite file")
    return str(Path(target.database).absolute())


async_initialize_database = counterpart(initialize_database)
async_run_migrations = counterpart(run_migrations)
async_get_connection_diagnostics = counterpart(get_connection_diagnostics)

__all__ = [
    "async_get_connection_diagnostics",
    "async_initialize_database",
    "async_run_migrations",
    "get_connection_diagnostics",
    "get_db_connection",
    "get_graph_edges_table_schema_sql",
    "get_graph_nodes_table_schema_sql",
    "get_service_correlations_table_schema_sql",
    "get_sqlite_db_full_path",
    "initialize_database",
    "run_migrations",
]
