"""Memory service of the specification: an agent's nodes, edges and events."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from ciris_store_core.clock import before
from ciris_store_core.errors import AccessDenied, InvalidArgument
from ciris_store_core.models.correlations import TimeSeriesDataPoint
from ciris_store_core.models.enums import CorrelationType, GraphScope, NodeType, OpStatus, RetentionPolicy
from ciris_store_core.models.graph import GraphEdge, GraphNode, NodeKey
from ciris_store_core.models.memory import MemoryOpResult, MemoryQuery, Recall
from ciris_store_core.models.paging import Page
from ciris_store_core.models.tsdb import TSDBGraphNode
from ciris_store_core.services.background_work import BackgroundWork
from ciris_store_core.services.memory_events import TIME_SERIES_TYPES, correlation_of, point_of
from ciris_store_core.services.periodic import Startable
from ciris_store_core.services.retention_plans import SUMMARIES
from ciris_store_core.services.transactions import as_one
from ciris_store_core.store import Store, Transaction
from ciris_store_core.store.access.secrets import Action
from ciris_store_core.store.execution import Blocking
from ciris_store_core.store.resource import several
from ciris_store_core.validation.validator import moment
from ciris_store_core.words import search_terms

MOST_NODES = 10_000

_METRICS = frozenset({CorrelationType.METRIC_DATAPOINT, *SUMMARIES[CorrelationType.METRIC_DATAPOINT]})

_SELECTOR = re.compile(r"(?<!\S)(type|scope):(\w+)(?!\S)")

AnyScope = GraphScope | str
Points = Page[TimeSeriesDataPoint]
Nodes = list[GraphNode]


class MemoryService(Startable, Blocking):
    """Service that stores and recalls nodes, edges and events. ``AsyncMemoryService`` is its async counterpart.

    Operations that write return a ``MemoryOpResult``: ``ok`` with the result in ``data``, or, if a policy refused the
    write, ``denied`` with the reason. All other errors are raised, those of the database included.

    An event is stored twice under one id, as a node and as a correlation, in one transaction. Aggregates, counts and
    ``recall_timeseries`` read the correlation alone.

    Over a transaction, every operation is part of that transaction. Over a store, ``start`` begins the background work
    that keeps the store small, and ``stop`` ends it; as a context manager, the service does both.
    """

    def __init__(self, store: Store | Transaction, *, background: BackgroundWork | None = None) -> None:
        """Use an open store or transaction, and leave it open.

        ``background``: the work that ``start`` begins; by default ``BackgroundWork(store)``.
        """
        self._store = store
        self._background = background

    # --- life ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin the background work, unless it is running; raise ``InvalidArgument`` in a transaction."""
        if self._background is None:
            if not isinstance(self._store, Store):
                raise InvalidArgument("a transaction has no background work. Make the service over the store.")
            self._background = BackgroundWork(self._store)
        self._background.start()

    def stop(self) -> None:
        """End the background work after its current batches; do nothing if it is not running."""
        if self._background is not None:
            self._background.stop()

    # --- nodes and edges ----------------------------------------------------------------------------

    def memorize(self, node: GraphNode) -> MemoryOpResult:
        """Write a node, merging its attributes into the stored ones; ``data`` is the node as stored.

        An event that ``TSDBGraphNode`` made is stored with its correlation; memorizing it again adds nothing.
        """
        if isinstance(node, TSDBGraphNode):
            return _outcome(lambda: as_one(self._store, lambda tx: _put_event_once(tx, node)))
        return _outcome(lambda: self._store.graph.put(node))

    def recall(
        self,
        query: MemoryQuery,
        *,
        limit: int = 1000,
        cursor: str | None = None,
        action: Action | None = None,
        accessor: str = "memory_service",
    ) -> Recall:
        """Return the nodes that the query names: one id, ``prefix*``, or ``*`` for all of the scope.

        ``%`` at the end means the same as ``*``, unless there is a node of just that id.

        Args:
            query: With ``include_edges``, a single node comes with the nodes within ``depth`` steps, nearest
                first, and the edges among them; the nodes of a pattern come with the edges that touch them.
            limit: Greatest number of nodes of a pattern, newest first.
            cursor: The ``next_cursor`` of the page before; only patterns have more than one page.
            action: Purpose of the recall: secrets that the action may have replace their references; see
                ``store.secrets.resolve``. None: every reference stays.
            accessor: Name of the caller, for the access log of the secrets.

        Returns:
            A page of nodes, empty if there are none, and its edges. If ``truncated`` is True, more than 10,000 nodes
            are within reach, and the page holds the nearest of them.
        """
        found = self._recall(query, limit, cursor)
        if action is not None:
            found.items = [self._store.secrets.resolve(each, action=action, accessor=accessor) for each in found.items]
            found.edges = [self._store.secrets.resolve(each, action=action, accessor=accessor) for each in found.edges]
        return found

    def _recall(self, query: MemoryQuery, limit: int, cursor: str | None) -> Recall:
        if not query.node_id.endswith("*"):
            found = self._recall_one(query)
            if found.items or not query.node_id.endswith("%"):
                return found
        prefix = query.node_id[:-1] or None
        page = self._store.graph.find(scope=query.scope, type=query.type, prefix=prefix, limit=limit, cursor=cursor)
        found = Recall(page.items, page.next_cursor, page.corrupt)
        return self._with_edges(found, query) if query.include_edges and page.items else found

    def _recall_one(self, query: MemoryQuery) -> Recall:
        node = self._store.graph.get(query.node_id, query.scope)
        if node is None or query.type not in (None, node.type):
            return Recall([])
        if not query.include_edges:
            return Recall([node])
        around = self._store.graph.subgraph(node.id, query.scope, depth=query.depth, limit=MOST_NODES)
        return Recall(around.nodes, edges=around.edges, truncated=around.truncated)

    def _with_edges(self, found: Recall, query: MemoryQuery) -> Recall:
        ids = {node.id for node in found.items}
        around = self._store.graph.subgraph(ids, query.scope, depth=1, limit=MOST_NODES)
        found.edges = [edge for edge in around.edges if edge.source in ids or edge.target in ids]
        found.truncated = around.truncated
        return found

    def forget(self, node: GraphNode | NodeKey | tuple[str, AnyScope]) -> MemoryOpResult:
        """Delete a node, given as such or as (id, scope), with its edges; ``data`` is the number of nodes, 0 or 1.

        The correlation of a metric or log message is deleted with it; that of an audit event is kept.
        """
        id, scope = node.key if isinstance(node, GraphNode) else node
        gone = _outcome(lambda: as_one(self._store, lambda tx: _forget(tx, id, scope)))
        if gone.data == 0:
            gone.reason = "there is no such node"
        return gone

    def forget_secret(self, *secret_ids: str, accessor: str = "memory_service") -> MemoryOpResult:
        """Delete secrets for good; ``data`` is their number. Their access log stays, and records the deletion."""
        return _outcome(lambda: self._store.secrets.delete_many(secret_ids, accessor=accessor))

    def search(
        self, text: str, *, scope: AnyScope | None = None, type: NodeType | str | None = None, limit: int = 20
    ) -> Nodes:
        """Return the nodes with all the words of ``text`` in id or attributes, best match first [cap: full_text].

        ``type:concept`` and ``scope:local`` within the text select as the arguments do. A text without words lists the
        selected nodes, most recently updated first.
        """
        given = dict(_SELECTOR.findall(text))
        words = _SELECTOR.sub(" ", text)
        scope, type = scope or given.get("scope"), type or given.get("type")
        if not search_terms(words):
            return self._store.graph.find(scope=scope, type=type, limit=limit).items
        return [hit.node for hit in self._store.graph.search(words, scope=scope, type=type, limit=limit)]

    def create_edge(self, edge: GraphEdge) -> MemoryOpResult:
        """Write an edge, or its new weight and attributes; ``data`` is the edge as stored.

        Raises:
            NotFound: An end of the edge does not exist in its scope. Nothing was written.
        """
        return _outcome(lambda: self._store.graph.put_edge(edge))

    # --- events -------------------------------------------------------------------------------------

    def memorize_metric(
        self,
        metric_name: str,
        value: float,
        tags: Mapping[str, str] | None = None,
        scope: AnyScope = GraphScope.LOCAL,
        *,
        unit: str | None = None,
        handler_name: str = "memory_service",
        timestamp: datetime | None = None,
        retention_policy: RetentionPolicy | str = RetentionPolicy.RAW,
        ttl_seconds: int | None = None,
    ) -> MemoryOpResult:
        """Store a measurement as a node and as a correlation with the same id; ``data`` is the node.

        Args:
            metric_name: 1 to 255 bytes of UTF-8.
            value: A finite number.
            tags: To filter and group by.
            scope: Of the node and the correlation.
            unit: Such as ``percent``.
            handler_name: The component that measured, for the correlation.
            timestamp: Aware time of the measurement; by default now, by the store's clock.
            retention_policy: ``raw`` (never rolled up), ``aggregated`` (rolled up hourly) or ``downsampled`` (then
                daily).
            ttl_seconds: Age at which it expires.
        """
        node = TSDBGraphNode.create_metric_node(
            metric_name, value, tags, scope, unit=unit, timestamp=timestamp,
            retention_policy=retention_policy, ttl_seconds=ttl_seconds,
        )  # fmt: skip
        return self._memorize_event(node, handler_name=handler_name, action_type="memorize_metric")

    def memorize_log(
        self,
        log_message: str,
        log_level: str = "INFO",
        tags: Mapping[str, str] | None = None,
        scope: AnyScope = GraphScope.LOCAL,
        *,
        handler_name: str = "memory_service",
        timestamp: datetime | None = None,
        retention_policy: RetentionPolicy | str = RetentionPolicy.RAW,
        ttl_seconds: int | None = None,
    ) -> MemoryOpResult:
        """Store a log message as a node and as a correlation with the same id; see ``memorize_metric``."""
        node = TSDBGraphNode.create_log_node(
            log_message, log_level, tags, scope,
            timestamp=timestamp, retention_policy=retention_policy, ttl_seconds=ttl_seconds,
        )  # fmt: skip
        return self._memorize_event(node, handler_name=handler_name, action_type="memorize_log")

    def memorize_audit(
        self,
        action_type: str,
        outcome: str = "success",
        tags: Mapping[str, str] | None = None,
        scope: AnyScope = GraphScope.LOCAL,
        *,
        actor: str | None = None,
        details: Mapping[str, Any] | None = None,
        handler_name: str = "memory_service",
        timestamp: datetime | None = None,
    ) -> MemoryOpResult:
        """Store an audit event: action, outcome, actor and further details.

        Args:
            action_type: The action, such as ``login``.
            outcome: Outcome of the action.
            tags: To filter by.
            scope: Of the node and the correlation.
            actor: The agent or person that acted; by default the store's own occurrence.
            details: A JSON object.
            handler_name: The component that reports it, for the correlation.
            timestamp: Aware time of the event; by default now, by the store's clock.
        """
        node = TSDBGraphNode.create_audit_node(
            action_type, outcome, tags, scope, actor=actor, details=details, timestamp=timestamp
        )
        return self._memorize_event(node, handler_name=handler_name, action_type=action_type)

    def _memorize_event(self, node: TSDBGraphNode, **names: str) -> MemoryOpResult:
        return _outcome(lambda: as_one(self._store, lambda tx: _put_event(tx, node, names)))

    def recall_timeseries(
        self,
        scope: AnyScope | None = "default",
        hours: float = 24,
        correlation_types: Iterable[CorrelationType | str] | CorrelationType | str | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        *,
        metric_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = 1000,
        cursor: str | None = None,
    ) -> Points:
        """Return one page of events, oldest first; pass its ``next_cursor`` to get the next page.

        Args:
            scope: None and ``"default"`` mean any scope.
            hours: How far back to look from ``end_time``, unless ``start_time`` is given.
            correlation_types: By default metrics, log messages and audit events. Each type includes its summaries.
            start_time: The earliest, included; aware.
            end_time: The latest, included; aware. By default now, by the store's clock.
            metric_name: Only this metric.
            tags: Only events with all of these tags.
            limit: Greatest number of points, 1 to 10,000.
            cursor: The ``next_cursor`` of the page before, with the same other arguments.

        Returns:
            Points; ``correlation_type`` and ``resolution`` tell the source of a value. A point that is no metric is
            named after its log level or action. Its value is the number of events, which is 1 until retention rolls
            them up, and its text is in ``metadata``.
        """
        end = moment(end_time, "end_time") or self._store._ctx.clock.now()
        start = before(end, self._store._ctx.hours(hours, "hours")) if start_time is None else start_time
        types = _with_summaries(correlation_types)
        filters: dict[str, Any] = {
            "type": types,
            "scope": None if scope == "default" else scope,
            "time_from": start,
            "time_to": end,
            "metric_name": metric_name,
            "tags": tags or {},
        }
        if _METRICS.issuperset(types):  # Read without making a record of each row.
            return self._store.correlations.points(limit=limit, cursor=cursor, **filters)
        page = self._store.correlations.find(limit=limit, cursor=cursor, **filters)
        return Page([point_of(row) for row in page.items], page.next_cursor, page.corrupt)


def _outcome(operation: Callable[[], Any]) -> MemoryOpResult:
    try:
        return MemoryOpResult(status=OpStatus.OK, data=operation())
    except AccessDenied as error:
        return MemoryOpResult(status=OpStatus.DENIED, reason=str(error))


def _put_event_once(tx: Transaction, node: TSDBGraphNode) -> GraphNode:
    known = tx.graph.get(node.id, node.scope, include_expired=True)
    if known is not None and tx.correlations.get(node.id) is not None:
        return known
    return _put_event(tx, node, {})


def _put_event(tx: Transaction, node: TSDBGraphNode, names: Mapping[str, str]) -> GraphNode:
    at = node.created_at if "created_at" in node.__pydantic_fields_set__ else tx._ctx.clock.now()
    event = correlation_of(node, at, names)
    stored = tx.graph.put(node.replaced(created_at=at, expires_at=event.expires_at))
    tx.correlations.add(event)  # Last, as an append locks the chain: other writers of the chain wait until the commit.
    return stored


def _forget(tx: Transaction, id: str, scope: AnyScope) -> int:
    node = tx.graph.get(id, scope, include_expired=True)
    if node is None:
        return 0
    if node.type == NodeType.TSDB_DATA and node.attributes.get("data_type") != CorrelationType.AUDIT_EVENT:
        tx.correlations.delete(id)
    return tx.graph.delete(id, scope)


def _with_summaries(types: Iterable[CorrelationType | str] | CorrelationType | str | None) -> list[Any]:
    """Return the types, each with the types of its summaries."""
    asked = several(CorrelationType, types, "correlation_types") or TIME_SERIES_TYPES
    return [kind for each in asked for kind in (each, *SUMMARIES.get(each, ()))]
