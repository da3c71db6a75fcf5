"""Harnesses that provide an empty store of each backend at little cost."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from ciris_store_core.clock import Clock, ManualClock
from ciris_store_core.conformance import UrlHarness
from ciris_store_core.conformance.peers import Peer, open_peer
from ciris_store_core.contract import Backend
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.contract.registry import Registry
from ciris_store_core.url import resolve_url
from tests.support.pgserver import ExternalServer, execute

KEYS = {
    "graph_nodes": "id",
    "correlations": "correlation_id",
    "tasks": "task_id",
    "thoughts": "thought_id",
    "documents": "key",
    "stream_entries": "position",
}
DAMAGES = {
    "graph_nodes": "attributes = '[]'",
    "documents": "format = 'nonsense'",
    "stream_entries": "format = 'nonsense'",
}

# Rows are deleted rather than tables truncated: for a few rows that is ten times faster. The foreign keys and triggers
# of the tables are out of force meanwhile, so that the order does not matter.
_EMPTY_ALL_TABLES = """
DO $$
DECLARE each text;
BEGIN
    SET LOCAL session_replication_role = replica;
    SET LOCAL lock_timeout = '10s';
    FOR each IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migrations' LOOP
        EXECUTE format('DELETE FROM public.%I', each);
    END LOOP;
END $$
"""


def prepare(url: str) -> None:
    """Give a store its schema."""
    parsed = resolve_url(url)
    with closing(Registry().spec_for(parsed.scheme).factory(parsed, BackendContext(ManualClock()))) as backend:
        backend.prepare(migrate=True)


class SqliteHarness(UrlHarness):
    """A copy of a file that has its schema already."""

    def __init__(self, template: Path, folder: Path) -> None:
        self._path = folder / "store.db"
        shutil.copy(template, self._path)
        super().__init__(self._url_of(self._path), blank_url=self._url_of(folder / "blank.db"))

    @staticmethod
    def _url_of(path: Path) -> str:
        return f"sqlite:///{path}?synchronous=normal"

    @classmethod
    def make_template(cls, folder: Path) -> Path:
        """A file that has its schema and nothing else."""
        template = folder / "template.db"
        prepare(cls._url_of(template))
        return template

    def corrupt(self, table: str, key: str) -> bool:
        """Cut a record's JSON short."""
        with closing(sqlite3.connect(self._path)) as connection, connection:
            damage = DAMAGES[table] if table == "stream_entries" else "metadata = '{'"
            statement = f"UPDATE {table} SET {damage} WHERE {KEYS[table]} = ?"
            return connection.execute(statement, (key,)).rowcount == 1


class PostgresHarness(UrlHarness):
    """The one database of the run, emptied."""

    def __init__(self, server: ExternalServer, url: str) -> None:
        self._server = server
        self._url_text = url
        self._blank: str | None = None
        execute(url, _EMPTY_ALL_TABLES)
        super().__init__(url)

    def blank(self, clock: Clock) -> Backend | None:
        """A backend over a new database."""
        if self._blank is None:
            self._blank = self._server.create_database()
        url = resolve_url(self._blank)
        return Registry().spec_for(url.scheme).factory(url, BackendContext(clock))

    def open_peer(self, *, blank: bool = False) -> Peer | None:
        """A process that opens the database of the run, or the new one."""
        return open_peer(self._blank, prepare=False) if blank and self._blank else super().open_peer(blank=blank)

    def corrupt(self, table: str, key: str) -> bool:
        """Change a record in a way that the types of the columns allow."""
        damage = DAMAGES.get(table, "status = 'nonsense'")
        execute(self._url_text, f"UPDATE {table} SET {damage} WHERE {KEYS[table]} = '{key}'")
        return True

    def cleanup(self) -> None:
        """Drop the database of ``blank``."""
        if self._blank is not None:
            self._server.drop_database(self._blank)


def memory_harness(number: int) -> UrlHarness:
    """A database in memory of its own."""
    return UrlHarness(f"memory://conformance-{number}", blank_url=f"memory://conformance-blank-{number}")
