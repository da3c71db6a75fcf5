"""What a backend is: something that opens transactions on the seven aggregates.

This package is the contract for authors. Callers never see it: they hold a ``Store``, which passes on only
valid records, retries, and turns results into pages. Every docstring here is a list of clauses, and each
clause has a test in the conformance suite.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from ciris_store_core.capabilities import Capability
from ciris_store_core.contract.audit import AuditStore
from ciris_store_core.contract.coordination import CoordinationStore
from ciris_store_core.contract.correlations import CorrelationStore
from ciris_store_core.contract.graph import GraphStore
from ciris_store_core.contract.secrets import SecretStore
from ciris_store_core.contract.tasks import TaskStore
from ciris_store_core.contract.thoughts import ThoughtStore
from ciris_store_core.errors import NotSupported
from ciris_store_core.models.operations import Diagnosis, PendingMigration


class Session(ABC):
    """One transaction, and the aggregates within it.

    - Reads see the transaction's own writes, and otherwise only what was committed.
    - A call that raises a ``StoreError`` of the caller's making (Conflict, NotFound, InvalidArgument, StaleFence)
      has written nothing, and with savepoints the transaction can go on.
    - A session belongs to one thread, and is used only inside its ``with`` block.
    """

    graph: GraphStore
    correlations: CorrelationStore
    tasks: TaskStore
    thoughts: ThoughtStore
    coordination: CoordinationStore
    secrets: SecretStore
    audit: AuditStore

    @abstractmethod
    def savepoint(self) -> AbstractContextManager[None]:
        """A part of the transaction that is undone alone when its block raises; nests [cap: savepoints].

        Without the capability the block still runs, and raising inside it aborts the transaction: every later
        call, and the commit, raise ``TransactionError``.
        """


class Backend(ABC):
    """An open database.

    - Safe to use from many threads at once.
    - Built by the plugin's factory, which does not touch the database yet; ``prepare`` is called next, once.
    """

    name: str
    """Short name of the kind of database, for reports."""

    capabilities: frozenset[Capability]

    @abstractmethod
    def prepare(self, *, migrate: bool) -> None:
        """Bring the database to this program's schema.

        - An empty database gets the schema, where ``migrate``; an older one is upcast; a current one is left alone.
        - Without ``migrate``, an empty or older database raises ``MigrationRequired`` and is left as it is.
        - Many processes may call it at once on an empty database: all succeed, each step is applied once.
        - A schema that excludes this program raises ``IncompatibleSchema``.
        - A failing step leaves the database unchanged [cap: transactional_ddl].
        """

    def pending(self) -> Sequence[PendingMigration]:
        """The migrations that ``prepare`` would apply, oldest first. Default: none, for databases without a schema.

        - May be called before ``prepare``, and changes nothing: a database that is not there has all of them pending.
        - A schema that excludes this program raises ``IncompatibleSchema``.
        """
        return ()

    @abstractmethod
    def session(self, *, write: bool, single: bool = False) -> AbstractContextManager[Session]:
        """A transaction, READ COMMITTED or higher.

        - Leaving the block commits; leaving it by any ``BaseException`` rolls back, and the exception goes on.
        - Once the block was left without an error, what it wrote is stored [cap: durable].
        - ``write=False``: the caller will not write.
        - ``single=True``: the caller will make exactly one call, so a backend may do without a transaction where
          that call is atomic by itself.
        - Driver errors leave translated: ``Unavailable`` where nothing was done, ``OutcomeUnknown`` where the
          answer to the commit was lost.
        """

    def snapshot(self) -> AbstractContextManager[Session]:
        """A reading transaction that sees the store as it was at one moment. Default: a reading ``session``.

        - What others commit after its first read is not seen, however long it takes; they may be made to wait.
        """
        return self.session(write=False)

    @abstractmethod
    def server_now(self) -> datetime:
        """The database server's time where there is one, the host's otherwise; aware, in UTC.

        - A thread with an open session needs no second connection for it, as all may be held by such threads.
        """

    @abstractmethod
    def is_empty(self) -> bool:
        """Whether no record is stored, in any aggregate; at a cost that does not grow with the store."""

    @abstractmethod
    def info(self) -> Mapping[str, Any]:
        """Facts for reports: server version, schema version, settings. Never a password."""

    def stats(self) -> Mapping[str, Any]:
        """Counters of this open backend, such as connections in use. Empty by default."""
        return {}

    def diagnose(self, *, thorough: bool = False) -> Diagnosis:
        """What is wrong with the database, as far as it can tell, and how large it is. Default: nothing is known.

        - A sound store has no finding that is an error.
        - Changes nothing. ``thorough``: with checks that read everything.
        """
        return Diagnosis()

    def backup(self, path: Path, progress: Callable[[int, int], object]) -> None:
        """Write the store, as it is at one moment, into a new file of the database's own format. Default: NotSupported.

        - The file is complete by itself and opens as a store of this backend; writers go on meanwhile.
        - ``progress`` is called with what is done and what there is to do, in any unit.
        - An existing file is refused, and what an error leaves behind is the caller's to remove.
        """
        raise NotSupported(f"{self.name} has no backup format of its own: use the portable one")

    @abstractmethod
    def close(self) -> None:
        """Let go of everything; calling it again does nothing. Later calls raise ``StoreClosed``."""
