"""Lists of ``secret_refs`` in nodes, and deletion of the secrets of records that change or are deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar

from ciris_store_core.contract.backend import Session
from ciris_store_core.contract.merging import written
from ciris_store_core.errors import Conflict, Unavailable
from ciris_store_core.models.base import Record
from ciris_store_core.models.graph import KEPT_UNLESS_GIVEN, GraphNode, NodeWrite
from ciris_store_core.secrets.crypto import SecretOwner
from ciris_store_core.secrets.redaction import ExtractedSecrets, owner_of
from ciris_store_core.secrets.references import references_in
from ciris_store_core.store.context import StoreContext
from ciris_store_core.store.execution import Executor, StoreExecutor

K = TypeVar("K")

DELETE_BATCH = 1000
"""The largest number of records that one transaction deletes, if the caller has none open."""


def as_read(nodes: list[GraphNode]) -> list[GraphNode]:
    """Stored nodes as callers get them."""
    for node in nodes:
        # A node that was read and is written again must not pass for one whose updated_at the caller chose.
        node.__pydantic_fields_set__.discard("updated_at")
        if node.secret_refs:
            node.__dict__["secret_refs"] = listed(node)
    return nodes


def listed(node: GraphNode) -> list[str]:
    """Return the ``secret_refs`` that occur in a node. A merge also keeps stored ones, of values that it replaces."""
    occurring = references_in([node.attributes, node.metadata])
    return [ref for ref in node.secret_refs if ref in occurring]


def refs_of(node: GraphNode, extracted: ExtractedSecrets) -> list[str]:
    """Return the references that a written node may list: those that it lists and holds, and those to new secrets."""
    owner = owner_of(node)
    new = {secret.secret_id for secret in extracted if secret.metadata.get("owner") == owner}
    return [ref for ref in references_in([node.attributes, node.metadata]) if ref in new or ref in node.secret_refs]


def put_extracted(session: Session, writes: Sequence[NodeWrite], now: datetime) -> list[GraphNode]:
    """Write nodes of which some have new secrets, and delete the secrets of values that are replaced."""
    stored = {node.key: node for node in session.graph.get_nodes([write.node.key for write in writes], None)}
    settled = [_settled(write, stored.get(write.node.key), now) for write in writes]
    try:
        nodes = session.graph.put_nodes(settled, now)
    except Conflict:
        if {node.key: node for node in session.graph.get_nodes(list(stored), None)} == stored:
            raise
        raise Unavailable("another caller wrote one of the same nodes just now. Run the transaction again.") from None
    kept = {ref for node in nodes for ref in node.secret_refs}
    drop(session, [(owner_of(node), [*set(node.secret_refs) - kept]) for node in stored.values()])
    return nodes


def drop(session: Session, refs: Iterable[tuple[SecretOwner, Sequence[str]]]) -> None:
    """Delete the secrets that these records refer to and own."""
    owners = {ref: owner for owner, ids in refs for ref in ids}
    found = session.secrets.get([*owners]) if owners else []
    own = [secret.secret_id for secret in found if secret.metadata.get("owner") == owners[secret.secret_id]]
    if own:
        session.secrets.delete(own)


def drop_of(session: Session, records: Iterable[Record]) -> None:
    """Delete the secrets of records that are deleted."""
    drop(session, [(owner_of(record), [*references_in(record)]) for record in records])


def delete_with_secrets(
    operation: str,
    executor: Executor,
    ctx: StoreContext,
    keys: Sequence[K],
    get: Callable[[Session, Sequence[K]], Sequence[Record]],
    delete: Callable[[Session, Sequence[K]], int],
) -> int:
    """Delete records with their secrets, in batches; return the number that ``delete`` returns."""

    def fn(session: Session, batch: Sequence[K]) -> int:
        going = get(session, batch)
        count = delete(session, batch)
        drop_of(session, going)
        return count

    if ctx.crypto.has_keys:
        return in_batches(executor, keys, lambda batch: executor.write(operation, lambda s: fn(s, batch), single=False))
    return in_batches(executor, keys, lambda batch: executor.write(operation, lambda s: delete(s, batch)))


def in_batches(executor: Executor, keys: Sequence[K], delete: Callable[[Sequence[K]], int]) -> int:
    """Delete many records in batches; return the number of deleted ones.

    Outside a transaction every batch is a transaction of its own: one long delete would keep other writers waiting.
    Inside one, and for protected scopes, which are approved as a whole, there is one batch.
    """
    if not isinstance(executor, StoreExecutor) or len(keys) <= DELETE_BATCH:
        return delete(keys)
    protected = executor.guard.policy.protected
    if any(isinstance(key, tuple) and key[-1] in protected for key in keys):
        return delete(keys)
    return sum(delete(keys[start : start + DELETE_BATCH]) for start in range(0, len(keys), DELETE_BATCH))


def _settled(write: NodeWrite, stored: GraphNode | None, now: datetime) -> NodeWrite:
    """Return the write. If the stored node has secrets, merge here, so that only the secrets that stay are listed."""
    if stored is None or not stored.secret_refs or (stored.expires_at is not None and stored.expires_at <= now):
        return write
    node = written(write, stored, now)
    node.__dict__["secret_refs"] = listed(node)
    return NodeWrite(node, "replace", expected_revision=stored.revision, given=frozenset(KEPT_UNLESS_GIVEN))
