"""What stands between every write and the backend: audit events are chained and kept.

Executors hand out sessions with these stores in place of the backend's own, so that nobody who writes through a store,
services and transactions included, can go round them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from ciris_store_core.errors import AccessDenied, InvalidArgument
from ciris_store_core.models.correlations import Correlation, CorrelationChanges, CorrelationQuery
from ciris_store_core.models.paging import Slice
from ciris_store_core.signing import SigningKey
from ciris_store_core.stores.backend import Session
from ciris_store_core.stores.correlations import CorrelationStore

from .audit_chain import chain_up, is_audit

if TYPE_CHECKING:
    from ciris_store_core.stores.audit import AuditStore
    from ciris_store_core.stores.coordination import CoordinationStore
    from ciris_store_core.stores.graph import GraphStore
    from ciris_store_core.stores.secrets import SecretStore
    from ciris_store_core.stores.tasks import TaskStore
    from ciris_store_core.stores.thoughts import ThoughtStore


class NeedsTransaction(Exception):
    """The one call of a session takes several; nothing was written. Run it again in a transaction."""


class Guard:
    """What a store protects; makes the sessions that its executors hand out."""

    __slots__ = ("signer",)

    def __init__(self, signer: SigningKey | None) -> None:
        """``signer`` signs audit entries."""
        self.signer = signer

    def __call__(self, session: Session, single: bool) -> Session:
        """The session as writers get it. ``single``: its one call must be one of the backend's."""
        return cast(Session, GuardedSession(session, self, single))


class GuardedSession:
    """A writing transaction. It has the parts of a ``Session``; those that need no protection are the backend's own."""

    __slots__ = ("_correlations", "guard", "inner", "single")

    def __init__(self, inner: Session, guard: Guard, single: bool) -> None:
        """Around a backend's session."""
        self.inner = inner
        self.guard = guard
        self.single = single
        self._correlations: GuardedCorrelations | None = None

    @property
    def graph(self) -> GraphStore:
        """Nodes and edges."""
        return self.inner.graph

    @property
    def correlations(self) -> CorrelationStore:
        """Correlations, of which audit events are protected."""
        if self._correlations is None:
            self._correlations = GuardedCorrelations(self)
        return cast(CorrelationStore, self._correlations)

    @property
    def tasks(self) -> TaskStore:
        """The backend's own."""
        return self.inner.tasks

    @property
    def thoughts(self) -> ThoughtStore:
        """The backend's own."""
        return self.inner.thoughts

    @property
    def coordination(self) -> CoordinationStore:
        """The backend's own."""
        return self.inner.coordination

    @property
    def secrets(self) -> SecretStore:
        """The backend's own."""
        return self.inner.secrets

    @property
    def audit(self) -> AuditStore:
        """The backend's own."""
        return self.inner.audit

    def savepoint(self) -> Any:
        """The backend's own."""
        return self.inner.savepoint()

    def need_transaction(self) -> None:
        """Raise ``NeedsTransaction`` where this session may make one call only. Comes before any write."""
        if self.single:
            raise NeedsTransaction


def guarded(session: Session) -> GuardedSession:
    """The protected session that a writer of this package was handed."""
    return cast(GuardedSession, session)


class GuardedCorrelations:
    """The correlations of a writing transaction; what is not here, the backend's own store does.

    Audit events are chained as they are stored, and from then on neither change nor go.
    """

    __slots__ = ("_inner", "_ordinary", "_session")

    def __init__(self, session: GuardedSession) -> None:
        """Of that session."""
        self._session = session
        self._inner = session.inner.correlations
        self._ordinary: set[str] = set()
        """Ids that were seen to be of no audit event, which never changes."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def add(self, correlations: Sequence[Correlation]) -> None:
        """Store them, and chain those that are audit events."""
        events = [each for each in correlations if is_audit(each)]
        if not events:
            self._inner.add(correlations)
            return
        if any(event.ttl_seconds is not None for event in events):
            raise InvalidArgument("an audit event has no ttl_seconds: it stays until store.audit.cut removes it")
        self._session.need_transaction()
        self._inner.add(correlations)
        chain_up(self._session.inner, self._session.guard.signer, events)

    def get(self, correlation_ids: Sequence[str]) -> list[Correlation]:
        """Look them up, and remember what they are."""
        return self._seen(self._inner.get(correlation_ids))

    def lock(self, correlation_ids: Sequence[str]) -> list[Correlation]:
        """Lock them, and remember what they are."""
        return self._seen(self._inner.lock(correlation_ids))

    def find_locked(self, query: CorrelationQuery) -> Slice[Correlation]:
        """Lock a page, and remember what they are."""
        page = self._inner.find_locked(query)
        self._seen(page.items)
        return page

    def _seen(self, found: list[Correlation]) -> list[Correlation]:
        self._ordinary.update(each.correlation_id for each in found if not is_audit(each))
        return found

    def update(self, correlation_id: str, changes: CorrelationChanges) -> bool:
        """Change one, unless it is an audit event."""
        self._refuse_audit([correlation_id], "changed")
        return self._inner.update(correlation_id, changes)

    def delete(self, correlation_ids: Sequence[str]) -> int:
        """Delete some, unless one is an audit event."""
        self._refuse_audit(correlation_ids, "deleted")
        return self._inner.delete(correlation_ids)

    def _refuse_audit(self, ids: Sequence[str], done: str) -> None:
        unknown = [each for each in ids if each not in self._ordinary]
        if not unknown:
            return
        self._session.need_transaction()
        for found in self.get(unknown):
            if is_audit(found):
                raise AccessDenied(
                    f"correlation {ascii(found.correlation_id)[:80]} is an audit event, which cannot be {done}: "
                    "store.audit.cut removes what is old enough"
                )
