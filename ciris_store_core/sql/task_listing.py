"""SQL that lists and counts tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ciris_store_core.models.enums import TaskStatus
from ciris_store_core.models.paging import ResultPage, SortKey
from ciris_store_core.models.tasks import Task, TaskQuery
from ciris_store_core.sql.rows import Row, read_page
from ciris_store_core.sql.statements import collect_given, fill_in, match_members, where_clause

if TYPE_CHECKING:
    from ciris_store_core.sql.codec import Codec
    from ciris_store_core.sql.executor import SqlExecutor

FIND = "SELECT {task_columns} FROM {tasks} t {where} ORDER BY {order} LIMIT ?"

COUNT = "SELECT count(*) FROM {tasks} t {where}"

COUNT_BY_STATUS = "SELECT status, count(*) FROM {tasks} WHERE agent_occurrence_id = ? GROUP BY status"

COUNT_BY_STATUS_OF_ALL = "SELECT status, count(*) FROM {tasks} GROUP BY status"

ORPHANED = """
parent_task_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM {tasks} p WHERE p.task_id = t.parent_task_id AND p.status <> 'failed')
"""

OWNER_DEAD = "t.agent_occurrence_id NOT IN (SELECT occurrence_id FROM {occurrences} WHERE expires_at > ?)"

WITHOUT_THOUGHTS = "NOT EXISTS (SELECT 1 FROM {thoughts} h WHERE h.source_task_id = t.task_id)"

# Order and the condition that continues after a row. Tuples cannot be compared where directions differ; then the first
# part lets an index begin at the right place.
ORDERS: Mapping[str, tuple[str, str]] = {
    "created": ("created_at, task_id", "(created_at, task_id) > (?, ?)"),
    "priority": (
        "priority DESC, created_at, task_id",
        "priority <= ? AND (priority < ? OR (created_at, task_id) > (?, ?))",
    ),
    "updated_desc": ("updated_at DESC, task_id", "updated_at <= ? AND (updated_at < ? OR task_id > ?)"),
}

UNFINISHED = (TaskStatus.PENDING, TaskStatus.ACTIVE)


class SqlTaskListing:
    """Part of the store of tasks that reads lists of them."""

    executor: SqlExecutor
    codec: Codec
    _read: Callable[[Row], Task]

    def find(self, query: TaskQuery) -> ResultPage[Task]:
        conditions, params = self._conditions(query)
        order, continues = ORDERS[query.order]
        if query.after is not None:
            conditions.append(continues)
            params += self._position(query.order, query.after)
        statement = fill_in(FIND, where=where_clause(conditions), order=order)
        rows = self.executor.rows(statement, (*params, query.limit + 1))
        return read_page(rows, self._read, query.limit, lambda row: self._sort_key(query.order, row))

    def count(self, query: TaskQuery) -> int:
        conditions, params = self._conditions(query)
        row = self.executor.row(fill_in(COUNT, where=where_clause(conditions)), params)
        return row[0] if row else 0

    def _conditions(self, query: TaskQuery) -> tuple[list[str], list[Any]]:
        conditions, params = collect_given((
            ("t.agent_occurrence_id = ?", query.occurrence_id), ("channel_id = ?", query.channel_id),
            ("parent_task_id = ?", query.parent_task_id), ("shared_type = ?", query.shared_type),
            ("correlation_id = ?", query.correlation_id),
            ("created_at >= ?", self.codec.maybe_time_in(query.created_from)),
            ("t.updated_at <= ?", self.codec.maybe_time_in(query.updated_to)),
            (OWNER_DEAD, self.codec.maybe_time_in(query.owner_dead_at)),
        ))  # fmt: skip
        if query.statuses:
            conditions.append(match_members("status", query.statuses))
        if query.order == "priority" and query.statuses and set(query.statuses) < set(UNFINISHED):
            conditions.append(match_members("status", UNFINISHED))  # the condition of the index that has this order
        flags = (
            (query.only_shared, "shared_type IS NOT NULL"),
            (query.orphaned, ORPHANED),
            (query.needs_seed_thought, WITHOUT_THOUGHTS),
        )
        return conditions + [condition for flag, condition in flags if flag], params

    def _position(self, order: str, after: SortKey) -> list[Any]:
        time = self.codec.time_in
        if order == "priority":
            return [after[0], after[0], time(after[1]), after[2]]
        moment = time(after[0])
        return [moment, after[1]] if order == "created" else [moment, moment, after[1]]

    def _sort_key(self, order: str, row: Row) -> SortKey:
        time = self.codec.time_out
        if order == "priority":
            return (row[5], time(row[6]), row[0])
        return (time(row[6] if order == "created" else row[7]), row[0])

    def count_by_status(self, occurrence_id: str | None) -> Mapping[TaskStatus, int]:
        if occurrence_id is None:
            rows = self.executor.rows(COUNT_BY_STATUS_OF_ALL)
        else:
            rows = self.executor.rows(COUNT_BY_STATUS, (occurrence_id,))
        return {TaskStatus(status): count for status, count in rows}
