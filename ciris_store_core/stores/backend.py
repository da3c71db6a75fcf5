"""What a backend is: something that opens transactions on the seven aggregates.

This package is the contract for authors. Callers never see it: they hold a ``Store``, which passes on only
valid records, retries, and turns results into pages. Every docstring here is a list of clauses, and each
clause has a test in the conformance suite.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from ciris_store_core.capabilities import Capability

from .audit import AuditStore
from .coordination import CoordinationStore
from .correlations import CorrelationStore
from .graph import GraphStore
from .secrets import SecretStore
from .tasks import TaskStore
from .thoughts import ThoughtStore


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

        Without the capability the block still runs, and raising inside it dooms the transaction: every later
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

        - An empty database gets the schema, where ``migrate``; an older one is upgraded; a current one is left alone.
        - Without ``migrate``, an empty or older database raises ``MigrationRequired`` and is left as it is.
        - Many processes may call it at once on an empty database: all succeed, each step is applied once.
        - A schema that excludes this program raises ``IncompatibleSchema``.
        - A failing step leaves the database unchanged [cap: transactional_ddl].
        """

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

    @abstractmethod
    def server_now(self) -> datetime:
        """The database server's time where there is one, the host's otherwise; aware, in UTC."""

    @abstractmethod
    def is_empty(self) -> bool:
        """Whether no record is stored, in any aggregate; at a cost that does not grow with the store."""

    @abstractmethod
    def info(self) -> Mapping[str, Any]:
        """Facts for reports: server version, schema version, settings. Never a password."""

    def stats(self) -> Mapping[str, Any]:
        """Counters of this open backend, such as connections in use. Empty by default."""
        return {}

    @abstractmethod
    def close(self) -> None:
        """Let go of everything; calling it again does nothing. Later calls raise ``StoreClosed``."""
