"""Migrations: numbered SQL files, each applied once, together with its record, in one transaction.

A file's statements end with ``;`` at the end of a line and are separated by an empty line, so that they can be sent
one by one, triggers included. Its first line says which programs may use the schema from then on::

    -- oldest-program: 1

A change that SQL cannot make has a file of its own and a step in Python before it, see ``Migrator.before``.

A program's number is that of the newest migration it knows. A change that older programs can live with repeats the
number of the file before; one that they cannot states its own, and they are refused with ``IncompatibleSchema``.
"""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING

from ciris_store_core.errors import MigrationRequired
from ciris_store_core.models.operations import PendingMigration
from ciris_store_core.sql.graph import SqlGraphStore
from ciris_store_core.sql.rows import Row, read_all
from ciris_store_core.sql.schema_version import refuse_too_old

if TYPE_CHECKING:
    from ciris_store_core.sql.session import SqlSession

log = logging.getLogger(__name__)

_FILE = re.compile(r"(\d{3})_([a-z0-9_]+)\.sql")
_OLDEST = re.compile(r"-- oldest-program: (\d+)\n")

APPLIED = "SELECT version, name, applied_at, oldest_program FROM {schema_migrations} ORDER BY version"

WORDS_STORED = "words_of_stored_nodes"
"""Name of the migration that is recorded when all nodes have their words."""

NODES_AT_ONCE = 500
"""Nodes that get their words in one transaction, after which other programs can write."""

RECORD = "INSERT INTO {schema_migrations} (version, name, applied_at, oldest_program) VALUES (?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Migration:
    """Migration of one numbered file."""

    version: int
    name: str
    oldest_program: int
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """The record of an applied migration."""

    version: int
    name: str
    applied_at: datetime
    oldest_program: int


def load_migrations(package: str) -> list[Migration]:
    """The migrations in the folder ``migrations`` of a package, by number; raises ValueError for a malformed one."""
    folder = resources.files(package) / "migrations"
    files = sorted((file.name, file.read_text()) for file in folder.iterdir() if file.name.endswith(".sql"))
    migrations = [parse_migration(name, text) for name, text in files]
    if [m.version for m in migrations] != list(range(1, len(migrations) + 1)):
        raise ValueError(f"the migrations of {package} are not numbered 001, 002, ... without gaps. Rename them.")
    return migrations


def parse_migration(name: str, text: str) -> Migration:
    """A migration from its file's name and text."""
    file, oldest = _FILE.fullmatch(name), _OLDEST.match(text)
    if file is None or oldest is None:
        raise ValueError(
            f"{name} is no migration. Name it NNN_name.sql, and begin it with the line '-- oldest-program: N'."
        )
    parts = re.split(r";\n\s*\n", text[oldest.end() :].strip() + "\n\n")
    return Migration(int(file[1]), file[2], int(oldest[1]), tuple(part.strip() for part in parts if part.strip()))


class Migrator(ABC):
    """Brings one database to the newest schema. A backend says how to lock and how to look."""

    def __init__(self, session: SqlSession, migrations: Sequence[Migration]) -> None:
        """On a session of its own."""
        self.session = session
        self.migrations = migrations

    @abstractmethod
    def lock(self) -> None:
        """Inside a transaction: wait, within bounds, until no other process migrates this database."""

    @abstractmethod
    def table_exists(self, table: str) -> bool:
        """Return True if the table exists in the store's schema."""

    def applied(self) -> list[Applied]:
        """The migrations on record; none for an empty database. Raises MigrationRequired for another program's."""
        if self.table_exists("service_correlations"):
            raise MigrationRequired(
                "this is a database of the original CIRIS engine, and was not touched. "
                "Make a new store from it: ciris-store import-ciris OLD"
            )
        if not self.table_exists("schema_migrations"):
            return []
        return read_all(self.session.rows(APPLIED), self._read, "record of a migration")

    def _read(self, row: Row) -> Applied:
        return Applied(int(row[0]), row[1], self.session.codec.time_out(row[2]), int(row[3]))

    def pending(self) -> list[Migration]:
        """The migrations that are still to be applied; raises IncompatibleSchema if this program is too old."""
        applied = self.applied()
        self.session.dialect.program = self.migrations[-1].version
        refuse_too_old(self.session.dialect, max((record.oldest_program for record in applied), default=0))
        done = {record.version for record in applied}
        return [migration for migration in self.migrations if migration.version not in done]

    def plan(self) -> list[PendingMigration]:
        """Return the statements that ``migrate`` would send, migration by migration."""
        pending = self.pending()
        return [PendingMigration(m.version, m.name, self._preview(m, first=m is pending[0])) for m in pending]

    def _preview(self, migration: Migration, *, first: bool) -> tuple[str, ...]:
        before = self.preparation() if first else ()
        return tuple(map(self.session.dialect.spelled, (*before, *migration.statements)))

    def preparation(self) -> Sequence[str]:
        """Return the statements that ``lock`` runs before the first migration."""
        return ()

    def require_current(self) -> None:
        """Raise MigrationRequired if anything is pending."""
        pending = self.pending()
        if pending:
            names = ", ".join(f"{m.version:03}_{m.name}" for m in pending)
            raise MigrationRequired(
                f"the database lacks the migrations {names}. "
                "Run 'ciris-store migrate' with a role that may change tables."
            )

    def migrate(self) -> list[Migration]:
        """Apply what is pending, one transaction each; returns what this call applied."""
        done = []
        for migration in self.pending():
            self.before(migration)
            if self.apply(migration):
                done.append(migration)
        return done

    def apply(self, migration: Migration) -> bool:
        """Apply one, in a transaction of its own; False where another process has done so."""
        with self.session.transaction(write=True):
            self.lock()
            # Another process may have been faster while this one waited for the lock.
            if migration.version in {record.version for record in self.applied()}:
                return False
            self._apply(migration)
        return True

    def before(self, migration: Migration) -> None:
        """Do in Python what a migration relies on, in short transactions. Several processes may do so together.

        A process that ends half way keeps what it did; the next one goes on from there.
        """
        while migration.name == WORDS_STORED and self._add_missing_words():
            pass

    def _add_missing_words(self) -> int:
        with self.session.transaction(write=True):
            self.lock()
            if WORDS_STORED in {record.name for record in self.applied()}:
                return 0
            graph = self.session.graph
            return graph.add_missing_words(NODES_AT_ONCE) if isinstance(graph, SqlGraphStore) else 0

    def _apply(self, migration: Migration) -> None:
        log.info("applying migration %03d_%s", migration.version, migration.name)
        for statement in migration.statements:
            self.session.run(statement)
        now = self.session.codec.time_in(datetime.now(UTC))
        self.session.run(RECORD, (migration.version, migration.name, now, migration.oldest_program))
