"""Faults of transactions that hold documents or streams, and faults that show only after a kill or in a process."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ciris_store_core.contract import Session
from ciris_store_core.errors import DatabaseError
from ciris_store_core.inmemory.backend import Database, MemorySession
from ciris_store_core.inmemory.tables import TABLE_NAMES, Tables
from ciris_store_core.models.operations import Diagnosis, Finding, Severity
from tests.mutants.planting import add, always, plant
from tests.mutants.processes import _acknowledged_early, _close, _elsewhere, _flush
from tests.mutants.transactions import committing_on

TABLES = {
    "documents": (TABLE_NAMES.index("documents"),),
    "streams": (TABLE_NAMES.index("streams"), TABLE_NAMES.index("stream_entries")),
}
"""Places of the tables of each aggregate in a snapshot."""
CHANGES: dict[str, tuple[str, ...]] = {
    "documents": ("put", "touch", "delete", "delete_matching", "delete_expired", "reencrypt"),
    "streams": ("append", "pop", "truncate", "fork", "delete", "reencrypt"),
}
READS: dict[str, tuple[str, ...]] = {"documents": ("find", "count", "namespaces", "get", "lock"), "streams": ("read", "get", "find", "info")}


def _commit_now(self: Any, places: tuple[int, ...], tables: Any) -> None:
    rows = list(self.lab.database.committed)
    for place in places:
        rows[place] = dict(tables[place].rows)
    self.lab.database.committed = rows


def _own_tables(self: Any, store: str) -> list[Any]:
    return [self._documents] if store == "documents" else [self._streams, self._entries]


def _at_once(store: str) -> Callable[..., Any]:
    """Commit what a call wrote when it returns, whatever becomes of the transaction."""
    def call(self: Any, sound: Any, *arguments: Any) -> Any:
        answer = sound(*arguments)
        _commit_now(self, TABLES[store], dict(zip(TABLES[store], _own_tables(self, store), strict=True)))
        return answer

    return call


def _half(store: str) -> Callable[..., Any]:
    """Leave what a refused call wrote before it was refused, here all that is deleted."""
    def call(self: Any, sound: Any, *arguments: Any) -> Any:
        try:
            return sound(*arguments)
        except Exception:
            for table in _own_tables(self, store):
                table.delete(list(table.rows))
            _commit_now(self, TABLES[store], dict(zip(TABLES[store], _own_tables(self, store), strict=True)))
            raise

    return call


for _store, _methods in CHANGES.items():
    for _method in _methods:
        add(f"{_store}_{_method}_commits_at_once", f"{_store}.rollback", (f"{_store}.{_method}", _at_once(_store)))
    for _method in _methods[:2] if _store == "streams" else _methods[:1]:
        add(f"{_store}_{_method}_is_seen_before_the_commit", f"{_store}.isolation", (f"{_store}.{_method}", _at_once(_store)))
    add(f"a_refused_write_of_{_store}_deletes", f"{_store}.refused", (f"{_store}.{_methods[0]}", _half(_store)))
add("documents_are_not_part_of_the_transaction", "documents.with_others documents.crash.before_commit", ("documents.put", _at_once("documents")))
add("streams_are_not_part_of_the_transaction", "documents.with_others documents.crash.before_commit", ("streams.append", _at_once("streams")))
add("a_killed_process_commits_documents", "documents.crash.before_commit", ("backend.session", committing_on(BaseException)))


def _stale(store: str, method: str) -> Callable[..., Any]:
    """Read what was stored before the transaction."""
    def call(self: Any, sound: Any, *arguments: Any) -> Any:
        fresh = MemorySession(Tables.of(self.before, writable=True))
        return getattr(getattr(fresh, store), method)(*arguments)

    return call


for _store, _methods in READS.items():
    for _method in _methods:
        add(f"own_writes_unseen_by_{_store}_{_method}", f"{_store}.own_writes", (f"{_store}.{_method}", _stale(_store, _method)))


@contextmanager
def _late_single(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    """Commit single calls when the next session begins."""
    def later(database: Database, tables: Tables) -> None:
        self.pending = tables.snapshot()

    _flush(self)
    if not single:
        with sound(write=write, single=single) as opened:
            yield opened
        return
    with self.transaction(later, write=write) as opened:
        yield opened


add("single_calls_are_stored_with_the_next", "documents.single streams.single documents.crash.single", ("backend.session", _late_single), ("backend.close", _close))
add("all_commits_are_acknowledged_early", "documents.single streams.single documents.crash.single", ("backend.session", _acknowledged_early), ("backend.close", _close))


def _without(*tables: str) -> Any:
    """Lose what single calls wrote to some tables."""
    @contextmanager
    def session(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
        def commit(database: Database, made: Tables) -> None:
            rows = made.snapshot()
            database.committed = [old if single and name in tables else new for name, old, new in zip(TABLE_NAMES, database.committed, rows, strict=True)]

        with self.transaction(commit, write=write) as opened:
            yield opened

    return session


add("single_calls_lose_documents", "documents.single documents.crash.single", ("backend.session", _without("documents")))
add("single_calls_lose_entries", "streams.single", ("backend.session", _without("stream_entries", "streams")))
add("documents_can_be_used_when_all_is_over", "documents.over", ("session._tables.documents.end", always(None)))
add("entries_can_be_used_when_all_is_over", "documents.over", ("session._tables.streams.end", always(None)), ("session._tables.stream_entries.end", always(None)))


def _committed(store: str, method: str) -> Callable[..., Any]:
    """Read what is committed by now, as without a snapshot; a writer sees its own tables."""
    def call(self: Any, sound: Any, *arguments: Any) -> Any:
        if _own_tables(self, store)[0]._writable:
            return sound(*arguments)
        fresh = MemorySession(Tables.of(list(self.lab.database.committed), writable=False))
        return getattr(getattr(fresh, store), method)(*arguments)

    return call


add("snapshots_of_documents_move", "documents.isolation", ("documents.find", _committed("documents", "find")))
add("snapshots_of_entries_move", "streams.isolation", ("streams.read", _committed("streams", "read")))


def _late(*tables: str) -> Any:
    """Store what a transaction wrote to some tables with the next one."""
    @contextmanager
    def session(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
        places = [TABLE_NAMES.index(name) for name in tables]

        def commit(database: Database, made: Tables) -> None:
            rows = made.snapshot()
            before = vars(self).get("late", {place: rows[place] for place in places})
            self.late = {place: rows[place] for place in places}
            database.committed = [before.get(place, row) for place, row in enumerate(rows)]

        with self.transaction(commit, write=write) as opened:
            if "late" in vars(self):
                for name, place in zip(tables, places, strict=True):
                    getattr(opened._tables, name).restore(self.late[place])
            yield opened

    return session


add("documents_are_stored_a_transaction_late", "documents.crash.any_moment", ("backend.session", _late("documents")))
add("entries_are_stored_a_transaction_late", "documents.crash.any_moment", ("backend.session", _late("stream_entries", "streams")))


@plant("documents.diagnose", "backend.diagnose")
def a_truncated_stream_is_an_alarm(self: Any, sound: Any, *, thorough: bool = False) -> Diagnosis:
    places = TABLES["streams"]
    gaps = [key for key, info in self.database.committed[places[0]].items() if info.first_position > 1]
    return Diagnosis(findings=[Finding("streams", Severity.ERROR, f"{key} has no position 1") for key in gaps])


@plant("documents.diagnose", "backend.diagnose")
def a_diagnosis_deletes_streams(self: Any, sound: Any, *, thorough: bool = False) -> Diagnosis:
    rows = list(self.database.committed)
    for place in TABLES["streams"]:
        rows[place] = {}
    self.database.committed = rows
    return Diagnosis()


add("each_process_has_documents_of_its_own", "streams.pop.processes streams.append.processes", ("harness.open_peer", lambda self, sound, *, blank=False: _elsewhere(self, sound, blank)))
add("batches_of_documents_deadlock", "documents.put.deadlock", ("documents.put", lambda self, sound, writes, now: sound(writes, now) if len(writes) < 2 or writes[0].document.key < writes[-1].document.key or not writes[0].document.key.startswith("k1") else _deadlock()))


def _deadlock() -> Any:
    raise DatabaseError("deadlock detected")
