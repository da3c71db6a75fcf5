"""The store's own id, to which audit entries and approvals are bound, and the ids of stores that it holds copies of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ciris_store_core.contract.backend import Session
from ciris_store_core.models.audit import AuditAnchor
from ciris_store_core.models.ids import uuid7
from ciris_store_core.signing import SigningKey
from ciris_store_core.store.audit.canonical import hash_of
from ciris_store_core.store.audit.chain import anchor_statement

STORE_CHAIN = "__store__"
"""The anchor that holds the id. Every backend stores anchors, and no occurrence can have this name."""


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """Identity of a store, to which its audit entries and approvals are bound."""

    store: str
    """The id, made with the first audit event or copy. A copy of a store gets another id."""
    copied: tuple[str, ...]
    """Stores whose audit entries were copied here."""

    @property
    def known(self) -> frozenset[str]:
        """Return the ids of all stores whose entries may be here."""
        return frozenset((self.store, *self.copied))


def identity_of(anchor: AuditAnchor | None) -> StoreIdentity | None:
    """Return the identity that the anchor of ``STORE_CHAIN`` holds."""
    if anchor is None:
        return None
    store, copied = anchor.metadata.get("store"), anchor.metadata.get("copied", [])
    return StoreIdentity(str(store), tuple(map(str, copied if isinstance(copied, list) else ())))


def is_changed(anchor: AuditAnchor) -> bool:
    """Return whether the anchor of ``STORE_CHAIN`` is not as it was written, as far as hashes can show."""
    numbers = (anchor.sequence, anchor.removed_count)
    return numbers != (1, 1) or anchor.entry_hash != _hash(anchor.metadata, anchor.at)


def _hash(about: Mapping[str, Any], at: datetime) -> str:
    return hash_of("ciris-store store identity 1", {**about, "at": at})


def read_identity(session: Session) -> StoreIdentity | None:
    """Return the store's identity; None if none was needed yet."""
    return identity_of(session.audit.anchor(STORE_CHAIN))


def make_identity(session: Session, signer: SigningKey | None, now: datetime) -> StoreIdentity:
    """Return the store's identity, made by exactly one of all transactions that need one."""
    return copy_identity(session, signer, now, ())


def copy_identity(session: Session, signer: SigningKey | None, now: datetime, stores: Iterable[str]) -> StoreIdentity:
    """Record that audit entries of these stores are copied here, in the transaction that writes the entries."""
    # Two transactions that both find no id would make two: the head locks the chain, so the second one waits.
    session.audit.head(STORE_CHAIN)
    found = read_identity(session)
    made = found or StoreIdentity(uuid7(), ())
    new = tuple(dict.fromkeys(each for each in stores if each not in made.known))
    if found is None or new:
        made = StoreIdentity(made.store, (*made.copied, *new))
        session.audit.prune(_anchor(made, signer, now))
    return made


def _anchor(identity: StoreIdentity, signer: SigningKey | None, now: datetime) -> AuditAnchor:
    about = {"store": identity.store, "copied": list(identity.copied)}
    anchor = AuditAnchor(
        chain=STORE_CHAIN,
        sequence=1,
        entry_hash=_hash(about, now),
        removed_count=1,
        at=now,
        signing_key_id=signer.key_id if signer else None,
        metadata=about,
    )
    if signer:
        anchor.signature = signer.sign(anchor_statement(anchor))
    return anchor
