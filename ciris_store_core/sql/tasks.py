"""SQL of tasks: queues, claims, trees of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ciris_store_core.contract.tasks import TaskStore
from ciris_store_core.errors import StaleFence, Unavailable
from ciris_store_core.models.enums import TaskStatus
from ciris_store_core.models.tasks import Task, TaskChanges, TaskContext, TaskOutcome
from ciris_store_core.sql.codec import object_out
from ciris_store_core.sql.inserting import insert_new
from ciris_store_core.sql.rows import Row, read_all
from ciris_store_core.sql.statements import set_columns
from ciris_store_core.sql.task_listing import SqlTaskListing

if TYPE_CHECKING:
    from ciris_store_core.sql.executor import SqlExecutor

# Of several callers that race for one id, one stores its row and the others do nothing.
INSERT = """
INSERT INTO {tasks} (task_id, channel_id, description, agent_occurrence_id, status, priority, created_at, updated_at,
    created_by, parent_task_id, context, outcome, signed_by, signature, signed_at, updated_info_available,
    updated_info_content, claimed_by, claimed_at, claimed_from, fence, shared_type, metadata, correlation_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (task_id) DO NOTHING
"""

EXISTING = "SELECT task_id FROM {tasks} WHERE task_id {in_texts} ORDER BY task_id LIMIT 3"

UPDATE = "UPDATE {tasks} SET {assignments} WHERE task_id = ?"

GET = "SELECT {task_columns} FROM {tasks} WHERE task_id = ?"

GET_MANY = "SELECT {task_columns} FROM {tasks} WHERE task_id {in_texts}"

LOCK = "SELECT {task_columns} FROM {tasks} WHERE task_id {in_texts} ORDER BY task_id {for_update}"

FENCE = "SELECT fence FROM {tasks} WHERE task_id = ?"

# A caller checks the fence and then writes. Under READ COMMITTED another transaction could change the owner between the
# two, so the row is locked until the caller commits. FOR SHARE lets several writers of the same claim check at once.
LOCK_FENCE = "SELECT fence FROM {tasks} WHERE task_id = ? {share_lock}"

TREE = """
WITH RECURSIVE tree (task_id) AS (
    SELECT task_id FROM {tasks} WHERE task_id {in_texts}
    UNION
    SELECT child.task_id FROM {tasks} child JOIN tree ON child.parent_task_id = tree.task_id
)
SELECT task_id FROM tree
"""

DELETE = "DELETE FROM {tasks} WHERE {lock_tasks} task_id {in_texts} {end_lock_tasks}"

DELETE_THOUGHTS = "DELETE FROM {thoughts} WHERE {lock_thoughts} source_task_id {in_texts} {end_lock_thoughts}"

# Two concurrent claims never return the same task: each locks the rows that it picks, and SKIP LOCKED passes over
# locked rows instead of waiting for them. Where rows are not locked one by one, the claim's transaction is the only
# writer. ORDER BY is that of the index, or LIMIT would sort the whole queue. The first condition on the status repeats
# the index's own: SQLite uses a partial index only for the very same condition.
CLAIMABLE = """
SELECT task_id FROM {tasks}
WHERE agent_occurrence_id = ? AND status IN ('pending', 'active') AND status = 'pending'
ORDER BY priority DESC, created_at, task_id
LIMIT ? {skip_locked}
"""

# CLAIMABLE has locked the rows. The fence grows with each change of owner, so that writes of an earlier owner are
# rejected. The owner and the status are tested once more, in case a database does not lock what it selects.
CLAIM = """
UPDATE {tasks}
SET agent_occurrence_id = ?, status = 'active', claimed_by = ?, claimed_at = ?, claimed_from = ?, updated_at = ?,
    fence = fence + 1
WHERE task_id {in_texts} AND {no_index}agent_occurrence_id = ? AND {no_index}status = 'pending'
"""

# After the tasks, in key order: every statement that locks both locks tasks before thoughts.
MOVE_UNFINISHED_THOUGHTS = """
UPDATE {thoughts} SET agent_occurrence_id = ?, updated_at = ?
WHERE {lock_thoughts} source_task_id {in_texts} AND {no_index}agent_occurrence_id = ?
    AND {no_index}status IN ('pending', 'processing') {end_lock_thoughts}
"""

RELEASE_THOUGHTS = """
UPDATE {thoughts} SET agent_occurrence_id = ?, status = 'pending', updated_at = ?
WHERE {lock_thoughts} source_task_id {in_texts} AND {no_index}agent_occurrence_id = ?
    AND {no_index}status IN ('pending', 'processing') {end_lock_thoughts}
"""

# By age, not by key: SKIP LOCKED passes over tasks that a claim, an update or another release has locked, so that the
# order of locks cannot make a circle.
CLAIMED_BY = """
SELECT task_id, agent_occurrence_id, claimed_from FROM {tasks}
WHERE agent_occurrence_id = ? AND claimed_from IS NOT NULL AND status IN ('pending', 'active')
ORDER BY claimed_at, task_id
LIMIT ? {skip_locked}
"""

CLAIMED_BY_THE_DEAD = """
SELECT task_id, agent_occurrence_id, claimed_from FROM {tasks}
WHERE claimed_from IS NOT NULL AND status IN ('pending', 'active')
    AND agent_occurrence_id NOT IN (SELECT occurrence_id FROM {occurrences} WHERE expires_at > ?)
ORDER BY claimed_at, task_id
LIMIT ? {skip_locked}
"""

# CLAIMED_BY has locked the rows. The fence grows, so that the owner that lost the task can write no more.
RELEASE = """
UPDATE {tasks}
SET agent_occurrence_id = claimed_from, status = 'pending', claimed_by = NULL, claimed_at = NULL,
    claimed_from = NULL, fence = fence + 1, updated_at = ?
WHERE task_id {in_texts}
"""

TRANSFER = """
UPDATE {tasks} SET agent_occurrence_id = ?, updated_at = ?, fence = fence + 1
WHERE {lock_tasks} task_id {in_texts} AND {no_index}agent_occurrence_id = ? {end_lock_tasks}
"""

_TRIES = 10
"""Attempts to insert or read a task that other callers insert and delete at the same time."""

_JSON_FIELDS = frozenset({"metadata"})
_MODEL_FIELDS = frozenset({"context", "outcome"})
_TIME_FIELDS = frozenset({"updated_at", "signed_at"})


class SqlTaskStore(SqlTaskListing, TaskStore):
    """Store of tasks in one table."""

    def __init__(self, executor: SqlExecutor) -> None:
        """Run the statements on that executor."""
        self.executor = executor
        self.codec = executor.codec
        self._read = self._mapper()

    # --- rows and records ---------------------------------------------------------------------

    def _mapper(self) -> Any:
        time, maybe_time = self.codec.time_out, self.codec.maybe_time_out
        statuses = TaskStatus._value2member_map_

        def read(row: Row) -> Task:
            (task_id, channel_id, description, owner, status, priority, created_at, updated_at, created_by,
             parent_task_id, context, outcome, signed_by, signature, signed_at, info_available, info_content,
             claimed_by, claimed_at, claimed_from, fence, shared_type, metadata) = row  # fmt: skip
            return Task.trusted(
                {
                    "task_id": task_id,
                    "channel_id": channel_id,
                    "description": description,
                    "agent_occurrence_id": owner,
                    "status": statuses[status],
                    "priority": priority,
                    "created_at": time(created_at),
                    "updated_at": time(updated_at),
                    "created_by": created_by,
                    "parent_task_id": parent_task_id,
                    "context": None if context is None else TaskContext.from_json(context),
                    "outcome": None if outcome is None else TaskOutcome.from_json(outcome),
                    "signed_by": signed_by,
                    "signature": signature,
                    "signed_at": maybe_time(signed_at),
                    "updated_info_available": bool(info_available),
                    "updated_info_content": info_content,
                    "claimed_by": claimed_by,
                    "claimed_at": maybe_time(claimed_at),
                    "claimed_from": claimed_from,
                    "fence": fence,
                    "shared_type": shared_type,
                    "metadata": object_out(metadata),
                }
            )

        return read

    def _values(self, task: Task) -> tuple[Any, ...]:
        codec = self.codec
        return (
            task.task_id, task.channel_id, task.description, task.agent_occurrence_id, task.status.value, task.priority,
            codec.time_in(task.created_at), codec.time_in(task.updated_at), task.created_by, task.parent_task_id,
            codec.maybe_json_in(task.context), codec.maybe_json_in(task.outcome), task.signed_by, task.signature,
            codec.maybe_time_in(task.signed_at), task.updated_info_available, task.updated_info_content,
            task.claimed_by, codec.maybe_time_in(task.claimed_at), task.claimed_from, task.fence, task.shared_type,
            codec.object_in(task.metadata), _correlation_id(task.context),
        )  # fmt: skip

    def _change(self, field: str, value: Any) -> Any:
        if field in _TIME_FIELDS:
            return self.codec.maybe_time_in(value)
        if field in _MODEL_FIELDS:
            return self.codec.maybe_json_in(value)
        if field in _JSON_FIELDS:
            return self.codec.object_in(value)
        return value.value if field == "status" else value

    # --- the contract -------------------------------------------------------------------------

    def add(self, tasks: Sequence[Task]) -> None:
        insert_new(self.executor, INSERT, EXISTING, "task", [self._values(task) for task in tasks])

    def add_or_get(self, task: Task) -> tuple[Task, bool]:
        with self.executor.atomic():
            return self.added_or_stored(task)

    def added_or_stored(self, task: Task) -> tuple[Task, bool]:
        """Store the task unless its id exists; return the stored task, and True if this call stored it."""
        # Two statements, as one cannot return a row that it does not write. In between, the row can be deleted, and
        # under REPEATABLE READ the row that blocks the insert stays invisible: hence the bound.
        for _ in range(_TRIES):
            if self.executor.run(INSERT, self._values(task)) == 1:
                return task, True
            stored = self.get((task.task_id,), None)
            if stored:
                return stored[0], False
        raise Unavailable(
            f"task {task.task_id!r} exists and could not be read in {_TRIES} tries. Run the transaction again, "
            "under READ COMMITTED if the database runs it under another isolation level."
        )

    def get(self, task_ids: Sequence[str], occurrence_id: str | None) -> list[Task]:
        if len(task_ids) == 1:
            rows = self.executor.rows(GET, (task_ids[0],))
        else:
            rows = self.executor.rows(GET_MANY, (self.codec.texts_in(task_ids),))
        tasks = read_all(rows, self._read, "task")
        return tasks if occurrence_id is None else [t for t in tasks if t.agent_occurrence_id == occurrence_id]

    def lock(self, task_ids: Sequence[str], occurrence_id: str | None) -> list[Task]:
        rows = self.executor.rows(LOCK, (self.codec.texts_in(task_ids),))
        tasks = read_all(rows, self._read, "task")
        return tasks if occurrence_id is None else [t for t in tasks if t.agent_occurrence_id == occurrence_id]

    def update(self, task_id: str, changes: TaskChanges, occurrence_id: str | None, fence: int | None) -> bool:
        columns = tuple(changes)
        params = [self._change(column, value) for column, value in changes.items()]
        if "context" in changes:
            columns += ("correlation_id",)
            params.append(_correlation_id(changes["context"]))
        guards = {"agent_occurrence_id": occurrence_id, "fence": fence}
        guarded = {column: value for column, value in guards.items() if value is not None}
        statement = set_columns(UPDATE, columns) + "".join(f" AND {column} = ?" for column in guarded)
        if self.executor.run(statement, (*params, task_id, *guarded.values())) > 0:
            return True
        if fence is not None:
            self._check_fence(self.executor.row(FENCE, (task_id,)), task_id, fence)
        return False

    def lock_claim(self, task_id: str, fence: int) -> None:
        row = self.executor.row(LOCK_FENCE, (task_id,))
        if row is None:
            raise StaleFence(f"task {task_id!r} was deleted", kind="task", key=task_id, hint="Stop working on it.")
        self._check_fence(row, task_id, fence)

    def _check_fence(self, row: Row | None, task_id: str, fence: int) -> None:
        if row is not None and row[0] != fence:
            raise StaleFence(
                f"task {task_id!r} has another owner (fence {row[0]}, not {fence})",
                kind="task",
                key=task_id,
                hint="Stop working on it.",
            )

    def delete(self, task_ids: Sequence[str]) -> int:
        with self.executor.atomic():
            tree = [row[0] for row in self.executor.rows(TREE, (self.codec.texts_in(task_ids),))]
            if not tree:
                return 0
            ids = (self.codec.texts_in(tree),)
            gone = self.executor.run(DELETE, ids)
            self.executor.run(DELETE_THOUGHTS, ids)  # after the tasks: claims lock in this order, too
            return gone

    def claim_next(self, worker: str, queue: str, limit: int, now: datetime) -> list[Task]:
        moment = self.codec.time_in(now)
        with self.executor.atomic():
            ids = [row[0] for row in self.executor.rows(CLAIMABLE, (queue, limit))]
            if not ids:
                return []
            texts = self.codec.texts_in(ids)
            self.executor.run(CLAIM, (worker, worker, moment, queue, moment, texts, queue))
            self.executor.run(MOVE_UNFINISHED_THOUGHTS, (worker, moment, texts, queue))
            return self._in_order(ids)

    def release(self, owner: str | None, now: datetime, limit: int) -> list[Task]:
        moment = self.codec.time_in(now)
        with self.executor.atomic():
            if owner is None:
                rows = self.executor.rows(CLAIMED_BY_THE_DEAD, (moment, limit))
            else:
                rows = self.executor.rows(CLAIMED_BY, (owner, limit))
            if not rows:
                return []
            self.executor.run(RELEASE, (moment, self.codec.texts_in([row[0] for row in rows])))
            self._release_thoughts(rows, moment)
            return self._in_order([row[0] for row in rows])

    def _release_thoughts(self, rows: Sequence[Row], moment: Any) -> None:
        moves: dict[tuple[str, str], list[str]] = {}
        for task_id, owner, queue in rows:
            moves.setdefault((owner, queue), []).append(task_id)
        for (owner, queue), ids in moves.items():
            self.executor.run(RELEASE_THOUGHTS, (queue, moment, self.codec.texts_in(ids), owner))

    def _in_order(self, task_ids: Sequence[str]) -> list[Task]:
        by_id = {task.task_id: task for task in self.get(task_ids, None)}
        return [by_id[task_id] for task_id in task_ids]

    def transfer(self, task_ids: Sequence[str], from_owner: str, to_owner: str, now: datetime) -> int:
        moment = self.codec.time_in(now)
        return self.executor.run(TRANSFER, (to_owner, moment, self.codec.texts_in(task_ids), from_owner))


def _correlation_id(context: TaskContext | None) -> str | None:
    return None if context is None else context.correlation_id
