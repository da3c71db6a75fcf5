"""Faults of transactions, savepoints and isolation, and faults that show only in a race."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ciris_store_core.capabilities import Capability
from ciris_store_core.contract import Session
from ciris_store_core.errors import Conflict, DatabaseError, PoolTimeout, StoreError, Unavailable
from ciris_store_core.inmemory.backend import Database, MemorySession
from ciris_store_core.inmemory.tables import TABLE_NAMES, Tables
from tests.mutants.planting import SOUND, add, plant

OVERLAP = 0.02
"""Seconds that a broken commit takes, so that transactions overlap."""
TASKS, THOUGHTS = TABLE_NAMES.index("tasks"), TABLE_NAMES.index("thoughts")


def _commit(database: Database, tables: Tables) -> None:
    database.committed = tables.snapshot()


def committing_on(*kinds: type[BaseException]) -> Any:
    """Commit a transaction if one of these errors ends it."""

    @contextmanager
    def session(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
        raised: BaseException | None = None
        with self.transaction(_commit, write=write) as opened:
            try:
                yield opened
            except kinds as error:
                raised = error
        if raised is not None:
            raise raised

    return session


add("commit_in_finally", "session.rollback session.rollback.changes", ("backend.session", committing_on(BaseException)))
for _kind in (KeyboardInterrupt, SystemExit, GeneratorExit, Exception):
    add(f"commit_on_{_kind.__name__}", "session.rollback", ("backend.session", committing_on(_kind)))


@plant("session.rollback.changes", "backend.session")
@contextmanager
def rollback_undoes_only_new_rows(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    def keep_changes(database: Database, tables: Tables) -> None:
        for old, new in zip(database.committed, tables.snapshot(), strict=True):
            for key in old:
                if key in new:
                    old[key] = new[key]

    with self.transaction(_commit, write=write) as opened:
        try:
            yield opened
        except BaseException:
            keep_changes(self.database, opened._tables)
            raise


@plant("session.after_rollback", "backend.session")
@contextmanager
def rollback_leaves_the_lock(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    turn = self.database.writing(0.01)
    if write:
        turn.__enter__()
    self.database.turn = turn
    with self.transaction(_commit, write=write, locked=False) as opened:
        yield opened
    if write:
        turn.__exit__(None, None, None)


@plant("session.after_rollback", "backend.session")
@contextmanager
def rollbacks_leak_connections(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    if vars(self).setdefault("leaked", 0) >= 10:
        raise PoolTimeout("10 connections were never released")
    try:
        with sound(write=write, single=single) as opened:
            yield opened
    except BaseException:
        self.leaked += 1
        raise


def _stale(self: Any, sound: Any, *arguments: Any) -> Any:
    fresh = MemorySession(Tables.of(self.before, writable=False))
    name = {"MemoryTasks": "tasks", "MemoryGraph": "graph", "MemoryCorrelations": "correlations"}[type(self).__name__]
    return getattr(getattr(fresh, name), sound.__name__)(*arguments)


for _target in ("tasks.get", "tasks.count", "graph.get_nodes", "correlations.count"):
    add(f"own_writes_unseen_by_{_target}", "session.own_writes", (_target, _stale))


@plant("session.single", "backend.session")
@contextmanager
def single_calls_are_not_committed(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    with self.transaction(_commit if not single else lambda database, tables: None, write=write) as opened:
        yield opened


@plant("session.single", "tasks.add")
def batch_is_added_one_by_one_in_autocommit(self: Any, sound: Any, tasks: Any) -> None:
    for task in tasks:
        if task.task_id not in self.before[TASKS]:
            self.lab.database.committed[TASKS][task.task_id] = task
    sound(tasks)


@plant("session.over", "backend.session")
@contextmanager
def sessions_never_end(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    with self.database.writing(5.0):
        tables = Tables.of(self.database.committed, writable=True)
        yield self.prepared(MemorySession(tables))
        _commit(self.database, tables)


add(
    "a_refused_call_commits", "session.refused_call.undone",
    ("backend.session", committing_on(StoreError)),
    ("tasks.add", lambda self, sound, tasks: [sound([task]) for task in tasks]),
)  # fmt: skip


def _one_by_one(self: Any, sound: Any, batch: Any, *more: Any) -> Any:
    answers = [sound([each], *more) for each in batch]
    return [item for answer in answers if answer is not None for item in answer]


for _target in ("tasks.add", "thoughts.add", "correlations.add", "secrets.add", "audit.append"):
    _clause = f"{_target}.conflict"
    add(f"part_of_a_batch_stays_in_{_target}", "session.refused_call.goes_on", (_target, _one_by_one))
    add(f"half_a_batch_is_committed_by_{_target}", f"{_clause} session.refused_call.undone", (_target, _one_by_one), ("backend.session", committing_on(StoreError)))
for _target, _clause in (("graph.put_nodes", "graph.put_nodes.conflict graph.put_nodes.too_large"), ("graph.put_edges", "graph.put_edges.missing_end")):
    add(f"part_of_a_batch_stays_in_{_target}", "session.refused_call.goes_on", (_target, _one_by_one))
    add(f"half_a_batch_is_committed_by_{_target}", _clause, (_target, _one_by_one), ("backend.session", committing_on(StoreError)))


@plant("session.refused_call.goes_on", "tasks.add")
def a_conflict_aborts_the_transaction(self: Any, sound: Any, tasks: Any) -> None:
    try:
        sound(tasks)
    except Conflict:
        self._tables.end()
        raise


# --- savepoints -------------------------------------------------------------------------------


@plant("session.savepoint.kept", "session.savepoint")
@contextmanager
def savepoints_are_always_undone(self: Any, sound: Any) -> Iterator[None]:
    before = self._tables.snapshot()
    yield
    self._tables.restore(before)


@plant("session.savepoint.undone session.savepoint.nested session.savepoint.aborted", "session.savepoint")
@contextmanager
def savepoints_undo_nothing(self: Any, sound: Any) -> Iterator[None]:
    yield


@plant("session.savepoint.undone", "session.savepoint")
@contextmanager
def savepoints_swallow_the_error(self: Any, sound: Any) -> Iterator[None]:
    before = self._tables.snapshot()
    try:
        yield
    except Exception:
        self._tables.restore(before)


@plant("session.savepoint.undone", "session.savepoint")
@contextmanager
def savepoints_undo_only_exceptions(self: Any, sound: Any) -> Iterator[None]:
    before = self._tables.snapshot()
    try:
        yield
    except Exception:
        self._tables.restore(before)
        raise


@plant("session.savepoint.nested", "session.savepoint")
@contextmanager
def savepoints_all_have_one_name(self: Any, sound: Any) -> Iterator[None]:
    before = vars(self).setdefault("first_savepoint", self._tables.snapshot())
    try:
        yield
    except BaseException:
        self._tables.restore(before)
        raise


@plant("session.savepoint.outer", "session.savepoint")
@contextmanager
def releasing_a_savepoint_commits(self: Any, sound: Any) -> Iterator[None]:
    with sound():
        yield
    self.tasks.lab.database.committed = self._tables.snapshot()


@plant("session.savepoint.aborted", "session.savepoint", capabilities=SOUND - {Capability.SAVEPOINTS})
@contextmanager
def undeclared_savepoints_abort_nothing(self: Any, sound: Any) -> Iterator[None]:
    yield


@plant("session.savepoint.aborted", "session.savepoint", capabilities=SOUND - {Capability.SAVEPOINTS})
@contextmanager
def savepoints_work_undeclared(self: Any, sound: Any) -> Iterator[None]:
    with sound():
        yield


# --- isolation --------------------------------------------------------------------------------


@plant("session.isolation.dirty_read", "backend.session")
@contextmanager
def readers_see_what_is_not_committed(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    live = self.database.__dict__
    if not write:
        committed = live["live"].snapshot() if live.get("live") else self.database.committed
        yield self.prepared(MemorySession(Tables.of(committed, writable=False)))
        return
    with sound(write=True) as opened:
        live["live"] = opened._tables
        try:
            yield opened
        finally:
            live["live"] = None


@plant("session.isolation.committed", "backend.session")
@contextmanager
def readers_see_an_old_snapshot(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    def late(database: Database, tables: Tables) -> None:
        self.old = database.committed
        _commit(database, tables)

    if write:
        with self.transaction(late, write=True) as opened:
            yield opened
    else:
        yield self.prepared(MemorySession(Tables.of(self.old, writable=False)))


def _in_two_steps(first: Any) -> Any:
    def session(self: Any, sound: Any, *, write: bool, single: bool = False) -> Any:
        def commit(database: Database, tables: Tables) -> None:
            after = tables.snapshot()
            database.committed = first(database.committed, after)
            time.sleep(OVERLAP)
            database.committed = after

        if not write:
            # Slower readers, so that they are still there when it happens.
            time.sleep(OVERLAP / 4)
        return self.transaction(commit, write=write)

    return session


def _thoughts_first(before: Any, after: Any) -> Any:
    return [*before[:THOUGHTS], after[THOUGHTS], *before[THOUGHTS + 1 :]]


def _without_changed_tasks(before: Any, after: Any) -> Any:
    kept = {key: task for key, task in after[TASKS].items() if before[TASKS].get(key) is task}
    return [*after[:TASKS], kept, *after[TASKS + 1 :]]


add("commits_table_by_table", "session.isolation.whole", ("backend.session", _in_two_steps(_thoughts_first)))
add("transfer_deletes_and_inserts", "tasks.transfer.readers", ("backend.session", _in_two_steps(_without_changed_tasks)))


@plant("session.many", "backend.session")
@contextmanager
def more_than_eight_sessions_are_turned_away(
    self: Any, sound: Any, *, write: bool, single: bool = False
) -> Iterator[Session]:
    places = vars(self).setdefault("places", threading.Semaphore(8))
    if not places.acquire(blocking=False):
        raise Unavailable("8 sessions are open")
    try:
        with sound(write=write, single=single) as opened:
            time.sleep(OVERLAP / 4)
            yield opened
    finally:
        places.release()


@plant("backend.threads", "backend.session")
@contextmanager
def a_connection_for_each_thread_for_ever(
    self: Any, sound: Any, *, write: bool, single: bool = False
) -> Iterator[Session]:
    own = vars(self).setdefault("own", threading.local())
    if not hasattr(own, "connection"):
        own.connection = self.connections = vars(self).get("connections", 0) + 1
    if self.connections > 20:
        raise PoolTimeout("20 connections are open")
    with sound(write=write, single=single) as opened:
        yield opened


# --- races ------------------------------------------------------------------------------------


def _changed_rows(old: Any, new: Any) -> tuple[dict[Any, Any], set[Any]]:
    return {key: row for key, row in new.items() if old.get(key) is not row}, old.keys() - new.keys()


def _unlocked(check: Any) -> Any:
    def session(self: Any, sound: Any, *, write: bool, single: bool = False) -> Any:
        before = list(self.database.committed)

        def commit(database: Database, tables: Tables) -> None:
            time.sleep(OVERLAP)
            merged = []
            for old, new, committed in zip(before, tables.snapshot(), database.committed, strict=True):
                changed, gone = _changed_rows(old, new)
                check(old, changed, committed)
                merged.append({**{key: row for key, row in committed.items() if key not in gone}, **changed})
            database.committed = merged

        return self.transaction(commit, write=write, locked=False)

    return session


def _refuse_second_inserts(old: Any, changed: Any, committed: Any) -> None:
    if any(key in committed and key not in old for key in changed):
        raise DatabaseError("a unique constraint failed")


RACES = """
    graph.put_nodes.atomic graph.put_nodes.expected_revision.race graph.put_nodes.insert.race graph.delete_nodes.race
    graph.lock_nodes.keeps graph.increment.race graph.increment.single
    correlations.add.race correlations.update.race correlations.lock.keeps tasks.add_or_get.race
    tasks.add_or_get.committed tasks.update.race tasks.claim_next.race tasks.release.race tasks.transfer.race tasks.lock_claim.keeps thoughts.update.race
    thoughts.retry.race thoughts.escalate.race coordination.acquire_lease.race coordination.acquire_lease.fence.race
    secrets.reencrypt.race audit.head.race audit.head.waits processes.add_or_get.race processes.claim_next.race
    processes.merge.race processes.audit.race processes.acquire_lease.race
"""
add("rows_are_not_locked", RACES, ("backend.session", _unlocked(lambda *rows: None)))
add(
    "a_lost_race_is_an_error", "graph.put_edges.race graph.put_nodes.atomic tasks.add_or_get.race",
    ("backend.session", _unlocked(_refuse_second_inserts)),
)  # fmt: skip


@plant(
    "tasks.claim_next.no_waiting", "backend.session", capabilities=SOUND | {Capability.CONCURRENT_WRITERS}
)
def concurrent_writers_declared_but_queued(self: Any, sound: Any, *, write: bool, single: bool = False) -> Any:
    self._wait_seconds = 0.001
    return sound(write=write, single=single)
