"""Faults that show only with several processes, or after the kill of one."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ciris_store_core.contract import Session
from ciris_store_core.inmemory.backend import Database
from ciris_store_core.inmemory.tables import TABLE_NAMES, Tables
from tests.mutants.planting import add, plant
from tests.mutants.transactions import TASKS, committing_on

add("each_process_has_a_store_of_its_own", "processes.visible", ("harness.open_peer", lambda self, sound, *, blank=False: _elsewhere(self, sound, blank)))
add("a_killed_process_commits", "crashes.before_commit", ("backend.session", committing_on(BaseException)))


def _elsewhere(harness: Any, open_peer: Any, blank: bool) -> Any:
    harness.name, name = harness.name + "'", harness.name
    peer = open_peer(blank=blank)
    harness.name = name
    return peer


@plant("crashes.in_batch", "tasks.add")
def batches_are_committed_one_by_one(self: Any, sound: Any, tasks: Any) -> None:
    for task in tasks:
        sound([task])
        rows = list(self.lab.database.committed)
        rows[TASKS] = {**rows[TASKS], task.task_id: task}
        self.lab.database.committed = rows


def _flush(backend: Any) -> None:
    pending = vars(backend).pop("pending", None)
    if pending is not None and backend._database is not None:
        backend.database.committed = pending


@contextmanager
def _acknowledged_early(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    def later(database: Database, tables: Tables) -> None:
        self.pending = tables.snapshot()

    _flush(self)
    with self.transaction(later, write=write) as opened:
        yield opened


def _close(self: Any, sound: Any) -> None:
    _flush(self)
    sound()


add(
    "commits_are_acknowledged_before_they_are_stored", "crashes.after_commit",
    ("backend.session", _acknowledged_early), ("backend.close", _close),
)  # fmt: skip


@plant("crashes.any_moment", "backend.session")
@contextmanager
def thoughts_are_stored_a_transaction_late(
    self: Any, sound: Any, *, write: bool, single: bool = False
) -> Iterator[Session]:
    place = TABLE_NAMES.index("thoughts")

    def commit(database: Database, tables: Tables) -> None:
        rows = tables.snapshot()
        late, self.late = vars(self).get("late", rows[place]), rows[place]
        database.committed = [*rows[:place], late, *rows[place + 1 :]]

    with self.transaction(commit, write=write) as opened:
        if "late" in vars(self):
            opened._tables.thoughts.restore(self.late)
        yield opened
