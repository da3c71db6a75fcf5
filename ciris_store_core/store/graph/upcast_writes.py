"""Writes that merge into nodes of older versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import Conflict, InvalidArgument, RevisionMismatch, UpcastError
from ciris_store_core.models.graph import GraphNode, NodeWrite
from ciris_store_core.secrets.crypto import keep
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.store.access.secret_refs import put_extracted, refs_of
from ciris_store_core.store.execution import Executor
from ciris_store_core.store.graph.upcasters import Upcasters
from ciris_store_core.validation.validator import Validator

_ATTEMPTS = 10


def put_upcast(
    executor: Executor,
    upcasters: Upcasters,
    check: Validator,
    writes: Sequence[NodeWrite],
    now: datetime,
    extracted: ExtractedSecrets,
) -> list[GraphNode]:
    """Write nodes as ``GraphStore.put_nodes`` does; a stored older node is upcast before a write merges into it."""

    def fn(session: Session) -> list[GraphNode]:
        own = _upcast_stored(session, upcasters, check, writes, now)
        return put_extracted(session, own, now) if extracted else session.graph.put_nodes(own, now)

    for _ in range(_ATTEMPTS):
        try:
            return executor.write("graph.put", fn, single=False, extracted=extracted)
        except _NodeChanged:
            continue
    raise RevisionMismatch(
        f"other writers changed the same node during each of {_ATTEMPTS} attempts to upcast it",
        kind="node",
        hint="Read it again, and call again.",
    )


class _NodeChanged(Exception):
    """Another writer changed an older node between its read and its upcasting write."""


def _upcast_stored(
    session: Session, upcasters: Upcasters, check: Validator, writes: Sequence[NodeWrite], now: datetime
) -> list[NodeWrite]:
    """Write each older stored node in its newest version; return the given writes, to be run after that.

    A merge of new attributes into old ones would leave keys that no upcaster expects. The returned writes expect the
    revision that the upcasting write leaves, so that no other writer comes between the two.
    """
    found = ExtractedSecrets()
    older, own = [], []
    keys = [write.node.key for write in writes if write.mode == "merge"]
    stored = {node.key: node for node in session.graph.get_nodes(keys, now)}
    for write in writes:
        upgrade = _upcasting_write(write, stored.get(write.node.key), upcasters)
        if upgrade is not None:
            older.append(_validate(upgrade, check, now, found))
            write = replace(write, expected_revision=(upgrade.expected_revision or 0) + 1)
        own.append(write)
    _put_older(session, older, now, found)
    return own


def _upcasting_write(write: NodeWrite, node: GraphNode | None, upcasters: Upcasters) -> NodeWrite | None:
    """Return the write that upcasts the stored node before ``write`` merges into it; None if none is needed."""
    if node is None or write.expected_revision not in (None, node.revision):
        return None
    newer = upcasters.upcast(node, write.node.version if "version" in write.given else None)
    if newer is node:
        return None
    return NodeWrite(newer, "replace", expected_revision=node.revision, given=frozenset({"version"}))


def _validate(upgrade: NodeWrite, check: Validator, now: datetime, found: ExtractedSecrets) -> NodeWrite:
    try:
        node = check.record(upgrade.node, GraphNode, now, found)
    except InvalidArgument as error:
        raise UpcastError(
            f"node {upgrade.node.id!r} cannot be stored as it was upcast ({error}). Fix the upcaster."
        ) from error
    return replace(upgrade, node=node.replaced(secret_refs=refs_of(node, found)))


def _put_older(session: Session, older: Sequence[NodeWrite], now: datetime, found: ExtractedSecrets) -> None:
    try:
        if found or any(write.node.secret_refs for write in older):
            put_extracted(session, older, now)
        elif older:
            session.graph.put_nodes(older, now)
    except Conflict:
        raise _NodeChanged from None
    if found:
        keep(session, found)
