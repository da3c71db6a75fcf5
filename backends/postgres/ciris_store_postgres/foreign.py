"""Read access to a schema that another program wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ

from ciris_store_core.contract.foreign import ForeignDatabase
from ciris_store_core.errors import Corrupt, StoreClosed
from ciris_store_core.url import StoreURL
from ciris_store_postgres.connect import ConnectOptions, Connector
from ciris_store_postgres.connection import PooledConnection
from ciris_store_postgres.errors import translate

BATCH = 1000

_TABLES = (
    "SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = %s AND c.relkind IN ('r', 'p') ORDER BY c.relname"
)
_COLUMNS = (
    "SELECT a.attname FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid "
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
)


class PostgresForeign(ForeignDatabase):
    """Foreign database on one connection, in one read-only transaction with one snapshot."""

    def __init__(self, url: StoreURL) -> None:
        """Connect. The option ``schema`` of the URL names the schema of the tables."""
        options = ConnectOptions.from_url(url)
        self._schema = options.schema
        self._connection: PooledConnection | None = Connector(options).open()
        raw = self._connection.raw
        raw.autocommit = False
        raw.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ, readonly=True)

    def tables(self) -> list[str]:
        """Return the names of the schema's tables."""
        return [name for (name,) in self._all(_TABLES, (self._schema,))]

    def columns(self, table: str) -> list[str]:
        """Return the names of a table's columns."""
        return [name for (name,) in self._all(_COLUMNS, (self._schema, table))]

    def count(self, table: str) -> int:
        """Return the number of rows of the table."""
        statement = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(self._schema, table))
        [(number,)] = self._all(statement)
        return int(number)

    def rows(self, table: str, columns: Sequence[str], order: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield all rows through a server-side cursor, fetched a thousand at a time."""
        statement = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.Identifier(self._schema, table),
            sql.SQL(", ").join(map(sql.Identifier, order)),
        )
        raw = self._raw()
        try:
            with raw.cursor(name="ciris_store_foreign") as cursor:
                cursor.itersize = BATCH
                cursor.execute(statement)
                yield from cursor
        except psycopg2.DataError as error:
            raise Corrupt(f"a time in {table} is outside of the years 1 to 9999. Fix or delete its row.") from error
        except psycopg2.Error as error:
            raise translate(error) from error

    def _all(self, statement: Any, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        raw = self._raw()
        try:
            with raw.cursor() as cursor:
                cursor.execute(statement, params)
                return cursor.fetchall()  # type: ignore[no-any-return]
        except psycopg2.Error as error:
            raise translate(error) from error

    def _raw(self) -> Any:
        if self._connection is None:
            raise StoreClosed("the database is closed. Open it again.")
        return self._connection.raw

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
