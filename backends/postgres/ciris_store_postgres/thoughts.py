"""Thoughts, where PostgreSQL can do better than the portable statements: COPY for many."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from ciris_store_core.models.thoughts import Thought
from ciris_store_core.sql.columns import THOUGHT_COLUMNS
from ciris_store_core.sql.thoughts import SqlThoughtStore
from ciris_store_postgres.bulk_copy import ROWS_TO_COPY, copy_new

if TYPE_CHECKING:
    from ciris_store_postgres.session import PostgresSession

COPY = f"COPY {{thoughts}} ({THOUGHT_COLUMNS}) FROM STDIN"

_BY_ID = attrgetter("thought_id")


class PostgresThoughtStore(SqlThoughtStore):
    """Adds many by COPY."""

    executor: PostgresSession

    def add(self, thoughts: Sequence[Thought]) -> None:
        """Store new thoughts."""
        if len(thoughts) < ROWS_TO_COPY:
            super().add(thoughts)
        else:
            copy_new(self.executor, COPY, map(self._values, sorted(thoughts, key=_BY_ID)), "thought")
