"""The store: what users hold, written once over the contract."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from ciris_store_core.capabilities import Capability
from ciris_store_core.clock import Clock, SystemClock
from ciris_store_core.contract.backend import Backend
from ciris_store_core.contract.hookspecs import CONTRACT_VERSION, BackendContext
from ciris_store_core.contract.registry import Registry
from ciris_store_core.errors import StoreError
from ciris_store_core.models.tasks import DEFAULT_OCCURRENCE
from ciris_store_core.secrets.crypto import SecretCrypto
from ciris_store_core.secrets.keys import SecretsConfig, detection_wanted
from ciris_store_core.secrets.redaction import redactor_for
from ciris_store_core.signing import SigningKey
from ciris_store_core.store.access.authorities import Authorities
from ciris_store_core.store.access.policy import ScopePolicy
from ciris_store_core.store.access.secrets import Secrets
from ciris_store_core.store.access.session_guard import SessionGuard
from ciris_store_core.store.audit.trail import AuditTrail
from ciris_store_core.store.context import ServerTime, StoreContext
from ciris_store_core.store.execution import Blocking, Executor, StoreExecutor, TransactionExecutor
from ciris_store_core.store.graph.graph import Graph
from ciris_store_core.store.graph.upcasters import Upcasters
from ciris_store_core.store.retry import RetryPolicy
from ciris_store_core.store.telemetry.correlations import Correlations
from ciris_store_core.store.work.coordination import Leases, Occurrences
from ciris_store_core.store.work.occurrence_handle import OccurrenceHandle
from ciris_store_core.store.work.shared_tasks import SharedTasks
from ciris_store_core.store.work.tasks import Tasks
from ciris_store_core.store.work.thoughts import Thoughts
from ciris_store_core.url import resolve_url
from ciris_store_core.validation.validator import TextErrors, Validator

if TYPE_CHECKING:
    from ciris_store_core.services.background_work import BackgroundWork

T = TypeVar("T")
P = ParamSpec("P")


class _Aggregates(Blocking):
    """What a store and a transaction have in common."""

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
        """Units of work."""
        return Tasks(self._x, self._ctx)

    @cached_property
    def thoughts(self) -> Thoughts:
        """Steps of reasoning about tasks."""
        return Thoughts(self._x, self._ctx)

    @cached_property
    def occurrences(self) -> Occurrences:
        """Who is running."""
        return Occurrences(self._x, self._ctx)

    @cached_property
    def leases(self) -> Leases:
        """Named locks with owner and expiry."""
        return Leases(self._x, self._ctx)

    @cached_property
    def secrets(self) -> Secrets:
        """What was found in records and encrypted."""
        return Secrets(self._x, self._ctx)

    @cached_property
    def shared_tasks(self) -> SharedTasks:
        """What exactly one occurrence does on a day."""
        return SharedTasks(self._x, self._ctx)

    @cached_property
    def audit(self) -> AuditTrail:
        """What happened, in chains that show every later change."""
        return AuditTrail(self._x, self._ctx)

    @cached_property
    def authorities(self) -> Authorities:
        """Whose approval writes to protected scopes need."""
        return Authorities(self._x, self._ctx)

    def for_occurrence(self, occurrence_id: str, ttl_seconds: float = 60) -> OccurrenceHandle:
        """Tasks and thoughts of one occurrence, which cannot be forgotten; ``__shared__`` is refused.

        ``ttl_seconds``: how long it stays alive without a heartbeat, once registered.
        """
        return OccurrenceHandle(self._x, self._ctx, occurrence_id, ttl_seconds)


class Transaction(_Aggregates):
    """One open transaction. It belongs to the thread that began it, and ends with its ``with`` block.

    Reads see its own writes, and otherwise only what was committed.
    """

    def __init__(self, executor: TransactionExecutor, ctx: StoreContext) -> None:
        """Made by ``Store.transaction``."""
        super().__init__(executor, ctx)
        self._executor = executor

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of the transaction that is undone alone when its block raises; nests [cap: savepoints].

        On a backend without the capability, raising inside it aborts the whole transaction: all later calls and the
        commit raise ``TransactionError``.
        """
        with self._executor.session().savepoint():
            yield


class Store(_Aggregates):
    """An open store. Safe to use from many threads; close it, or use it as a context manager.

    Every call is a transaction of its own, and is run again as a whole where the database was busy or not reachable,
    as the ``RetryPolicy`` says. ``transaction()`` makes one transaction of many calls::

        with open_store("sqlite:///agent.db") as store:
            store.tasks.add(Task(task_id="t1", channel_id="c1", description="greet"))
            with store.transaction() as tx:
                tx.tasks.update("t1", status="active")
                tx.thoughts.add(Thought(thought_id="th1", source_task_id="t1", content="say hello"))
    """

    def __init__(
        self, backend: Backend, ctx: StoreContext, executor: StoreExecutor, server: ServerTime, url: str
    ) -> None:
        """Made by ``open_store``. ``url`` is fit to be shown."""
        super().__init__(executor, ctx)
        self._executor = executor
        self._backend = backend
        self._server = server
        self._url = url
        self._background: BackgroundWork | None = None

    def __repr__(self) -> str:
        """The URL, without its password."""
        return f"Store({self._url!r})"

    @property
    def clock(self) -> Clock:
        """Gives records their time."""
        return self._ctx.clock

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the backend can do beyond the contract."""
        return self._ctx.capabilities

    def server_now(self) -> datetime:
        """The time that several hosts agree on: the database server's where there is one, asked now; in UTC.

        It decides ages, expiry and the dates of shared tasks.
        """
        return self._server.ask()

    def info(self) -> Mapping[str, Any]:
        """Facts for reports: URL without password, backend, capabilities, versions and settings."""
        own = {
            "url": self._url,
            "backend": self._backend.name,
            "capabilities": sorted(map(str, self.capabilities)),
            "contract_version": CONTRACT_VERSION,
        }
        return {**self._backend.info(), **own}

    def is_empty(self) -> bool:
        """Whether no record at all is stored; at a cost that does not grow with the store."""
        return self._backend.is_empty()

    def stats(self) -> Mapping[str, Any]:
        """Counters of this open store, such as connections in use."""
        return self._backend.stats()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One transaction over all calls on the handle that the ``with`` statement gives.

        Leaving the block commits; leaving it by any exception rolls everything back, and the exception goes on. The
        store's own methods are refused in this thread meanwhile (``TransactionError``). Nothing is run again here:
        for that, give the whole to ``run``.
        """
        with self._executor.transaction() as executor:
            yield Transaction(executor, self._ctx)

    def run(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``fn(tx, *args, **kwargs)`` as one transaction, again as a whole after a retryable error.

        ``fn`` may run several times: it should do nothing outside the transaction. Returns what it returned in the
        run that was committed.
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
        """Let go of the database; calling it again does nothing. Later calls raise ``StoreClosed``.

        Background work of this store ends first, after the batch that it is at.
        """
        if self._background is not None:
            self._background.stop()
        self._backend.close()

    def _start_background(self) -> None:
        # Services stand above this layer. Only whoever asks for them here loads them.
        from ciris_store_core.services.background_work import BackgroundWork

        self._background = BackgroundWork(self)
        self._background.start()

    def __enter__(self) -> Self:
        """The store."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def open_store(
    url: str | os.PathLike[str] | None = None,
    *,
    clock: Clock | None = None,
    server_clock: Clock | None = None,
    migrate: bool = True,
    create: bool = True,
    occurrence_id: str = DEFAULT_OCCURRENCE,
    text_errors: TextErrors = "refuse",
    registry: Registry | None = None,
    retry: RetryPolicy | None = None,
    policy: ScopePolicy | None = None,
    audit_key: SigningKey | str | os.PathLike[str] | None = None,
    detect_secrets: bool | None = None,
    secrets: SecretsConfig | None = None,
    upcasters: Upcasters | None = None,
    background: bool = False,
) -> Store:
    """Open the store that a URL names.

    Args:
        url: For instance ``sqlite:///agent.db`` or ``postgresql://host/db``, or the path of an SQLite file. By
            default the environment variable ``CIRIS_DB_URL``, else ``sqlite:///data/ciris.db``.
        clock: Gives records their time; the host's by default.
        server_clock: Gives ``server_now()`` in place of the database server, for tests.
        migrate: Bring the schema up to date; otherwise an older one raises ``MigrationRequired``.
        create: Make a new database where there is none.
        occurrence_id: Owner of tasks and thoughts where a call names none. ``__shared__`` is refused.
        text_errors: NUL and lone surrogates in texts are refused, or, with ``"replace"``, become U+FFFD.
        registry: Where to look for backends; by default the installed ones.
        retry: How often to run a transaction again; by default five times in all within ten seconds.
        policy: Who may read and write which scope; by default writes to IDENTITY need an approval.
        audit_key: Signs audit entries: a key, or the path of its file; by default the file that the environment
            variable ``CIRIS_AUDIT_KEY_FILE`` names, else they are not signed.
        detect_secrets: Look for secrets in all that is written and encrypt them. By default as the environment
            variable ``CIRIS_DETECT_SECRETS`` says (on or off), else on.
        secrets: Keys, further patterns; by default the keys of ``CIRIS_SECRETS_KEY`` or ``CIRIS_SECRETS_KEY_FILE``.
        upcasters: Bring the attributes of nodes of older versions up to date when they are read.
        background: Run maintenance and retention in threads of their own until the store is closed, each in one
            process at a time; see ``ciris_store_core.services.BackgroundWork``.

    Raises:
        InvalidURL: The URL cannot be understood, or no installed backend serves it.
        PluginError: The backend for it cannot be used.
        MigrationRequired: The schema does not fit, and must not be changed.
        Unavailable: The database cannot be reached.
        SecretKeyError: The keys cannot be used, or are not those that the store's secrets are encrypted under.
    """
    try:
        target = resolve_url(url)
    finally:
        del url  # It may hold a password, which a traceback with local variables would show.
    own_clock = clock or SystemClock()
    signer = _audit_key(audit_key)
    config = secrets or SecretsConfig()
    crypto = SecretCrypto(config.key_ring(os.environ))
    wanted = detection_wanted(detect_secrets, os.environ)
    check = Validator(text_errors, redactor_for(config, crypto) if wanted else None)
    spec = (registry or Registry()).spec_for(target.scheme)
    backend = spec.factory(target, BackendContext(server_clock or own_clock, migrate, create))
    guard = SessionGuard(policy or ScopePolicy())
    executor = StoreExecutor(backend, retry or RetryPolicy(), guard)
    server = ServerTime(server_clock.now if server_clock else executor.server_now, server_clock or own_clock)
    known = Upcasters() if upcasters is None else upcasters
    ctx = StoreContext(
        own_clock, server.now, check, crypto, backend.capabilities, occurrence_id, signer=signer, upcasters=known
    )
    guard.ctx = ctx
    try:
        ctx.identity(occurrence_id, "occurrence_id")
        backend.prepare(migrate=migrate)
        if crypto.has_keys:
            executor.read(crypto.verify, single=False)
    except BaseException:
        backend.close()
        raise
    store = Store(backend, ctx, executor, server, str(target))
    if background:
        store._start_background()
    return store


def _audit_key(given: SigningKey | str | os.PathLike[str] | None) -> SigningKey | None:
    chosen = given or os.environ.get("CIRIS_AUDIT_KEY_FILE")
    return SigningKey.load(chosen) if isinstance(chosen, str | os.PathLike) else chosen
