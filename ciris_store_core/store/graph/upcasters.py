"""Bringing the attributes of older nodes up to date when they are read (contract section 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from ciris_store_core.contract.backend import Session
from ciris_store_core.errors import Conflict, InvalidArgument, RevisionMismatch, UpcastError
from ciris_store_core.models.enums import NodeType
from ciris_store_core.models.graph import GraphNode, NodeWrite
from ciris_store_core.models.paging import CorruptRow, ResultPage
from ciris_store_core.secrets.crypto import keep
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.store.access.secret_refs import put_extracted, refs_of
from ciris_store_core.validation.validator import Validator, whole

if TYPE_CHECKING:
    from ciris_store_core.store.execution import Executor

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
U = TypeVar("U", bound=Upgrade)

_ATTEMPTS = 10


class Upcasters:
    """Functions that make newer attributes of older ones, by node type and ``version``.

    Give it to ``open_store``; it may grow while the store is open. A node that is older than what it knows is upcast
    step by step in every read. What is stored changes when the node is written: a write upgrades it first, so that
    merging works on what you see. Filters of listings and searches look at what is stored::

        upcasters = Upcasters()

        @upcasters.add("user", 1, 2)
        def split_name(attributes):
            first, _, last = attributes.pop("name").partition(" ")
            return {**attributes, "first": first, "last": last}

        store = open_store(url, upcasters=upcasters)
    """

    def __init__(self) -> None:
        self._steps: dict[tuple[str, int], tuple[int, Upgrade]] = {}

    def __len__(self) -> int:
        """The number of steps that are known."""
        return len(self._steps)

    def __repr__(self) -> str:
        """The steps that are known."""
        known = (f"{kind} {low}->{high}" for (kind, low), (high, _) in sorted(self._steps.items()))
        return f"Upcasters({', '.join(known)})"

    def add(self, type: NodeType | str, from_version: int, to_version: int) -> Callable[[U], U]:
        """Decorate a function that takes attributes of version ``from_version`` and returns those of ``to_version``.

        It may change what it is given, and must not depend on anything else: it runs at every read of an older node.

        Raises:
            InvalidArgument: The versions do not ascend, or there is a step from that version already.
        """
        kind = str(NodeType.parse(type))
        low = whole(from_version, "from_version", 1, 2**62)
        high = whole(to_version, "to_version", low + 1, 2**63 - 1)
        if (kind, low) in self._steps:
            raise InvalidArgument(f"there is an upcaster of {kind!r} from version {low} already: one step leads on")

        def register(upgrade: U) -> U:
            self._steps[kind, low] = (high, upgrade)
            return upgrade

        return register

    def upcast(self, node: GraphNode, newest: int | None = None) -> GraphNode:
        """The node as its newest known version, or the newest up to ``newest``; itself if it is no older.

        Raises:
            UpcastError: A step raised, or returned no attributes.
        """
        version, attributes = node.version, node.attributes
        while (step := self._steps.get((str(node.type), version))) and (newest is None or step[0] <= newest):
            attributes = _applied(step[1], attributes, node, version, step[0])
            version = step[0]
        return node if version == node.version else node.replaced(attributes=attributes, version=version)

    def upcast_all(self, nodes: list[GraphNode]) -> list[GraphNode]:
        """The nodes, each as ``upcast`` makes it."""
        return [self.upcast(node) for node in nodes] if self else nodes

    def concern(self, writes: Iterable[NodeWrite]) -> bool:
        """Whether one of the writes may merge into an older node."""
        if not self._steps:
            return False
        kinds = {kind for kind, _ in self._steps}
        return any(write.mode == "merge" and str(write.node.type) in kinds for write in writes)


def _applied(step: Upgrade, attributes: dict[str, Any], node: GraphNode, low: int, high: int) -> dict[str, Any]:
    where = f"the upcaster of {str(node.type)!r} from version {low} to {high} failed on node {node.id!r}"
    advice = "the node is stored as it was: fix the upcaster, or open the store without it"
    try:
        upcast = step(dict(attributes))
    except Exception as error:
        raise UpcastError(f"{where} ({type(error).__name__}); {advice}") from error
    if type(upcast) is not dict:
        raise UpcastError(f"{where}: it returned no dict; {advice}")
    return upcast


def upcast_page(upcasters: Upcasters, found: ResultPage[GraphNode]) -> ResultPage[GraphNode]:
    """A page in which a node whose upcaster fails counts as corrupt, and the others are upcast."""
    if not upcasters:
        return found
    nodes, corrupt = [], list(found.corrupt)
    for node in found.items:
        try:
            nodes.append(upcasters.upcast(node))
        except UpcastError as error:
            corrupt.append(CorruptRow(f"{node.id} {node.scope.value}", str(error)))
    return ResultPage(nodes, found.next_after, corrupt)


# --- writes -----------------------------------------------------------------------------------


def put_upcast(
    executor: Executor,
    upcasters: Upcasters,
    check: Validator,
    writes: Sequence[NodeWrite],
    now: datetime,
    extracted: ExtractedSecrets,
) -> list[GraphNode]:
    """``put_nodes``, of which a merge into an older node merges into what that is once it is upcast."""

    def fn(session: Session) -> list[GraphNode]:
        own = _upcast_stored(session, upcasters, check, writes, now)
        return put_extracted(session, own, now) if extracted else session.graph.put_nodes(own, now)

    for _ in range(_ATTEMPTS):
        try:
            return executor.write("put_upcast", fn, single=False, extracted=extracted)
        except _Moved:
            continue
    raise RevisionMismatch(
        f"other writers changed the same node during each of {_ATTEMPTS} attempts to upcast it",
        kind="node",
        hint="Read it again, and call again.",
    )


class _Moved(Exception):
    """Somebody wrote an older node between our look at it and our upgrade of it."""


def _upcast_stored(
    session: Session, upcasters: Upcasters, check: Validator, writes: Sequence[NodeWrite], now: datetime
) -> list[NodeWrite]:
    """Write what is older in its newest form; returns the writes as they follow on that."""
    found = ExtractedSecrets()
    older, own = [], []
    keys = [write.node.key for write in writes if write.mode == "merge"]
    stored = {node.key: node for node in session.graph.get_nodes(keys, now)}
    for write in writes:
        upgrade = _upcast_before(write, stored.get(write.node.key), upcasters)
        if upgrade is not None:
            older.append(_checked(upgrade, check, now, found))
            write = replace(write, expected_revision=(upgrade.expected_revision or 0) + 1)
        own.append(write)
    _put(session, older, now, found)
    return own


def _upcast_before(write: NodeWrite, node: GraphNode | None, upcasters: Upcasters) -> NodeWrite | None:
    """The write that brings the stored node up to date before another one merges into it, where that is needed."""
    if node is None or write.expected_revision not in (None, node.revision):
        return None
    newer = upcasters.upcast(node, write.node.version if "version" in write.given else None)
    if newer is node:
        return None
    return NodeWrite(newer, "replace", expected_revision=node.revision, given=frozenset({"version"}))


def _checked(upgrade: NodeWrite, check: Validator, now: datetime, found: ExtractedSecrets) -> NodeWrite:
    try:
        node = check.record(upgrade.node, GraphNode, now, found)
    except InvalidArgument as error:
        raise UpcastError(f"node {upgrade.node.id!r} cannot be stored as it was upcast: {error}") from error
    return replace(upgrade, node=node.replaced(secret_refs=refs_of(node, found)))


def _put(session: Session, older: Sequence[NodeWrite], now: datetime, found: ExtractedSecrets) -> None:
    try:
        if found or any(write.node.secret_refs for write in older):
            put_extracted(session, older, now)
        elif older:
            session.graph.put_nodes(older, now)
    except Conflict:
        raise _Moved from None
    if found:
        keep(session, found)
