"""Registry of upcasters, and the upcasting of nodes that are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ciris_store_core.errors import InvalidArgument, UpcastError
from ciris_store_core.models.enums import NodeType
from ciris_store_core.models.graph import GraphNode, NodeWrite
from ciris_store_core.models.paging import CorruptRow, ResultPage
from ciris_store_core.validation.validator import whole

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
U = TypeVar("U", bound=Upgrade)


class Upcasters:
    """Functions that make newer attributes of older ones, by node type and ``version``.

    Pass it to ``open_store``; steps may be added while the store is open. A node of an older version than the newest
    known one is upcast step by step in every read. The stored node changes when it is written: a write upcasts it
    first, so that the merge works on the attributes that the caller reads. Filters of listings and searches apply to
    the stored attributes::

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
        """Return the number of registered steps."""
        return len(self._steps)

    def __repr__(self) -> str:
        """Return the text that lists the registered steps."""
        known = (f"{kind} {low}->{high}" for (kind, low), (high, _) in sorted(self._steps.items()))
        return f"Upcasters({', '.join(known)})"

    def add(self, type: NodeType | str, from_version: int, to_version: int) -> Callable[[U], U]:
        """Decorate a function that takes attributes of version ``from_version`` and returns those of ``to_version``.

        The function may change its argument. Its result must depend on that argument alone, since it runs at every
        read of an older node.

        Raises:
            InvalidArgument: The versions do not ascend, or a step from that version is registered already.
        """
        kind = str(NodeType.parse(type))
        low = whole(from_version, "from_version", 1, 2**62)
        high = whole(to_version, "to_version", low + 1, 2**63 - 1)
        if (kind, low) in self._steps:
            raise InvalidArgument(
                f"an upcaster of {kind!r} from version {low} is registered already",
                hint="Register one step for each version.",
            )

        def register(upgrade: U) -> U:
            self._steps[kind, low] = (high, upgrade)
            return upgrade

        return register

    def upcast(self, node: GraphNode, newest: int | None = None) -> GraphNode:
        """Return the node in its newest known version, or the newest up to ``newest``; itself if no step applies.

        Raises:
            UpcastError: A step raised, or returned no attributes.
        """
        version, attributes = node.version, node.attributes
        while (step := self._steps.get((str(node.type), version))) and (newest is None or step[0] <= newest):
            attributes = _apply_step(step[1], attributes, node, version, step[0])
            version = step[0]
        return node if version == node.version else node.replaced(attributes=attributes, version=version)

    def upcast_all(self, nodes: list[GraphNode]) -> list[GraphNode]:
        """Return the nodes, each upcast."""
        return [self.upcast(node) for node in nodes] if self else nodes

    def concern(self, writes: Iterable[NodeWrite]) -> bool:
        """Return whether one of the writes may merge into an older node."""
        if not self._steps:
            return False
        kinds = {kind for kind, _ in self._steps}
        return any(write.mode == "merge" and str(write.node.type) in kinds for write in writes)


def _apply_step(step: Upgrade, attributes: dict[str, Any], node: GraphNode, low: int, high: int) -> dict[str, Any]:
    where = f"the upcaster of {str(node.type)!r} from version {low} to {high} failed on node {node.id!r}"
    hint = "The stored node did not change. Fix the upcaster, or open the store without it."
    try:
        upcast = step(dict(attributes))
    except Exception as error:
        raise UpcastError(f"{where} ({type(error).__name__})", kind="node", key=node.key, hint=hint) from error
    if type(upcast) is not dict:
        raise UpcastError(f"{where}: it returned no dict", kind="node", key=node.key, hint=hint)
    return upcast


def upcast_page(upcasters: Upcasters, found: ResultPage[GraphNode]) -> ResultPage[GraphNode]:
    """Return the page with its nodes upcast; a node whose upcaster fails counts as corrupt."""
    if not upcasters:
        return found
    nodes, corrupt = [], list(found.corrupt)
    for node in found.items:
        try:
            nodes.append(upcasters.upcast(node))
        except UpcastError as error:
            corrupt.append(CorruptRow(f"{node.id} {node.scope.value}", str(error)))
    return ResultPage(nodes, found.next_after, corrupt)
