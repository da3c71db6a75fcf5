"""Backends and sessions: the part of the contract that opens transactions on the aggregates.

This package is the contract for authors of backends. Callers hold a ``Store``, which passes on only valid records,
retries, and turns results into pages. Every docstring here is a list of clauses, and each clause has a test in the
conformance suite.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from ciris_store_core.capabilities import Capability
from ciris_store_core.contract.audit import AuditStore
from ciris_store_core.contract.coordination import CoordinationStore
from ciris_store_core.contract.correlations import CorrelationStore
from ciris_store_core.contract.documents import DocumentStore
from ciris_store_core.contract.graph import GraphStore
from ciris_store_core.contract.secrets import SecretStore
from ciris_store_core.contract.streams import StreamStore
from ciris_store_core.contract.tasks import TaskStore
from ciris_store_core.contract.thoughts import ThoughtStore
from ciris_store_core.errors import NotSupported
from ciris_store_core.models.operations import Diagnosis, PendingMigration


class _Absent:
    """Aggregate store that a session has not, unless it sets the attribute: to read it raises ``NotSupported``."""

    def __init__(self, capability: Capability) -> None:
        self._capability = capability

    def __get__(self, session: object, kind: type | None = None) -> Any:
        if session is None:
            return self
        raise NotSupported(
            f"this backend has no {self._capability}", hint="Use one that declares it, such as SQLite or PostgreSQL."
        )


class Session(ABC):
    """One transaction, and the aggregates within it.

    - Reads see the transaction's own writes, and otherwise only what was committed.
    - A call that raises a ``StoreError`` of the caller's making (Conflict, NotFound, InvalidArgument, StaleFence)
      has written nothing, and with savepoints the transaction can continue.
    - A session belongs to one thread, and is used only inside its ``with`` block.
    """

    graph: GraphStore
    correlations: CorrelationStore
    tasks: TaskStore
    thoughts: ThoughtStore
    coordination: CoordinationStore
    secrets: SecretStore
    audit: AuditStore
    documents: DocumentStore = cast(DocumentStore, _Absent(Capability.DOCUMENTS))
    """Only with the capability ``documents``."""
    streams: StreamStore = cast(StreamStore, _Absent(Capability.STREAMS))
    """Only with the capability ``streams``."""

    @abstractmethod
    def savepoint(self) -> AbstractContextManager[None]:
        """Open a part of the transaction that is rolled back alone when its block raises; nests [cap: savepoints].

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

        - With ``migrate``, an empty database gets the schema, an older one is migrated, a current one stays.
        - Without ``migrate``, an empty or older database raises ``MigrationRequired`` and is not changed.
        - Many processes may call it at once on an empty database: all succeed, each step is applied once.
        - A schema that excludes this program raises ``IncompatibleSchema``.
        - A failing step leaves the database unchanged [cap: transactional_ddl].
        """

    def pending(self) -> Sequence[PendingMigration]:
        """Return the migrations that ``prepare`` would apply, oldest first. Default: none, where there is no schema.

        - May be called before ``prepare``, and changes nothing: a database that is not there has all of them pending,
          up to the ``schema_version`` of ``info`` after them.
        - A schema that excludes this program raises ``IncompatibleSchema``.
        """
        return ()

    @abstractmethod
    def session(self, *, write: bool, single: bool = False) -> AbstractContextManager[Session]:
        """Open a transaction, READ COMMITTED or higher.

        - Leaving the block commits; leaving it by any ``BaseException`` rolls back, and the exception propagates.
        - Once the block ended without an error, its writes are stored [cap: durable].
        - ``write=False``: the caller will not write.
        - A thread that has a writing session open and opens a second one: TransactionError at once, as it would wait
          for itself; with several writers, a transaction of its own [cap: concurrent_writers].
        - ``single=True``: the caller will make exactly one call, so a backend needs no transaction if that
          call is atomic by itself.
        - Driver errors are raised translated: ``Unavailable`` if nothing was done, ``OutcomeUnknown`` if the answer to
          the commit was lost.
        """

    def snapshot(self) -> AbstractContextManager[Session]:
        """Open a reading transaction that sees the store as it was at one moment. Default: a reading ``session``.

        - Commits of other transactions after its first read are not seen, however long it lasts; they may have to wait.
        """
        return self.session(write=False)

    @abstractmethod
    def server_now(self) -> datetime:
        """Return the time of the database server if there is one, else the host's; aware, in UTC.

        - A thread with an open session needs no second connection for it, as all may be held by such threads.
        - To the microsecond, or as fine as the clock is: not rounded to milliseconds.
        """

    @abstractmethod
    def is_empty(self) -> bool:
        """Return whether no aggregate has a record, at a cost that does not grow with the store."""

    @abstractmethod
    def info(self) -> Mapping[str, Any]:
        """Return facts for reports: server version, schema version, settings. Never a password.

        - ``survives_power_loss``: whether acknowledged writes survive a power cut, if the disk keeps what it confirms;
          ``durability_settings`` names the settings that decide it, as text.
        """

    def stats(self) -> Mapping[str, Any]:
        """Return counters of this open backend, such as connections in use. Empty by default."""
        return {}

    def diagnose(self, *, thorough: bool = False) -> Diagnosis:
        """Return the faults that the backend finds in its database, and the sizes of tables. Default: nothing is known.

        - A sound store has no finding that is an error.
        - Changes nothing. ``thorough``: with checks that read everything.
        """
        return Diagnosis()

    def backup(self, path: Path, progress: Callable[[int, int], object]) -> None:
        """Write the store, as it is at one moment, into a new file of the database's own format. Default: NotSupported.

        - The file is complete by itself and opens as a store of this backend; writers go on meanwhile.
        - ``progress`` is called with the work that is done and the whole work, in any unit.
        - An existing file is refused. After an error the caller removes the incomplete file.
        """
        raise NotSupported(f"{self.name} has no backup format of its own", hint="Use the portable one.")

    @abstractmethod
    def close(self) -> None:
        """Release all resources. Idempotent. Later calls raise ``StoreClosed``.

        - A transaction that is open in another thread ends as a whole: it commits, or a ``StoreError`` says that it did
          not.
        """
