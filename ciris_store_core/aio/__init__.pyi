"""The store for asyncio; ``open_store_async`` opens it.

Every class whose methods wait for the database has an async counterpart here, derived from the class itself.
"""

# Made by ``make stubs``: change the classes that it is made from, and make it again.

import builtins
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Concatenate, Literal, Self, Unpack, overload

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import Clock
from ciris_store_core.contract.fleet import AgentPlace
from ciris_store_core.errors import StoreError
from ciris_store_core.fleet.fleet import Fleet, FleetHealth
from ciris_store_core.models.audit import AuditAnchor, AuditCheckpoint, AuditEntry
from ciris_store_core.models.coordination import Lease, Occurrence
from ciris_store_core.models.correlations import (
    Aggregate,
    AggregatePoint,
    Correlation,
    Metric,
    PercentilePoint,
    TimeSeriesDataPoint,
)
from ciris_store_core.models.document_filters import Filter
from ciris_store_core.models.documents import Document, DocumentKey, DocumentOrder, Namespace
from ciris_store_core.models.enums import CorrelationType, NodeType, RetentionPolicy, TaskStatus, ThoughtStatus
from ciris_store_core.models.graph import (
    Degree,
    EdgeKey,
    GraphEdge,
    GraphNode,
    NodeKey,
    SearchHit,
    Subgraph,
    TraversalResult,
)
from ciris_store_core.models.memory import MemoryOpResult, MemoryQuery, Recall
from ciris_store_core.models.paging import Page
from ciris_store_core.models.secrets import SecretAccess, SecretInfo
from ciris_store_core.models.streams import StreamEntry, StreamInfo
from ciris_store_core.models.tasks import Task, TaskOrder, TaskOutcome
from ciris_store_core.models.thoughts import Thought, ThoughtOrder
from ciris_store_core.opening import AccessConfig, TestSeams
from ciris_store_core.secrets.keys import SecretsConfig, SecretsMode
from ciris_store_core.secrets.rotation import Progress, SecretsReport
from ciris_store_core.services.background_work import BackgroundWork
from ciris_store_core.services.configuration import C
from ciris_store_core.services.learning import Operation
from ciris_store_core.services.maintenance import MaintenancePolicy, MaintenanceReport
from ciris_store_core.services.memory import AnyScope, Points
from ciris_store_core.services.retention import RetentionReport
from ciris_store_core.services.retention_plans import RetentionPlan
from ciris_store_core.store.access.known_authorities import Authority
from ciris_store_core.store.access.secrets import Action, R
from ciris_store_core.store.audit.events import AuditEvent
from ciris_store_core.store.audit.verification import AuditReport
from ciris_store_core.store.context import Owner
from ciris_store_core.store.documents.document_reads import AnyKey
from ciris_store_core.store.documents.documents import NewDocument
from ciris_store_core.store.documents.names import AnyNamespace
from ciris_store_core.store.graph.edges import AnyEdgeKey, EdgeFilters
from ciris_store_core.store.graph.graph import AnyNodeKey, NodeFilters
from ciris_store_core.store.graph.traversal import Relationships, Scope, Way
from ciris_store_core.store.graph.upcasters import Upcasters
from ciris_store_core.store.resource import OnCorrupt
from ciris_store_core.store.retry import RetryPolicy
from ciris_store_core.store.store import Background, P, Store, T, Transaction
from ciris_store_core.store.telemetry.buffered_writer import Item, Rejection
from ciris_store_core.store.telemetry.correlation_filters import CorrelationFilters
from ciris_store_core.store.telemetry.correlations import MetricCommon
from ciris_store_core.store.telemetry.interactions import InteractionContext, InteractionResult
from ciris_store_core.store.telemetry.traces import TraceNode
from ciris_store_core.store.work.tasks import TaskFilters
from ciris_store_core.store.work.thoughts import ThoughtFilters
from ciris_store_core.validation.validator import TextErrors

class Opening:
    """A store that is to be opened: ``await`` it, or use it in ``async with``, which closes it too."""

    def __await__(self) -> Generator[Any, None, AsyncStore]: ...
    async def __aenter__(self) -> AsyncStore: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

def open_store_async(
    url: str | os.PathLike[str] | None = None,
    *,
    workers: int | None = None,
    occurrence_id: str = ...,
    secrets: SecretsConfig | Literal[False] | None = None,
    access: AccessConfig | None = None,
    migrate: bool = True,
    create: bool = True,
    text_errors: TextErrors = "strict",
    retry: RetryPolicy | None = None,
    upcasters: Upcasters | None = None,
    background: bool = False,
    testing: TestSeams | None = None,
) -> Opening:
    """Open a store for asyncio: await the call, or use it in ``async with``, which also closes the store.

    Args:
        url: For instance ``sqlite:///agent.db`` or ``postgresql://host/db``, or the path of an SQLite file. By
            default the environment variable ``CIRIS_DB_URL``, else ``sqlite:///data/ciris.db``.
        workers: How many calls run at the same time; by default as many as the store's pool has connections, or 10.
        occurrence_id: The owner of tasks and thoughts of which a call names none. ``__shared__`` is refused.
        secrets: Detection and encryption of secrets. By default detection is on unless the environment variable
            ``CIRIS_DETECT_SECRETS`` switches it off, and the keys are those of ``CIRIS_SECRETS_KEY`` or
            ``CIRIS_SECRETS_KEY_FILE``. False switches detection off; secrets already stored can still be resolved.
        access: The scope policy and the audit key.
        migrate: Bring the schema up to date. If False, an older schema raises ``MigrationRequired``.
        create: Create the database if there is none.
        text_errors: ``"strict"`` refuses NUL and lone surrogates in texts; ``"replace"`` turns them into U+FFFD.
        retry: The number of runs of a transaction and the delays between them. By default at most five runs within
            ten seconds.
        upcasters: Functions that bring the attributes of nodes of older versions up to date when they are read.
        background: Run maintenance and retention in threads of their own until the store is closed, each in one
            process at a time; see ``ciris_store_core.services.BackgroundWork``.
        testing: Replacements for clocks and backends in tests.

    Raises:
        InvalidURL: The URL is malformed, or no installed backend serves it.
        InvalidArgument: An option has an unusable value.
        PluginError: The backend of the URL cannot be used.
        MigrationRequired: The schema is not up to date, and ``migrate`` is False.
        Unavailable: The database cannot be reached.
        SecretKeyError: The keys cannot be used, or are not those that the store's secrets are encrypted under.
    """

class AsyncStore:
    """An open store for asyncio: every method of ``Store`` and of its parts, to be awaited. Close it after use.

    Calls run on a bounded number of threads, first come, first served. A call that is cancelled before it got a thread
    never runs. A call that runs already finishes, as a transaction of its own. A block (``transaction``, ``savepoint``,
    ``leases.lock``, an occurrence's handle) is ended before the cancellation continues.
    """

    def __init__(self, store: Store, *, workers: int | None = None) -> None: ...
    @property
    def sync(self) -> Store:
        """The store beneath, for code that runs in threads."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    @property
    def graph(self) -> AsyncGraph:
        """The graph memory: nodes and edges."""
    @property
    def correlations(self) -> AsyncCorrelations:
        """Service interactions, metrics, logs, spans and audit events."""
    @property
    def tasks(self) -> AsyncTasks:
        """The tasks: units of work."""
    @property
    def thoughts(self) -> AsyncThoughts:
        """The thoughts: steps of reasoning about tasks."""
    @property
    def occurrences(self) -> AsyncOccurrences:
        """The running occurrences."""
    @property
    def leases(self) -> AsyncLeases:
        """The leases: named locks with owner and expiry."""
    @property
    def secrets(self) -> AsyncSecrets:
        """The secrets that were extracted from records and encrypted."""
    @property
    def shared_tasks(self) -> AsyncSharedTasks:
        """The shared tasks, which exactly one occurrence does each day."""
    @property
    def documents(self) -> AsyncDocuments:
        """The documents: JSON values and bytes by namespace and key."""
    @property
    def streams(self) -> AsyncStreams:
        """The streams: append-only sequences of entries."""
    @property
    def audit(self) -> AsyncAuditTrail:
        """The audit trail: hash chains of events, which expose every later change."""
    @property
    def authorities(self) -> AsyncAuthorities:
        """The Wise Authorities, whose approval writes to protected scopes need."""
    def for_occurrence(self, occurrence_id: str, ttl_seconds: float = 60) -> AsyncOccurrenceHandle:
        """Return a handle that is bound to one occurrence; ``__shared__`` is refused.

        ``ttl_seconds``: the time that the occurrence stays alive without a heartbeat, once registered.
        """
    @property
    def clock(self) -> Clock:
        """The clock that sets the times of records."""
    @property
    def capabilities(self) -> frozenset[Capability]:
        """The optional abilities that the backend declares."""
    async def server_now(self) -> datetime:
        """Return the time that several hosts agree on: the database server's if there is one, asked now; in UTC.

        Ages, expiry and the dates of shared tasks are judged by it.
        """
    async def info(self) -> Mapping[str, Any]:
        """Return facts for reports: URL without password, backend, capabilities, versions and settings."""
    async def is_empty(self) -> bool:
        """Return True if no record at all is stored; the cost does not grow with the store."""
    async def stats(self) -> Mapping[str, Any]:
        """Return counters of this open store, such as connections in use."""
    def transaction(self, *, shared: bool = False) -> AbstractAsyncContextManager[AsyncTransaction, None]:
        """Return a transaction over all calls on the handle that ``async with`` gives; see ``Store.transaction``.

        It occupies a thread and a connection until the block ends. Inside it, the store's own methods raise
        ``TransactionError`` in this task and in the tasks that it starts there.
        """
    @overload
    async def run(
        self, fn: Callable[Concatenate[AsyncTransaction, P], Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``fn(tx, ...)`` as one transaction, again as a whole after a retryable error; see ``Store.run``.

        An async function runs in the event loop and gets an ``AsyncTransaction``; an ordinary one runs on a thread and
        gets a ``Transaction``.

        Raises:
            InvalidArgument: An ordinary function, such as a lambda, returned a coroutine, which would run after the
                transaction; nothing was written.
        """
    @overload
    async def run(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T: ...
    async def close(self) -> None:
        """Roll back open transactions, wait for all other calls, and close the wrapped store."""
    async def start_background(self, work: Background) -> None:
        """Start work that runs until the store is closed. Called by ``open_store``."""

class AsyncFleet:
    """A fleet for asyncio: every method of ``Fleet``, to be awaited. Close it after use, or use ``async with``.

    All stores of the fleet share its threads. So inside a transaction of one agent's store, the calls of every store of
    the fleet raise ``TransactionError``: end the transaction first.
    """

    def __init__(self, fleet: Fleet, *, workers: int = 10) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    async def store(self, agent: str, *, create: bool = True) -> AsyncStore:
        """Return the store of an agent, opened and migrated; the same one while the caller keeps a reference.

        The fleet closes it. A call on it may open the database again.

        Args:
            agent: The name: up to 60 of ``a-z``, ``0-9``, ``_`` and ``-``.
            create: Create the store if there is none.

        Raises:
            InvalidArgument: The name cannot be used.
            StoreClosed: The fleet is closed.
            StoreError: As raised by ``open_store``.
        """
    async def agents(self) -> list[AgentPlace]:
        """Return the agents that have a store, by name, each with its node."""
    async def create(self, agent: str) -> None:
        """Create the store of an agent, or migrate the one that exists."""
    async def move(self, agent: str, node: str) -> None:
        """Move an agent's data to another node of the cluster; its writers go on.

        Raises:
            NotFound: There is no such agent or node.
            NotSupported: The fleet has one node only.
        """
    async def sizes(self) -> Mapping[str, int]:
        """Return the bytes of each agent's store by name, indexes included."""
    async def health(self, *, agents: bool = False) -> FleetHealth:
        """Return the state of each node. With ``agents``, open each store without migrating it, and report failures."""
    async def stats(self) -> Mapping[str, Any]:
        """Return counters: the stores that exist in this process, those that are open, and the backend's own."""
    async def close_idle(self, *, seconds: float | None = None) -> int:
        """Close the stores that no call has used for so long, by default ``idle_seconds``. Return their number."""
    async def close(self) -> None:
        """Close all stores. Idempotent."""

class AsyncAdaptiveConfiguration:
    """The configurations of a store, each a node of type ``config`` in the scope that its kind needs.

    ``kind`` is a class such as ``FilterConfig``; ``subject`` names the configured thing, such as ``channel_123``. The
    id of the node is then ``filter_config_channel_123``::

        configuration = AdaptiveConfiguration(store)
        configuration.learn(FilterConfig, "channel_123", Count("trigger_counts", "spam"))
        print(configuration.get(FilterConfig, "channel_123").sensitivity)
    """
    def __init__(self, store: AsyncStore | AsyncTransaction | Store) -> None:
        """Use an open store or transaction."""
    async def get(self, kind: type[C], subject: str) -> C:
        """Return the stored configuration, or the defaults if none is stored.

        Raises:
            Conflict: The stored configuration does not fit ``kind``.
        """
    def scan(self, kind: type[C]) -> AsyncIterator[tuple[str, C]]:
        """Yield all configurations of a kind, each with its subject, read page by page, newest first."""
    async def put(self, subject: str, configuration: C) -> C:
        """Write the fields that were set, keep the others, and return the configuration as stored."""
    async def learn(self, kind: type[C], subject: str, *operations: Operation) -> C:
        """Apply operations to the stored configuration, or to the defaults, and return it as stored.

        Either all operations are applied, or none. Threads, processes and hosts may learn at the same time: no
        operation is lost.

        Raises:
            InvalidArgument: The result would not fit ``kind``. Nothing was written.
            Conflict: The stored configuration does not fit ``kind``.
        """
    async def forget(self, kind: type[C], subject: str) -> bool:
        """Delete the stored configuration, so that the defaults apply; return False if none was stored."""

class AsyncDatabaseMaintenanceService:
    """Cleanup of expired, orphaned and old records, without touching live work of any occurrence.

    ``run`` does one pass. ``start`` begins a daemon thread that does one at once and then one every
    ``interval_seconds``; ``stop`` ends it; as a context manager, the service does both. Of all processes on one
    database, one at a time runs a pass, under the lease ``maintenance``. Nothing runs before ``run`` or ``start``.

    One pass, in this order:

    - Stale shared tasks: marked as shared, still owned by ``__shared__``, unfinished, and not updated for five minutes.
      An active one is kept while its claimant is a registered occurrence that is alive.
    - Orphans, except those of living occurrences: tasks whose parent does not exist or failed, and thoughts whose task
      does not exist, not updated for two minutes.
    - Completed tasks not updated for 30 days: those of this store's own occurrence, and of occurrences that are not
      alive. Other living occurrences clean their own.
    - Work of occurrences whose heartbeat expired: thoughts in processing become pending, and claimed work is released
      to its queue. Work of occurrences that never registered is not touched in this step.
    - Nodes, correlations and documents past their expiry.
    - Entries of streams that no rule of the policy keeps.
    - Secrets that no record refers to any more; see ``store.secrets.sweep``.

    A task is deleted with its descendants and thoughts, or not at all: it is kept if one of these belongs to a living
    occurrence, was updated lately, or (completed tasks) is unfinished. Tasks and thoughts are archived before they are
    deleted. Expired records and entries of streams are not: their writer chose the time to forget them.
    """
    def __init__(
        self,
        store: AsyncStore | AsyncTransaction | Store,
        *,
        archive_dir: str | os.PathLike[str] | None = ...,
        policy: MaintenancePolicy | None = None,
        interval_seconds: float = 3600,
        occurrence_id: str | None = None,
    ) -> None:
        """Prepare the service; the database is not touched.

        Args:
            store: The store to clean. Stop the service before you close the store.
            archive_dir: Folder in which every pass that deletes tasks or thoughts leaves one file of JSON Lines,
                readable by its owner alone; created if missing. None: no archive, and deleted records are lost.
            policy: Ages and limits.
            interval_seconds: Time between passes of the background thread.
            occurrence_id: The occurrence whose completed tasks may be cleaned although it is alive; by default the
                store's own.
        """

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    async def start(self) -> None:
        """Run a pass at once and then regularly, in the background; do nothing if it is running."""
    async def stop(self, timeout_seconds: float | None = None) -> bool:
        """End the background thread after its current batch; return True if it has ended."""
    @property
    def running(self) -> bool:
        """True if the background thread runs."""
    @property
    def last_report(self) -> MaintenanceReport | None:
        """Report of the last pass that the background thread finished."""
    @property
    def last_error(self) -> Exception | None:
        """Error of the last pass of the background thread; None if it succeeded."""
    async def close(self, timeout_seconds: float | None = None) -> bool:
        """End the background thread after its current batch; return True if it has ended."""
    async def run(self, *, dry_run: bool = False) -> MaintenanceReport:
        """Run one pass now, in this thread; running it again changes nothing more.

        Args:
            dry_run: Change nothing, and report the result that a pass would have now.

        Raises:
            StorageFull, ReadOnly: The archive cannot be written; nothing of that batch was deleted.
            StaleFence: The lease was lost, for example because the computer slept; finished batches stay.
        """
    async def rescue(self) -> MaintenanceReport:
        """Rescue only the work of dead occurrences: release their claims, and move thoughts in processing to pending.

        No lease is needed: if several processes do this at once, each piece of work is released once.
        """

class AsyncRetentionService:
    """Retention of a store's telemetry by a plan, which limits its growth.

    ``run`` does one pass. ``start`` begins a daemon thread that does one at once and then one every
    ``interval_seconds``; ``stop`` ends it; as a context manager, the service does both. Of all processes on one
    database, one at a time runs a pass, under the lease ``retention``. Nothing runs before ``run`` or ``start``.

    - Count, min and max of the samples stay exact, and sums within 1e-12; the newest value is kept.
    - Rows are deleted in the transaction that writes their summaries, in small batches.
    - Rows that arrive late are added to the summary of their period.
    - Only whole hours and days are rolled up: rows younger than the age in their rule are not touched.
    """
    def __init__(
        self,
        store: AsyncStore | AsyncTransaction | Store,
        plan: RetentionPlan | str = "standard",
        *,
        interval_seconds: float = 3600,
        lease_seconds: float = 120,
    ) -> None:
        """Prepare the service; the database is not touched.

        Args:
            store: The store to clean. Stop the service before you close the store.
            plan: One of your own, or the name of one of ``PRESETS``.
            interval_seconds: Time between passes of the background thread.
            lease_seconds: Time for which a process that died keeps others from running a pass.
        """

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    async def start(self) -> None:
        """Run a pass at once and then regularly, in the background; do nothing if it is running."""
    async def stop(self, timeout_seconds: float | None = None) -> bool:
        """End the background thread after its current batch; return True if it has ended."""
    @property
    def running(self) -> bool:
        """True if the background thread runs."""
    @property
    def last_report(self) -> RetentionReport | None:
        """Report of the last pass that the background thread finished."""
    @property
    def last_error(self) -> Exception | None:
        """Error of the last pass of the background thread; None if it succeeded."""
    async def close(self, timeout_seconds: float | None = None) -> bool:
        """End the background thread after its current batch; return True if it has ended."""
    async def run(self, *, dry_run: bool = False) -> RetentionReport:
        """Run one pass now, in this thread; running it again changes nothing more.

        Args:
            dry_run: Change nothing, and report the result that a pass would have now.

        Raises:
            StaleFence: The lease was lost, for example because the computer slept; finished batches stay.
        """

class AsyncMemoryService:
    """Service that stores and recalls nodes, edges and events. ``AsyncMemoryService`` is its async counterpart.

    Operations that write return a ``MemoryOpResult``: ``ok`` with the result in ``data``, or, if a policy refused the
    write, ``denied`` with the reason. All other errors are raised, those of the database included.

    An event is stored twice under one id, as a node and as a correlation, in one transaction. Aggregates, counts and
    ``recall_timeseries`` read the correlation alone.

    Over a transaction, every operation is part of that transaction. Over a store, ``start`` begins the background work
    that keeps the store small, and ``stop`` ends it; as a context manager, the service does both.
    """
    def __init__(
        self, store: AsyncStore | AsyncTransaction | Store, *, background: BackgroundWork | None = None
    ) -> None:
        """Use an open store or transaction, and leave it open.

        ``background``: the work that ``start`` begins; by default ``BackgroundWork(store)``.
        """

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    async def start(self) -> None:
        """Begin the background work, unless it is running; raise ``InvalidArgument`` in a transaction."""
    async def stop(self) -> None:
        """End the background work after its current batches; do nothing if it is not running."""
    async def memorize(self, node: GraphNode) -> MemoryOpResult:
        """Write a node, merging its attributes into the stored ones; ``data`` is the node as stored.

        An event that ``TSDBGraphNode`` made is stored with its correlation; memorizing it again adds nothing.
        """
    async def recall(
        self,
        query: MemoryQuery,
        *,
        limit: int = 1000,
        cursor: str | None = None,
        action: Action | None = None,
        accessor: str = "memory_service",
    ) -> Recall:
        """Return the nodes that the query names: one id, ``prefix*``, or ``*`` for all of the scope.

        ``%`` at the end means the same as ``*``, unless there is a node of just that id.

        Args:
            query: With ``include_edges``, a single node comes with the nodes within ``depth`` steps, nearest
                first, and the edges among them; the nodes of a pattern come with the edges that touch them.
            limit: Greatest number of nodes of a pattern, newest first.
            cursor: The ``next_cursor`` of the page before; only patterns have more than one page.
            action: Purpose of the recall: secrets that the action may have replace their references; see
                ``store.secrets.resolve``. None: every reference stays.
            accessor: Name of the caller, for the access log of the secrets.

        Returns:
            A page of nodes, empty if there are none, and its edges. If ``truncated`` is True, more than 10,000 nodes
            are within reach, and the page holds the nearest of them.
        """
    async def forget(self, node: GraphNode | NodeKey | tuple[str, AnyScope]) -> MemoryOpResult:
        """Delete a node, given as such or as (id, scope), with its edges; ``data`` is the number of nodes, 0 or 1.

        The correlation of a metric or log message is deleted with it; that of an audit event is kept.
        """
    async def forget_secret(self, *secret_ids: str, accessor: str = "memory_service") -> MemoryOpResult:
        """Delete secrets for good; ``data`` is their number. Their access log stays, and records the deletion."""
    async def search(
        self, text: str, *, scope: AnyScope | None = None, type: NodeType | str | None = None, limit: int = 20
    ) -> builtins.list[GraphNode]:
        """Return the nodes with all the words of ``text`` in id or attributes, best match first [cap: full_text].

        ``type:concept`` and ``scope:local`` within the text select as the arguments do. A text without words lists the
        selected nodes, most recently updated first.
        """
    async def create_edge(self, edge: GraphEdge) -> MemoryOpResult:
        """Write an edge, or its new weight and attributes; ``data`` is the edge as stored.

        Raises:
            NotFound: An end of the edge does not exist in its scope. Nothing was written.
        """
    async def memorize_metric(
        self,
        metric_name: str,
        value: float,
        tags: Mapping[str, str] | None = None,
        scope: AnyScope = ...,
        *,
        unit: str | None = None,
        handler_name: str = "memory_service",
        timestamp: datetime | None = None,
        retention_policy: RetentionPolicy | str = ...,
        ttl_seconds: int | None = None,
    ) -> MemoryOpResult:
        """Store a measurement as a node and as a correlation with the same id; ``data`` is the node.

        Args:
            metric_name: 1 to 255 bytes of UTF-8.
            value: A finite number.
            tags: To filter and group by.
            scope: Of the node and the correlation.
            unit: Such as ``percent``.
            handler_name: The component that measured, for the correlation.
            timestamp: Aware time of the measurement; by default now, by the store's clock.
            retention_policy: ``raw`` (never rolled up), ``aggregated`` (rolled up hourly) or ``downsampled`` (then
                daily).
            ttl_seconds: Age at which it expires.
        """
    async def memorize_log(
        self,
        log_message: str,
        log_level: str = "INFO",
        tags: Mapping[str, str] | None = None,
        scope: AnyScope = ...,
        *,
        handler_name: str = "memory_service",
        timestamp: datetime | None = None,
        retention_policy: RetentionPolicy | str = ...,
        ttl_seconds: int | None = None,
    ) -> MemoryOpResult:
        """Store a log message as a node and as a correlation with the same id; see ``memorize_metric``."""
    async def memorize_audit(
        self,
        action_type: str,
        outcome: str = "success",
        tags: Mapping[str, str] | None = None,
        scope: AnyScope = ...,
        *,
        actor: str | None = None,
        details: Mapping[str, Any] | None = None,
        handler_name: str = "memory_service",
        timestamp: datetime | None = None,
    ) -> MemoryOpResult:
        """Store an audit event: action, outcome, actor and further details.

        Args:
            action_type: The action, such as ``login``.
            outcome: Outcome of the action.
            tags: To filter by.
            scope: Of the node and the correlation.
            actor: The agent or person that acted; by default the store's own occurrence.
            details: A JSON object.
            handler_name: The component that reports it, for the correlation.
            timestamp: Aware time of the event; by default now, by the store's clock.
        """
    async def recall_timeseries(
        self,
        scope: AnyScope | None = "default",
        hours: float = 24,
        correlation_types: Iterable[CorrelationType | str] | CorrelationType | str | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        *,
        metric_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = 1000,
        cursor: str | None = None,
    ) -> Points:
        """Return one page of events, oldest first; pass its ``next_cursor`` to get the next page.

        Args:
            scope: None and ``"default"`` mean any scope.
            hours: How far back to look from ``end_time``, unless ``start_time`` is given.
            correlation_types: By default metrics, log messages and audit events. Each type includes its summaries.
            start_time: The earliest, included; aware.
            end_time: The latest, included; aware. By default now, by the store's clock.
            metric_name: Only this metric.
            tags: Only events with all of these tags.
            limit: Greatest number of points, 1 to 10,000.
            cursor: The ``next_cursor`` of the page before, with the same other arguments.

        Returns:
            Points; ``correlation_type`` and ``resolution`` tell the source of a value. A point that is no metric is
            named after its log level or action. Its value is the number of events, which is 1 until retention rolls
            them up, and its text is in ``metadata``.
        """

class AsyncGraph:
    """Graph memory of an agent: nodes by (id, scope), and the weighted edges between them.

    Scopes are members or text. An expired node counts as absent, deleted already or not, and so do its edges.
    """
    async def neighbours(
        self, id: str, scope: Scope, direction: Way = ..., relationships: Relationships = None
    ) -> list[GraphEdge]:
        """Return all edges that begin (out) or end (in) at the node, or both.

        They are ordered by source, target and relationship. Here and below, an expired node counts as absent, and so
        do its edges.
        """
    async def traverse(
        self,
        start: str | Iterable[str],
        scope: Scope,
        direction: Way = ...,
        relationships: Relationships = None,
        *,
        depth: int = 1,
        limit: int = 10000,
    ) -> TraversalResult:
        """Return the ids within ``depth`` steps (1 to 100) with their distances, nearest first, then by id.

        The start is at distance 0, existing or not; no node is visited twice. If more than ``limit`` nodes are in
        reach, the nearest are kept and ``truncated`` is set.
        """
    async def shortest_path(
        self,
        start: str,
        target: str,
        scope: Scope,
        direction: Way = ...,
        relationships: Relationships = None,
        *,
        max_depth: int = 10,
    ) -> list[str] | None:
        """Return the ids of a shortest path from ``start`` to ``target``, both included; None if out of reach.

        Of equally short paths it is the one with the smallest ids, compared from the start.
        """
    async def subgraph(
        self,
        start: str | Iterable[str],
        scope: Scope,
        direction: Way = ...,
        relationships: Relationships = None,
        *,
        depth: int = 1,
        limit: int = 1000,
    ) -> Subgraph:
        """Return the nodes within ``depth`` steps, nearest first, then by id, and the edges among them, by key.

        If more than ``limit`` nodes are in reach, the nearest are kept and ``truncated`` is set.
        """
    async def degrees(
        self, scope: Scope, direction: Way = ..., relationships: Relationships = None, *, limit: int = 10
    ) -> list[Degree]:
        """Return the nodes of a scope with the most edges, most first, ties by id."""
    async def search(
        self, text: str, *, scope: Scope | None = None, type: NodeType | str | None = None, limit: int = 20
    ) -> list[SearchHit]:
        """Return the nodes whose id and attributes hold all words of ``text``, best first, ties by id and scope.

        Case, accents and punctuation are ignored. ``pre*`` matches all words that begin with ``pre``. Any part of a
        text in a script without spaces matches; the module ``words`` has the rules. Of two nodes the one with fewer
        other words is the better match. A text without words matches nothing.

        Raises:
            InvalidArgument: ``text`` has more than 128 distinct words or 20,000 characters.
            NotSupported: The backend does not declare the capability ``full_text``.
        """
    async def put_edge(self, edge: GraphEdge, *, expected_revision: int | None = None) -> GraphEdge:
        """Write an edge and return it as stored. An existing one takes the given weight, attributes and metadata.

        Args:
            edge: The edge to write. It is not changed.
            expected_revision: Write only if the stored edge has this revision; 0: only if there is none.

        Raises:
            RevisionMismatch: The revision moved on. Nothing was written.
            NotFound: An end does not exist in the edge's scope, or expired. Nothing was written.
        """
    async def put_edge_many(self, edges: Iterable[GraphEdge]) -> builtins.list[GraphEdge]:
        """Write many edges, all or none, in a constant number of round trips. See ``put_edge``.

        A batch that names an edge twice is refused.
        """
    async def get_edge(
        self, source: str, target: str, relationship: str, scope: Scope, *, for_update: bool = False
    ) -> GraphEdge | None:
        """Return the edge with that key, or None. ``for_update`` locks it, as in ``get``."""
    async def get_edge_many(self, keys: Iterable[AnyEdgeKey], *, for_update: bool = False) -> dict[EdgeKey, GraphEdge]:
        """Return the existing edges among these (source, target, relationship, scope), by key; one round trip.

        ``for_update`` locks them, as in ``get``.
        """
    async def delete_edge(self, source: str, target: str, relationship: str, scope: Scope) -> int:
        """Delete an edge; return the number of deleted ones (0 or 1)."""
    async def delete_edge_many(self, keys: Iterable[AnyEdgeKey]) -> int:
        """Delete the edges of these (source, target, relationship, scope); return the number of deleted ones.

        Many are deleted in batches, as ``delete_many`` does.
        """
    async def find_edges(
        self, *, limit: int = 100, cursor: str | None = None, **filters: Unpack[EdgeFilters]
    ) -> Page[GraphEdge]:
        """Return one page of edges, ascending by scope, source, target and relationship.

        Args:
            limit: The longest page, 1 to 10,000 edges.
            cursor: The ``next_cursor`` of the page before, of the same filters.
            filters: See ``EdgeFilters``.
        """
    def scan_edges(
        self, *, on_corrupt: OnCorrupt | None = None, **filters: Unpack[EdgeFilters]
    ) -> AsyncIterator[GraphEdge]:
        """Yield every edge that matches the filters, read page by page. See ``find_edges``.

        A corrupt row raises ``Corrupt``, or is passed to ``on_corrupt``.
        """
    async def put(
        self,
        node: GraphNode,
        *,
        merge: bool = True,
        remove: Iterable[str] = ...,
        expected_revision: int | None = None,
        insert: bool = False,
    ) -> GraphNode:
        """Write a node and return it as stored.

        A new node is stored as given. The attributes of an existing one are merged, atomically: given keys win,
        others stay. ``version``, ``updated_by``, ``consent_stream``, ``expires_at`` and ``metadata`` change if they
        were given; ``created_at`` stays, ``updated_at`` changes and ``revision`` grows by 1. If an upcaster of its
        version is known, the stored node is upcast first, for which ``revision`` grows by another 1.

        Args:
            node: The node to write. It is not changed.
            merge: False replaces all attributes by the given ones.
            remove: Attribute keys to delete after the merge.
            expected_revision: Write only if the stored node has this revision; 0: only if there is none.
            insert: Write only if there is none.

        Raises:
            RevisionMismatch: The stored revision is not ``expected_revision``.
            AlreadyExists: ``insert`` met a stored node.
            Conflict: The stored node has another type.
            InvalidArgument: A field cannot be stored, or a configuration is in the wrong scope. Nothing was written.
        """
    async def put_many(
        self, nodes: Iterable[GraphNode], *, merge: bool = True, insert: bool = False
    ) -> builtins.list[GraphNode]:
        """Write many nodes, all or none, in a constant number of round trips; return them as stored. See ``put``.

        A batch that names a node twice is refused.
        """
    async def get(
        self, id: str, scope: Scope, *, include_expired: bool = False, for_update: bool = False
    ) -> GraphNode | None:
        """Return the node with that key, or None if there is none, or it expired and ``include_expired`` is False.

        ``for_update``, in a transaction only, locks the node: no other transaction changes or deletes it until this
        one ends, so a write that depends on what was read overwrites no concurrent change.
        """
    async def get_many(
        self, keys: Iterable[AnyNodeKey], *, include_expired: bool = False, for_update: bool = False
    ) -> dict[NodeKey, GraphNode]:
        """Return the existing nodes among these (id, scope), by key, in the order given. See ``get``.

        One round trip.
        """
    async def increment(self, id: str, scope: Scope, key: str | Sequence[str], by: int | float = 1) -> int | float:
        """Add to a number among a node's attributes and return the sum; no concurrent increment is lost.

        Args:
            id: The id of the node.
            scope: The scope of the node.
            key: The attribute, or a path of keys through objects. Missing parts are created, starting at 0.
            by: The number to add; a negative one subtracts.

        Raises:
            NotFound: There is no such node, or it expired.
            InvalidArgument: The attribute is no number, or the sum cannot be stored. Nothing was written.
            SecretDetected: A key holds a secret, or names one and ``by`` may be it. Nothing was written.
        """
    async def find(
        self, *, limit: int = 100, cursor: str | None = None, **filters: Unpack[NodeFilters]
    ) -> Page[GraphNode]:
        """Return one page of nodes, newest ``updated_at`` first, ties by id, then scope.

        Args:
            limit: The longest page, 1 to 10,000 nodes.
            cursor: The ``next_cursor`` of the page before, of the same filters.
            filters: See ``NodeFilters``.
        """
    def scan(self, *, on_corrupt: OnCorrupt | None = None, **filters: Unpack[NodeFilters]) -> AsyncIterator[GraphNode]:
        """Yield every node that matches the filters, read page by page. See ``find``.

        A corrupt row raises ``Corrupt``, or is passed to ``on_corrupt``.
        """
    async def count(self, **filters: Unpack[NodeFilters]) -> int:
        """Return the number of nodes that match the filters, without loading them."""
    async def delete(self, id: str, scope: Scope) -> int:
        """Delete a node and all its edges, in one transaction; return the number of deleted nodes (0 or 1)."""
    async def delete_many(self, keys: Iterable[AnyNodeKey]) -> int:
        """Delete the nodes of these (id, scope) with their edges; return the number of deleted nodes.

        Outside a transaction, more than 1,000 are deleted in batches, each a transaction of its own, so that others
        need not wait for all of them; after an error, some batches may be deleted. In a transaction it is all or none.
        Nodes of protected scopes are approved, and deleted, together.
        """

class AsyncCorrelations:
    """Recorded events: service interactions, metrics, logs, spans and audit events.

    A correlation past its ``ttl_seconds`` counts as absent in every query and change, deleted or not.
    Unlike tasks, correlations are listed for all occurrences unless ``occurrence_id`` is given.
    """
    async def start_interaction(
        self,
        service_type: str,
        action_type: str,
        *,
        handler_name: str,
        task_id: str | None = None,
        thought_id: str | None = None,
        channel_id: str | None = None,
        parameters: dict[str, str] | None = None,
        timeout_seconds: float | None = None,
        **context: Unpack[InteractionContext],
    ) -> Correlation:
        """Record that a service is being called, as a pending correlation, and return it.

        Pass its ``correlation_id`` to ``complete_interaction`` when the service has answered.
        """
    async def complete_interaction(
        self, correlation_id: str, *, success: bool = True, **result: Unpack[InteractionResult]
    ) -> Correlation | None:
        """Record a service's response: outcome, duration and status (completed or failed), in the same correlation.

        Return the correlation as it is now, or None if there is none with that id. Of several concurrent calls, one
        succeeds.

        Raises:
            Conflict: The interaction was completed before.
            InvalidArgument: The correlation records no request, or a value does not fit.
        """
    async def points(
        self,
        *,
        limit: int = 1000,
        cursor: str | None = None,
        descending: bool = False,
        **filters: Unpack[CorrelationFilters],
    ) -> Page[TimeSeriesDataPoint]:
        """Return one page of the points of the metrics that the filters match, in the order of ``find``."""
    async def metric_series(
        self,
        metric_name: str,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        limit: int = 1000,
        cursor: str | None = None,
    ) -> Page[TimeSeriesDataPoint]:
        """Return one page of a metric's points, oldest first; both bounds inclusive, tags by equality."""
    async def aggregate(
        self,
        function: Aggregate,
        bucket: timedelta,
        *,
        group_by: Iterable[str] = ...,
        **filters: Unpack[CorrelationFilters],
    ) -> builtins.list[AggregatePoint]:
        """Return values of metrics per bucket of time and group of tags, by start, then group (None first).

        Args:
            function: avg, sum, min, max, count or last.
            bucket: Length of the half-open buckets, which are aligned to the UTC epoch.
            group_by: Tag keys, at most 100; a series without the tag is in the group None.
            filters: See ``CorrelationFilters``.

        A rolled-up row counts as the samples that it stands for. Buckets without samples are left out. A sum beyond the
        greatest float is inf, or -inf; an average never is.
        """
    async def percentiles(
        self,
        percents: Iterable[float],
        bucket: timedelta,
        *,
        group_by: Iterable[str] = ...,
        **filters: Unpack[CorrelationFilters],
    ) -> builtins.list[PercentilePoint]:
        """Return percentiles of metrics per bucket of time and group of tags, by start, then group (None first).

        Args:
            percents: For instance ``[50, 95, 99]``; each from 0, the least value, to 100, the greatest. Between two
                samples they are interpolated linearly.
            bucket: Length of the half-open buckets, which are aligned to the UTC epoch.
            group_by: Tag keys, at most 100; a series without the tag is in the group None.
            filters: See ``CorrelationFilters``.

        Raises:
            NotSupported: A matching row was rolled up, and its samples no longer exist.
        """
    async def metric_names(self) -> builtins.list[str]:
        """Return the names of all stored metrics, ascending. The cost grows with the number of names."""
    async def add(self, correlation: Correlation, *, exist_ok: bool = False) -> Correlation:
        """Store a new correlation and return it as stored.

        Missing times are set by the store's clock, and a missing occurrence to the store's own.

        Args:
            correlation: The correlation to store. It is not changed.
            exist_ok: If a correlation with that id and the same value in every given field is stored, return it;
                then it is safe to call again after ``OutcomeUnknown``.

        Raises:
            AlreadyExists: The id exists, and ``exist_ok`` is False or the stored correlation differs.
            InvalidArgument: A field cannot be stored. Nothing was written.
        """
    async def add_many(
        self, correlations: Iterable[Correlation], *, exist_ok: bool = False
    ) -> builtins.list[Correlation]:
        """Store many correlations, all or none, and return them as stored, in the order given. See ``add``."""
    async def add_metrics(self, metrics: Iterable[Metric], **common: Unpack[MetricCommon]) -> builtins.list[str]:
        """Store many measurements, all or none, at several times the rate of ``add_many``; return their ids.

        Each becomes a correlation of type ``metric_datapoint``.

        Args:
            metrics: Name and value and, optionally, tags, timestamp, unit and id of each.
            common: Fields that all of them have in common; see ``MetricCommon``.

        Raises:
            AlreadyExists: An id exists. Nothing was written.
            InvalidArgument: A value cannot be stored. Nothing was written.
        """
    def buffered(
        self,
        *,
        batch_size: int = 1000,
        max_delay_seconds: float = 1.0,
        capacity: int = 50000,
        **common: Unpack[MetricCommon],
    ) -> AsyncBufferedWriter:
        """Return a writer for high rates, which accepts items at once and stores batches; see ``BufferedWriter``.

        Args:
            batch_size: Number of items stored at once, 1 to 10,000.
            max_delay_seconds: Approximate longest time that an item waits for others of its batch.
            capacity: Number of items that may wait to be stored; ``add`` waits while there are more.
            common: Fields that measurements have in common; see ``MetricCommon``.
        """
    async def get(self, correlation_id: str) -> Correlation | None:
        """Return the correlation with that id, or None."""
    async def get_many(self, correlation_ids: Iterable[str]) -> dict[str, Correlation]:
        """Return the correlations of these ids that exist, by id, in the order asked for; one round trip."""
    async def update(self, correlation_id: str, **changes: Any) -> bool:
        """Change the given fields and ``updated_at``; False if there is no such correlation.

        Raises:
            InvalidArgument: A field is unknown or cannot be updated, or its value does not fit.
        """
    async def find(
        self,
        *,
        limit: int = 100,
        cursor: str | None = None,
        descending: bool = False,
        **filters: Unpack[CorrelationFilters],
    ) -> Page[Correlation]:
        """Return one page of correlations by ``timestamp``, then id.

        Args:
            limit: Greatest number of correlations, 1 to 10,000.
            cursor: The ``next_cursor`` of the page before, of the same direction and filters.
            descending: Newest first; otherwise oldest first.
            filters: See ``CorrelationFilters``.
        """
    def scan(
        self, *, descending: bool = False, on_corrupt: OnCorrupt | None = None, **filters: Unpack[CorrelationFilters]
    ) -> AsyncIterator[Correlation]:
        """Yield all correlations that the filters match, read page by page; see ``find``.

        A corrupt row raises ``Corrupt``, or is passed to ``on_corrupt``.
        """
    async def count(self, **filters: Unpack[CorrelationFilters]) -> int:
        """Return the number of correlations that the filters match, without loading them."""
    async def delete(self, correlation_id: str) -> int:
        """Delete a correlation; return 1, or 0 if it does not exist or has expired."""
    async def delete_many(self, correlation_ids: Iterable[str]) -> int:
        """Delete many correlations and return the number of deleted ones. Unknown and expired ids do not count.

        Outside a transaction, more than 1,000 are deleted in batches, each a transaction of its own, so that other
        writers wait for one batch at most; after an error, some batches may be deleted. In a transaction, all are
        deleted or none.
        """
    async def by_channel(self, channel_id: str, limit: int = 100) -> Page[Correlation]:
        """Return the newest ``limit`` correlations of a channel, oldest first."""
    async def recent(self, limit: int = 100, **filters: Unpack[CorrelationFilters]) -> Page[Correlation]:
        """Return the newest ``limit`` correlations, newest first."""
    async def trace(self, trace_id: str) -> builtins.list[TraceNode]:
        """Return the spans of a trace as trees: its roots, oldest first, each with its children, oldest first.

        The parent of a span is the span that ``parent_span_id`` names, else the correlation that
        ``parent_correlation_id`` names; a span whose parent is not stored is a root. The list is empty for an unknown
        trace.
        """

class AsyncTasks:
    """Units of work. Every task has one owner, its ``agent_occurrence_id``.

    Every method with an ``occurrence_id`` looks only at tasks of that owner; by default at those of the store's own
    occurrence, ``"default"`` unless the store was opened otherwise; ``ANY_OCCURRENCE`` means all.
    """
    async def add(self, task: Task, *, exist_ok: bool = False) -> Task:
        """Store a new task and return it as stored.

        Times that were not given are the store's; an owner that was not given is the store's own occurrence. A task of
        ``__shared__`` with the id of a shared task, such as ``WAKEUP_SHARED_20251028``, is marked as one.

        Args:
            task: The task to store. It is not changed.
            exist_ok: If a stored task has that id, and every given field with the same value, return it.
                This makes it safe to call again after ``OutcomeUnknown``.

        Raises:
            AlreadyExists: The id exists, and ``exist_ok`` is False or the stored task differs.
            InvalidArgument: A field cannot be stored. Nothing was written.
        """
    async def add_many(self, tasks: Iterable[Task], *, exist_ok: bool = False) -> builtins.list[Task]:
        """Store many tasks, all or none, and return them as stored, in the order given. See ``add``."""
    async def add_unique(self, task: Task) -> tuple[Task, bool]:
        """Store a new task unless one with its context's correlation id exists, of any owner and status.

        Of any number of callers with one correlation id, in any number of threads, processes and hosts, one stores
        its task; the others get the stored one. Tasks stored by ``add`` count too, but ``add`` itself does not check.

        Return the stored task, the oldest if there are several, and True if this call stored it.

        Raises:
            InvalidArgument: The task has no context, and so no correlation id.
            AlreadyExists: A task with that ``task_id`` but another correlation id exists.
        """
    async def get(self, task_id: str, *, occurrence_id: Owner = None, for_update: bool = False) -> Task | None:
        """Return the task with that id, or None if that owner has none.

        ``for_update``, in a transaction only, locks the task: no other transaction changes or deletes it until this
        one ends, so a write that depends on what was read overwrites no concurrent change.
        """
    async def get_many(
        self, task_ids: Iterable[str], *, occurrence_id: Owner = None, for_update: bool = False
    ) -> dict[str, Task]:
        """Return the existing tasks among these ids, by id, in the order of the ids; one round trip. See ``get``."""
    async def update(self, task_id: str, *, occurrence_id: Owner = None, **changes: Any) -> bool:
        """Change the given fields and ``updated_at``; return False if that owner has no such task.

        The owner changes by ``transfer`` and ``claim_next`` alone. No concurrent update of other fields is lost.

        Raises:
            InvalidArgument: A field is unknown or cannot be updated, or its value does not fit.
        """
    async def find(
        self,
        *,
        order: TaskOrder = "created",
        limit: int = 100,
        cursor: str | None = None,
        **filters: Unpack[TaskFilters],
    ) -> Page[Task]:
        """Return one page of tasks.

        Args:
            order: ``created``: oldest first; ``priority``: highest first, then oldest; ``updated_desc``: updated last
                first. Ties go by id.
            limit: The longest page, 1 to 10,000 tasks.
            cursor: The ``next_cursor`` of the page before, of the same order and filters.
            filters: See ``TaskFilters``; statuses are accepted as members or text, one or several.
        """
    def scan(
        self, *, order: TaskOrder = "created", on_corrupt: OnCorrupt | None = None, **filters: Unpack[TaskFilters]
    ) -> AsyncIterator[Task]:
        """Yield every task that matches the filters, read page by page. See ``find``.

        A corrupt row raises ``Corrupt``, or is passed to ``on_corrupt``.
        """
    async def count(self, **filters: Unpack[TaskFilters]) -> int:
        """Return the number of tasks that match the filters, without loading them."""
    async def count_by_status(self, *, occurrence_id: Owner = None) -> dict[TaskStatus, int]:
        """Return the number of tasks of each status, 0 included; one round trip."""
    async def delete(self, task_id: str) -> int:
        """Delete a task with its descendants and the thoughts of all of them, of any owner.

        Return the number of deleted tasks, descendants included; 0 if there is no such task. A handle that is bound to
        an occurrence deletes only tasks of that occurrence, with their descendants.
        """
    async def delete_many(self, task_ids: Iterable[str]) -> int:
        """Delete many tasks and return the number of deleted ones. See ``delete``.

        Ids that do not exist are passed over.

        Up to 1,000 ids are deleted in one transaction; more, outside a transaction, in batches, each a transaction of
        its own, so that other writers need not wait for all of them; after an error some batches may be deleted.
        """
    async def pending_for_activation(self, limit: int = 10, *, occurrence_id: Owner = None) -> Page[Task]:
        """Return pending tasks, highest priority first, then oldest."""
    async def top(self, limit: int = 10, *, occurrence_id: Owner = None) -> Page[Task]:
        """Return pending and active tasks, highest priority first, then oldest."""
    async def recent_completed(self, limit: int = 10, *, occurrence_id: Owner = None) -> Page[Task]:
        """Return completed tasks, last updated first."""
    async def needing_seed_thought(self, limit: int = 10, *, occurrence_id: Owner = None) -> Page[Task]:
        """Return active tasks that have no thought yet, oldest first."""
    async def transfer(self, task_id: str, *, from_occurrence: str, to_occurrence: str) -> bool:
        """Transfer a task to another owner; return False if ``from_occurrence`` does not own it, or no longer.

        Only owner, ``updated_at`` and ``fence`` change; its thoughts keep their owner. At every moment a reader sees
        exactly one owner. In the same transaction an audit event ``task_ownership_transfer`` is stored, as a
        correlation of type ``audit_event``.
        """
    async def claim_next(self, worker: str, limit: int = 1, *, queue: str = ...) -> builtins.list[AsyncClaimedTask]:
        """Claim up to ``limit`` pending tasks of the queue: they become active, and the worker their owner.

        Tasks of the highest priority come first, then the oldest; no two workers get the same task. Unfinished
        thoughts of the queue move along. Register the worker first and send heartbeats: ``rescue`` releases the tasks
        of an occurrence that is not alive to their queue, and then every write through the returned handles raises
        ``StaleFence``.

        Raises:
            InvalidArgument: The worker is ``__shared__`` or the queue itself, or the queue is ``__shared__``.
        """
    def claimed(self, task: Task) -> AsyncClaimedTask:
        """Return a handle to a task that was claimed before, as read then.

        Once its fencing token has grown, writes are rejected.
        """

class AsyncThoughts:
    """Steps of reasoning about tasks. Every thought has one owner, its ``agent_occurrence_id``.

    Every method with an ``occurrence_id`` looks only at thoughts of that owner; by default at those of the store's
    own occurrence, ``"default"`` unless the store was opened otherwise; ``ANY_OCCURRENCE`` means all.
    """
    async def add(self, thought: Thought, *, exist_ok: bool = False) -> Thought:
        """Store a new thought and return it as stored. Its task must exist.

        Times that were not given are the store's; an owner that was not given is the store's own occurrence.

        Args:
            thought: The thought to store. It is not changed.
            exist_ok: If a stored thought has that id, and every given field with the same value, return it.
                This makes it safe to call again after ``OutcomeUnknown``.

        Raises:
            NotFound: There is no such task. No transaction deletes the task before this one is over.
            AlreadyExists: The id exists, and ``exist_ok`` is False or the stored thought differs.
            InvalidArgument: A field cannot be stored. Nothing was written.
        """
    async def add_many(self, thoughts: Iterable[Thought], *, exist_ok: bool = False) -> builtins.list[Thought]:
        """Store many thoughts, all or none, and return them as stored, in the order given. See ``add``."""
    async def get(self, thought_id: str, *, occurrence_id: Owner = None, for_update: bool = False) -> Thought | None:
        """Return the thought with that id, or None if that owner has none.

        ``for_update``, in a transaction only, locks the thought: no other transaction changes or deletes it until this
        one ends, so a write that depends on what was read overwrites no concurrent change.
        """
    async def get_many(
        self, thought_ids: Iterable[str], *, occurrence_id: Owner = None, for_update: bool = False
    ) -> dict[str, Thought]:
        """Return the existing thoughts among these ids, by id, in the order of the ids; one round trip. See ``get``."""
    async def update(self, thought_id: str, *, occurrence_id: Owner = None, **changes: Any) -> bool:
        """Change the given fields and ``updated_at``; return False if that owner has no such thought.

        Raises:
            InvalidArgument: A field is unknown or cannot be updated, or its value does not fit.
        """
    async def find(
        self,
        *,
        order: ThoughtOrder = "created",
        limit: int = 100,
        cursor: str | None = None,
        **filters: Unpack[ThoughtFilters],
    ) -> Page[Thought]:
        """Return one page of thoughts.

        Args:
            order: ``created``: oldest first; ``updated_desc``: updated last first. Ties go by id.
            limit: The longest page, 1 to 10,000 thoughts.
            cursor: The ``next_cursor`` of the page before, of the same order and filters.
            filters: See ``ThoughtFilters``; statuses and types are accepted as members or text, one or several.
        """
    def scan(
        self, *, order: ThoughtOrder = "created", on_corrupt: OnCorrupt | None = None, **filters: Unpack[ThoughtFilters]
    ) -> AsyncIterator[Thought]:
        """Yield every thought that matches the filters, read page by page. See ``find``.

        A corrupt row raises ``Corrupt``, or is passed to ``on_corrupt``.
        """
    async def count(self, **filters: Unpack[ThoughtFilters]) -> int:
        """Return the number of thoughts that match the filters, without loading them."""
    async def count_by_status(self, *, occurrence_id: Owner = None) -> dict[ThoughtStatus, int]:
        """Return the number of thoughts of each status, 0 included; one round trip."""
    async def delete(self, thought_id: str) -> int:
        """Delete a thought of any owner; return 1, or 0 if there is no such thought.

        A handle that is bound to an occurrence deletes only its own.
        """
    async def delete_many(self, thought_ids: Iterable[str]) -> int:
        """Delete many thoughts and return the number of deleted ones. See ``delete``.

        Ids that do not exist are passed over.

        Outside a transaction, more than 1,000 are deleted in batches, each a transaction of its own, so that others
        need not wait for all of them; after an error, some batches may be deleted. In a transaction it is all or none.
        """
    async def pending_of_active_tasks(self, limit: int = 100, *, occurrence_id: Owner = None) -> Page[Thought]:
        """Return pending thoughts whose task is active and has the same owner, oldest first; one query."""
    async def retry(self, thought_id: str, max_retries: int = 3, *, occurrence_id: Owner = None) -> bool:
        """Move a failed thought to pending and add 1 to ``retry_count``.

        Return False, and change nothing, if it is not failed, was retried ``max_retries`` times, or does not exist.
        """
    async def escalate(self, thought_id: str, *, occurrence_id: Owner = None) -> bool:
        """Add 1 to ``escalation_level``; return False if that owner has no such thought."""
    async def transfer(
        self, *, thought_id: str | None = None, task_id: str | None = None, from_occurrence: str, to_occurrence: str
    ) -> bool | int:
        """Transfer thoughts to another owner; only owner and ``updated_at`` change.

        Give exactly one of ``thought_id``, which returns True if ``from_occurrence`` owned the thought and it moved,
        and ``task_id`` for all thoughts of that task, which returns the number moved. If any moved, an audit event
        ``thought_ownership_transfer`` is stored in the same transaction, as a correlation of type ``audit_event``.
        """

class AsyncOccurrences:
    """The running occurrences. An occurrence is alive until the time to live of its last heartbeat is over."""
    async def register(
        self, occurrence_id: str, ttl_seconds: float = 60, *, metadata: Mapping[str, Any] | None = None
    ) -> Occurrence:
        """Register an occurrence as started now, replacing an earlier registration of that id.

        An id of the form ``__…__`` is refused. Unfinished tasks that an earlier run of that id claimed return to the
        queues that they came from, in the same transaction. Their fencing tokens grow: if the earlier run is still
        working, its handles raise ``StaleFence``. So register once, before claiming, and then send heartbeats.

        Raises:
            Unavailable: A transaction of the earlier run is still open and holds its rows; on PostgreSQL each wait for
                one of them lasts 3 s, also in the rest of a transaction that contains this call. If its process is
                stopped, end it.
        """
    async def heartbeat(self, occurrence_id: str, ttl_seconds: float = 60) -> bool:
        """Extend the life of an occurrence to ``ttl_seconds`` from now; return False if it is not registered now."""
    async def find(self, *, alive_only: bool = True) -> builtins.list[Occurrence]:
        """Return the live occurrences, or all registered ones, ordered by id."""
    async def remove(self, occurrence_id: str) -> bool:
        """Remove the registration of an occurrence; return False if there is none.

        Its tasks stay: release them first.
        """

class AsyncLeases:
    """Named locks with an owner and an expiry, for work that one process at a time may do."""
    async def acquire(self, name: str, owner: str, ttl_seconds: float = 60) -> Lease | None:
        """Acquire the lease for ``ttl_seconds``; return None if another owner holds it.

        An owner that holds it already gets it again, extended. The fencing token ``fence`` grows with every change of
        owner: store it with the data that the lease protects, and reject writes that present an older one.
        """
    async def renew(self, lease: Lease, ttl_seconds: float = 60) -> Lease | None:
        """Extend the lease to ``ttl_seconds`` from now and return it.

        Return None if it expired or another owner acquired it: then stop the work.
        """
    async def release(self, lease: Lease) -> bool:
        """End the lease; return False if it had expired or another owner had acquired it."""
    def lock(self, name: str, owner: str, ttl_seconds: float = 60) -> AbstractAsyncContextManager[Lease, None]:
        """Hold the lease during a ``with`` block; renew it inside if the work may take longer than ``ttl_seconds``.

        Raises:
            LeaseHeld: Another owner holds it; the block does not run.
            StaleFence: At the end of the block, if the lease expired during it or another owner acquired it.
        """
    async def find(self, *, held_only: bool = True) -> builtins.list[Lease]:
        """Return the leases that are held now, or all that ever were, ordered by name."""

class AsyncSecrets:
    """Secrets that were found in records and encrypted. References stand for them in the texts.

    A secret of a record that has expired counts as absent.

    Two methods decrypt secrets: ``resolve``, for an action, and ``disclose``, for a person who gives a reason. Both
    log the access, granted or denied, before they return.
    """
    @property
    def has_key(self) -> bool:
        """True if the store was opened with a key, and so can encrypt."""
    async def resolve(self, record: R, *, action: Action, accessor: str) -> R:
        """Return a copy of a stored record, with the secrets that the action may have in place of their references.

        References to secrets that the action may not have, or that another record owns, stay as they are; a node
        resolves only the references that its ``secret_refs`` list. Do not store the copy's texts elsewhere: they would
        be encrypted again.

        Args:
            record: A node, edge, task, thought, correlation, occurrence or document, as it was read.
            action: The use of the copy. ``speak``: sensitivity low and medium; ``tool``: also high; ``memorize``: low
                only. No action resolves a critical secret: see ``disclose``.
            accessor: The caller's name, for the log.

        Raises:
            SecretKeyError: The store has no key, or not the key of a secret.
            Corrupt: A secret that the action may have was damaged or tampered with. Nothing is resolved.
            TransactionError: A transaction is open, which could roll the log back.
        """
    async def disclose(self, secret_id: str, *, accessor: str, reason: str) -> Any:
        """Return the value of one secret of any sensitivity, as a person decided; None if there is no such secret.

        Unattended code should not call this. ``reason`` is logged.

        Raises:
            SecretKeyError, Corrupt, TransactionError: As ``resolve``.
        """
    async def delete(self, secret_id: str, *, accessor: str | None = None) -> int:
        """Delete a secret for good; return 1, or 0 if there is no such secret.

        Its reference stays in the texts and resolves to nothing.

        ``accessor``: the caller's name for the access log, which stays; by default the store's own occurrence.
        """
    async def delete_many(self, secret_ids: Iterable[str], *, accessor: str | None = None) -> int:
        """Delete many secrets for good and return the number of deleted ones. See ``delete``."""
    async def get(self, secret_id: str) -> SecretInfo | None:
        """Return the description of a secret, without its value; None if there is no such secret."""
    async def find(self, *, limit: int = 100, cursor: str | None = None) -> Page[SecretInfo]:
        """Return one page of descriptions of the secrets, without their values, oldest first."""
    async def access_log(
        self, secret_id: str | None = None, *, limit: int = 100, cursor: str | None = None
    ) -> Page[SecretAccess]:
        """Return one page of the access log, oldest first, of all secrets or of one, which may be deleted."""
    async def check(self) -> SecretsReport:
        """Decrypt every secret, one after the other, and count them by key. The values are discarded."""
    async def rotate(self, progress: Progress = ...) -> SecretsReport:
        """Encrypt all secrets again under the active key, and verify it: ``report.rotated``.

        The call may be killed and repeated, and readers and writers may continue. Before it, give every writing process
        the new key, first in its ring, and keep the old key behind it: from now on, a writer that only has the old key
        cannot store secrets. Keep old keys for as long as you keep backups from before.

        Args:
            progress: Called with the number of secrets moved so far, every few hundred.

        Raises:
            SecretKeyError: The store was opened without a key.
        """
    async def sweep(self, older_than: timedelta = ...) -> int:
        """Delete unreferenced secrets, and return the number of deleted ones.

        A secret is left behind when its value is overwritten, or when its record is deleted with another one, expires
        or is rolled up.
        The maintenance service calls this.

        Args:
            older_than: Secrets younger than this are kept, as a caller may be about to write a text that it has read.
        """

class AsyncSharedTasks:
    """Tasks that belong to all occurrences until one takes them over. Dates and ages are judged by server time."""
    async def try_claim(
        self, task_type: str, channel_id: str, description: str, priority: int = 0, *, occurrence_id: str | None = None
    ) -> tuple[Task, bool]:
        """Claim today's task of that type; return the stored task, and True if this call created it.

        Of all concurrent callers, in any number of threads, processes and hosts, exactly one gets True. The others get
        the stored task, finished or not. An unfinished task of the day before that is younger than five minutes counts
        as today's. The task is owned by ``__shared__``; ``claim_and_transfer`` claims it and takes it over at once.

        Args:
            task_type: Upper-cased; with the UTC date it makes the id, such as ``WAKEUP_SHARED_20251028``.
            channel_id: The channel of the task.
            description: The work to do.
            priority: 0 to 10.
            occurrence_id: The claimant, recorded in ``created_by``; by default the store's own occurrence.
        """
    async def claim_and_transfer(
        self, task_type: str, channel_id: str, description: str, priority: int = 0, *, occurrence_id: str | None = None
    ) -> tuple[Task, bool]:
        """Claim today's task as ``try_claim`` does; if this call creates it, transfer it to the occurrence.

        Return the task as it is now, and True if this call created it. Its thoughts move along, all in one
        transaction. The transfers are recorded in that transaction as audit events ``task_ownership_transfer`` and
        ``thought_ownership_transfer``, which are stored as correlations of type ``audit_event``.
        """
    async def latest(self, task_type: str, within_hours: float = 24) -> Task | None:
        """Return the newest shared task of exactly that type created within ``within_hours``, of any owner, or None."""
    async def status(self, task_type: str, within_hours: float = 24) -> TaskStatus | None:
        """Return the status of the ``latest`` task, or None if there is none."""
    async def is_completed(self, task_type: str, within_hours: float = 24) -> bool:
        """Return True if the ``latest`` task is completed; False if there is none."""

class AsyncDocuments:
    """JSON values and bytes by namespace and key, for all that is no node, task or event [cap: documents].

    Values come back exactly as they were written. An expired document counts as absent, deleted already or not.
    """
    async def get(
        self, namespace: AnyNamespace, key: str, *, refresh: bool = False, for_update: bool = False
    ) -> Document | None:
        """Return the document, or None if there is none, or it expired.

        Args:
            namespace: The namespace, whole.
            key: The key.
            refresh: Move its expiry to its ``ttl`` from now, if it has one.
            for_update: In a transaction only: lock it, so that no other transaction changes or deletes it until this
                one ends.
        """
    async def get_many(
        self, keys: Iterable[AnyKey], *, refresh: bool = False, for_update: bool = False
    ) -> dict[DocumentKey, Document]:
        """Return the existing documents among these (namespace, key), by key, in the order given. See ``get``.

        One round trip.
        """
    async def touch(self, namespace: AnyNamespace, key: str) -> Document | None:
        """Move the document's expiry to its ``ttl`` from now, if it has one, and return it; None if there is none."""
    async def find(
        self,
        prefix: AnyNamespace = ...,
        *,
        filter: Filter | None = None,
        key_prefix: str | None = None,
        order: DocumentOrder = "key",
        descending: bool = False,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Document]:
        """Return one page of the documents below a prefix of whole segments.

        Args:
            prefix: ``("a", "b")`` finds ``("a", "b")`` and ``("a", "b", "c")``, and not ``("a", "bc")``.
            filter: A condition on the values, made with ``field``; bytes and encrypted values meet none.
            key_prefix: The beginning of the key. It has no wildcards.
            order: ``"key"``: by namespace, then key; ``"created"`` or ``"updated"``: by that time.
            descending: Turn the order round.
            limit: The longest page, 1 to 10,000 documents.
            cursor: The ``next_cursor`` of the page before, of the same arguments.
        """
    def scan(
        self,
        prefix: AnyNamespace = ...,
        *,
        filter: Filter | None = None,
        key_prefix: str | None = None,
        order: DocumentOrder = "key",
        descending: bool = False,
        on_corrupt: OnCorrupt | None = None,
    ) -> AsyncIterator[Document]:
        """Yield all documents below a prefix, page by page, each page read when it is needed. See ``find``.

        ``on_corrupt``: called for every row that cannot be decoded; without it, such a row raises ``Corrupt``.
        """
    async def count(
        self, prefix: AnyNamespace = ..., *, filter: Filter | None = None, key_prefix: str | None = None
    ) -> int:
        """Return the number of documents that ``find`` would find."""
    async def namespaces(
        self,
        prefix: Iterable[str | None] | str = ...,
        *,
        suffix: Iterable[str | None] | str = ...,
        max_depth: int | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Namespace]:
        """Return one page of the namespaces that hold documents, in order, each once.

        Args:
            prefix: Segments that the namespace begins with; None stands for any one segment.
            suffix: Segments that it ends with, before it is shortened; None stands for any one segment.
            max_depth: Shorten the namespaces to so many segments.
            limit: The longest page, 1 to 10,000 namespaces.
            cursor: The ``next_cursor`` of the page before, of the same arguments.
        """
    async def put(
        self,
        namespace: AnyNamespace,
        key: str,
        value: Any,
        *,
        merge: bool = False,
        expected_revision: int | None = None,
        insert: bool = False,
        ttl: float | None = None,
        media_type: str | None = None,
        metadata: dict[str, Any] | None = None,
        secrets: SecretsMode | None = None,
    ) -> Document:
        """Write a document and return it as stored.

        It replaces a stored one whole: value, metadata, media type and expiry. ``created_at`` stays, and the revision
        grows by 1.

        Args:
            namespace: 1 to 32 texts, as in ``("users", "ada")``; a text alone is a namespace of one segment. Segments
                and key have at most 2,048 bytes of UTF-8 each, and 8,192 together.
            key: The key within the namespace.
            value: Any JSON value (tuples become lists), or bytes; at most 16 MiB.
            merge: Keep the keys of the stored object that ``value``, an object too, does not name; atomic. Metadata are
                merged too, and a ``ttl`` that is not given stays.
            expected_revision: Write only if the stored document has this revision; 0: only if there is none.
            insert: Write only if there is none.
            ttl: Seconds until the document expires; by default never.
            media_type: Media type of bytes.
            metadata: Facts about the value. Secrets are not looked for in them.
            secrets: Treatment of secrets in the value; ``SecretsConfig.documents`` goes before this.

        Raises:
            RevisionMismatch: The stored revision is not ``expected_revision``.
            AlreadyExists: ``insert`` met a stored document.
            InvalidArgument: A part cannot be stored; ``merge`` of something that is no object. Nothing was written.
            SecretDetected: The value holds a secret, and there is no key.
            SecretKeyError: The value is to be encrypted, and there is no key.
        """
    async def put_many(
        self, documents: Iterable[NewDocument | tuple[AnyNamespace, str, Any]], *, secrets: SecretsMode | None = None
    ) -> builtins.list[Document]:
        """Write many documents, all or none, in a constant number of round trips; return them as stored. See ``put``.

        A batch that names a document twice is refused.
        """
    async def delete(self, namespace: AnyNamespace, key: str) -> int:
        """Delete a document; return 1, or 0 if there was none, or it had expired."""
    async def delete_many(self, keys: Iterable[AnyKey]) -> int:
        """Delete the documents of these (namespace, key), and return how many there were."""
    async def delete_matching(
        self, prefix: AnyNamespace, *, filter: Filter | None = None, key_prefix: str | None = None
    ) -> int:
        """Delete the documents that ``find`` would find, and return how many.

        Outside a transaction it deletes batches, each in a transaction of its own: what was deleted before an error
        stays so. ``()`` as prefix means every document.
        """
    async def create_index(self, *path: str | int) -> None:
        """Index the part of every JSON value that these keys and indexes lead to; one that exists is kept.

        Afterwards, finding by ``eq`` or ``is_in`` on this part costs what the answer costs. On a large store, the call
        takes as long as reading all documents, and writers wait meanwhile.

        Raises:
            Unavailable: Other transactions with documents did not end in time. Run the call again.
        """
    async def drop_index(self, *path: str | int) -> None:
        """Remove such an index, if there is one.

        Raises:
            Unavailable: Other transactions with documents did not end in time. Run the call again.
        """

class AsyncStreams:
    """Append-only sequences of entries, such as conversations and the events of runs [cap: streams].

    A stream is known by its namespace and name; the first append makes it. Values come back exactly as they were
    written. No call costs more for a long stream, or for many.
    """
    async def read(
        self,
        namespace: AnyNamespace,
        name: str,
        *,
        after: int | None = None,
        limit: int = 100,
        reverse: bool = False,
        cursor: str | None = None,
    ) -> Page[StreamEntry]:
        """Return one page of the entries by position; of a stream that does not exist, none.

        Args:
            namespace: The namespace, whole.
            name: The name.
            after: Only entries behind this position, or before it where ``reverse``.
            limit: The longest page, 1 to 10,000 entries.
            reverse: Newest first.
            cursor: The ``next_cursor`` of the page before, in place of ``after``.
        """
    async def tail(self, namespace: AnyNamespace, name: str, n: int = 50) -> builtins.list[StreamEntry]:
        """Return the newest ``n`` entries, oldest of them first; ``n``: 1 to 10,000.

        Raises:
            Corrupt: One of them cannot be read.
        """
    async def last(self, namespace: AnyNamespace, name: str) -> StreamEntry | None:
        """Return the newest entry, or None."""
    async def get(self, namespace: AnyNamespace, name: str, id: str) -> StreamEntry | None:
        """Return the entry with that id, or None."""
    async def get_many(self, namespace: AnyNamespace, name: str, ids: Iterable[str]) -> dict[str, StreamEntry]:
        """Return the entries of these ids that exist, by id, in the order given. One round trip."""
    def scan(
        self,
        namespace: AnyNamespace,
        name: str,
        *,
        after: int | None = None,
        reverse: bool = False,
        on_corrupt: OnCorrupt | None = None,
    ) -> AsyncIterator[StreamEntry]:
        """Yield all entries by position, page by page, each page read when it is needed. See ``read``.

        ``on_corrupt``: called for every row that cannot be decoded; without it, such a row raises ``Corrupt``.
        """
    async def info(self, namespace: AnyNamespace, name: str) -> StreamInfo | None:
        """Return the length of a stream and when it changed; None if it does not exist. Reads no entry."""
    async def find(
        self,
        prefix: AnyNamespace = ...,
        *,
        name_prefix: str | None = None,
        order: Literal["name", "updated"] = "name",
        descending: bool = False,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[StreamInfo]:
        """Return one page of the streams below a prefix of whole segments.

        Args:
            prefix: ``("a", "b")`` finds streams in ``("a", "b")`` and ``("a", "b", "c")``, and not in ``("a", "bc")``.
            name_prefix: The beginning of the name. It has no wildcards.
            order: ``"name"``: by namespace, then name; ``"updated"``: by the time of the last change.
            descending: Turn the order round.
            limit: The longest page, 1 to 10,000 streams.
            cursor: The ``next_cursor`` of the page before, of the same arguments.
        """
    async def count(self, prefix: AnyNamespace = ..., *, name_prefix: str | None = None) -> int:
        """Return the number of streams that ``find`` would find."""
    async def append(
        self,
        namespace: AnyNamespace,
        name: str,
        entries: Iterable[Any],
        *,
        expected_position: int | None = None,
        secrets: SecretsMode | None = None,
    ) -> builtins.list[int]:
        """Append entries, all or none, and return their positions.

        Positions are 1, 2, 3, … without gaps, in the order of commits: no reader sees a position without those before
        it. Appenders to one stream wait for one another, and for no other stream's.

        Args:
            namespace: 1 to 32 texts, as for documents.
            name: The name within the namespace.
            entries: JSON values, bytes, or ``NewEntry`` for an entry with a kind, an id or a media type. An entry whose
                id the stream has is not appended again: its position is returned.
            expected_position: Append only if this is the position of the newest entry; 0: only to an empty stream.
            secrets: Treatment of secrets in the values; ``SecretsConfig.documents`` goes before this.

        Raises:
            RevisionMismatch: The newest entry is not at ``expected_position``.
            Conflict: An id is stored with another value. Nothing was written.
            InvalidArgument: A part cannot be stored. Nothing was written.
        """
    async def pop(self, namespace: AnyNamespace, name: str) -> StreamEntry | None:
        """Remove the newest entry and return it, or None. The next entry gets its position; no two callers get it."""
    async def truncate(
        self, namespace: AnyNamespace, name: str, *, before: int | None = None, after: int | None = None
    ) -> int:
        """Delete the entries at positions below ``before``, or above ``after``; return how many.

        After ``before``, all positions stay, and the stream goes on behind its newest one. After ``after``, the next
        entry follows the newest that is left. Outside a transaction, a long stream is truncated in batches, each a
        transaction of its own.
        """
    async def fork(
        self, source: tuple[AnyNamespace, str], target: tuple[AnyNamespace, str], *, up_to: int | None = None
    ) -> int:
        """Make a new stream with the entries of another, up to a position; return how many.

        The entries keep positions, ids and times; both streams go on independently.

        Raises:
            NotFound: There is no such source.
            AlreadyExists: There is such a target.
        """
    async def delete(self, namespace: AnyNamespace, name: str) -> int:
        """Delete a stream with all its entries; return 1, or 0 if there was none."""
    async def delete_many(self, streams: Iterable[tuple[AnyNamespace, str]]) -> int:
        """Delete the streams of these (namespace, name) with all their entries; return how many there were."""

class AsyncAuditTrail:
    """Audit events in hash chains, which show every later change; one chain for each occurrence.

    Each event is also a correlation of type ``audit_event`` with the same id, and every such correlation that is
    stored, by whichever method, has its entry. Neither can be changed or deleted, until ``prune`` removes old entries.
    """
    async def append(self, event_type: str, actor: str, payload: Mapping[str, Any] | None = None) -> str:
        """Store an audit event and return its id. Its entry and its correlation have the same id.

        In a transaction, append last: until it ends, other writers of this occurrence's chain wait.

        Args:
            event_type: The kind of the action.
            actor: The name of the actor.
            payload: Further data: a JSON object.
        """
    async def append_many(self, events: Iterable[AuditEvent]) -> builtins.list[str]:
        """Store audit events, all or none, in the order given, and return their ids."""
    async def chains(self) -> builtins.list[str]:
        """Return the occurrences that have a chain, ascending."""
    async def find(self, chain: str | None = None, *, limit: int = 100, cursor: str | None = None) -> Page[AuditEntry]:
        """Return one page of entries by chain, then sequence, ascending; of all chains or of one."""
    def scan(self, chain: str | None = None) -> AsyncIterator[AuditEntry]:
        """Yield all entries, read page by page. See ``find``."""
    async def tail(self, chain: str | None = None, limit: int = 20) -> builtins.list[AuditEntry]:
        """Return the newest entries of a chain, by default of the store's own occurrence, oldest of them first."""
    async def verify(
        self,
        chain: str | None = None,
        *,
        public_keys: Sequence[str] = ...,
        checkpoint: AuditCheckpoint | None = None,
        require_signatures: bool | None = None,
        stores: Sequence[str] = ...,
    ) -> AuditReport:
        """Verify the chains: find entries and correlations that were changed, removed, moved or truncated.

        Nothing is locked: writers and retention continue meanwhile. Without a key the verdict is never ``ok``, as a
        party that can write to the database can recompute all hashes.

        Args:
            chain: Only this one; otherwise all chains, and all audit events among the correlations.
            public_keys: Keys whose signatures count, beside the store's own signing key.
            checkpoint: A result of ``checkpoint()`` that was kept elsewhere: each chain must still reach it.
            require_signatures: True if one of the keys must have signed every entry and anchor: the default if a key is
                known. Pass False for chains that are older than the key.
            stores: Ids of other stores whose entries may be here. A copy that was made with a signing key lists them
                itself.
        """
    async def checkpoint(self) -> AuditCheckpoint:
        """Return the heads of all chains, signed if the store has a signing key.

        Keep the checkpoint out of reach of the database's users. ``verify(checkpoint=...)`` finds a chain that was
        truncated or replaced since.
        """
    def export(self, chain: str | None = None) -> AsyncIterator[AuditAnchor | AuditEntry | AuditCheckpoint]:
        """Yield the whole trail for an archive: anchor and entries of each chain, and last a checkpoint of all."""
    async def prune(self, before: datetime, *, chain: str | None = None) -> int:
        """Remove the older entries of a chain with their correlations, and return the number of removed entries.

        An anchor replaces them, signed if the store has a signing key, so that the rest still verifies. An entry that
        is not old enough keeps all that follow it. The pruning itself becomes an audit event of the same chain. Export
        the entries to keep first.

        Args:
            before: Entries of that time and later stay. It must not lie in the future.
            chain: By default that of the store's own occurrence.

        Raises:
            Corrupt: An entry to be removed is not as it was written. No more entries are removed, so that the evidence
                stays: see ``verify``.
        """

class AsyncAuthorities:
    """Wise Authorities: their signatures approve of writes to protected scopes. Each is known by its Ed25519 key.

    The first is registered by ``bootstrap``. From then on each change needs the approval of one of them, like any
    other write to IDENTITY.
    """
    async def find(self) -> builtins.list[Authority]:
        """Return all registered authorities, revoked ones included, by id."""
    async def bootstrap(self, public_key: str, name: str, *, identity: Iterable[GraphNode] = ...) -> bool:
        """Register the first authority and store the first identity. Only this registration needs no approval.

        Of concurrent callers, in any number of threads, processes and hosts, exactly one gets True. The others get
        False, and nothing of theirs is stored.

        Args:
            public_key: The public key of the authority, as ``SigningKey.public_key`` returns it.
            name: The name of the authority.
            identity: Nodes to be stored with it, none of which may exist.

        Raises:
            Conflict: A node of ``identity`` exists, or the store is an unfinished copy. Nothing was stored.
        """
    async def register(self, public_key: str, name: str) -> Authority:
        """Register another authority. This needs an approval.

        Raises:
            AccessDenied: There is no approval. ``error.request`` is the request to have approved.
            AlreadyExists: That key was registered before.
        """
    async def revoke(self, key_id: str) -> Authority:
        """Revoke an authority permanently: its approvals no longer count. This needs an approval.

        Raises:
            AccessDenied: There is no approval. ``error.request`` is the request to have approved.
            NotFound: The authority is not registered.
            Conflict: It is the last authority. Register another one first.
        """

class AsyncOccurrenceHandle:
    """Tasks, thoughts, heartbeats and claims of one occurrence.

    ``tasks`` and ``thoughts`` look up and write records of this occurrence only, without ``occurrence_id``; naming
    another one raises ``InvalidArgument``. As a context manager it registers on entry and shuts down on exit::

        with store.for_occurrence("occurrence_1") as me:
            for work in me.claim_next():
                work.complete()
    """

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    @property
    def occurrence_id(self) -> str: ...
    @property
    def tasks(self) -> AsyncTasks: ...
    @property
    def thoughts(self) -> AsyncThoughts: ...
    async def register(
        self, ttl_seconds: float | None = None, *, metadata: Mapping[str, Any] | None = None
    ) -> Occurrence:
        """Register this occurrence as started now, alive for ``ttl_seconds``, by default those of the handle.

        Tasks that an earlier run of it claimed return to their queues; see ``Occurrences.register``.
        """
    async def heartbeat(self, ttl_seconds: float | None = None) -> bool:
        """Extend the life of this occurrence to ``ttl_seconds`` from now.

        Return False if it is not registered, or no longer: then register again.
        """
    async def claim_next(self, limit: int = 1, *, queue: str = ...) -> list[AsyncClaimedTask]:
        """Claim up to ``limit`` pending tasks of the queue. See ``Tasks.claim_next``."""
    async def try_claim_shared(
        self, task_type: str, channel_id: str, description: str, priority: int = 0
    ) -> tuple[Task, bool]:
        """Claim today's shared task of that type and take it over. See ``SharedTasks.claim_and_transfer``."""
    async def release_work(self) -> int:
        """Release all claimed, unfinished tasks to their queues; return the number of released tasks.

        They become pending again, and handles to them raise ``StaleFence``.
        """
    async def rescue(self, limit: int = 100) -> list[Task]:
        """Release up to ``limit`` tasks of dead occurrences to their queues; return them as they are now.

        An occurrence is dead if its last heartbeat expired, or if it never registered.
        """
    async def take_over(self, occurrence_id: str, limit: int = 100) -> list[AsyncClaimedTask]:
        """Transfer up to ``limit`` unfinished tasks of a dead occurrence to this one, with their thoughts.

        Oldest first. Use it for tasks that were never in a queue, such as shared tasks; ``rescue`` returns the others
        to their queues. Thoughts in processing become pending. The fencing tokens grow, so handles of the dead
        occurrence raise ``StaleFence`` if it resumes. An audit event is stored for each transfer.

        Pass this occurrence's own id to continue the tasks of an earlier run: register first, take over, then begin to
        work, in the one process that runs it.

        Raises:
            Conflict: That occurrence is alive.
            NotFound: It never registered, so its death cannot be determined. ``tasks.transfer`` moves abandoned tasks.
            InvalidArgument: It is ``__shared__``.
        """
    async def recover_thoughts(self) -> int:
        """Move thoughts that an earlier run of this occurrence left in processing to pending; return their number.

        Call it before this occurrence begins to work, in the one process that runs it: an abandoned thought cannot be
        told from one that is being processed under the same id.
        """
    async def shutdown(self) -> None:
        """Release the claimed tasks, then remove the registration of this occurrence."""

class AsyncTransaction:
    """One open transaction. It belongs to the thread that began it, unless it is shared, and ends with its block.

    Reads see its own writes, and otherwise committed data only.
    """
    @property
    def graph(self) -> AsyncGraph:
        """The graph memory: nodes and edges."""
    @property
    def correlations(self) -> AsyncCorrelations:
        """Service interactions, metrics, logs, spans and audit events."""
    @property
    def tasks(self) -> AsyncTasks:
        """The tasks: units of work."""
    @property
    def thoughts(self) -> AsyncThoughts:
        """The thoughts: steps of reasoning about tasks."""
    @property
    def occurrences(self) -> AsyncOccurrences:
        """The running occurrences."""
    @property
    def leases(self) -> AsyncLeases:
        """The leases: named locks with owner and expiry."""
    @property
    def secrets(self) -> AsyncSecrets:
        """The secrets that were extracted from records and encrypted."""
    @property
    def shared_tasks(self) -> AsyncSharedTasks:
        """The shared tasks, which exactly one occurrence does each day."""
    @property
    def documents(self) -> AsyncDocuments:
        """The documents: JSON values and bytes by namespace and key."""
    @property
    def streams(self) -> AsyncStreams:
        """The streams: append-only sequences of entries."""
    @property
    def audit(self) -> AsyncAuditTrail:
        """The audit trail: hash chains of events, which expose every later change."""
    @property
    def authorities(self) -> AsyncAuthorities:
        """The Wise Authorities, whose approval writes to protected scopes need."""
    def for_occurrence(self, occurrence_id: str, ttl_seconds: float = 60) -> AsyncOccurrenceHandle:
        """Return a handle that is bound to one occurrence; ``__shared__`` is refused.

        ``ttl_seconds``: the time that the occurrence stays alive without a heartbeat, once registered.
        """
    def savepoint(self) -> AbstractAsyncContextManager[None, None]:
        """Run a block that is rolled back alone if it raises; nests [cap: savepoints].

        On a backend without the capability, an error in the block aborts the whole transaction: all later calls and the
        commit raise ``TransactionError``.
        """

class AsyncBufferedWriter:
    """Writer that stores correlations and measurements in batches; made by ``store.correlations.buffered``.

    - ``add`` **accepts**: the item was checked and is in memory, and a crash of the process may lose it.
    - ``flush`` and ``close`` **acknowledge**: all items accepted before are stored, as durably as by any other write.

    A thread stores a batch as soon as it is full or its oldest item has waited for ``max_delay_seconds``. While the
    database is unavailable, the batch is kept and tried again, and ``add`` waits as soon as the buffer is full. No item
    is stored twice, even if the answer to a write was lost. An item that cannot be stored, such as one whose id exists,
    is set apart for ``take_rejected``, and the others of its batch are stored.

    Use it in a ``with`` statement, or close it, before the store is closed. May be used from many threads.
    """

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    @property
    def pending(self) -> int:
        """Number of items that were accepted and are not stored yet."""
    @property
    def last_error(self) -> StoreError | None:
        """Error of the last attempt to store a batch; None if it succeeded."""
    async def add(self, *items: Item, timeout_seconds: float = 30.0) -> None:
        """Accept correlations and measurements, all or none; missing times are set to that of this call.

        Raises:
            InvalidArgument: One of them cannot be stored.
            Unavailable: The buffer stayed full for ``timeout_seconds``.
            StoreClosed: The writer was closed.
        """
    async def flush(self, *, timeout_seconds: float | None = None) -> None:
        """Wait until all items accepted before are stored.

        Raises:
            StoreError: A batch could not be stored. Nothing is lost: the thread and the next flush try again. Or an
                item was rejected; see ``take_rejected``.
            Unavailable: It took longer than ``timeout_seconds``; the thread goes on.
        """
    async def take_rejected(self) -> builtins.list[Rejection]:
        """Return the items that could not be stored, and remove them from the writer."""
    async def close(self, *, timeout_seconds: float | None = None) -> None:
        """Store the remaining items and end; raise as ``flush`` does, and stay open if an item is not stored yet."""

class AsyncClaimedTask:
    """Claimed task with the fencing token of its claim.

    Once the task was taken over, released or deleted, every write raises ``StaleFence`` and writes nothing. A handle
    from a transaction ends with it; ``store.tasks.claimed(handle.task)`` makes one that outlives the transaction.
    """
    @property
    def task(self) -> Task: ...
    @property
    def fence(self) -> int: ...
    async def update(self, **changes: Any) -> None:
        """Change the given fields and ``updated_at``; raises ``InvalidArgument`` as ``Tasks.update`` does."""
    async def complete(self, outcome: TaskOutcome | None = None) -> None:
        """Set the status to completed, with the outcome if one is given."""
    async def fail(self, outcome: TaskOutcome | None = None) -> None:
        """Set the status to failed, with the outcome if one is given."""
    async def add_thought(self, thought: Thought) -> Thought:
        """Store a new thought of this task, owned by the task's owner, and return it as stored.

        Raises:
            InvalidArgument: It belongs to another task or owner.
            AlreadyExists: Its id exists.
        """
    async def update_thought(self, thought_id: str, **changes: Any) -> bool:
        """Change fields of a thought of this task, and ``updated_at``; False if this task has no such thought."""

def open_fleet_async(url: str | os.PathLike[str] | None = None, *, workers: int = 10, **options: Any) -> AsyncFleet:
    """Open a fleet for asyncio. No store is opened yet, and no server contacted.

    Args:
        url: As for ``open_fleet``, as are the other options and the errors.
        workers: How many calls run at the same time, over all agents.
        options: Those of ``open_fleet`` and ``open_store``.
    """
