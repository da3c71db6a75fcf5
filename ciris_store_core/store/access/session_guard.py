"""What stands between every caller and the backend: scopes are protected, audit events are chained and kept.

Executors hand out sessions with these stores in place of the backend's own, so that nobody who writes through a store,
services and transactions included, can go round them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from threading import get_ident
from typing import TYPE_CHECKING, Any, NoReturn, cast, get_args

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import AccessDenied, InvalidArgument
from ciris_store_core.models.correlations import Correlation, CorrelationChanges, CorrelationQuery, Metric
from ciris_store_core.models.enums import GraphScope
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.store.access.access_rules import (
    AUDIT,
    COORDINATION,
    CORRELATIONS,
    GRAPH,
    SECRETS,
    TASKS,
    THOUGHTS,
    Kind,
    Watched,
)
from ciris_store_core.store.access.approvals import ApprovalRequest, given
from ciris_store_core.store.access.guarded_graph import GuardedGraph
from ciris_store_core.store.access.known_authorities import KnownAuthorities
from ciris_store_core.store.access.policy import ALL_SCOPES, Access, Records, ScopePolicy
from ciris_store_core.store.audit.canonical import canonical
from ciris_store_core.store.audit.chain import chain_up, is_audit
from ciris_store_core.store.audit.events import AuditEvent, append_events
from ciris_store_core.store.audit.store_identity import STORE_CHAIN, make_identity, read_identity

if TYPE_CHECKING:
    from ciris_store_core.store.context import StoreContext

_NAMED = 20
"""How many keys an audit event of a denial or approval names."""


class NeedsTransaction(Exception):
    """The one call of a session takes several; nothing was written. Run it again in a transaction."""


class SessionGuard:
    """What a store protects; makes the sessions that its executors hand out."""

    __slots__ = ("_store_id", "ctx", "denied", "policy", "watches")

    ctx: StoreContext
    """Set once the store's environment is there."""

    def __init__(self, policy: ScopePolicy) -> None:
        """By that policy."""
        self.policy = policy
        self.watches = getattr(type(policy), "allow", None) is not ScopePolicy.allow
        """Whether the policy wants to see every call, reads included."""
        self.denied: dict[int, list[AuditEvent]] = {}
        """By thread, what was refused and is to be recorded once its transaction is over, however that ends."""
        self._store_id: str | None = None

    def __call__(self, session: Session, single: bool) -> Session:
        """The session as callers get it. ``single``: its one call must be one of the backend's."""
        # Made once for a session that a backend uses again, so that an unprotected write pays next to nothing.
        found = session.guarded
        if found is None or found.guard is not self:
            found = session.guarded = GuardedSession(session, self, watched=self.watches)
        found.single = single
        if found.ordinary:
            found.ordinary = set()
        return found  # type: ignore[no-any-return]

    def store_id(self, session: Session) -> str:
        """Return the id of the store, made now if this is the first audit event or approval."""
        if self._store_id is not None:
            return self._store_id
        found = read_identity(session)
        if found is None:
            found = make_identity(session, self.ctx.signer, self.ctx.clock.now())
            # Marks the thread until its transaction is over. A rollback takes the id back, so it must not be kept.
            self.denied.setdefault(get_ident(), [])
        elif get_ident() not in self.denied:
            self._store_id = found.store
        return found.store


class GuardedSession:
    """A transaction. It has the parts of a ``Session``; those that need no protection are the backend's own."""

    single = False
    """Whether it may make one call only."""

    def __init__(self, inner: Session, guard: SessionGuard, *, watched: bool) -> None:
        """Around a backend's session; ``watched``: the policy sees every call."""
        self.inner = inner
        self.guard = guard
        self.ordinary: set[str] = set()
        """Ids of correlations that this transaction saw to be no audit events, which never changes."""
        self._bootstrapping = False
        self.savepoint = inner.savepoint
        self.tasks: Any = inner.tasks
        self.thoughts: Any = inner.thoughts
        self.coordination: Any = inner.coordination
        self.secrets: Any = inner.secrets
        self.audit: Any = inner.audit
        self.graph: Any = GuardedGraph(self)
        self.correlations: Any = GuardedCorrelations(self)
        if watched:
            self.graph = Watched(self.graph, GRAPH, "nodes", self._ask)
            self.correlations = Watched(self.correlations, CORRELATIONS, "correlations", self._ask)
            self.tasks = Watched(inner.tasks, TASKS, "tasks", self._ask)
            self.thoughts = Watched(inner.thoughts, THOUGHTS, "thoughts", self._ask)
            self.coordination = Watched(inner.coordination, COORDINATION, "coordination", self._ask)
            self.secrets = Watched(inner.secrets, SECRETS, "secrets", self._ask)
            self.audit = Watched(inner.audit, AUDIT, "audit", self._ask)

    # --- protection -------------------------------------------------------------------------------

    def need_transaction(self) -> None:
        """Raise ``NeedsTransaction`` where this session may make one call only. Comes before any write."""
        if self.single:
            raise NeedsTransaction

    @contextmanager
    def without_approval(self) -> Iterator[None]:
        """Writes to protected scopes need none within the block, as there was nobody yet to give one."""
        self._bootstrapping = True
        try:
            yield
        finally:
            self._bootstrapping = False

    def record(self, events: Iterable[AuditEvent]) -> None:
        """Store audit events of the store's own, of which no policy is asked."""
        unwatched = GuardedSession(self.inner, self.guard, watched=False)
        append_events(cast(Session, unwatched), self.guard.ctx, events)

    def need_approval(self, operation: str, scope: GraphScope, content: Sequence[dict[str, Any]]) -> None:
        """Go on if this is approved of; otherwise raise ``AccessDenied``, having written nothing."""
        if self._bootstrapping:
            return
        self.need_transaction()
        known = KnownAuthorities(self.inner, self.guard.ctx.server_now())
        store = self.guard.store_id(self.inner) if known.bootstrapped() else None
        request = ApprovalRequest(
            operation=operation, scope=scope, store=store or "", content=json.loads(canonical(content))
        )
        approver = self.guard.policy.approve(request) or self._signed(request, known, store)
        facts = {**_facts(request), "approved_by": approver}
        self.record([AuditEvent("write_approved", approver, facts)])

    def _signed(self, request: ApprovalRequest, known: KnownAuthorities, store: str | None) -> str:
        """The authority whose approval allows it."""
        matching = [approval for approval in given() if approval.request == request.digest]
        faults = [f"a write to scope {request.scope} needs the approval of a Wise Authority"]
        if store is None:
            faults.append("none is registered yet: see store.authorities.bootstrap")
        elif not matching:
            faults.append("none of those given is for exactly this" if given() else "have error.request approved")
        for approval in matching if store else ():
            fault = known.fault(approval)
            if fault is None:
                return approval.authority
            faults.append(fault)
        self._deny("; ".join(faults), _facts(request), request)

    def refuse(self, operation: str, scope: GraphScope, reason: str) -> NoReturn:
        """Raise ``AccessDenied`` for what no approval allows."""
        self._deny(reason, {"operation": operation, "scope": str(scope)}, None)

    def ask_for_everything(self, operation: str) -> None:
        """Ask the policy to read all that is stored, as an operation on the whole database does."""
        for records in get_args(Records):
            self._ask("read", records, operation, ALL_SCOPES)

    def _ask(self, kind: Kind, records: Records, operation: str, scopes: frozenset[GraphScope]) -> None:
        caller = self.guard.ctx.occurrence_id
        if not self.guard.policy.allow(Access(kind, records, operation, scopes, caller)):
            where = f" of scope {', '.join(sorted(scopes))}" if scopes else ""
            facts = {"operation": operation, "scopes": sorted(map(str, scopes))}
            self._deny(f"the store's policy refuses {caller!a} to {kind} {records}{where}", facts, None)

    def _deny(self, reason: str, facts: dict[str, Any], request: ApprovalRequest | None) -> NoReturn:
        event = AuditEvent("access_denied", self.guard.ctx.occurrence_id, {**facts, "reason": reason})
        self.guard.denied.setdefault(get_ident(), []).append(event)
        error = AccessDenied(reason)
        error.request = request
        raise error


def guarded(session: Session) -> GuardedSession:
    """The guarded session that a writer of this package was handed."""
    return cast(GuardedSession, session)


def _facts(request: ApprovalRequest) -> dict[str, Any]:
    keys = [{name: each[name] for name in _KEYS if name in each} for each in request.content[:_NAMED]]
    return {
        "operation": request.operation,
        "scope": str(request.scope),
        "request": request.digest,
        "keys": keys,
        "count": len(request.content),
    }


_KEYS = ("id", "source", "target", "relationship", "key_id")


class GuardedCorrelations:
    """The correlations of a writing transaction; what is not here, the backend's own store does.

    Audit events are chained as they are stored, and from then on neither change nor go.
    """

    __slots__ = ("_inner", "_session")

    def __init__(self, session: GuardedSession) -> None:
        """Of that session."""
        self._session = session
        self._inner = session.inner.correlations

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def add(self, correlations: Sequence[Correlation]) -> None:
        """Store them, and chain those that are audit events."""
        events = [each for each in correlations if is_audit(each)]
        if not events:
            self._inner.add(correlations)
            return
        if any(event.ttl_seconds is not None for event in events):
            raise InvalidArgument("an audit event has no ttl_seconds: it stays until store.audit.prune removes it")
        if any(event.agent_occurrence_id == STORE_CHAIN for event in events):
            raise InvalidArgument(f"{STORE_CHAIN} is the store's own chain: give agent_occurrence_id another id")
        self._session.need_transaction()
        self._inner.add(correlations)
        guard, inner = self._session.guard, self._session.inner
        chain_up(inner, guard.ctx.signer, events, guard.store_id(inner))

    def add_metrics(self, metrics: Sequence[Metric], like: Correlation) -> None:
        """Store measurements, which are no audit events."""
        if is_audit(like):
            raise InvalidArgument("a measurement is no audit event: store audit events with add")
        self._inner.add_metrics(metrics, like)

    def get(self, correlation_ids: Sequence[str]) -> list[Correlation]:
        """Look them up, and remember what they are."""
        return self._remembered(self._inner.get(correlation_ids))

    def lock(self, correlation_ids: Sequence[str]) -> list[Correlation]:
        """Lock them, and remember what they are."""
        return self._remembered(self._inner.lock(correlation_ids))

    def find_locked(self, query: CorrelationQuery) -> ResultPage[Correlation]:
        """Find and lock them, and remember what they are."""
        page = self._inner.find_locked(query)
        self._remembered(page.items)
        return page

    def _remembered(self, found: list[Correlation]) -> list[Correlation]:
        self._session.ordinary.update(each.correlation_id for each in found if not is_audit(each))
        return found

    def update(self, correlation_id: str, changes: CorrelationChanges, now: datetime | None = None) -> bool:
        """Change one, unless it is an audit event."""
        self._refuse_audit([correlation_id], "changed")
        return self._inner.update(correlation_id, changes, now)

    def delete(self, correlation_ids: Sequence[str], now: datetime | None = None) -> int:
        """Delete some, unless one is an audit event."""
        self._refuse_audit(correlation_ids, "deleted")
        return self._inner.delete(correlation_ids, now)

    def _refuse_audit(self, ids: Sequence[str], done: str) -> None:
        unknown = [each for each in ids if each not in self._session.ordinary]
        if not unknown:
            return
        self._session.need_transaction()
        for found in self.get(unknown):
            if is_audit(found):
                raise AccessDenied(
                    f"correlation {ascii(found.correlation_id)[:80]} is an audit event, which cannot be {done}: "
                    "store.audit.prune removes what is old enough"
                )
