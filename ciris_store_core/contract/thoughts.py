"""Thoughts, for authors of backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime

from ciris_store_core.contract.locking import cannot_lock
from ciris_store_core.errors import NotFound
from ciris_store_core.models.enums import ThoughtStatus
from ciris_store_core.models.paging import ResultPage
from ciris_store_core.models.thoughts import Thought, ThoughtChanges, ThoughtQuery


class ThoughtStore(ABC):
    """Thoughts by thought_id. Every thought has one owner, ``agent_occurrence_id``."""

    @abstractmethod
    def add(self, thoughts: Sequence[Thought], needs_task: bool = False) -> None:
        """Store new thoughts; no id occurs twice. Required; constant round trips.

        - An id that exists: AlreadyExists, and nothing of the call is written.
        - With ``needs_task``, a task that does not exist: NotFound, and nothing of the call is written. No transaction
          deletes the tasks before this one is over, so that a thought never outlives its task.
        - Without, the task need not exist: copies bring thoughts in any order.
        """

    @abstractmethod
    def get(self, thought_ids: Sequence[str], occurrence_id: str | None) -> list[Thought]:
        """The thoughts of these ids that exist (and have that owner, where given), in no order.

        Required; one round trip.
        """

    def lock(self, thought_ids: Sequence[str], occurrence_id: str | None) -> list[Thought]:
        """The thoughts that ``get`` returns, as they stay until the transaction ends. Default: NotSupported.

        - No other transaction changes or deletes them before this one is over.
        - Rows are locked in key order. Where one transaction writes at a time, this is ``get``.
        """
        raise cannot_lock("thoughts")

    @abstractmethod
    def update(self, thought_id: str, changes: ThoughtChanges, occurrence_id: str | None) -> bool:
        """Change the given fields, ``updated_at`` among them; False if there is no such thought of that owner.

        Required.

        - One statement; no concurrent update of other fields is lost.
        """

    @abstractmethod
    def retry(self, thought_id: str, occurrence_id: str | None, max_retries: int, now: datetime) -> bool:
        """Move a failed thought back to pending and add 1 to ``retry_count``. Required; one statement.

        - False, and nothing changes, if it is not failed, has been retried ``max_retries`` times, or is not there.
        """

    @abstractmethod
    def escalate(self, thought_id: str, occurrence_id: str | None, now: datetime) -> bool:
        """Add 1 to ``escalation_level``; False if there is no such thought of that owner. Required; one statement."""

    @abstractmethod
    def find(self, query: ThoughtQuery) -> ResultPage[Thought]:
        """Thoughts by filter, as ``ThoughtQuery`` orders them. Required; cost grows with the answer.

        - Sort keys for ``after``: ``created``: (created_at, thought_id); ``updated_desc``: (updated_at, thought_id).
        - A row that cannot be read is in ``corrupt``, and the others are returned.
        """

    @abstractmethod
    def count(self, query: ThoughtQuery) -> int:
        """Return the number of matching thoughts, ``limit``, ``after`` and ``order`` aside. Required; loads no row."""

    @abstractmethod
    def count_by_status(self, occurrence_id: str | None) -> Mapping[ThoughtStatus, int]:
        """Return the number of thoughts of each status, statuses without any left out. Required; one round trip."""

    @abstractmethod
    def delete(self, thought_ids: Sequence[str]) -> int:
        """Delete thoughts; returns the number of deleted ones. Required; constant round trips."""

    @abstractmethod
    def transfer(self, selector: ThoughtSelector, from_owner: str, to_owner: str, now: datetime) -> int:
        """Change the owner of the selected thoughts that ``from_owner`` has; returns how many changed. Required.

        - Owner and ``updated_at`` change, and nothing else.
        """


class ThoughtSelector:
    """Some thoughts by their ids, or all thoughts of a task."""

    __slots__ = ("task_id", "thought_ids")

    def __init__(self, *, thought_ids: Sequence[str] = (), task_id: str | None = None) -> None:
        """Exactly one of the two is given."""
        self.thought_ids = tuple(thought_ids)
        self.task_id = task_id


def missing_task(thought: Thought) -> NotFound:
    """Return the error for a thought whose task does not exist."""
    return NotFound(
        f"thought {thought.thought_id!a} belongs to task {thought.source_task_id!a}, and there is no such task",
        kind="task",
        key=thought.source_task_id,
        hint="Add the task first.",
    )
