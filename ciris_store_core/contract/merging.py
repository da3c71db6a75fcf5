"""Merging of writes into stored nodes by the rules of ``GraphStore.put_nodes``, for backends that merge in Python."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import isfinite
from typing import Any

from ciris_store_core.errors import AlreadyExists, Conflict, InvalidArgument, RevisionMismatch
from ciris_store_core.models.graph import KEPT_UNLESS_GIVEN, GraphNode, NodeWrite


def written(write: NodeWrite, stored: GraphNode | None, now: datetime) -> GraphNode:
    """Return the node to store; raise ``Conflict`` if the stored one contradicts the write."""
    if write.mode == "restore":
        check_revision(write, stored)
        return write.node
    if stored is not None and stored.expires_at is not None and stored.expires_at <= now:
        check_revision(write, None)
        return write.node.replaced(attributes=_kept(write.node.attributes, write), revision=stored.revision + 1)
    check_revision(write, stored)
    if stored is None:
        return write.node.replaced(attributes=_kept(write.node.attributes, write), revision=1)
    return _merged(write, stored)


def check_revision(write: NodeWrite, stored: GraphNode | None) -> None:
    """Raise ``Conflict``, or the error under it that applies, unless the stored node is what the write expects."""
    node = write.node
    expected, revision = write.expected_revision, stored.revision if stored else 0
    if expected is not None and expected != revision:
        raise RevisionMismatch(
            f"node {node.id!r} is at revision {revision}, not {expected}",
            kind="node",
            key=node.key,
            hint="Read it again, decide, and call again.",
        )
    if stored is None:
        return
    if write.mode in ("insert", "restore"):
        raise AlreadyExists(
            f"node {node.id!r} already exists in scope {node.scope}",
            kind="node",
            key=node.key,
            hint="Read it and decide, or use another id.",
        )
    if stored.type != node.type:
        raise Conflict(
            f"node {node.id!r} is a {stored.type}, not a {node.type}",
            kind="node",
            key=node.key,
            hint="Delete it first, or use another id.",
        )


def _merged(write: NodeWrite, stored: GraphNode) -> GraphNode:
    node = write.node
    kept = {field: getattr(stored, field) for field in KEPT_UNLESS_GIVEN if field not in write.given}
    attributes, refs = node.attributes, node.secret_refs
    if write.mode == "merge":
        attributes = {**stored.attributes, **attributes}
        refs = list(dict.fromkeys([*stored.secret_refs, *refs]))
    return node.replaced(
        **kept,
        attributes=_kept(attributes, write),
        secret_refs=refs,
        created_at=stored.created_at,
        revision=stored.revision + 1,
    )


def _kept(attributes: dict[str, Any], write: NodeWrite) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if key not in write.remove} if write.remove else attributes


def incremented(attributes: dict[str, Any], path: Sequence[str], by: int | float) -> tuple[dict[str, Any], int | float]:
    """Return a copy of the attributes with the sum in place of the number at the path, and the sum."""
    key, *rest = path
    old = attributes.get(key)
    if rest:
        if old is not None and not isinstance(old, dict):
            raise InvalidArgument(f"attribute {key!r} is not an object", hint="Name a path through objects.")
        inner, value = incremented(old or {}, rest, by)
        return {**attributes, key: inner}, value
    if old is not None and type(old) not in (int, float):
        raise InvalidArgument(f"attribute {key!r} is not a number", hint="Replace it before you add to it.")
    value = (old or 0) + by
    if not (-(2**63) <= value < 2**63 if type(value) is int else isfinite(value)):
        raise InvalidArgument(f"attribute {key!r} would exceed the largest number that can be stored. Add less.")
    return {**attributes, key: value}, value
