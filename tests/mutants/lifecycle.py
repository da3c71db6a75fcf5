"""Faults of visibility, and of what the ends of sessions, closing, forking and looking leave behind."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from ciris_store_core.conformance.calls import READS
from ciris_store_core.contract import Session
from ciris_store_core.errors import DatabaseError, PoolTimeout
from ciris_store_core.inmemory.backend import Database, MemorySession
from ciris_store_core.inmemory.tables import TABLE_NAMES, Tables
from tests.mutants.planting import add, always, plant


def _commit(database: Database, tables: Tables) -> None:
    database.committed = tables.snapshot()


def _mixed(old: Any, new: Any, names: tuple[str, ...]) -> Any:
    """Return the new tables, but the named ones as they were."""
    return [before if name in names else after for name, before, after in zip(TABLE_NAMES, old, new, strict=True)]


# --- visibility -------------------------------------------------------------------------------


@contextmanager
def _kept_back(
    self: Any, sound: Any, *, names: tuple[str, ...], write: bool, single: bool = False
) -> Iterator[Session]:
    """Store what a single call wrote to some tables at the next use of the handle."""

    def later(database: Database, tables: Tables) -> None:
        new = tables.snapshot()
        if single:
            self.pending, new = new, _mixed(database.committed, new, names)
        database.committed = new

    pending = vars(self).pop("pending", None)
    if pending is not None and self._database is not None:
        self.database.committed = pending
    with self.transaction(later, write=write) as opened:
        yield opened


for _names in (("leases",), ("accesses", "secrets"), ("nodes", "edges")):
    add(f"single_calls_keep_{_names[0]}_back", "session.single.visible", ("backend.session", partial(_kept_back, names=_names)))
add("single_calls_are_stored_with_the_next_call", "session.single.visible crashes.after_commit", ("backend.session", partial(_kept_back, names=TABLE_NAMES)))


@contextmanager
def _from_a_copy(
    self: Any, sound: Any, *, names: tuple[str, ...], write: bool, single: bool = False
) -> Iterator[Session]:
    """Read some tables from a copy that only writes through the same handle refresh."""
    with sound(write=write, single=single) as opened:
        now = opened._tables.snapshot()
        if write:
            vars(self).pop("copy", None)
        else:
            opened._tables.restore(_mixed(vars(self).setdefault("copy", now), now, names))
        yield opened


_COPIED: tuple[tuple[str, ...], ...] = (TABLE_NAMES, ("thoughts",), ("anchors",))
for _copied in _COPIED:
    add(f"{_copied[-1]}_are_read_from_a_copy", "session.reads.current processes.reads.current", ("backend.session", partial(_from_a_copy, names=_copied)))


@plant("session.reads.current", "correlations.metric_names")
def the_names_of_metrics_are_asked_once(self: Any, sound: Any, *arguments: Any) -> Any:
    return list(vars(self.lab).setdefault("names", sound(*arguments)))


def _before_the_transaction(self: Any, sound: Any, *arguments: Any, name: str) -> Any:
    store, _, method = name.partition(".")
    return getattr(getattr(MemorySession(Tables.of(self.before, writable=False)), store), method)(*arguments)


for _name in READS:
    add(f"{_name}_overlooks_own_writes", "session.own_writes.every_read", (_name, partial(_before_the_transaction, name=_name)))


@contextmanager
def _rolled_back_but(self: Any, sound: Any, *, table: str, write: bool, single: bool = False) -> Iterator[Session]:
    with self.transaction(_commit, write=write) as opened:
        try:
            yield opened
        except BaseException:
            others = tuple(name for name in TABLE_NAMES if name != table)
            self.database.committed = _mixed(self.database.committed, opened._tables.snapshot(), others)
            raise


@contextmanager
def _undone_but(self: Any, sound: Any, *, table: str) -> Iterator[None]:
    before = self._tables.snapshot()
    try:
        yield
    except BaseException:
        self._tables.restore(_mixed(self._tables.snapshot(), before, (table,)))
        raise


for _table in ("leases", "accesses", "anchors", "edges"):
    add(f"rollback_forgets_{_table}", "session.rollback.every_write", ("backend.session", partial(_rolled_back_but, table=_table)))
    add(f"savepoints_forget_{_table}", "session.savepoint.every_write", ("session.savepoint", partial(_undone_but, table=_table)))


def _of_now(self: Any, sound: Any, *arguments: Any, name: str) -> Any:
    store, _, method = name.partition(".")
    if vars(self)["writable"]:
        return sound(*arguments)
    live = MemorySession(Tables.of(self.lab.database.committed, writable=False))
    return getattr(getattr(live, store), method)(*arguments)


for _name in ("correlations.aggregate", "graph.neighbours", "tasks.count", "coordination.list_leases"):
    add(f"{_name}_leaves_the_snapshot", "backend.snapshot.every_read", (_name, partial(_of_now, name=_name)))


@plant("backend.snapshot.every_read", "backend.snapshot")
@contextmanager
def the_first_snapshot_serves_for_ever(self: Any, sound: Any) -> Iterator[Session]:
    old = vars(self).setdefault("first_snapshot", list(self.database.committed))
    yield self.prepared(MemorySession(Tables.of(old, writable=False)))


# --- ends of blocks ---------------------------------------------------------------------------


@contextmanager
def _left_locked(
    self: Any, sound: Any, *, after: Callable[[BaseException, bool], bool], write: bool, single: bool = False
) -> Iterator[Session]:
    if write and vars(self.database).get("stuck"):
        raise DatabaseError("the database is locked")
    try:
        with sound(write=write, single=single) as opened:
            yield opened
    except BaseException as error:
        self.database.stuck = write and after(error, single)
        raise


for _fault, _after in (
    ("an_interrupt_leaves_the_write_lock", lambda error, single: isinstance(error, KeyboardInterrupt)),
    ("a_closed_generator_leaves_the_write_lock", lambda error, single: isinstance(error, GeneratorExit)),
    ("an_error_after_a_single_call_leaves_the_write_lock", lambda error, single: single),
):
    add(_fault, "session.ends.write_lock", ("backend.session", partial(_left_locked, after=_after)))


@plant("session.ends.readers", "backend.session")
@contextmanager
def interrupted_readers_keep_their_connections(
    self: Any, sound: Any, *, write: bool, single: bool = False
) -> Iterator[Session]:
    if not write and vars(self).setdefault("leaked", 0) >= 20:
        raise PoolTimeout("20 connections were never released")
    try:
        with sound(write=write, single=single) as opened:
            yield opened
    except BaseException:
        self.leaked = vars(self).get("leaked", 0) + (not write)
        raise


@plant("session.ends.readers", "backend.session")
@contextmanager
def an_interrupted_reader_leaves_its_snapshot(
    self: Any, sound: Any, *, write: bool, single: bool = False
) -> Iterator[Session]:
    with sound(write=write, single=single) as opened:
        now = opened._tables.snapshot()
        if not write:
            opened._tables.restore(vars(self).pop("left", now))
        try:
            yield opened
        except KeyboardInterrupt:
            self.left = now
            raise


# --- the open store ---------------------------------------------------------------------------

add("a_closed_store_tells_the_time", "backend.close.every_call", ("backend.server_now", lambda self, sound: self._clock.now()))
add("a_closed_store_describes_itself", "backend.close.every_call", ("backend.info", always({"backend": "lab"})))


@contextmanager
def _closed_within(self: Any, sound: Any, *, names: tuple[str, ...], write: bool, single: bool = False) -> Iterator[Session]:
    def commit(database: Database, tables: Tables) -> None:
        new = tables.snapshot()
        database.committed = new if self._database is not None else _mixed(database.committed, new, names)

    with self.transaction(commit, write=write) as opened:
        yield opened


@contextmanager
def _half_when_closed(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    def commit(database: Database, tables: Tables) -> None:
        new = tables.snapshot()
        if self._database is None:
            tasks = TABLE_NAMES.index("tasks")
            new[tasks] = dict(list(new[tasks].items())[:1])
        database.committed = new

    with self.transaction(commit, write=write) as opened:
        yield opened


add("close_drops_a_transaction_silently", "backend.close.during", ("backend.session", partial(_closed_within, names=TABLE_NAMES)))


add("close_keeps_half_of_a_transaction", "backend.close.during", ("backend.session", _half_when_closed))


def _in_any_process(self: Any, sound: Any, *, write: bool, single: bool = False) -> Any:
    self._process = os.getpid()
    return sound(write=write, single=single)


@plant("backend.fork", "backend.session")
def a_fork_is_a_lost_connection(self: Any, sound: Any, *, write: bool, single: bool = False) -> Any:
    if self._process != os.getpid():
        raise DatabaseError("the connection was lost")
    return sound(write=write, single=single)


add("a_fork_goes_unnoticed", "backend.fork", ("backend.session", _in_any_process))


def _deleting(table: str, key: str) -> Any:
    """Return a method that also deletes the records of a table whose key contains a text."""

    def method(self: Any, sound: Any, **options: Any) -> Any:
        rows = list(self.database.committed)
        place = TABLE_NAMES.index(table)
        rows[place] = {each: row for each, row in rows[place].items() if key not in str(each)}
        self.database.committed = rows
        return sound(**options)

    return method


add("preparing_deletes_expired_nodes", "backend.prepare.records", ("backend.prepare", _deleting("nodes", "'old'")))
add("preparing_frees_leases", "backend.prepare.records", ("backend.prepare", _deleting("leases", "job")))
add("diagnosis_deletes_expired_correlations", "backend.diagnose.records", ("backend.diagnose", _deleting("correlations", "old")))
add("stats_drop_occurrences_that_expired", "backend.diagnose.records", ("backend.stats", _deleting("occurrences", "o")))
add("pending_forgets_the_anchors", "backend.diagnose.records", ("backend.pending", _deleting("anchors", "default")))

add("info_holds_the_url", "backend.info.passwords", ("backend.info", always({"url": "acme://me:geheim@db.example/x"})))
add("info_holds_the_password", "backend.info.passwords", ("backend.info", always({"settings": ["db.example", "hunter2"]})))
add("stats_hold_the_password", "backend.info.passwords", ("backend.stats", always({"password": "geheim"})))

add("the_time_stands_still", "backend.server_now.moves", ("backend.server_now", lambda self, sound: vars(self).setdefault("opened_at", sound())))
add("the_time_is_known_to_the_minute", "backend.server_now.moves", ("backend.server_now", lambda self, sound: sound().replace(second=0, microsecond=0)))
