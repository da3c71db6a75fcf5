"""Audit trail of a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import Corrupt, InvalidArgument
from ciris_store_core.models.audit import AuditAnchor, AuditCheckpoint, AuditEntry, AuditQuery, ChainHead
from ciris_store_core.models.paging import Page
from ciris_store_core.store.access.session_guard import guarded
from ciris_store_core.store.audit.chain import anchor_statement, checkpoint_statement
from ciris_store_core.store.audit.events import AuditEvent, append_events
from ciris_store_core.store.audit.store_identity import STORE_CHAIN, read_identity
from ciris_store_core.store.audit.verification import AuditReport, ChainCheck, Signatures, Verifier
from ciris_store_core.store.resource import (
    SCAN_SIZE,
    Resource,
    all_pages,
    page_of,
    position,
    raise_corrupt,
    refuse_repeats,
)
from ciris_store_core.validation.validator import limit_of, moment

AuditEntries = list[AuditEntry]
Names = list[str]

_BATCH = 500


class AuditTrail(Resource):
    """Audit events in hash chains, which show every later change; one chain for each occurrence.

    Each event is also a correlation of type ``audit_event`` with the same id, and every such correlation that is
    stored, by whichever method, has its entry. Neither can be changed or deleted, until ``prune`` removes old entries.
    """

    __slots__ = ()

    def append(self, event_type: str, actor: str, payload: Mapping[str, Any] | None = None) -> str:
        """Store an audit event and return its id. Its entry and its correlation have the same id.

        In a transaction, append last: until it ends, other writers of this occurrence's chain wait.

        Args:
            event_type: The kind of the action.
            actor: The name of the actor.
            payload: Further data: a JSON object.
        """
        return self.append_many([AuditEvent(event_type, actor, payload or {})])[0]

    def append_many(self, events: Iterable[AuditEvent]) -> Names:
        """Store audit events, all or none, in the order given, and return their ids."""
        wanted = list(events)
        refuse_repeats([event.event_id for event in wanted], "event_id")
        if wanted:
            self._x.write("audit.append_many", lambda session: append_events(session, self._ctx, wanted), single=False)
        return [event.event_id for event in wanted]

    def chains(self) -> Names:
        """Return the occurrences that have a chain, ascending."""
        return [
            name for name in self._x.read("audit.chains", lambda session: session.audit.chains()) if name != STORE_CHAIN
        ]

    def find(self, chain: str | None = None, *, limit: int = 100, cursor: str | None = None) -> Page[AuditEntry]:
        """Return one page of entries by chain, then sequence, ascending; of all chains or of one."""
        after = position(self._ctx, "audit", (str, int), cursor)
        query = AuditQuery(limit_of(limit), after, self._ctx.check.optional(chain, "chain"))
        return page_of(self._x.read("audit.find", lambda session: session.audit.find(query)), "audit")

    def scan(self, chain: str | None = None) -> Iterator[AuditEntry]:
        """Yield all entries, read page by page. See ``find``."""
        return all_pages(lambda cursor: self.find(chain, limit=SCAN_SIZE, cursor=cursor), raise_corrupt)

    def tail(self, chain: str | None = None, limit: int = 20) -> AuditEntries:
        """Return the newest entries of a chain, by default of the store's own occurrence, oldest of them first."""
        name, count = self._chain(chain), limit_of(limit)

        def fn(session: Session) -> AuditEntries:
            head = session.audit.head(name)
            after = (name, max(0, head[0] - count)) if head else None
            return session.audit.find(AuditQuery(count, after, name)).items if head else []

        return self._x.write("audit.tail", fn, single=False)

    # --- proof ------------------------------------------------------------------------------------

    def verify(
        self,
        chain: str | None = None,
        *,
        public_keys: Sequence[str] = (),
        checkpoint: AuditCheckpoint | None = None,
        require_signatures: bool | None = None,
        stores: Sequence[str] = (),
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
        check = self._ctx.check
        if checkpoint is not None:
            checkpoint = check.record(checkpoint, AuditCheckpoint, self._ctx.clock.now(), None)
        own = [self._ctx.signer.public_key] if self._ctx.signer else []
        keys = [*own, *check.idents(public_keys, "public_keys")]
        verifier = Verifier(self._x, keys, checkpoint, require_signatures, check.idents(stores, "stores"))
        return verifier.run(None if chain is None else self._chain(chain))

    def checkpoint(self) -> AuditCheckpoint:
        """Return the heads of all chains, signed if the store has a signing key.

        Keep the checkpoint out of reach of the database's users. ``verify(checkpoint=...)`` finds a chain that was
        truncated or replaced since.
        """
        heads, store = self._x.write("audit.checkpoint", _heads, single=False)
        signer = self._ctx.signer
        key_id = signer.key_id if signer else None
        made = AuditCheckpoint(heads=heads, store=store, at=self._ctx.clock.now(), signing_key_id=key_id)
        if signer:
            made.signature = signer.sign(checkpoint_statement(made))
        return made

    def export(self, chain: str | None = None) -> Iterator[AuditAnchor | AuditEntry | AuditCheckpoint]:
        """Yield the whole trail for an archive: anchor and entries of each chain, and last a checkpoint of all."""
        for name in self.chains() if chain is None else [self._chain(chain)]:
            anchor = self._anchor_of(name)
            if anchor is not None:
                yield anchor
            yield from self.scan(name)
        yield self.checkpoint()

    def _anchor_of(self, chain: str) -> AuditAnchor | None:
        return self._x.read("audit.export", lambda session: session.audit.anchor(chain))

    # --- retention --------------------------------------------------------------------------------

    def prune(self, before: datetime, *, chain: str | None = None) -> int:
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
        name, limit = self._chain(chain), moment(before, "before")
        if limit is None:
            raise InvalidArgument(
                "before: it is missing, and decides which audit events are removed. Pass an aware datetime."
            )
        if limit > max(self._ctx.clock.now(), self._ctx.server_now()):
            # A mistyped year would also remove events that are appended while this runs.
            raise InvalidArgument(f"before: {limit.isoformat()} lies in the future. Give a time in the past.")
        total, count = 0, _BATCH
        while count == _BATCH:
            count = self._x.write("audit.prune", lambda session: self._prune(session, name, limit), single=False)
            total += count
        return total

    def _prune(self, session: Session, chain: str, before: datetime) -> int:
        last = session.audit.anchor(chain)
        first = session.audit.find(AuditQuery(1, (chain, last.sequence if last else 0), chain)).items
        if not first or first[0].at >= before:
            return 0  # Before the lock, which would make a row for a chain that doesn't exist.
        # The head locks the chain: until this transaction ends, no other one appends to it or prunes it.
        session.audit.head(chain)
        last = session.audit.anchor(chain)
        start = last.sequence if last else 0
        found = session.audit.find(AuditQuery(_BATCH, (chain, start), chain)).items
        old = next((i for i, entry in enumerate(found) if entry.at >= before), len(found))
        if not old:
            return 0
        going = found[:old]
        _refuse_damaged(session, chain, last, going)
        anchor = self._anchor(going[-1], (last.removed_count if last else 0) + old)
        guarded(session).inner.correlations.delete([entry.entry_id for entry in going])
        session.audit.prune(anchor)
        done = {"chain": chain, "up_to": anchor.sequence, "removed": old, "before": before.isoformat()}
        event = AuditEvent("audit_pruned", self._ctx.occurrence_id, done)
        append_events(session, replace(self._ctx, occurrence_id=chain), [event])
        return old

    def _anchor(self, last: AuditEntry, removed: int) -> AuditAnchor:
        signer = self._ctx.signer
        anchor = AuditAnchor(
            chain=last.chain,
            sequence=last.sequence,
            entry_hash=last.entry_hash,
            removed_count=removed,
            at=self._ctx.clock.now(),
            signing_key_id=signer.key_id if signer else None,
        )
        if signer:
            anchor.signature = signer.sign(anchor_statement(anchor))
        return anchor

    def _chain(self, chain: str | None) -> str:
        return self._ctx.occurrence_id if chain is None else self._ctx.check.ident(chain, "chain")


def _refuse_damaged(session: Session, chain: str, anchor: AuditAnchor | None, going: AuditEntries) -> None:
    identity = read_identity(session)
    known = identity.known if identity else ()
    check = ChainCheck(chain, anchor, Signatures((), required=False), AuditReport(), known)
    stored = {each.correlation_id: each for each in session.correlations.get([entry.entry_id for entry in going])}
    for entry in going:
        check.follow(entry)
        check.compare(entry, stored.get(entry.entry_id))
    if check.report.problems:
        raise Corrupt(
            f"an entry to be pruned is not as it was written ({check.report.problems[0].message}). Keep a copy of the "
            "database, and examine it with store.audit.verify."
        )


def _heads(session: Session) -> tuple[list[ChainHead], str | None]:
    heads = ((chain, session.audit.head(chain)) for chain in session.audit.chains() if chain != STORE_CHAIN)
    found = [ChainHead(chain=chain, sequence=head[0], entry_hash=head[1]) for chain, head in heads if head is not None]
    identity = read_identity(session)
    return found, identity.store if identity else None
