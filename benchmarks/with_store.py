"""The store, called as its users call it."""
# ruff: noqa: D102 - Contender says what each workload is

from __future__ import annotations

from datetime import timedelta
from typing import Any

from benchmarks import values
from benchmarks.contender import Contender
from ciris_store_core import (
    Correlation,
    GraphNode,
    GraphScope,
    Metric,
    NodeType,
    SecretsConfig,
    Task,
    TaskContext,
    TaskStatus,
    open_store,
)
from ciris_store_core.store.telemetry.correlations import MetricCommon

HOUR = timedelta(hours=1)


class WithStore(Contender):
    """``open_store``, with a record made for each write. Serves all threads."""

    name = "store"
    detects_secrets = False

    def __init__(self, url: str, size: int) -> None:
        self.store = open_store(url, secrets=SecretsConfig(detect=self.detects_secrets))
        self.size = size

    def close(self) -> None:
        self.store.close()

    def task_add(self, number: int) -> Any:
        return self.store.tasks.add(_task(number))

    def task_get(self, number: int) -> Any:
        return self.store.tasks.get(values.filled_key("task", values.chosen(number, self.size)))

    def task_update(self, number: int) -> Any:
        key = values.filled_key("task", values.chosen(number, self.size // 2) * 2 + 1)
        return self.store.tasks.update(key, status=TaskStatus.FAILED, priority=number % 11)

    def task_list(self, number: int) -> Any:
        return self.store.tasks.pending_for_activation(20).items

    def claim(self, number: int) -> Any:
        return self.store.tasks.claim_next("worker-1")[0].task

    def transaction(self, number: int) -> Any:
        first = number * values.OPERATIONS
        with self.store.transaction() as tx:
            for i in range(10):
                tx.tasks.add(_task(10**9 + first + i))
            for i in range(5):
                tx.tasks.get(values.filled_key("task", values.chosen(first + i, self.size)))
                key = values.filled_key("task", values.chosen(first + i, self.size // 2) * 2 + 1)
                tx.tasks.update(key, status=TaskStatus.FAILED, priority=i)

    def node_insert(self, number: int) -> Any:
        node = GraphNode(
            id=f"new-{number}",
            type=NodeType.CONCEPT,
            scope=GraphScope.LOCAL,
            attributes=values.node_attributes(number),
        )
        return self.store.graph.put(node, insert=True)

    def node_merge(self, number: int) -> Any:
        node = GraphNode(
            id=values.filled_key("node", values.chosen(number, self.size)),
            type=NodeType.CONCEPT,
            scope=GraphScope.LOCAL,
            attributes=values.merged_attributes(number),
        )
        return self.store.graph.put(node)

    def node_get(self, number: int) -> Any:
        key = values.filled_key("node", values.chosen(number, self.size))
        return self.store.graph.get(key, GraphScope.LOCAL)

    def metric_add(self, number: int) -> Any:
        return self.store.correlations.add_metrics([_metric(f"metric-{number}", number)], **_COMMON)

    def metric_get(self, number: int) -> Any:
        return self.store.correlations.get(values.filled_key("point", values.chosen(number, self.size)))

    def metrics_bulk(self, number: int) -> Any:
        batch = [_metric(f"bulk-{number}-{i}", i) for i in range(values.BULK)]
        return self.store.correlations.add_metrics(batch, **_COMMON)

    def metrics_bulk_records(self, number: int) -> Any:
        return self.store.correlations.add_many([_record(f"record-{number}-{i}", i) for i in range(values.BULK)])

    def recall(self, number: int) -> Any:
        name = f"metric_{number % values.SERIES}"
        return self.store.correlations.metric_series(
            name, values.RECALL_FROM - values.STEP * values.SERIES, values.END, limit=values.POINTS
        ).items

    def aggregate(self, number: int) -> Any:
        return self.store.correlations.aggregate(
            "avg",
            HOUR,
            metric_name=f"metric_{number % values.SERIES}",
            time_from=values.AGGREGATE_FROM,
            time_to=values.END,
        )


class WithDetection(WithStore):
    """Looking for secrets in all that is written, as a store does unless told otherwise: what that costs."""

    name = "store, detecting secrets"
    detects_secrets = True
    only = frozenset({"task_add", "task_update", "node_insert", "node_merge", "metric_add", "metrics_bulk"})


def _task(number: int) -> Task:
    return Task(
        task_id=f"new-{number}",
        channel_id="channel-1",
        description=values.description(number),
        priority=number % 11,
        status=TaskStatus.COMPLETED,
        context=TaskContext(**values.task_context(number)),
        metadata=values.task_metadata(number),
    )


_COMMON: MetricCommon = {"service_type": "llm", "handler_name": "bench", "action_type": "record_metric"}


def _metric(key: str, number: int) -> Metric:
    name = f"new_{number % values.SERIES}"
    return Metric(name, values.metric_value(number), values.metric_tags(number), metric_id=key)


def _record(key: str, number: int) -> Correlation:
    return Correlation(
        correlation_id=key,
        correlation_type="metric_datapoint",
        **_COMMON,
        metric_name=f"new_{number % values.SERIES}",
        metric_value=values.metric_value(number),
        tags=values.metric_tags(number),
    )
