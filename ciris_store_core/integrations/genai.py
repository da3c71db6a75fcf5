"""Memory operations as spans of OpenTelemetry's semantic conventions for generative AI (extra ``otel``)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, TracerProvider

from ciris_store_core.errors import AccessDenied
from ciris_store_core.models.enums import NodeType, OpStatus
from ciris_store_core.models.graph import GraphNode, NodeKey
from ciris_store_core.models.memory import MemoryOpResult, MemoryQuery, Recall
from ciris_store_core.services.background_work import BackgroundWork
from ciris_store_core.services.memory import AnyScope, MemoryService, Nodes
from ciris_store_core.store import Store, Transaction
from ciris_store_core.store.access.secrets import Action

_OPERATION = "gen_ai.operation.name"
_STORE = "gen_ai.memory.store.id"
_RECORD = "gen_ai.memory.record.id"
_COUNT = "gen_ai.memory.record.count"
_QUERY = "gen_ai.memory.query.text"
_RECORDS = "gen_ai.memory.records"


class TracedMemoryService(MemoryService):
    """A memory service whose operations on nodes are spans: ``upsert_memory``, ``search_memory`` and ``delete_memory``.

    A span tells the operation, the memory store, the id of the node, how many nodes there were, and the class of an
    error. It holds no content, unless it is asked for::

        memory = TracedMemoryService(store, contents=True)
    """

    def __init__(
        self,
        store: Store | Transaction,
        *,
        background: BackgroundWork | None = None,
        tracer_provider: TracerProvider | None = None,
        store_id: str | None = None,
        contents: bool = False,
    ) -> None:
        """Use an open store or transaction, and leave it open.

        Args:
            store: The store or transaction.
            background: The work that ``start`` begins.
            tracer_provider: The provider that spans go to; by default the global one.
            store_id: The ``gen_ai.memory.store.id`` of the spans.
            contents: Record attributes of nodes and texts of queries too. Secrets in nodes are references; a query is
                recorded as it is.
        """
        super().__init__(store, background=background)
        self._tracer = trace.get_tracer("ciris_store_core", tracer_provider=tracer_provider)
        self._fixed = {} if store_id is None else {_STORE: store_id}
        self._contents = contents

    def memorize(self, node: GraphNode) -> MemoryOpResult:
        """Write a node; see ``MemoryService.memorize``."""
        with self._span("upsert_memory", {_RECORD: node.id, _COUNT: 1}) as span:
            result = super().memorize(node)
            self._tell_denied(span, result)
            # The node as stored, because its secrets are references.
            self._tell(span, [result.data] if isinstance(result.data, GraphNode) else [])
            return result

    def recall(
        self,
        query: MemoryQuery,
        *,
        limit: int = 1000,
        cursor: str | None = None,
        action: Action | None = None,
        accessor: str = "memory_service",
    ) -> Recall:
        """Return the nodes that the query names; see ``MemoryService.recall``."""
        with self._span("search_memory", self._query(query.node_id)) as span:
            found = super().recall(query, limit=limit, cursor=cursor, action=action, accessor=accessor)
            span.set_attribute(_COUNT, len(found.items))
            # Secrets that the action resolved are in the result.
            self._tell(span, found.items if action is None else [])
            return found

    def search(
        self, text: str, *, scope: AnyScope | None = None, type: NodeType | str | None = None, limit: int = 20
    ) -> Nodes:
        """Return the nodes with all the words of ``text``; see ``MemoryService.search``."""
        with self._span("search_memory", self._query(text)) as span:
            found = super().search(text, scope=scope, type=type, limit=limit)
            span.set_attribute(_COUNT, len(found))
            self._tell(span, found)
            return found

    def forget(self, node: GraphNode | NodeKey | tuple[str, AnyScope]) -> MemoryOpResult:
        """Delete a node; see ``MemoryService.forget``."""
        id = node.id if isinstance(node, GraphNode) else node[0]
        with self._span("delete_memory", {_RECORD: id}) as span:
            gone = super().forget(node)
            self._tell_denied(span, gone)
            span.set_attribute(_COUNT, gone.data or 0)
            return gone

    @contextmanager
    def _span(self, operation: str, attributes: dict[str, str | int]) -> Iterator[Span]:
        # Only the error's class is recorded: its message may hold data of records.
        with self._tracer.start_as_current_span(
            operation, kind=trace.SpanKind.CLIENT, attributes={_OPERATION: operation, **self._fixed, **attributes},
            record_exception=False, set_status_on_exception=False,
        ) as span:  # fmt: skip
            try:
                yield span
            except Exception as error:
                _fail(span, type(error).__name__)
                raise

    @staticmethod
    def _tell_denied(span: Span, result: MemoryOpResult) -> None:
        # A refused write is a result, not an exception.
        if result.status == OpStatus.DENIED:
            _fail(span, AccessDenied.__name__)

    def _query(self, text: str) -> dict[str, str | int]:
        return {_QUERY: text} if self._contents else {}

    def _tell(self, span: Span, nodes: Sequence[GraphNode]) -> None:
        if self._contents and nodes:
            records = [{"id": each.id, "content": each.attributes} for each in nodes]
            span.set_attribute(_RECORDS, json.dumps(records, default=str))


def _fail(span: Span, error: str) -> None:
    span.set_attribute("error.type", error)
    span.set_status(trace.Status(trace.StatusCode.ERROR))
