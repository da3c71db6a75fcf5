"""Secrets that no record refers to any more, and those of records that have expired."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from ciris_store_core.contract.backend import Session
from ciris_store_core.models.base import Record
from ciris_store_core.models.documents import DocumentKey
from ciris_store_core.models.enums import GraphScope
from ciris_store_core.models.graph import EdgeKey, NodeKey
from ciris_store_core.models.paths import namespace_of
from ciris_store_core.models.secrets import SecretRecord
from ciris_store_core.secrets.redaction import owner_of
from ciris_store_core.secrets.references import references_in
from ciris_store_core.store.documents.payload_coder import document_of
from ciris_store_core.store.resource import living
from ciris_store_core.validation.payloads import value_of

Ids = list[str]
SecretRecords = list[SecretRecord]


def sweep(session: Session, secrets: SecretRecords) -> int:
    """Delete those of these secrets that their record does not refer to; return how many."""
    owners: dict[str, set[tuple[str, ...]]] = {}
    for secret in secrets:
        kind, *key = secret.metadata["owner"]
        owners.setdefault(kind, set()).add(tuple(key))
    living = {
        (id, *owner_of(record))
        for kind, keys in owners.items()
        for record in READ[kind](session, sorted(keys))
        for id in references_in(record)
    }
    gone = [secret.secret_id for secret in secrets if (secret.secret_id, *secret.metadata["owner"]) not in living]
    return session.secrets.delete(gone) if gone else 0


Keys = list[tuple[str, ...]]


def _nodes(session: Session, keys: Keys) -> Sequence[Record]:
    return session.graph.get_nodes([NodeKey(id, GraphScope(scope)) for scope, id in keys], None)


def _edges(session: Session, keys: Keys) -> Sequence[Record]:
    return session.graph.get_edges(
        [EdgeKey(source, target, kind, GraphScope(scope)) for scope, source, target, kind in keys]
    )


def _documents(session: Session, keys: Keys) -> Sequence[Record]:
    stored = session.documents.get([DocumentKey(namespace_of(path), key) for path, key in keys], None)
    return [document_of(each, value_of(each.payload), None) for each in stored if each.payload.format == "json"]


def _occurrences(session: Session, keys: Keys) -> Sequence[Record]:
    return [each for each in session.coordination.list_occurrences(None) if (each.occurrence_id,) in keys]


READ: dict[str, Callable[[Session, Keys], Sequence[Record]]] = {
    "node": _nodes,
    "edge": _edges,
    "task": lambda session, keys: session.tasks.get([key[0] for key in keys], None),
    "thought": lambda session, keys: session.thoughts.get([key[0] for key in keys], None),
    "correlation": lambda session, keys: session.correlations.get([key[0] for key in keys]),
    "occurrence": _occurrences,
    "document": _documents,
}

EXPIRING = ("node", "edge", "correlation", "document")


def expired(session: Session, kind: str, keys: Sequence[Ids], now: datetime) -> list[Ids]:
    """Return the owners, among those of that kind, that are stored and have expired."""
    records = READ[kind](session, sorted({tuple(key) for key in keys}))
    if kind == "edge":
        kept = {edge.key for edge in session.graph.get_edges([edge.key for edge in records], now)}  # type: ignore[attr-defined]
        return [owner_of(edge) for edge in records if edge.key not in kept]  # type: ignore[attr-defined]
    return [owner_of(record) for record in records if not living([record], lambda: now)]  # type: ignore[type-var]
