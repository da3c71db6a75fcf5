"""Hash chains of audit events: a canonical form of every record, a hash over it, and entries that follow one another.

An audit event is stored twice in one transaction: as a correlation of type ``audit_event``, where queries find it
beside all other correlations, and as the entry of a chain, which holds the same id, the whole context and a hash of the
correlation. So a change of either is detected.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ciris_store_core.contract.backend import Session
from ciris_store_core.models.audit import AuditAnchor, AuditCheckpoint, AuditEntry
from ciris_store_core.models.base import Record
from ciris_store_core.models.correlations import Correlation
from ciris_store_core.models.enums import CorrelationType
from ciris_store_core.signing import SigningKey
from ciris_store_core.store.audit.canonical import canonical, fields_of, hash_of

GENESIS = "0" * 64
"""Previous hash of the first entry of a chain."""

CORRELATION_HASH = "correlation_sha256"
"""In an entry's metadata: the hash of the correlation."""

STORE = "store"
"""In an entry's metadata: the id of the store that it was written in, so that it fits no chain of another store."""

_AUDIT_EVENT = CorrelationType.AUDIT_EVENT

_CONTEXT = (
    "request_data", "response_data", "log_data", "metric_data", "trace_context", "tags", "parent_correlation_id",
    "child_correlation_ids",
)  # fmt: skip


def is_audit(correlation: Correlation) -> bool:
    """Return whether it is an audit event."""
    return correlation.correlation_type == _AUDIT_EVENT


# --- hashes -------------------------------------------------------------------------------------


def correlation_hash(correlation: Correlation) -> str:
    """Return the hash by which an entry refers to its correlation."""
    return hash_of("ciris-store audit correlation 1", fields_of(correlation))


def entry_hash(entry: AuditEntry) -> str:
    """Return the hash over an entry, without this hash and the signature, which is made over it."""
    return hash_of("ciris-store audit entry 1", _unsigned(entry, "entry_hash"))


def anchor_statement(anchor: AuditAnchor) -> bytes:
    """Return the bytes that the signature of an anchor signs."""
    return _statement(hash_of("ciris-store audit anchor 1", _unsigned(anchor)))


def entry_statement(entry: AuditEntry) -> bytes:
    """Return the bytes that the signature of an entry signs."""
    return _statement(entry.entry_hash)


def checkpoint_statement(checkpoint: AuditCheckpoint) -> bytes:
    """Return the bytes that the signature of a checkpoint signs."""
    return _statement(hash_of("ciris-store audit checkpoint 1", _unsigned(checkpoint)))


def _unsigned(record: Record, *more: str) -> dict[str, Any]:
    return {name: value for name, value in fields_of(record).items() if name not in ("signature", *more)}


def _statement(hashed: str) -> bytes:
    return b"ciris-store audit signature 1\n" + hashed.encode()


# --- making entries -----------------------------------------------------------------------------


def chain_up(session: Session, signer: SigningKey | None, events: Iterable[Correlation], store: str) -> None:
    """Append the entries of audit events to the chains of their occurrences, in the transaction that stores them."""
    chains: dict[str, list[Correlation]] = {}
    for event in events:
        chains.setdefault(event.agent_occurrence_id, []).append(event)
    # The head locks a chain until the transaction ends. Chains are locked in one order, so that two transactions never
    # wait for each other.
    for chain, members in sorted(chains.items()):
        number, previous = session.audit.head(chain) or (0, GENESIS)
        session.audit.append(_following(chain, number, previous, members, signer, store))


def _following(
    chain: str, number: int, previous: str, events: Sequence[Correlation], signer: SigningKey | None, store: str
) -> list[AuditEntry]:
    entries = []
    for sequence, event in enumerate(events, number + 1):
        entry = _entry(chain, sequence, previous, event, signer, store)
        previous = entry.entry_hash
        entries.append(entry)
    return entries


def _entry(
    chain: str, sequence: int, previous: str, event: Correlation, signer: SigningKey | None, store: str
) -> AuditEntry:
    entry = AuditEntry.trusted(
        {
            "chain": chain,
            "sequence": sequence,
            "entry_id": event.correlation_id,
            "event_type": event.action_type,
            "actor": event.handler_name,
            "at": event.timestamp,
            "payload": context_of(event),
            "previous_hash": previous,
            "entry_hash": "",
            "signature": None,
            "signing_key_id": signer.key_id if signer else None,
            "metadata": {CORRELATION_HASH: correlation_hash(event), STORE: store},
        }
    )
    entry.__dict__["entry_hash"] = entry_hash(entry)
    if signer:
        entry.__dict__["signature"] = signer.sign(entry_statement(entry))
    return entry


def context_of(event: Correlation) -> Mapping[str, Any]:
    """Return the payload of an entry: the facts of its event beside actor, type and time."""
    fields = fields_of(event)
    parts = {name: fields[name] for name in _CONTEXT if name in fields}
    found: dict[str, Any] = json.loads(canonical(parts)) if parts else {}
    return {**found, **event.metadata}
