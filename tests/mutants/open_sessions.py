"""Faults of sessions, savepoints and the open store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ciris_store_core.contract import Session
from ciris_store_core.errors import Conflict, PoolTimeout, Unavailable
from ciris_store_core.inmemory.backend import MemorySession
from ciris_store_core.inmemory.tables import TABLE_NAMES, Tables
from ciris_store_core.models import TaskStatus
from ciris_store_core.models.correlations import CorrelationQuery
from ciris_store_core.models.operations import PendingMigration
from tests.mutants.planting import add, plant
from tests.mutants.transactions import OVERLAP, TASKS, THOUGHTS


@plant("session.savepoint.kept session.savepoint.outer", "session.savepoint")
@contextmanager
def a_savepoint_is_a_transaction_of_its_own(self: Any, sound: Any) -> Iterator[None]:
    before = self._tables.snapshot()
    yield
    self.tasks.lab.database.committed = self._tables.snapshot()
    self._tables.restore(before)


@plant("session.over", "backend.session")
@contextmanager
def reads_go_on_after_the_end(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    with sound(write=write, single=single) as opened:
        yield opened
    late = MemorySession(Tables.of(self.database.committed, writable=False))
    opened.tasks.get = late.tasks.get


@plant("session.isolation.dirty_read", "tasks.add")
def tasks_are_seen_before_the_commit(self: Any, sound: Any, tasks: Any) -> None:
    sound(tasks)
    rows = list(self.lab.database.committed)
    rows[TASKS] = {**rows[TASKS], **{each.task_id: each for each in tasks}}
    self.lab.database.committed = rows


@plant("session.isolation.committed", "backend.session")
@contextmanager
def readers_are_one_commit_behind(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    if write:
        previous = self.database.committed
        with sound(write=True, single=single) as opened:
            yield opened
        self.previous = previous
        return
    current = self.database.committed
    tables = Tables.of(vars(self).get("previous", current), writable=False)
    yield self.prepared(MemorySession(tables))


@plant("session.isolation.whole", "backend.session")
@contextmanager
def each_statement_is_committed_alone(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    with sound(write=write, single=single) as opened:
        if write:
            put = opened._tables.thoughts.put

            def shown(key: Any, record: Any) -> None:
                put(key, record)
                rows = list(self.database.committed)
                rows[THOUGHTS] = {**rows[THOUGHTS], key: record}
                self.database.committed = rows
                time.sleep(OVERLAP / 4)

            opened._tables.thoughts.put = shown
        yield opened


# --- the open store -------------------------------------------------------------------------------

add(
    "a_new_store_has_a_record_of_its_own",
    "backend.is_empty",
    ("backend.is_empty", lambda self, sound: sound() and any(self.database.committed)),
)
add(
    "a_current_store_has_a_migration_pending",
    "backend.pending",
    (
        "backend.pending",
        lambda self, sound: [PendingMigration(2, "again", ("SELECT 1",))] if self.database.prepared else [],
    ),
)


@plant("backend.prepare.refuses", "backend.prepare")
def a_refused_migration_is_done_all_the_same(self: Any, sound: Any, *, migrate: bool) -> None:
    try:
        sound(migrate=migrate)
    finally:
        self.database.prepared = True


@plant("backend.threads", "backend.session")
@contextmanager
def a_lock_for_each_new_thread(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    import threading

    known = vars(self).setdefault("threads", set())
    known.add(threading.current_thread())
    if len(known) > 30:
        raise Unavailable("too many threads")
    with sound(write=write, single=single) as opened:
        yield opened


@plant("backend.open_twice", "backend.session")
@contextmanager
def a_second_opening_reads_what_was_there(
    self: Any, sound: Any, *, write: bool, single: bool = False
) -> Iterator[Session]:
    kept = vars(self).setdefault("first_look", list(self.database.committed))
    if write:
        with sound(write=True, single=single) as opened:
            yield opened
        self.first_look = list(self.database.committed)
        return
    yield self.prepared(MemorySession(Tables.of(kept, writable=False)))


@plant("backend.server_now.inside", "backend.server_now")
def server_now_is_refused_in_a_crowd(self: Any, sound: Any) -> Any:
    import threading

    if threading.active_count() > 20:
        raise PoolTimeout("no connection is free")
    return sound()


@plant("backend.snapshot", "backend.snapshot")
@contextmanager
def a_snapshot_is_taken_for_each_statement(self: Any, sound: Any) -> Iterator[Any]:
    class Each:
        def __init__(self, database: Any) -> None:
            self.database = database

        def __getattr__(self, part: str) -> Any:
            return getattr(MemorySession(Tables.of(list(self.database.committed), writable=False)), part)

    yield Each(self.database)


@plant("backend.snapshot", "backend.snapshot")
@contextmanager
def a_snapshot_is_of_an_earlier_moment(self: Any, sound: Any) -> Iterator[Any]:
    yield MemorySession(Tables.of([{} for _ in TABLE_NAMES], writable=False))


@plant("correlations.add.race", "correlations.add")
def an_id_that_exists_is_added_again(self: Any, sound: Any, rows: Any) -> None:
    try:
        sound(rows)
    except Conflict:
        for row in rows:
            self._table.put(row.correlation_id, row)


add(
    "a_task_that_is_lost_counts_as_added",
    "tasks.add_or_get.committed",
    ("tasks.add_or_get", lambda self, sound, task: (task, sound(task)[1])),
)
add(
    "statuses_of_deferred_tasks_are_pending",
    "tasks.count_by_status",
    (
        "tasks.count_by_status",
        lambda self, sound, owner: {TaskStatus.PENDING: sum(sound(owner).values())} if sound(owner) else {},
    ),
)
add(
    "a_page_of_correlations_is_all",
    "correlations.count",
    (
        "correlations.count",
        lambda self, sound, where: len(self.find(CorrelationQuery(limit=1, where=where)).items) or None,
    ),
)
