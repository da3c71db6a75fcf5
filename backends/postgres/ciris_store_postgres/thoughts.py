"""The SQL of thoughts on PostgreSQL: COPY to add many."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from ciris_store_core.models.thoughts import Thought
from ciris_store_core.sql.columns import THOUGHT_COLUMNS
from ciris_store_core.sql.thoughts import SqlThoughtStore
from ciris_store_postgres.bulk_copy import ROWS_TO_COPY, copy_new
from ciris_store_postgres.executor import PostgresExecutor

COPY = f"COPY {{thoughts}} ({THOUGHT_COLUMNS}) FROM STDIN"

_BY_ID = attrgetter("thought_id")


class PostgresThoughtStore(SqlThoughtStore):
    """Thought store that adds many by COPY."""

    executor: PostgresExecutor

    def insert(self, thoughts: Sequence[Thought]) -> None:
        """Store new thoughts."""
        if len(thoughts) < ROWS_TO_COPY:
            super().insert(thoughts)
        else:
            copy_new(self.executor, COPY, map(self._values, sorted(thoughts, key=_BY_ID)), "thought")
