"""Opening a store: from its URL and configuration to the layers that serve it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from ciris_store_core.clock import Clock, SystemClock
from ciris_store_core.contract.backend import Backend
from ciris_store_core.contract.hookspecs import BackendContext
from ciris_store_core.contract.registry import Registry
from ciris_store_core.models.tasks import DEFAULT_OCCURRENCE
from ciris_store_core.secrets.crypto import SecretCrypto
from ciris_store_core.secrets.keys import SecretsConfig, detection_wanted
from ciris_store_core.secrets.redaction import redactor_for
from ciris_store_core.signing import SigningKey
from ciris_store_core.store.access.policy import ScopePolicy
from ciris_store_core.store.access.session_guard import SessionGuard
from ciris_store_core.store.context import ServerTime, StoreContext
from ciris_store_core.store.documents.names import checked_modes
from ciris_store_core.store.execution import OpenTransactions, ServerTimeQuery, StoreExecutor
from ciris_store_core.store.graph.upcasters import Upcasters
from ciris_store_core.store.retry import RetryPolicy
from ciris_store_core.store.store import Store
from ciris_store_core.url import StoreURL, resolve_url
from ciris_store_core.validation.validator import TextErrors, Validator


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessConfig:
    """Configuration of access: the scope policy, and the key that signs the audit chains."""

    policy: ScopePolicy | None = None
    """Decides on reads and writes of each scope. By default a write to IDENTITY needs an approval."""
    audit_key: SigningKey | str | os.PathLike[str] | None = None
    """Signs audit entries: a key, or the path of its file. By default the file that the environment variable
    ``CIRIS_AUDIT_KEY_FILE`` names; if it is unset, entries are not signed."""

    def signer(self) -> SigningKey | None:
        """Return the audit key, loaded; None if there is none."""
        chosen = self.audit_key or os.environ.get("CIRIS_AUDIT_KEY_FILE")
        return SigningKey.load(chosen) if isinstance(chosen, str | os.PathLike) else chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSeams:
    """Replacements for parts of a store in tests."""

    __test__: ClassVar[bool] = False  # pytest takes a class of this name for tests

    clock: Clock | None = None
    """The source of the times of records. By default the host's clock."""
    server_clock: Clock | None = None
    """The source of ``server_now()``. By default the database server's clock."""
    registry: Registry | None = None
    """The backends to choose from. By default the installed ones."""


def open_store(
    url: str | os.PathLike[str] | None = None,
    *,
    occurrence_id: str = DEFAULT_OCCURRENCE,
    secrets: SecretsConfig | Literal[False] | None = None,
    access: AccessConfig | None = None,
    migrate: bool = True,
    create: bool = True,
    text_errors: TextErrors = "strict",
    retry: RetryPolicy | None = None,
    upcasters: Upcasters | None = None,
    background: bool = False,
    testing: TestSeams | None = None,
) -> Store:
    """Open the store that a URL names.

    Args:
        url: For instance ``sqlite:///agent.db`` or ``postgresql://host/db``, or the path of an SQLite file. By
            default the environment variable ``CIRIS_DB_URL``, else ``sqlite:///data/ciris.db``.
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
    try:
        target = resolve_url(url)
    finally:
        del url  # It may hold a password, which a traceback with local variables would show.
    spec = ((testing or TestSeams()).registry or Registry()).spec_for(target.scheme)
    return open_target(
        target,
        spec.factory,
        occurrence_id=occurrence_id,
        secrets=secrets,
        access=access,
        migrate=migrate,
        create=create,
        text_errors=text_errors,
        retry=retry,
        upcasters=upcasters,
        background=background,
        testing=testing,
    )


def open_target(
    target: StoreURL,
    factory: Callable[[StoreURL, BackendContext], Backend],
    *,
    occurrence_id: str = DEFAULT_OCCURRENCE,
    secrets: SecretsConfig | Literal[False] | None = None,
    access: AccessConfig | None = None,
    migrate: bool = True,
    create: bool = True,
    text_errors: TextErrors = "strict",
    retry: RetryPolicy | None = None,
    upcasters: Upcasters | None = None,
    background: bool = False,
    testing: TestSeams | None = None,
) -> Store:
    """Open a store on the backend that ``factory`` makes. The other arguments are those of ``open_store``."""
    access, seams = access or AccessConfig(), testing or TestSeams()
    own_clock, server_clock = seams.clock or SystemClock(), seams.server_clock
    signer = access.signer()
    config = SecretsConfig(detect=False) if secrets is False else secrets or SecretsConfig()
    crypto = SecretCrypto(config.key_ring(os.environ))
    wanted = detection_wanted(config.detect, os.environ)
    check = Validator(text_errors, redactor_for(config, crypto) if wanted else None)
    backend = factory(target, BackendContext(server_clock or own_clock, migrate, create))
    retries, transactions = retry or RetryPolicy(), OpenTransactions()
    ask_server = server_clock.now if server_clock else ServerTimeQuery(backend, retries, transactions)
    server = ServerTime(ask_server, server_clock or own_clock)
    known = Upcasters() if upcasters is None else upcasters
    ctx = StoreContext(
        own_clock, server.now, check, crypto, backend.capabilities, occurrence_id, signer=signer, upcasters=known,
        document_secrets=checked_modes(config.documents),
    )  # fmt: skip
    executor = StoreExecutor(backend, retries, SessionGuard(access.policy or ScopePolicy(), ctx), transactions)
    try:
        ctx.identity(occurrence_id, "occurrence_id")
        backend.prepare(migrate=migrate)
        if crypto.has_keys:
            executor.read("secrets.verify", crypto.verify, single=False)
    except BaseException:
        backend.close()
        raise
    store = Store(backend, ctx, executor, server, str(target))
    if background:
        from ciris_store_core.services.background_work import BackgroundWork  # few programs need it

        store.start_background(BackgroundWork(store))
    return store
