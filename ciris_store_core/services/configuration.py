"""Adaptive configuration: typed values that several occurrences learn at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from ciris_store_core.errors import Conflict, InvalidArgument
from ciris_store_core.models.configuration import Configuration
from ciris_store_core.models.enums import NodeType
from ciris_store_core.models.graph import GraphNode
from ciris_store_core.services.learning import Operation
from ciris_store_core.services.transactions import as_one
from ciris_store_core.store import Store, Transaction
from ciris_store_core.store.execution import Blocking

C = TypeVar("C", bound=Configuration)


class AdaptiveConfiguration(Blocking):
    """The configurations of a store, each a node of type ``config`` in the scope that its kind needs.

    ``kind`` is a class such as ``FilterConfig``; ``subject`` names the configured thing, such as ``channel_123``. The
    id of the node is then ``filter_config_channel_123``::

        configuration = AdaptiveConfiguration(store)
        configuration.learn(FilterConfig, "channel_123", Count("trigger_counts", "spam"))
        print(configuration.get(FilterConfig, "channel_123").sensitivity)
    """

    def __init__(self, store: Store | Transaction) -> None:
        """Use an open store or transaction."""
        self._store = store

    def get(self, kind: type[C], subject: str) -> C:
        """Return the stored configuration, or the defaults if none is stored.

        Raises:
            Conflict: The stored configuration does not fit ``kind``.
        """
        node = self._store.graph.get(_id_of(kind, subject), kind.config_type.required_scope)
        return _read(kind, node) if node is not None else kind()

    def scan(self, kind: type[C]) -> Iterator[tuple[str, C]]:
        """Yield all configurations of a kind, each with its subject, read page by page, newest first."""
        prefix = _id_of(kind, "")
        scope = kind.config_type.required_scope
        for node in self._store.graph.scan(type=NodeType.CONFIG, scope=scope, prefix=prefix):
            yield node.id.removeprefix(prefix), _read(kind, node)

    def put(self, subject: str, configuration: C) -> C:
        """Write the fields that were set, keep the others, and return the configuration as stored."""
        given = configuration.model_dump(mode="json", exclude_unset=True)
        return _read(type(configuration), self._store.graph.put(_node(type(configuration), subject, given)))

    def learn(self, kind: type[C], subject: str, *operations: Operation) -> C:
        """Apply operations to the stored configuration, or to the defaults, and return it as stored.

        Either all operations are applied, or none. Threads, processes and hosts may learn at the same time: no
        operation is lost.

        Raises:
            InvalidArgument: The result would not fit ``kind``. Nothing was written.
            Conflict: The stored configuration does not fit ``kind``.
        """
        return as_one(self._store, lambda tx: _learn(tx, kind, subject, operations))

    def forget(self, kind: type[C], subject: str) -> bool:
        """Delete the stored configuration, so that the defaults apply; return False if none was stored."""
        return self._store.graph.delete(_id_of(kind, subject), kind.config_type.required_scope) == 1


def _learn(tx: Transaction, kind: type[C], subject: str, operations: tuple[Operation, ...]) -> C:
    # A merge without changes locks the row until the transaction ends, so that concurrent learners serialize, and
    # returns the row as the last writer left it.
    current = _read(kind, tx.graph.put(_node(kind, subject, {})))
    learned = _applied(current, operations, tx._ctx.clock.now())
    before, after = (each.model_dump(mode="json") for each in (current, learned))
    changed = {name: value for name, value in after.items() if name not in before or before[name] != value}
    return _read(kind, tx.graph.put(_node(kind, subject, changed))) if changed else current


def _applied(current: C, operations: Iterable[Operation], now: datetime) -> C:
    values = current.model_dump()
    for operation in operations:
        operation.apply(values, now)
    return type(current)(**values)


def _id_of(kind: type[Configuration], subject: str) -> str:
    return f"{kind.config_type.value}_{subject}"


def _node(kind: type[Configuration], subject: str, attributes: dict[str, Any]) -> GraphNode:
    if not subject:
        raise InvalidArgument("subject: it is empty. Say what the configuration is about, such as channel_123.")
    return GraphNode(
        id=_id_of(kind, subject),
        type=NodeType.CONFIG,
        scope=kind.config_type.required_scope,
        attributes={"config_type": kind.config_type.value, **attributes},
    )


def _read(kind: type[C], node: GraphNode) -> C:
    values = {name: value for name, value in node.attributes.items() if name != "config_type"}
    try:
        return kind(**values)
    except InvalidArgument as error:
        raise Conflict(
            f"the stored configuration {node.id!r} does not fit: {error}",
            kind="node",
            key=node.key,
            hint="Fix the node.",
        ) from error
