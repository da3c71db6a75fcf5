"""SQL of thoughts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ciris_store_core.contract.thoughts import ThoughtSelector, ThoughtStore, missing_task
from ciris_store_core.models.enums import ThoughtStatus, ThoughtType
from ciris_store_core.models.paging import ResultPage, SortKey
from ciris_store_core.models.thoughts import FinalAction, Thought, ThoughtChanges, ThoughtQuery
from ciris_store_core.sql.codec import object_out
from ciris_store_core.sql.inserting import already_exists, insert_new
from ciris_store_core.sql.rows import Row, read_all, read_page
from ciris_store_core.sql.statements import collect_given, fill_in, match_members, set_columns, where_clause

if TYPE_CHECKING:
    from ciris_store_core.sql.executor import SqlExecutor

INSERT = """
INSERT INTO {thoughts} (thought_id, source_task_id, content, agent_occurrence_id, channel_id, thought_type, status,
    created_at, updated_at, round_number, context, thought_depth, escalation_level, retry_count, ponder_notes,
    parent_thought_id, final_action, metadata)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (thought_id) DO NOTHING
"""

# For one thought: the statement stores nothing if the task is not there, and locks it, so that a concurrent DELETE of
# the task waits and then finds the thought. FOR KEY SHARE lets others update the task meanwhile: under a stronger lock,
# two transactions that each add a thought and then update its task would wait for each other.
TASK_OF = "FROM {tasks} WHERE task_id = ? {key_lock}"

# For a batch, in key order, as every statement that locks several tasks.
LOCK_TASKS_OF = "SELECT task_id FROM {tasks} WHERE task_id {in_texts} ORDER BY task_id {key_lock}"

EXISTING = "SELECT thought_id FROM {thoughts} WHERE thought_id {in_texts} ORDER BY thought_id LIMIT 3"

UPDATE = "UPDATE {thoughts} SET {assignments} WHERE thought_id = ?"

GET = "SELECT {thought_columns} FROM {thoughts} WHERE thought_id = ?"

GET_MANY = "SELECT {thought_columns} FROM {thoughts} WHERE thought_id {in_texts}"

LOCK = "SELECT {thought_columns} FROM {thoughts} WHERE thought_id {in_texts} ORDER BY thought_id {for_update}"

FIND = "SELECT {thought_columns} FROM {thoughts} h {where} ORDER BY {order} LIMIT ?"

COUNT = "SELECT count(*) FROM {thoughts} h {where}"

COUNT_BY_STATUS = "SELECT status, count(*) FROM {thoughts} WHERE agent_occurrence_id = ? GROUP BY status"

COUNT_BY_STATUS_OF_ALL = "SELECT status, count(*) FROM {thoughts} GROUP BY status"

RETRY = """
UPDATE {thoughts} SET status = 'pending', retry_count = retry_count + 1, updated_at = ?
WHERE thought_id = ? AND status = 'failed' AND retry_count < ?
"""

ESCALATE = "UPDATE {thoughts} SET escalation_level = escalation_level + 1, updated_at = ? WHERE thought_id = ?"

DELETE = "DELETE FROM {thoughts} WHERE {lock_thoughts} thought_id {in_texts} {end_lock_thoughts}"

TRANSFER = """
UPDATE {thoughts} SET agent_occurrence_id = ?, updated_at = ?
WHERE {lock_thoughts} thought_id {in_texts} AND {no_index}agent_occurrence_id = ? {end_lock_thoughts}
"""

TRANSFER_OF_TASK = """
UPDATE {thoughts} SET agent_occurrence_id = ?, updated_at = ?
WHERE {lock_thoughts} source_task_id = ? AND {no_index}agent_occurrence_id = ? {end_lock_thoughts}
"""

OF_ACTIVE_TASK = """
EXISTS (SELECT 1 FROM {tasks} t WHERE t.task_id = h.source_task_id AND t.status = 'active'
        AND t.agent_occurrence_id = h.agent_occurrence_id)
"""

ORPHANED = "NOT EXISTS (SELECT 1 FROM {tasks} t WHERE t.task_id = h.source_task_id)"

OWNER_DEAD = "h.agent_occurrence_id NOT IN (SELECT occurrence_id FROM {occurrences} WHERE expires_at > ?)"

ORDERS: Mapping[str, tuple[str, str]] = {
    "created": ("created_at, thought_id", "(created_at, thought_id) > (?, ?)"),
    "updated_desc": ("updated_at DESC, thought_id", "updated_at <= ? AND (updated_at < ? OR thought_id > ?)"),
}

_JSON_FIELDS = frozenset({"metadata"})
_NULLABLE_JSON_FIELDS = frozenset({"context", "ponder_notes"})
_ENUM_FIELDS = frozenset({"status", "thought_type"})


class SqlThoughtStore(ThoughtStore):
    """Store of thoughts in one table."""

    def __init__(self, executor: SqlExecutor) -> None:
        """Run the statements on that executor."""
        self.executor = executor
        self.codec = executor.codec
        self._read = self._mapper()

    # --- rows and records ---------------------------------------------------------------------

    def _mapper(self) -> Any:
        time = self.codec.time_out
        statuses, types = ThoughtStatus._value2member_map_, ThoughtType._value2member_map_

        def read(row: Row) -> Thought:
            (thought_id, source_task_id, content, owner, channel_id, thought_type, status, created_at, updated_at,
             round_number, context, depth, escalation, retries, notes, parent_id, final_action,
             metadata) = row  # fmt: skip
            return Thought.trusted(
                {
                    "thought_id": thought_id,
                    "source_task_id": source_task_id,
                    "content": content,
                    "agent_occurrence_id": owner,
                    "channel_id": channel_id,
                    "thought_type": types[thought_type],
                    "status": statuses[status],
                    "created_at": time(created_at),
                    "updated_at": time(updated_at),
                    "round_number": round_number,
                    "context": None if context is None else from_json(context),
                    "thought_depth": depth,
                    "escalation_level": escalation,
                    "retry_count": retries,
                    "ponder_notes": None if notes is None else from_json(notes),
                    "parent_thought_id": parent_id,
                    "final_action": None if final_action is None else FinalAction.from_json(final_action),
                    "metadata": object_out(metadata),
                }
            )

        return read

    def _values(self, thought: Thought) -> tuple[Any, ...]:
        codec = self.codec
        return (
            thought.thought_id, thought.source_task_id, thought.content, thought.agent_occurrence_id,
            thought.channel_id, thought.thought_type.value, thought.status.value, codec.time_in(thought.created_at),
            codec.time_in(thought.updated_at), thought.round_number, codec.maybe_json_in(thought.context),
            thought.thought_depth, thought.escalation_level, thought.retry_count,
            codec.maybe_json_in(thought.ponder_notes), thought.parent_thought_id,
            codec.maybe_json_in(thought.final_action), codec.object_in(thought.metadata),
        )  # fmt: skip

    def _change(self, field: str, value: Any) -> Any:
        if field == "updated_at":
            return self.codec.time_in(value)
        if field in _NULLABLE_JSON_FIELDS or field == "final_action":
            return self.codec.maybe_json_in(value)
        if field in _JSON_FIELDS:
            return self.codec.object_in(value)
        return value.value if field in _ENUM_FIELDS else value

    # --- the contract -------------------------------------------------------------------------

    def add(self, thoughts: Sequence[Thought], needs_task: bool = False) -> None:
        if not needs_task:
            self.insert(thoughts)
        elif len(thoughts) == 1:
            self._add_to_task(thoughts[0])
        else:
            with self.executor.atomic():
                self._lock_tasks_of(thoughts)
                self.insert(thoughts)

    def insert(self, thoughts: Sequence[Thought]) -> None:
        """Store new thoughts, whether or not their tasks exist."""
        insert_new(self.executor, INSERT, EXISTING, "thought", [self._values(thought) for thought in thoughts])

    def _add_to_task(self, thought: Thought) -> None:
        task = (thought.source_task_id,)
        if not self.executor.insert_new(INSERT, self._values(thought), source=TASK_OF, params=task):
            self._lock_tasks_of([thought])
            raise already_exists("thought", [thought.thought_id])

    def _lock_tasks_of(self, thoughts: Sequence[Thought]) -> None:
        tasks = {thought.source_task_id for thought in thoughts}
        found = {row[0] for row in self.executor.rows(LOCK_TASKS_OF, (self.codec.texts_in([*tasks]),))}
        for thought in thoughts:
            if thought.source_task_id not in found:
                raise missing_task(thought)

    def get(self, thought_ids: Sequence[str], occurrence_id: str | None) -> list[Thought]:
        if len(thought_ids) == 1:
            rows = self.executor.rows(GET, (thought_ids[0],))
        else:
            rows = self.executor.rows(GET_MANY, (self.codec.texts_in(thought_ids),))
        thoughts = read_all(rows, self._read, "thought")
        return thoughts if occurrence_id is None else [t for t in thoughts if t.agent_occurrence_id == occurrence_id]

    def lock(self, thought_ids: Sequence[str], occurrence_id: str | None) -> list[Thought]:
        rows = self.executor.rows(LOCK, (self.codec.texts_in(thought_ids),))
        thoughts = read_all(rows, self._read, "thought")
        return thoughts if occurrence_id is None else [t for t in thoughts if t.agent_occurrence_id == occurrence_id]

    def update(self, thought_id: str, changes: ThoughtChanges, occurrence_id: str | None) -> bool:
        params = [self._change(column, value) for column, value in changes.items()]
        return self._run_on(set_columns(UPDATE, tuple(changes)), [*params, thought_id], occurrence_id)

    def retry(self, thought_id: str, occurrence_id: str | None, max_retries: int, now: datetime) -> bool:
        return self._run_on(RETRY, [self.codec.time_in(now), thought_id, max_retries], occurrence_id)

    def escalate(self, thought_id: str, occurrence_id: str | None, now: datetime) -> bool:
        return self._run_on(ESCALATE, [self.codec.time_in(now), thought_id], occurrence_id)

    def _run_on(self, statement: str, params: list[Any], occurrence_id: str | None) -> bool:
        if occurrence_id is not None:
            statement += " AND agent_occurrence_id = ?"
            params.append(occurrence_id)
        return self.executor.run(statement, params) > 0

    def find(self, query: ThoughtQuery) -> ResultPage[Thought]:
        conditions, params = self._conditions(query)
        order, continues = ORDERS[query.order]
        if query.after is not None:
            moment = self.codec.time_in(query.after[0])
            conditions.append(continues)
            params += [moment, query.after[1]] if query.order == "created" else [moment, moment, query.after[1]]
        statement = fill_in(FIND, where=where_clause(conditions), order=order)
        rows = self.executor.rows(statement, (*params, query.limit + 1))
        return read_page(rows, self._read, query.limit, lambda row: self._sort_key(query.order, row))

    def _sort_key(self, order: str, row: Row) -> SortKey:
        return (self.codec.time_out(row[7] if order == "created" else row[8]), row[0])

    def count(self, query: ThoughtQuery) -> int:
        conditions, params = self._conditions(query)
        row = self.executor.row(fill_in(COUNT, where=where_clause(conditions)), params)
        return row[0] if row else 0

    def _conditions(self, query: ThoughtQuery) -> tuple[list[str], list[Any]]:
        conditions, params = collect_given((
            ("h.agent_occurrence_id = ?", query.occurrence_id), ("source_task_id = ?", query.source_task_id),
            ("parent_thought_id = ?", query.parent_thought_id),
            ("created_at >= ?", self.codec.maybe_time_in(query.created_from)),
            ("updated_at <= ?", self.codec.maybe_time_in(query.updated_to)),
            (OWNER_DEAD, self.codec.maybe_time_in(query.owner_dead_at)),
        ))  # fmt: skip
        if query.statuses:
            conditions.append(match_members("status", query.statuses))
        if query.thought_types:
            conditions.append(match_members("thought_type", query.thought_types))
        flags = ((query.of_active_tasks, OF_ACTIVE_TASK), (query.orphaned, ORPHANED))
        return conditions + [condition for flag, condition in flags if flag], params

    def count_by_status(self, occurrence_id: str | None) -> Mapping[ThoughtStatus, int]:
        if occurrence_id is None:
            rows = self.executor.rows(COUNT_BY_STATUS_OF_ALL)
        else:
            rows = self.executor.rows(COUNT_BY_STATUS, (occurrence_id,))
        return {ThoughtStatus(status): count for status, count in rows}

    def delete(self, thought_ids: Sequence[str]) -> int:
        return self.executor.run(DELETE, (self.codec.texts_in(thought_ids),))

    def transfer(self, selector: ThoughtSelector, from_owner: str, to_owner: str, now: datetime) -> int:
        moment = self.codec.time_in(now)
        if selector.task_id is not None:
            return self.executor.run(TRANSFER_OF_TASK, (to_owner, moment, selector.task_id, from_owner))
        ids = self.codec.texts_in(selector.thought_ids)
        return self.executor.run(TRANSFER, (to_owner, moment, ids, from_owner))
