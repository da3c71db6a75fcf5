"""Store and transaction, written once over the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import Clock
from ciris_store_core.contract.backend import Backend
from ciris_store_core.contract.hookspecs import CONTRACT_VERSION
from ciris_store_core.errors import StoreError
from ciris_store_core.store.access.authorities import Authorities
from ciris_store_core.store.access.secrets import Secrets
from ciris_store_core.store.audit.trail import AuditTrail
from ciris_store_core.store.context import ServerTime, StoreContext
from ciris_store_core.store.documents.documents import Documents
from ciris_store_core.store.documents.streams import Streams
from ciris_store_core.store.execution import Blocking, Executor, StoreExecutor, TransactionExecutor
from ciris_store_core.store.graph.graph import Graph
from ciris_store_core.store.telemetry.correlations import Correlations
from ciris_store_core.store.work.coordination import Leases, Occurrences
from ciris_store_core.store.work.occurrence_handle import OccurrenceHandle
from ciris_store_core.store.work.shared_tasks import SharedTasks
from ciris_store_core.store.work.tasks import Tasks
from ciris_store_core.store.work.thoughts import Thoughts

T = TypeVar("T")
P = ParamSpec("P")


class Background(Protocol):
    """Background work in threads of its own."""

    def start(self) -> None:
        """Start the threads."""
        ...

    def stop(self) -> None:
        """Stop after the current batch."""
        ...


class _Aggregates(Blocking):
    """Resources of a store or a transaction."""

    def __init__(self, executor: Executor, ctx: StoreContext) -> None:
        self._x = executor
        self._ctx = ctx

    @cached_property
    def graph(self) -> Graph:
        """The graph memory: nodes and edges."""
        return Graph(self._x, self._ctx)

    @cached_property
    def correlations(self) -> Correlations:
        """Service interactions, metrics, logs, spans and audit events."""
        return Correlations(self._x, self._ctx)

    @cached_property
    def tasks(self) -> Tasks:
        """The tasks: units of work."""
        return Tasks(self._x, self._ctx)

    @cached_property
    def thoughts(self) -> Thoughts:
        """The thoughts: steps of reasoning about tasks."""
        return Thoughts(self._x, self._ctx)

    @cached_property
    def occurrences(self) -> Occurrences:
        """The running occurrences."""
        return Occurrences(self._x, self._ctx)

    @cached_property
    def leases(self) -> Leases:
        """The leases: named locks with owner and expiry."""
        return Leases(self._x, self._ctx)

    @cached_property
    def secrets(self) -> Secrets:
        """The secrets that were extracted from records and encrypted."""
        return Secrets(self._x, self._ctx)

    @cached_property
    def shared_tasks(self) -> SharedTasks:
        """The shared tasks, which exactly one occurrence does each day."""
        return SharedTasks(self._x, self._ctx)

    @cached_property
    def documents(self) -> Documents:
        """The documents: JSON values and bytes by namespace and key."""
        return Documents(self._x, self._ctx)

    @cached_property
    def streams(self) -> Streams:
        """The streams: append-only sequences of entries."""
        return Streams(self._x, self._ctx)

    @cached_property
    def audit(self) -> AuditTrail:
        """The audit trail: hash chains of events, which expose every later change."""
        return AuditTrail(self._x, self._ctx)

    @cached_property
    def authorities(self) -> Authorities:
        """The Wise Authorities, whose approval writes to protected scopes need."""
        return Authorities(self._x, self._ctx)

    def for_occurrence(self, occurrence_id: str, ttl_seconds: float = 60) -> OccurrenceHandle:
        """Return a handle that is bound to one occurrence; ``__shared__`` is refused.

        ``ttl_seconds``: the time that the occurrence stays alive without a heartbeat, once registered.
        """
        return OccurrenceHandle(self._x, self._ctx, occurrence_id, ttl_seconds)


class Transaction(_Aggregates):
    """One open transaction. It belongs to the thread that began it, unless it is shared, and ends with its block.

    Reads see its own writes, and otherwise committed data only.
    """

    def __init__(self, executor: TransactionExecutor, ctx: StoreContext) -> None:
        """Called by ``Store.transaction``."""
        super().__init__(executor, ctx)
        self._executor = executor

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Run a block that is rolled back alone if it raises; nests [cap: savepoints].

        On a backend without the capability, an error in the block aborts the whole transaction: all later calls and the
        commit raise ``TransactionError``.
        """
        with self._executor.session().savepoint():
            yield


class Store(_Aggregates):
    """Open store. It is thread-safe; close it, or use it as a context manager.

    Every call is a transaction of its own. If the database was busy or unreachable, it is run again as a whole, within
    the bounds of the ``RetryPolicy``. ``transaction()`` makes one transaction of many calls::

        with open_store("sqlite:///agent.db") as store:
            store.tasks.add(Task(task_id="t1", channel_id="c1", description="greet"))
            with store.transaction() as tx:
                tx.tasks.update("t1", status="active")
                tx.thoughts.add(Thought(thought_id="th1", source_task_id="t1", content="say hello"))
    """

    def __init__(
        self, backend: Backend, ctx: StoreContext, executor: StoreExecutor, server: ServerTime, url: str
    ) -> None:
        """Called by ``open_store``. ``url`` holds no password."""
        super().__init__(executor, ctx)
        self._executor = executor
        self._backend = backend
        self._server = server
        self._url = url
        self._background: Background | None = None

    def __repr__(self) -> str:
        """Return the class name and the URL without its password."""
        return f"Store({self._url!r})"

    @property
    def clock(self) -> Clock:
        """The clock that sets the times of records."""
        return self._ctx.clock

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The optional abilities that the backend declares."""
        return self._ctx.capabilities

    def server_now(self) -> datetime:
        """Return the time that several hosts agree on: the database server's if there is one, asked now; in UTC.

        Ages, expiry and the dates of shared tasks are judged by it.
        """
        return self._server.ask()

    def info(self) -> Mapping[str, Any]:
        """Return facts for reports: URL without password, backend, capabilities, versions and settings."""
        own = {
            "url": self._url,
            "backend": self._backend.name,
            "capabilities": sorted(map(str, self.capabilities)),
            "contract_version": CONTRACT_VERSION,
        }
        return {**self._backend.info(), **own}

    def is_empty(self) -> bool:
        """Return True if no record at all is stored; the cost does not grow with the store."""
        return self._backend.is_empty()

    def stats(self) -> Mapping[str, Any]:
        """Return counters of this open store, such as connections in use."""
        return self._backend.stats()

    @contextmanager
    def transaction(self, *, shared: bool = False) -> Iterator[Transaction]:
        """Open one transaction over all calls on the handle that the ``with`` statement gives.

        The end of the block commits; an exception rolls everything back and propagates. Inside the block, the store's
        own methods raise ``TransactionError`` in this thread. The block is not retried: for that, pass a function to
        ``run``.

        ``shared``: the handle may be used from every thread, one call at a time, for frameworks that run their steps in
        threads of their own. All of them must be over when the block ends.
        """
        with self._executor.transaction(shared=shared) as executor:
            yield Transaction(executor, self._ctx)

    def run(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``fn(tx, *args, **kwargs)`` as one transaction, again as a whole after a retryable error.

        ``fn`` may run several times: it should have no effect outside the transaction. Return its result of the
        committed run.
        """

        def once() -> T:
            with self.transaction() as tx:
                return fn(tx, *args, **kwargs)

        try:
            return once()
        except StoreError as error:
            if not error.retryable:
                raise
            return self._executor.retry.again(once, error)

    def close(self) -> None:
        """Close the store. Idempotent. Later calls raise ``StoreClosed``.

        Background work of this store stops first, after its current batch.
        """
        if self._background is not None:
            self._background.stop()
        self._backend.close()

    def start_background(self, work: Background) -> None:
        """Start work that runs until the store is closed. Called by ``open_store``."""
        self._background = work
        work.start()

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the store."""
        self.close()
