"""Plain ``sqlite3``, as an engineer who knows it would write it, on the tables and indexes of the store."""
# ruff: noqa: D102 - Contender says what each workload is

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks import rows, values
from benchmarks.contender import Contender
from ciris_store_core.words import node_words
from ciris_store_sqlite.graph import INDEX_PENDING, MOST_PENDING

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

ADD_TASK = rows.insert("tasks", rows.NEW_TASK, "?")
GET_TASK = f"SELECT {', '.join(rows.TASK_COLUMNS)} FROM tasks WHERE task_id = ? AND agent_occurrence_id = 'default'"
UPDATE_TASK = """
UPDATE tasks SET status = ?, priority = ?, updated_at = ? WHERE task_id = ? AND agent_occurrence_id = 'default'
"""
PENDING = f"""
SELECT {", ".join(rows.TASK_COLUMNS)} FROM tasks
WHERE agent_occurrence_id = 'default' AND status IN ('pending', 'active') AND status = 'pending'
ORDER BY priority DESC, created_at, task_id LIMIT 20
"""
CLAIM = f"""
UPDATE tasks SET agent_occurrence_id = ?, status = 'active', claimed_by = ?, claimed_at = ?,
    claimed_from = 'default', updated_at = ?, fence = fence + 1
WHERE task_id = (SELECT task_id FROM tasks WHERE agent_occurrence_id = 'default'
                 AND status IN ('pending', 'active') AND status = 'pending'
                 ORDER BY priority DESC, created_at, task_id LIMIT 1)
RETURNING {", ".join(rows.TASK_COLUMNS)}
"""
MOVE_THOUGHTS = """
UPDATE thoughts SET agent_occurrence_id = ?, updated_at = ?
WHERE source_task_id = ? AND agent_occurrence_id = 'default' AND status IN ('pending', 'processing')
"""
ADD_NODE = rows.insert("graph_nodes", rows.NEW_NODE, "?")
GET_NODE = f"SELECT {', '.join(rows.NODE_COLUMNS)} FROM graph_nodes WHERE id = ? AND scope = 'local'"
LOOK_AT_NODE = "SELECT node_number, type, attributes FROM graph_nodes WHERE id = ? AND scope = 'local'"
UPDATE_NODE = f"""
UPDATE graph_nodes SET attributes = ?, revision = revision + 1, updated_at = ? WHERE node_number = ?
RETURNING {", ".join(rows.NODE_COLUMNS)}
"""
PUT_WORDS = """
INSERT INTO graph_words (node_number, size, words) VALUES (?, ?, ?)
ON CONFLICT (node_number) DO UPDATE SET size = excluded.size, words = excluded.words
"""
ADD_METRIC = rows.insert("correlations", rows.NEW_METRIC, "?")
GET_METRIC = f"SELECT {', '.join(rows.METRIC_COLUMNS)} FROM correlations WHERE correlation_id = ?"
RECALL = f"""
SELECT {", ".join(rows.POINT_COLUMNS)} FROM correlations
WHERE metric_name = ? AND timestamp >= ? AND timestamp <= ? ORDER BY timestamp, correlation_id LIMIT ?
"""
AGGREGATE = """
SELECT timestamp - timestamp % 3600000000 AS hour, avg(metric_value), count(*) FROM correlations
WHERE metric_name = ? AND timestamp >= ? AND timestamp <= ? GROUP BY hour ORDER BY hour
"""


class RawSqlite(Contender):
    """One connection in autocommit mode, WAL and FULL; a lock lets one thread write at a time."""

    name = "raw driver"

    def __init__(self, path: str, size: int, lock: threading.Lock | None = None) -> None:
        self.path = path
        self.size = size
        self._lock = lock or threading.Lock()
        self._changed = 0
        self.db = connect(path)

    def for_thread(self) -> Contender:
        return type(self)(self.path, self.size, self._lock)

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def _transaction(self) -> Any:
        with self._lock:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.db.execute("ROLLBACK")
                raise
            self.db.execute("COMMIT")

    def task_add(self, number: int) -> Any:
        with self._lock:
            self.db.execute(ADD_TASK, rows.task_row(number, _now(), 0))

    def task_get(self, number: int) -> Any:
        row = self.db.execute(GET_TASK, (rows.task_key(number, self.size),)).fetchone()
        return row and _task(row)  # a task that was claimed has another owner

    def task_update(self, number: int) -> Any:
        params = ("failed", number % 11, _now(), rows.update_key(number, self.size))
        with self._lock:
            return self.db.execute(UPDATE_TASK, params).rowcount == 1

    def task_list(self, number: int) -> Any:
        return [_task(row) for row in self.db.execute(PENDING)]

    def claim(self, number: int) -> Any:
        now = _now()
        with self._transaction():
            row = self.db.execute(CLAIM, ("worker-1", "worker-1", now, now)).fetchone()
            self.db.execute(MOVE_THOUGHTS, ("worker-1", now, row[0]))
        return _task(row)

    def transaction(self, number: int) -> Any:
        first = number * values.OPERATIONS
        with self._transaction():
            for i in range(10):
                self.db.execute(ADD_TASK, rows.task_row(10**9 + first + i, _now(), 0))
            for i in range(5):
                self.task_get(first + i)
                self.db.execute(UPDATE_TASK, ("failed", i, _now(), rows.update_key(first + i, self.size)))

    def node_insert(self, number: int) -> Any:
        row = rows.node_row(f"new-{number}", values.node_attributes(number), _now())
        with self._transaction():
            self._put_words(self.db.execute(ADD_NODE, row).lastrowid, row[0], values.node_attributes(number))

    def node_merge(self, number: int) -> Any:
        with self._transaction():
            found = self.db.execute(LOOK_AT_NODE, (rows.node_key(number, self.size),)).fetchone()
            node_number, kind, attributes = found
            if kind != "concept":
                raise rows.StaleType(kind)
            merged = json.loads(attributes) | values.merged_attributes(number)
            row = self.db.execute(UPDATE_NODE, (json.dumps(merged), _now(), node_number)).fetchone()
            self._put_words(node_number, row[0], merged)
        return _node(row)

    def _put_words(self, node_number: int | None, key: str, attributes: dict[str, Any]) -> None:
        words = node_words(key, attributes)
        self.db.execute(PUT_WORDS, (node_number, len(words), f" {' '.join(words)} "))
        self._changed += 1
        if self._changed % MOST_PENDING == 0:
            for statement in INDEX_PENDING:
                self.db.execute(statement)

    def node_get(self, number: int) -> Any:
        return _node(self.db.execute(GET_NODE, (rows.node_key(number, self.size),)).fetchone())

    def metric_add(self, number: int) -> Any:
        with self._lock:
            self.db.execute(ADD_METRIC, rows.metric_row(f"metric-{number}", number, _now()))

    def metric_get(self, number: int) -> Any:
        return _metric(self.db.execute(GET_METRIC, (rows.point_key(number, self.size),)).fetchone())

    def metrics_bulk(self, number: int) -> Any:
        now = _now()
        batch = [rows.metric_row(f"bulk-{number}-{i}", i, now) for i in range(values.BULK)]
        with self._transaction():
            self.db.executemany(ADD_METRIC, batch)

    metrics_bulk_records = metrics_bulk

    def recall(self, number: int) -> Any:
        start, end = micros(values.RECALL_FROM - values.STEP * values.SERIES), micros(values.END)
        found = self.db.execute(RECALL, (f"metric_{number % values.SERIES}", start, end, values.POINTS))
        return [(moment(row[0]), *row[1:4], json.loads(row[4]), *row[5:]) for row in found]

    def aggregate(self, number: int) -> Any:
        window = (micros(values.AGGREGATE_FROM), micros(values.END))
        found = self.db.execute(AGGREGATE, (f"metric_{number % values.SERIES}", *window))
        return [(moment(start), value, count) for start, value, count in found]


class LeanSqlite(RawSqlite):
    """Without the search by words and by attribute that the store offers: what those cost."""

    name = "raw driver, no search"
    only = frozenset({"node_insert", "node_merge"})

    def __init__(self, path: str, size: int, lock: threading.Lock | None = None) -> None:
        super().__init__(path, size, lock)
        for (trigger,) in self.db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            self.db.execute(f"DROP TRIGGER {trigger}")

    def node_insert(self, number: int) -> Any:
        with self._lock:
            self.db.execute(ADD_NODE, rows.node_row(f"new-{number}", values.node_attributes(number), _now()))

    def node_merge(self, number: int) -> Any:
        with self._transaction():
            found = self.db.execute(LOOK_AT_NODE, (rows.node_key(number, self.size),)).fetchone()
            merged = json.dumps(json.loads(found[2]) | values.merged_attributes(number))
            return _node(self.db.execute(UPDATE_NODE, (merged, _now(), found[0])).fetchone())


def connect(path: str) -> sqlite3.Connection:
    """A connection with the durability of the store."""
    db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        db.execute(f"PRAGMA {setting}")
    return db


def micros(value: datetime) -> int:
    """Return a time in the form of the tables."""
    return (value - EPOCH) // MICROSECOND


def moment(value: int) -> datetime:
    """A datetime of a column."""
    return EPOCH + timedelta(microseconds=value)


def _now() -> int:
    return time.time_ns() // 1000


_TIMES = ("created_at", "updated_at", "timestamp", "last_timestamp", "signed_at", "claimed_at", "expires_at")
_JSON = (
    "context", "outcome", "metadata", "attributes", "secret_refs", "request_data", "response_data", "metric_data",
    "log_data", "trace_context", "tags", "child_correlation_ids",
)  # fmt: skip
_OUT: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_TIMES, moment),
    **dict.fromkeys(_JSON, json.loads),
}


def _decoder(columns: Sequence[str]) -> Callable[[tuple[Any, ...]], dict[str, Any]]:
    decoded = [(name, _OUT[name]) for name in columns if name in _OUT]

    def decode(row: tuple[Any, ...]) -> dict[str, Any]:
        record = dict(zip(columns, row, strict=True))
        for name, function in decoded:
            if record[name] is not None:
                record[name] = function(record[name])
        return record

    return decode


_task = _decoder(rows.TASK_COLUMNS)
_node = _decoder(rows.NODE_COLUMNS)
_metric = _decoder(rows.METRIC_COLUMNS)
