"""The SQL of tasks on PostgreSQL: one statement each to claim, release and delete, and COPY to add many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter

from ciris_store_core.models.tasks import Task
from ciris_store_core.sql.columns import TASK_COLUMNS
from ciris_store_core.sql.rows import read_all
from ciris_store_core.sql.tasks import DELETE_THOUGHTS, SqlTaskStore
from ciris_store_postgres.bulk_copy import ROWS_TO_COPY, copy_new
from ciris_store_postgres.executor import PostgresExecutor

COPY = f"COPY {{tasks}} ({TASK_COLUMNS}, correlation_id) FROM STDIN"

_BY_ID = attrgetter("task_id")

# Two concurrent claims never return the same task: each locks the rows that it picks, and SKIP LOCKED skips locked
# rows instead of waiting for them. A task that was claimed and committed after this statement's snapshot is checked
# against the WHERE clause again when it is locked (READ COMMITTED), and drops out. ORDER BY must match the index
# tasks_unfinished, or LIMIT sorts the whole queue. `fence` grows with each claim, so writes from the former owner are
# rejected. The thoughts are locked after the tasks and in key order, since this statement may wait for them.
CLAIM = f"""
WITH picked AS (
    SELECT task_id AS picked_id FROM {{tasks}}
    WHERE agent_occurrence_id = ? AND status = 'pending'
    ORDER BY priority DESC, created_at, task_id
    LIMIT ? FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE {{thoughts}} SET agent_occurrence_id = ?, updated_at = ?
    WHERE {{lock_thoughts}} source_task_id IN (SELECT picked_id FROM picked) AND agent_occurrence_id = ?
        AND status IN ('pending', 'processing') {{end_lock_thoughts}}
)
UPDATE {{tasks}}
SET agent_occurrence_id = ?, status = 'active', claimed_by = ?, claimed_at = ?, claimed_from = ?, updated_at = ?,
    fence = fence + 1
FROM picked WHERE task_id = picked_id
RETURNING {TASK_COLUMNS}
"""

# A release grows `fence` in the statement that clears the claim: once it commits, a write with the old fencing token is
# rejected with StaleFence. Tasks that another transaction has locked are passed over: it completes, transfers or
# releases them itself. Thoughts are locked after tasks and in key order, as by claims.
RELEASE = f"""
WITH picked AS (
    SELECT task_id AS picked_id, agent_occurrence_id AS owner, claimed_from AS queue, claimed_at AS since
    FROM {{tasks}}
    WHERE claimed_from IS NOT NULL AND status IN ('pending', 'active') AND agent_occurrence_id = ?
    ORDER BY claimed_at, task_id
    LIMIT ? FOR UPDATE SKIP LOCKED
), released AS (
    UPDATE {{tasks}}
    SET agent_occurrence_id = queue, status = 'pending', claimed_by = NULL, claimed_at = NULL, claimed_from = NULL,
        updated_at = ?, fence = fence + 1
    FROM picked WHERE task_id = picked_id
    RETURNING {TASK_COLUMNS}, since
), locked_thoughts AS MATERIALIZED (
    SELECT thought_id AS locked_id, queue AS its_queue
    FROM picked JOIN {{thoughts}} h ON source_task_id = picked_id AND agent_occurrence_id = owner
    WHERE status IN ('pending', 'processing')
    ORDER BY thought_id FOR UPDATE OF h
), moved_thoughts AS (
    UPDATE {{thoughts}} SET agent_occurrence_id = its_queue, status = 'pending', updated_at = ?
    FROM locked_thoughts WHERE thought_id = locked_id
)
SELECT {TASK_COLUMNS} FROM released ORDER BY since, task_id
"""

# An owner is dead if its occurrence expired by the server's time, or is unknown. A heartbeat that commits after this
# statement's snapshot comes too late: the larger fencing token rejects that owner's next write.
RELEASE_OF_THE_DEAD = f"""
WITH picked AS (
    SELECT task_id AS picked_id, agent_occurrence_id AS owner, claimed_from AS queue, claimed_at AS since
    FROM {{tasks}}
    WHERE claimed_from IS NOT NULL AND status IN ('pending', 'active')
        AND agent_occurrence_id NOT IN (SELECT occurrence_id FROM {{occurrences}} WHERE expires_at > ?)
    ORDER BY claimed_at, task_id
    LIMIT ? FOR UPDATE SKIP LOCKED
), released AS (
    UPDATE {{tasks}}
    SET agent_occurrence_id = queue, status = 'pending', claimed_by = NULL, claimed_at = NULL, claimed_from = NULL,
        updated_at = ?, fence = fence + 1
    FROM picked WHERE task_id = picked_id
    RETURNING {TASK_COLUMNS}, since
), locked_thoughts AS MATERIALIZED (
    SELECT thought_id AS locked_id, queue AS its_queue
    FROM picked JOIN {{thoughts}} h ON source_task_id = picked_id AND agent_occurrence_id = owner
    WHERE status IN ('pending', 'processing')
    ORDER BY thought_id FOR UPDATE OF h
), moved_thoughts AS (
    UPDATE {{thoughts}} SET agent_occurrence_id = its_queue, status = 'pending', updated_at = ?
    FROM locked_thoughts WHERE thought_id = locked_id
)
SELECT {TASK_COLUMNS} FROM released ORDER BY since, task_id
"""

# OFFSET 0 makes the planner look up the children of each task by tasks_by_parent; as a join, each level would read the
# whole table. The ids are passed as an array for the same reason: the planner takes the tree for a large set, and would
# read the tables instead of looking the rows up.
DELETE_TREE = """
WITH RECURSIVE tree (task_id) AS (
    SELECT task_id FROM {tasks} WHERE task_id {in_texts}
    UNION
    SELECT child.task_id FROM tree CROSS JOIN LATERAL (
        SELECT t.task_id FROM {tasks} t WHERE t.parent_task_id = tree.task_id OFFSET 0
    ) child
)
DELETE FROM {tasks} WHERE {lock_tasks} task_id = ANY (ARRAY(SELECT task_id FROM tree)) {end_lock_tasks}
RETURNING task_id
"""


class PostgresTaskStore(SqlTaskStore):
    """Task store that uses SKIP LOCKED, data-modifying CTEs and COPY."""

    executor: PostgresExecutor

    def add(self, tasks: Sequence[Task]) -> None:
        if len(tasks) < ROWS_TO_COPY:
            super().add(tasks)
        else:
            copy_new(self.executor, COPY, map(self._values, sorted(tasks, key=_BY_ID)), "task")

    def add_or_get(self, task: Task) -> tuple[Task, bool]:
        # ON CONFLICT waits until the other transaction has ended, and the next statement has a new snapshot (READ
        # COMMITTED): a caller that loses the race reads the row of the winner.
        return self.added_or_stored(task)

    def claim_next(self, worker: str, queue: str, limit: int, now: datetime) -> list[Task]:
        at = self.codec.time_in(now)
        params = (queue, limit, worker, at, queue, worker, worker, at, queue, at)
        tasks = read_all(self.executor.rows(CLAIM, params), self._read, "task")
        return sorted(tasks, key=lambda task: (-task.priority, task.created_at, task.task_id))

    def release(self, owner: str | None, now: datetime, limit: int) -> list[Task]:
        if owner is None:
            rows = self.executor.rows(RELEASE_OF_THE_DEAD, (now, limit, now, now))
        else:
            rows = self.executor.rows(RELEASE, (owner, limit, now, now))
        return read_all(rows, self._read, "task")

    def delete(self, task_ids: Sequence[str]) -> int:
        # Two statements: the first waits for transactions that add a thought to one of the tasks, and only the snapshot
        # of the second shows what they committed. It locks the thoughts after the tasks, as claims do.
        with self.executor.atomic():
            deleted = [row[0] for row in self.executor.rows(DELETE_TREE, (self.codec.texts_in(task_ids),))]
            if deleted:
                self.executor.run(DELETE_THOUGHTS, (self.codec.texts_in(deleted),))
            return len(deleted)
