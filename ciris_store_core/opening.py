"""Opening a store: from its URL and configuration to the layers that serve it."""

from __future__ import annotations

import os

from ciris_store_core.clock import Clock, SystemClock
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
from ciris_store_core.store.execution import StoreExecutor
from ciris_store_core.store.graph.upcasters import Upcasters
from ciris_store_core.store.retry import RetryPolicy
from ciris_store_core.store.store import Store
from ciris_store_core.url import resolve_url
from ciris_store_core.validation.validator import TextErrors, Validator


def open_store(
    url: str | os.PathLike[str] | None = None,
    *,
    clock: Clock | None = None,
    server_clock: Clock | None = None,
    migrate: bool = True,
    create: bool = True,
    occurrence_id: str = DEFAULT_OCCURRENCE,
    text_errors: TextErrors = "strict",
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
            executor.read("secretcrypto.verify", crypto.verify, single=False)
    except BaseException:
        backend.close()
        raise
    store = Store(backend, ctx, executor, server, str(target))
    if background:
        from ciris_store_core.services.background_work import BackgroundWork  # few programs need it

        store.start_background(BackgroundWork(store))
    return store


def _audit_key(given: SigningKey | str | os.PathLike[str] | None) -> SigningKey | None:
    chosen = given or os.environ.get("CIRIS_AUDIT_KEY_FILE")
    return SigningKey.load(chosen) if isinstance(chosen, str | os.PathLike) else chosen
