"""Session guard: protects scopes, and chains and keeps audit events, between every caller and the backend.

Executors hand out guarded sessions in place of the backend's own. So no writer that uses a store can bypass the guard,
services and transactions included.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from threading import get_ident
from typing import Any, NoReturn, cast, get_args

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import AccessDenied
from ciris_store_core.models.correlations import Correlation
from ciris_store_core.models.enums import GraphScope
from ciris_store_core.store.access.access_rules import (
    AccessKind,
    WatchedAudit,
    WatchedCoordination,
    WatchedCorrelations,
    WatchedDocuments,
    WatchedGraph,
    WatchedSecrets,
    WatchedStreams,
    WatchedTasks,
    WatchedThoughts,
)
from ciris_store_core.store.access.approvals import ApprovalRequest, given
from ciris_store_core.store.access.guarded_correlations import GuardedCorrelations
from ciris_store_core.store.access.guarded_graph import GuardedGraph
from ciris_store_core.store.access.known_authorities import KnownAuthorities
from ciris_store_core.store.access.policy import ALL_SCOPES, Access, Records, ScopePolicy
from ciris_store_core.store.audit.canonical import canonical
from ciris_store_core.store.audit.chain import chain_up
from ciris_store_core.store.audit.events import AuditEvent, append_events
from ciris_store_core.store.audit.store_identity import make_identity, read_identity
from ciris_store_core.store.context import StoreContext

_NAMED = 20
"""Number of keys that an audit event of a denial or approval names at most."""
_KEYS = ("id", "source", "target", "relationship", "key_id")


class NeedsTransaction(Exception):
    """A session for one call needs several calls. Nothing was written; the executor runs it in a transaction."""


class SessionGuard:
    """Guard of one store: wraps each session that an executor hands out."""

    __slots__ = ("_last", "_store_id", "ctx", "denied", "policy", "watches")

    def __init__(self, policy: ScopePolicy, ctx: StoreContext) -> None:
        """Guard a store by this policy."""
        self.policy = policy
        self.ctx = ctx
        self.watches = getattr(type(policy), "allow", None) is not ScopePolicy.allow
        """True if the policy overrides ``allow``, and so sees every call, reads included."""
        self.denied: dict[int, list[AuditEvent]] = {}
        """Denials by thread. They are recorded after the thread's transaction, whether it commits or rolls back."""
        self._store_id: str | None = None
        self._last: GuardedSession | None = None

    def __call__(self, session: Session, single: bool) -> Session:
        """Return the guarded session. ``single``: the caller makes one call, which must be one call of the backend."""
        # The last guarded session is kept, as a backend with one writer hands out the same session each time: an
        # unprotected write then pays next to nothing. One slot cannot leak; a map by session would, as each value
        # refers to its key. A thread that finds its session here owns it, so no other thread uses the slot's value.
        found = self._last
        if found is not None and found.inner is session:
            found.begin(single)
        else:
            found = self._last = (WatchedSession if self.watches else GuardedSession)(session, self, single)
        return cast(Session, found)

    def store_id(self, session: Session) -> str:
        """Return the id of the store. The first audit event or approval makes it."""
        if self._store_id is not None:
            return self._store_id
        found = read_identity(session)
        if found is None:
            found = make_identity(session, self.ctx.signer, self.ctx.clock.now())
            # A rollback takes the new id back, so this transaction must not cache it. The entry in ``denied`` marks
            # the thread until its transaction is over.
            self.denied.setdefault(get_ident(), [])
        elif get_ident() not in self.denied:
            self._store_id = found.store
        return found.store


class GuardedSession:
    """Transaction whose graph and correlations are guarded. The other aggregate stores are the backend's own."""

    __slots__ = ("_bootstrapping", "_correlations", "_graph", "guard", "inner", "single")

    def __init__(self, inner: Session, guard: SessionGuard, single: bool = False) -> None:
        """Guard a backend's session. ``single``: it may make one call only."""
        self.inner = inner
        self.guard = guard
        self.single = single
        self._bootstrapping = False
        self._graph: GuardedGraph | None = None
        self._correlations: GuardedCorrelations | None = None

    def begin(self, single: bool) -> None:
        """Begin another transaction of the same backend session."""
        self.single = single
        if self._correlations is not None:
            self._correlations.forget()

    def savepoint(self) -> AbstractContextManager[None]:
        """Open a savepoint of the backend's session."""
        return self.inner.savepoint()

    @property
    def graph(self) -> Any:
        """Nodes and edges; writes to protected scopes need an approval."""
        found = self._graph
        if found is None:
            found = self._graph = GuardedGraph(self.inner.graph, self, self.guard.policy.protected)
        return found

    @property
    def correlations(self) -> Any:
        """Correlations; audit events are chained and kept."""
        found = self._correlations
        if found is None:
            found = self._correlations = GuardedCorrelations(self.inner.correlations, self, self._chain_up)
        return found

    @property
    def tasks(self) -> Any:
        """Tasks."""
        return self.inner.tasks

    @property
    def thoughts(self) -> Any:
        """Thoughts."""
        return self.inner.thoughts

    @property
    def coordination(self) -> Any:
        """Occurrences and leases."""
        return self.inner.coordination

    @property
    def secrets(self) -> Any:
        """Encrypted secrets and their access log."""
        return self.inner.secrets

    @property
    def audit(self) -> Any:
        """Audit chains."""
        return self.inner.audit

    @property
    def documents(self) -> Any:
        """Documents."""
        return self.inner.documents

    @property
    def streams(self) -> Any:
        """Streams."""
        return self.inner.streams

    # --- protection -------------------------------------------------------------------------------

    def need_transaction(self) -> None:
        """Raise ``NeedsTransaction`` if this session may make one call only. Guards call it before any write."""
        if self.single:
            raise NeedsTransaction

    @contextmanager
    def without_approval(self) -> Iterator[None]:
        """Let the block write to protected scopes without an approval.

        Only the bootstrap does, as no authority exists yet that could approve.
        """
        self._bootstrapping = True
        try:
            yield
        finally:
            self._bootstrapping = False

    def record(self, events: Iterable[AuditEvent]) -> None:
        """Store audit events of the store's own, without asking the policy."""
        # A policy that refuses audit writes must not suppress the record of a denial or approval.
        unwatched = cast(Session, GuardedSession(self.inner, self.guard))
        append_events(unwatched, self.guard.ctx, events)

    def need_approval(self, operation: str, scope: GraphScope, content: Sequence[dict[str, Any]]) -> None:
        """Raise ``AccessDenied``, having written nothing, unless this write is approved."""
        if self._bootstrapping:
            return
        self.need_transaction()
        known = KnownAuthorities(self.inner, self.guard.ctx.server_now())
        store = self.guard.store_id(self.inner) if known.bootstrapped() else None
        request = ApprovalRequest(
            operation=operation, scope=scope, store=store or "", content=json.loads(canonical(content))
        )
        approver = self.guard.policy.approve(request) or self._find_approver(request, known, store)
        facts = {**_describe(request), "approved_by": approver}
        self.record([AuditEvent("write_approved", approver, facts)])

    def _find_approver(self, request: ApprovalRequest, known: KnownAuthorities, store: str | None) -> str:
        """Return the authority that signed a valid approval of this request; otherwise deny it."""
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
        self._deny("; ".join(faults), _describe(request), request)

    def refuse(self, operation: str, scope: GraphScope, reason: str) -> NoReturn:
        """Raise ``AccessDenied`` for a write that no approval allows."""
        self._deny(reason, {"operation": operation, "scope": str(scope)}, None)

    def ask_for_everything(self, operation: str) -> None:
        """Ask the policy for reads of all records, as an operation on the whole database makes them."""
        for records in get_args(Records):
            self._ask("read", records, operation, ALL_SCOPES)

    def _chain_up(self, events: Sequence[Correlation]) -> None:
        chain_up(self.inner, self.guard.ctx.signer, events, self.guard.store_id(self.inner))

    def _ask(self, kind: AccessKind, records: Records, operation: str, scopes: frozenset[GraphScope]) -> None:
        caller = self.guard.ctx.occurrence_id
        if not self.guard.policy.allow(Access(kind, records, operation, scopes, caller)):
            where = f" of scope {', '.join(sorted(scopes))}" if scopes else ""
            facts = {"operation": operation, "scopes": sorted(map(str, scopes))}
            self._deny(f"the store's policy refuses {caller!a} to {kind} {records}{where}", facts, None)

    def _deny(self, reason: str, facts: dict[str, Any], request: ApprovalRequest | None) -> NoReturn:
        event = AuditEvent("access_denied", self.guard.ctx.occurrence_id, {**facts, "reason": reason})
        # Not written here: the error rolls this transaction back, and the event with it.
        self.guard.denied.setdefault(get_ident(), []).append(event)
        error = AccessDenied(reason)
        error.request = request
        raise error


class WatchedSession(GuardedSession):
    """Guarded transaction that asks the policy before every call of an aggregate store."""

    __slots__ = ()

    @property
    def graph(self) -> Any:
        """Nodes and edges."""
        return WatchedGraph(super().graph, self._ask)

    @property
    def correlations(self) -> Any:
        """Correlations."""
        return WatchedCorrelations(super().correlations, self._ask)

    @property
    def tasks(self) -> Any:
        """Tasks."""
        return WatchedTasks(self.inner.tasks, self._ask)

    @property
    def thoughts(self) -> Any:
        """Thoughts."""
        return WatchedThoughts(self.inner.thoughts, self._ask)

    @property
    def coordination(self) -> Any:
        """Occurrences and leases."""
        return WatchedCoordination(self.inner.coordination, self._ask)

    @property
    def secrets(self) -> Any:
        """Encrypted secrets and their access log."""
        return WatchedSecrets(self.inner.secrets, self._ask)

    @property
    def audit(self) -> Any:
        """Audit chains."""
        return WatchedAudit(self.inner.audit, self._ask)

    @property
    def documents(self) -> Any:
        """Documents."""
        return WatchedDocuments(self.inner.documents, self._ask)

    @property
    def streams(self) -> Any:
        """Streams."""
        return WatchedStreams(self.inner.streams, self._ask)


def guarded(session: Session) -> GuardedSession:
    """Return a session that an executor handed to a writer, as the guarded session that it is."""
    return cast(GuardedSession, session)


def _describe(request: ApprovalRequest) -> dict[str, Any]:
    keys = [{name: each[name] for name in _KEYS if name in each} for each in request.content[:_NAMED]]
    return {
        "operation": request.operation,
        "scope": str(request.scope),
        "request": request.digest,
        "keys": keys,
        "count": len(request.content),
    }
