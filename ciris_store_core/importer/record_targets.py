"""The lookup, comparison and storage of each kind of record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ciris_store_core.errors import InvalidArgument, SecretDetected
from ciris_store_core.models.base import Record
from ciris_store_core.models.correlations import Correlation
from ciris_store_core.models.graph import GraphEdge, GraphNode
from ciris_store_core.models.tasks import Task
from ciris_store_core.models.thoughts import Thought
from ciris_store_core.secrets.redaction import ExtractedSecrets
from ciris_store_core.store import ANY_OCCURRENCE, Store
from ciris_store_core.store.resource import stored_otherwise

Records = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of record in an open store."""

    store: Store
    model: type[Record]
    key: Callable[[Any], Any]
    known: Callable[[list[Any]], dict[Any, Any]]
    """Returns the stored records of these keys."""
    add: Callable[[Records], object]
    """Stores new records, all or none."""

    @property
    def refuses_secrets(self) -> bool:
        """True if the store looks for secrets, and has no key to encrypt them with."""
        ctx = self.store._ctx
        return ctx.check.detects and not ctx.crypto.has_keys

    def is_refused(self, record: Record) -> bool:
        """Return whether the store would refuse a record for a secret."""
        ctx = self.store._ctx
        try:
            ctx.check.record(record, self.model, ctx.clock.now(), ExtractedSecrets())
        except SecretDetected:
            return True
        except InvalidArgument:
            pass  # the import says why
        return False

    def difference(self, record: Record, stored: Record) -> str | None:
        """Return the first field in which the stored record differs, or None."""
        ctx, extracted = self.store._ctx, ExtractedSecrets()
        wanted = ctx.check.record(record, self.model, ctx.clock.now(), extracted)
        return self.store._x.read(
            "importer.compare", lambda session: stored_otherwise(session, ctx, record, wanted, stored, extracted)
        )


def targets(store: Store) -> dict[type[Record], Target]:
    """Return the kinds of records that an import writes."""
    tasks, thoughts, correlations, graph = store.tasks, store.thoughts, store.correlations, store.graph
    made = [
        Target(
            store,
            GraphNode,
            lambda node: node.key,
            lambda keys: dict(graph.get_many(keys, include_expired=True)),
            lambda nodes: graph.put_many(nodes, insert=True),
        ),
        Target(store, GraphEdge, lambda edge: edge.key, lambda keys: _edges(store, keys), graph.put_edge_many),
        Target(
            store,
            Task,
            lambda task: task.task_id,
            lambda keys: dict(tasks.get_many(keys, occurrence_id=ANY_OCCURRENCE)),
            tasks.add_many,
        ),
        Target(
            store,
            Thought,
            lambda thought: thought.thought_id,
            lambda keys: dict(thoughts.get_many(keys, occurrence_id=ANY_OCCURRENCE)),
            thoughts.add_many,
        ),
        Target(
            store,
            Correlation,
            lambda corr: corr.correlation_id,
            lambda keys: dict(correlations.get_many(keys)),
            correlations.add_many,
        ),
    ]
    return {target.model: target for target in made}


def _edges(store: Store, keys: list[Any]) -> dict[Any, GraphEdge]:
    return {
        edge.key: edge for edge in store._x.read("importer.find_edges", lambda session: session.graph.get_edges(keys))
    }
