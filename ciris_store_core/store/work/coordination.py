"""Occurrences and leases. All times are server times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import InvalidArgument, LeaseHeld, StaleFence
from ciris_store_core.models.coordination import Lease, Occurrence
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.store.resource import Resource, end_after
from ciris_store_core.store.work.ownership import release_claims

OccurrenceList = list[Occurrence]
LeaseList = list[Lease]


class Occurrences(Resource):
    """The running occurrences. An occurrence is alive until the time to live of its last heartbeat is over."""

    __slots__ = ()

    def register(
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
        ctx = self._ctx
        key, span = ctx.identity(occurrence_id, "occurrence_id"), ctx.span(ttl_seconds)
        about = ctx.check.json_object({} if metadata is None else metadata, "metadata")
        now, extracted = ctx.server_now(), ExtractedSecrets()
        occurrence = Occurrence(
            occurrence_id=key, started_at=now, heartbeat_at=now, expires_at=now + span, metadata=about
        )
        ready = ctx.check.record(occurrence, Occurrence, now, extracted)

        def fn(session: Session) -> None:
            # The occurrence comes first: its row lock serializes two runs that start under one id.
            session.coordination.put_occurrence(ready)
            release_claims(session, key, now)

        self._x.write("occurrences.register", fn, single=False, extracted=extracted)
        return ready

    def heartbeat(self, occurrence_id: str, ttl_seconds: float = 60) -> bool:
        """Extend the life of an occurrence to ``ttl_seconds`` from now; return False if it is not registered now."""
        key, span = self._ctx.identity(occurrence_id, "occurrence_id"), self._ctx.span(ttl_seconds)
        now = self._ctx.server_now()
        return self._x.write(
            "occurrences.heartbeat", lambda session: session.coordination.heartbeat(key, now, now + span)
        )

    def find(self, *, alive_only: bool = True) -> OccurrenceList:
        """Return the live occurrences, or all registered ones, ordered by id."""
        moment = self._ctx.server_now() if alive_only else None
        return self._x.read("occurrences.find", lambda session: session.coordination.list_occurrences(moment))

    def remove(self, occurrence_id: str) -> bool:
        """Remove the registration of an occurrence; return False if there is none.

        Its tasks stay: release them first.
        """
        key = self._ctx.identity(occurrence_id, "occurrence_id")
        return self._x.write("occurrences.remove", lambda session: session.coordination.remove_occurrence(key))


class Leases(Resource):
    """Named locks with an owner and an expiry, for work that one process at a time may do."""

    __slots__ = ()

    def acquire(self, name: str, owner: str, ttl_seconds: float = 60) -> Lease | None:
        """Acquire the lease for ``ttl_seconds``; return None if another owner holds it.

        An owner that holds it already gets it again, extended. The fencing token ``fence`` grows with every change of
        owner: store it with the data that the lease protects, and reject writes that present an older one.
        """
        key, holder = self._ctx.check.ident(name, "name"), self._ctx.identity(owner, "owner")
        span, now = self._ctx.span(ttl_seconds), self._ctx.server_now()
        return self._x.write(
            "leases.acquire", lambda session: session.coordination.acquire_lease(key, holder, now, now + span)
        )

    def renew(self, lease: Lease, ttl_seconds: float = 60) -> Lease | None:
        """Extend the lease to ``ttl_seconds`` from now and return it.

        Return None if it expired or another owner acquired it: then stop the work.
        """
        held, now = self._checked(lease), self._ctx.server_now()
        until = now + self._ctx.span(ttl_seconds)
        kept = self._x.write(
            "leases.renew",
            lambda session: session.coordination.renew_lease(held.name, held.owner, held.fence, now, until),
        )
        return held.replaced(expires_at=until) if kept else None

    def release(self, lease: Lease) -> bool:
        """End the lease; return False if it had expired or another owner had acquired it."""
        held, now = self._checked(lease), self._ctx.server_now()
        return self._x.write(
            "leases.release", lambda session: session.coordination.release_lease(held.name, held.owner, held.fence, now)
        )

    @contextmanager
    def lock(self, name: str, owner: str, ttl_seconds: float = 60) -> Iterator[Lease]:
        """Hold the lease during a ``with`` block; renew it inside if the work may take longer than ``ttl_seconds``.

        Raises:
            LeaseHeld: Another owner holds it; the block does not run.
            StaleFence: At the end of the block, if the lease expired during it or another owner acquired it.
        """
        lease = self.acquire(name, owner, ttl_seconds)
        if lease is None:
            raise LeaseHeld(
                f"another owner holds the lease {name!r}",
                kind="lease",
                key=name,
                hint="Try again when it has expired or was released.",
            )
        try:
            yield lease
        except BaseException as error:
            end_after(error, lambda: self.release(lease), "releasing the lease")
            raise
        if not self.release(lease):
            raise StaleFence(
                f"the lease {name!r} expired during the work",
                kind="lease",
                key=name,
                hint="Renew it in time, or raise ttl_seconds of leases.lock.",
            )

    def find(self, *, held_only: bool = True) -> LeaseList:
        """Return the leases that are held now, or all that ever were, ordered by name."""
        moment = self._ctx.server_now() if held_only else None
        return self._x.read("leases.find", lambda session: session.coordination.list_leases(moment))

    def _checked(self, lease: Lease) -> Lease:
        if not isinstance(lease, Lease):
            raise InvalidArgument(f"expected the Lease that acquire returned, not {type(lease).__name__}")
        return self._ctx.check.record(lease, Lease, lease.acquired_at, None)
