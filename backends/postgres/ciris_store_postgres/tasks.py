"""Tasks, where PostgreSQL can do better than the portable statements: what takes several there is one here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING

from ciris_store_core.models.tasks import Task
from ciris_store_core.sql.rows import read_all
from ciris_store_core.sql.tasks import COLUMNS, SqlTaskStore
from ciris_store_postgres.bulk_copy import ROWS_TO_COPY, copy_new

if TYPE_CHECKING:
    from ciris_store_postgres.session import PostgresSession

COPY = f"COPY {{tasks}} ({COLUMNS}, correlation_id) FROM STDIN"

_BY_ID = attrgetter("task_id")

_OF_TASK = ", ".join(f"t.{column}" for column in COLUMNS.split(", "))

# Two concurrent claims never return the same task: each locks the rows that it picks, and SKIP LOCKED passes over
# locked rows instead of waiting for them. A row that changed after the statement's snapshot is checked again when it is
# locked (READ COMMITTED), and drops out if it was claimed. ORDER BY is that of the index, or LIMIT would sort the whole
# queue. Thoughts may be waited for, so they are locked in key order, after the tasks.
CLAIM = f"""
WITH picked AS (
    SELECT task_id AS picked_id FROM {{tasks}}
    WHERE agent_occurrence_id = ? AND status = 'pending'
    ORDER BY priority DESC, created_at, task_id
    LIMIT ? FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE {{thoughts}} SET agent_occurrence_id = ?, updated_at = ?
    WHERE {{lock thoughts by thought_id}}source_task_id IN (SELECT picked_id FROM picked) AND agent_occurrence_id = ?
        AND status IN ('pending', 'processing'){{end}}
)
UPDATE {{tasks}}
SET agent_occurrence_id = ?, status = 'active', claimed_by = ?, claimed_at = ?, claimed_from = ?, updated_at = ?,
    fence = fence + 1
FROM picked WHERE task_id = picked_id
RETURNING {COLUMNS}
"""

_GIVE_BACK = f"""
WITH picked AS (
    SELECT task_id, agent_occurrence_id AS owner, claimed_from AS queue, claimed_at AS since FROM {{tasks}}
    WHERE claimed_from IS NOT NULL AND status IN ('pending', 'active') AND %s
    ORDER BY claimed_at, task_id
    LIMIT ? FOR UPDATE SKIP LOCKED
), returned AS (
    UPDATE {{tasks}} t
    SET agent_occurrence_id = picked.pool, status = 'pending', claimed_by = NULL, claimed_at = NULL,
        claimed_from = NULL, updated_at = ?, fence = fence + 1
    FROM picked WHERE t.task_id = picked.task_id
    RETURNING {_OF_TASK}, picked.since
), theirs AS MATERIALIZED (
    SELECT h.thought_id, picked.pool FROM picked JOIN {{thoughts}} h
        ON h.source_task_id = picked.task_id AND h.agent_occurrence_id = picked.owner
    WHERE h.status IN ('pending', 'processing')
    ORDER BY h.thought_id FOR UPDATE OF h
), moved AS (
    UPDATE {{thoughts}} h SET agent_occurrence_id = theirs.pool, status = 'pending', updated_at = ?
    FROM theirs WHERE h.thought_id = theirs.thought_id
)
SELECT {COLUMNS} FROM returned ORDER BY since, task_id
"""

RELEASE = _GIVE_BACK % "agent_occurrence_id = ?"

GIVE_BACK_OF_THE_DEAD = (
    _GIVE_BACK % "agent_occurrence_id NOT IN (SELECT occurrence_id FROM {occurrences} WHERE expires_at > ?)"
)

# OFFSET 0 has the children of each task looked up by the index; a join would read all tasks for every level. As arrays,
# so that the planner, which takes every tree for a large one, looks the rows up instead of reading all. What no other
# part reads is run last: thoughts are locked after tasks, as claims lock them.
DELETE = """
WITH RECURSIVE tree (task_id) AS (
    SELECT task_id FROM {tasks} WHERE task_id {in_texts}
    UNION
    SELECT child.task_id FROM tree CROSS JOIN LATERAL (
        SELECT t.task_id FROM {tasks} t WHERE t.parent_task_id = tree.task_id OFFSET 0
    ) child
), thoughts_gone AS (
    DELETE FROM {thoughts}
    WHERE {lock thoughts by thought_id}source_task_id = ANY (ARRAY(SELECT task_id FROM tree)){end}
)
DELETE FROM {tasks} WHERE {lock tasks by task_id}task_id = ANY (ARRAY(SELECT task_id FROM tree)){end}
"""


class PostgresTaskStore(SqlTaskStore):
    """Adds many by COPY; claims, returns and deletes in one statement each."""

    session: PostgresSession

    def add(self, tasks: Sequence[Task]) -> None:
        """Store new tasks."""
        if len(tasks) < ROWS_TO_COPY:
            super().add(tasks)
        else:
            copy_new(self.session, COPY, map(self._values, sorted(tasks, key=_BY_ID)), "task")

    def add_or_get(self, task: Task) -> tuple[Task, bool]:
        """Store the task unless its id exists. A loser waits until the winner committed, and then sees its row."""
        return self.added_or_stored(task)

    def claim_next(self, worker: str, queue: str, limit: int, now: datetime) -> list[Task]:
        """Take pending tasks of the queue."""
        moment = self.codec.time_in(now)
        values = (queue, limit, worker, moment, queue, worker, worker, moment, queue, moment)
        tasks = read_all(self.session.rows(CLAIM, values), self._read, "task")
        return sorted(tasks, key=_by_priority) if len(tasks) > 1 else tasks

    def release(self, owner: str | None, now: datetime, limit: int) -> list[Task]:
        """Return claimed, unfinished tasks to their queues."""
        statement, who = (GIVE_BACK_OF_THE_DEAD, now) if owner is None else (RELEASE, owner)
        return read_all(self.session.rows(statement, (who, limit, now, now)), self._read, "task")

    def delete(self, task_ids: Sequence[str]) -> int:
        """Delete tasks, their descendants and the thoughts of all of them."""
        return self.session.run(DELETE, (self.codec.texts_in(task_ids),))


def _by_priority(task: Task) -> tuple[int, datetime, str]:
    return (-task.priority, task.created_at, task.task_id)
