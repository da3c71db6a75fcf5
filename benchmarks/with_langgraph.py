"""LangGraph's store: items of JSON under a namespace and a key. Operations that it lacks are left out."""
# ruff: noqa: D102 - Contender says what each workload is

from __future__ import annotations

import sqlite3
from typing import Any

from langgraph.store.base import BaseStore, PutOp
from langgraph.store.postgres import PostgresStore
from langgraph.store.sqlite import SqliteStore
from psycopg import Connection
from psycopg.rows import dict_row

from benchmarks import rows, values
from benchmarks.contender import Contender

TASKS, NODES, NEW_METRICS = ("tasks",), ("nodes", "local"), ("metrics", "new")
BATCH = 1000


class WithLangGraph(Contender):
    """Its ``SqliteStore`` and ``PostgresStore``, on a database of their own, filled with as many items."""

    name = "LangGraph store"

    def __init__(self, url: str, size: int) -> None:
        self.size = size
        self.store, self._connection = open_langgraph(url)

    def close(self) -> None:
        self._connection.close()

    def fill(self, size: int, points: int) -> None:
        """Put as many items as the other contenders hold."""
        for first in range(0, size, BATCH):
            numbers = range(first, min(first + BATCH, size))
            self.store.batch([PutOp(TASKS, values.filled_key("task", i), _task(i)) for i in numbers])
            nodes = [(values.filled_key("node", i), values.node_attributes(i)) for i in numbers]
            self.store.batch([PutOp(NODES, key, attributes) for key, attributes in nodes])
        for first in range(0, points, BATCH):
            numbers = range(first, min(first + BATCH, points))
            self.store.batch([PutOp(_series(i), values.filled_key("point", i), _metric(i)) for i in numbers])

    def task_add(self, number: int) -> Any:
        self.store.put(TASKS, f"new-{number}", _task(number), index=False)

    def task_get(self, number: int) -> Any:
        return self.store.get(TASKS, rows.task_key(number, self.size))

    def task_update(self, number: int) -> Any:
        self._change(TASKS, rows.update_key(number, self.size), {"status": "failed", "priority": number % 11})

    def _change(self, namespace: tuple[str, ...], key: str, new: dict[str, Any]) -> None:
        item = self.store.get(namespace, key)
        if item is None:
            raise KeyError(key)
        self.store.put(namespace, key, {**item.value, **new}, index=False)

    def node_insert(self, number: int) -> Any:
        self.store.put(NODES, f"new-{number}", values.node_attributes(number), index=False)

    def node_merge(self, number: int) -> Any:
        self._change(NODES, rows.node_key(number, self.size), values.merged_attributes(number))

    def node_get(self, number: int) -> Any:
        return self.store.get(NODES, rows.node_key(number, self.size))

    def metric_add(self, number: int) -> Any:
        self.store.put(NEW_METRICS, f"metric-{number}", _metric(number), index=False)

    def metric_get(self, number: int) -> Any:
        place = values.chosen(number, self.size)
        return self.store.get(_series(place), values.filled_key("point", place))

    def metrics_bulk(self, number: int) -> Any:
        for first in range(0, values.BULK, BATCH):  # one batch of all would bind more values than SQLite takes
            numbers = range(first, first + BATCH)
            self.store.batch([PutOp(NEW_METRICS, f"bulk-{number}-{i}", _metric(i), False) for i in numbers])

    def recall(self, number: int) -> Any:
        return self.store.search(_series(number), limit=values.POINTS)


def open_langgraph(url: str) -> tuple[BaseStore, Any]:
    """LangGraph's store on an empty database, and its connection."""
    if url.startswith("sqlite"):
        db = sqlite3.connect(url.removeprefix("sqlite:///"), check_same_thread=False, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        store = SqliteStore(db)
        store.setup()
        return store, db
    connection = Connection.connect(url, autocommit=True, prepare_threshold=0, row_factory=dict_row)
    postgres = PostgresStore(connection)
    postgres.setup()
    return postgres, connection


def _series(number: int) -> tuple[str, ...]:
    return ("metrics", f"metric_{number % values.SERIES}")


def _task(number: int) -> dict[str, Any]:
    return {
        "channel_id": "channel-1",
        "description": values.description(number),
        "agent_occurrence_id": "default",
        "status": "completed",
        "priority": number % 11,
        "context": values.task_context(number),
        "metadata": values.task_metadata(number),
    }


def _metric(number: int) -> dict[str, Any]:
    return {
        "timestamp": (values.END - values.STEP * number).isoformat(),
        "value": values.metric_value(number),
        "tags": values.metric_tags(number),
        "source": "llm",
    }
