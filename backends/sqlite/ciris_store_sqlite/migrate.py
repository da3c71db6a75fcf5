"""Migrations of an SQLite database."""

from __future__ import annotations

from ciris_store_core.sql import Migrator

TABLE_EXISTS = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"


class SqliteMigrator(Migrator):
    """Migrator of an SQLite database."""

    def lock(self) -> None:
        """Do nothing: a write transaction excludes every other writer."""

    def table_exists(self, table: str) -> bool:
        """Return True if the table exists."""
        return self.session.row(TABLE_EXISTS, (table,)) is not None
