"""Plain ``psycopg2``, as an engineer who knows PostgreSQL would write it, on the tables and indexes of the store."""
# ruff: noqa: D102 - Contender says what each workload is

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg2

from benchmarks import rows, values
from benchmarks.contender import Contender
from ciris_store_core.words import node_words

ADD_TASK = rows.insert("tasks", rows.NEW_TASK, "%s")
GET_TASK = f"SELECT {', '.join(rows.TASK_COLUMNS)} FROM tasks WHERE task_id = %s AND agent_occurrence_id = 'default'"
UPDATE_TASK = """
UPDATE tasks SET status = %s, priority = %s, updated_at = %s WHERE task_id = %s AND agent_occurrence_id = 'default'
"""
PENDING = f"""
SELECT {", ".join(rows.TASK_COLUMNS)} FROM tasks WHERE agent_occurrence_id = 'default' AND status = 'pending'
ORDER BY priority DESC, created_at, task_id LIMIT 20
"""
CLAIM = f"""
WITH picked AS (
    SELECT task_id AS picked_id FROM tasks WHERE agent_occurrence_id = 'default' AND status = 'pending'
    ORDER BY priority DESC, created_at, task_id LIMIT 1 FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE thoughts SET agent_occurrence_id = %(worker)s, updated_at = %(now)s FROM picked
    WHERE source_task_id = picked_id AND agent_occurrence_id = 'default' AND status IN ('pending', 'processing')
)
UPDATE tasks SET agent_occurrence_id = %(worker)s, status = 'active', claimed_by = %(worker)s, claimed_at = %(now)s,
    claimed_from = 'default', updated_at = %(now)s, fence = fence + 1
FROM picked WHERE task_id = picked_id
RETURNING {", ".join(rows.TASK_COLUMNS)}
"""
NEW_NODE = (*rows.NEW_NODE, "words")
ADD_NODE = rows.insert("graph_nodes", NEW_NODE, "%s")
GET_NODE = f"SELECT {', '.join(rows.NODE_COLUMNS)} FROM graph_nodes WHERE id = %s AND scope = 'local'"
MERGE_NODE = f"""
INSERT INTO graph_nodes AS n ({", ".join(NEW_NODE)}) VALUES ({", ".join(["%s"] * len(NEW_NODE))})
ON CONFLICT (id, scope) DO UPDATE SET attributes = n.attributes || excluded.attributes, revision = n.revision + 1,
    words = n.words || excluded.words, updated_at = excluded.updated_at WHERE n.type = excluded.type
RETURNING {", ".join(rows.NODE_COLUMNS)}
"""
ADD_METRIC = rows.insert("correlations", rows.NEW_METRIC, "%s")
COPY_METRICS = f"COPY correlations ({', '.join(rows.NEW_METRIC)}) FROM STDIN"
GET_METRIC = f"SELECT {', '.join(rows.METRIC_COLUMNS)} FROM correlations WHERE correlation_id = %s"
RECALL = f"""
SELECT {", ".join(rows.POINT_COLUMNS)} FROM correlations
WHERE metric_name = %s AND timestamp >= %s AND timestamp <= %s ORDER BY timestamp, correlation_id LIMIT %s
"""
AGGREGATE = """
SELECT date_bin('1 hour', timestamp, '1970-01-01 00:00:00+00') AS hour, avg(metric_value), count(*) FROM correlations
WHERE metric_name = %s AND timestamp >= %s AND timestamp <= %s GROUP BY hour ORDER BY hour
"""


class RawPostgres(Contender):
    """One connection in autocommit mode, one statement for each operation."""

    name = "raw driver"

    def __init__(self, url: str, size: int) -> None:
        self.url = url
        self.size = size
        self.db = psycopg2.connect(url)
        self.db.autocommit = True
        self.cursor = self.db.cursor()

    def for_thread(self) -> Contender:
        return type(self)(self.url, self.size)

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def _transaction(self) -> Any:
        self.db.autocommit = False  # the driver sends BEGIN together with the first statement
        try:
            yield
            self.db.commit()
        except BaseException:
            self.db.rollback()
            raise
        finally:
            self.db.autocommit = True

    def task_add(self, number: int) -> Any:
        self.cursor.execute(ADD_TASK, rows.task_row(number, _now(), False))

    def task_get(self, number: int) -> Any:
        self.cursor.execute(GET_TASK, (rows.task_key(number, self.size),))
        return _named(rows.TASK_COLUMNS, self.cursor.fetchone())

    def task_update(self, number: int) -> Any:
        self.cursor.execute(UPDATE_TASK, ("failed", number % 11, _now(), rows.update_key(number, self.size)))
        return self.cursor.rowcount == 1

    def task_list(self, number: int) -> Any:
        self.cursor.execute(PENDING)
        return [_named(rows.TASK_COLUMNS, row) for row in self.cursor.fetchall()]

    def claim(self, number: int) -> Any:
        self.cursor.execute(CLAIM, {"worker": "worker-1", "now": _now()})
        return _named(rows.TASK_COLUMNS, self.cursor.fetchone())

    def transaction(self, number: int) -> Any:
        first = number * values.OPERATIONS
        with self._transaction():
            for i in range(10):
                self.task_add(10**9 + first + i)
            for i in range(5):
                self.task_get(first + i)
                self.cursor.execute(UPDATE_TASK, ("failed", i, _now(), rows.update_key(first + i, self.size)))

    def node_insert(self, number: int) -> Any:
        self.cursor.execute(ADD_NODE, _node_row(f"new-{number}", values.node_attributes(number)))

    def node_merge(self, number: int) -> Any:
        key = rows.node_key(number, self.size)
        self.cursor.execute(MERGE_NODE, _node_row(key, values.merged_attributes(number)))
        row = self.cursor.fetchone()
        if row is None:
            raise rows.StaleType(key)
        return _named(rows.NODE_COLUMNS, row)

    def node_get(self, number: int) -> Any:
        self.cursor.execute(GET_NODE, (rows.node_key(number, self.size),))
        return _named(rows.NODE_COLUMNS, self.cursor.fetchone())

    def metric_add(self, number: int) -> Any:
        self.cursor.execute(ADD_METRIC, rows.metric_row(f"metric-{number}", number, _now()))

    def metric_get(self, number: int) -> Any:
        self.cursor.execute(GET_METRIC, (rows.point_key(number, self.size),))
        return _named(rows.METRIC_COLUMNS, self.cursor.fetchone())

    def metrics_bulk(self, number: int) -> Any:
        now = _now()
        batch = [rows.metric_row(f"bulk-{number}-{i}", i, now) for i in range(values.BULK)]
        self.cursor.copy_expert(COPY_METRICS, io.StringIO(rows.as_copy(batch)))

    metrics_bulk_records = metrics_bulk

    def recall(self, number: int) -> Any:
        window = (values.RECALL_FROM - values.STEP * values.SERIES, values.END)
        self.cursor.execute(RECALL, (f"metric_{number % values.SERIES}", *window, values.POINTS))
        return self.cursor.fetchall()

    def aggregate(self, number: int) -> Any:
        window = (values.AGGREGATE_FROM, values.END)
        self.cursor.execute(AGGREGATE, (f"metric_{number % values.SERIES}", *window))
        return self.cursor.fetchall()


class LeanPostgres(RawPostgres):
    """Without the search by words and by attribute that the store offers: what those cost."""

    name = "raw driver, no search"
    only = frozenset({"node_insert", "node_merge"})

    def __init__(self, url: str, size: int) -> None:
        super().__init__(url, size)
        self.cursor.execute("DROP INDEX IF EXISTS graph_nodes_by_words, graph_nodes_by_attribute")


def _node_row(key: str, attributes: dict[str, Any]) -> tuple[Any, ...]:
    return (*rows.node_row(key, attributes, _now()), " ".join(node_words(key, attributes)))


def _now() -> datetime:
    return datetime.now(UTC)


def _named(columns: Sequence[str], row: tuple[Any, ...] | None) -> dict[str, Any] | None:
    return None if row is None else dict(zip(columns, row, strict=True))
