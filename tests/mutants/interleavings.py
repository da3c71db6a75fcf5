"""Faults that show between two transactions: a method that decides before it waits, and transactions that deadlock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from ciris_store_core.contract import Session
from ciris_store_core.errors import DatabaseError, Unavailable
from ciris_store_core.inmemory.backend import Database, MemorySession
from ciris_store_core.inmemory.tables import Snapshot, Tables
from tests.mutants.planting import add, plant

STORES = ("graph", "correlations", "tasks", "thoughts", "coordination", "secrets", "audit", "documents", "streams")

INTERLEAVED = (
    "graph.put_nodes",
    "graph.increment",
    "graph.delete_nodes",
    "graph.delete_expired_nodes",
    "graph.put_edges",
    "graph.delete_edges",
    "graph.lock_nodes",
    "graph.lock_edges",
    "correlations.update",
    "correlations.add",
    "correlations.add_metrics",
    "correlations.delete",
    "correlations.delete_expired",
    "correlations.lock",
    "correlations.find_locked",
    "tasks.update",
    "tasks.transfer",
    "tasks.claim_next",
    "tasks.release",
    "tasks.add_or_get",
    "tasks.add",
    "tasks.delete",
    "tasks.lock_claim",
    "tasks.lock",
    "thoughts.update",
    "thoughts.retry",
    "thoughts.escalate",
    "thoughts.transfer",
    "thoughts.add",
    "thoughts.delete",
    "thoughts.lock",
    "coordination.acquire_lease",
    "coordination.renew_lease",
    "coordination.release_lease",
    "coordination.add_leases",
    "coordination.heartbeat",
    "coordination.remove_occurrence",
    "secrets.reencrypt",
    "secrets.add",
    "secrets.delete",
    "secrets.log_access",
    "audit.head",
    "audit.append",
    "audit.prune",
    "documents.put",
    "documents.touch",
    "documents.delete",
    "documents.delete_matching",
    "documents.delete_expired",
    "documents.reencrypt",
    "documents.lock",
    "streams.append",
    "streams.pop",
    "streams.truncate",
    "streams.fork",
    "streams.delete",
    "streams.reencrypt",
)
"""Methods that a test calls while another transaction is open."""


class _Late:
    """Write transaction that waits for the write lock at its first call, but for one method: that one decides first."""

    def __init__(self, database: Database, lenient: str, stack: ExitStack) -> None:
        self.database, self.lenient, self.stack = database, lenient, stack
        self.before: Snapshot = list(database.committed)
        self.tables = Tables.of(self.before, writable=True)
        self.locked = self.within = False

    def lock(self) -> None:
        if not self.locked:
            self.stack.enter_context(self.database.writing(5.0))
            self.locked = True
            self.tables.restore(list(self.database.committed))

    def wrap(self, session: Session) -> None:
        for store in STORES:
            root = getattr(session, store)
            for name in dir(type(root)):
                if not name.startswith("_") and callable(getattr(root, name)):
                    setattr(root, name, partial(self.call, f"{store}.{name}", getattr(root, name)))

    def call(self, name: str, method: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        if self.within or self.locked:
            return method(*arguments, **more)
        if name != self.lenient:
            self.lock()
            return method(*arguments, **more)
        self.within = True
        answer = method(*arguments, **more)
        changed = self.tables.snapshot()
        self.lock()
        self.tables.restore(list(map(_merged, self.before, changed, self.database.committed)))
        return answer

    def commit(self) -> None:
        if self.locked:
            self.database.committed = self.tables.snapshot()
        self.tables.end()


def _merged(old: dict[Any, Any], new: dict[Any, Any], committed: dict[Any, Any]) -> dict[Any, Any]:
    gone = old.keys() - new.keys()
    changed = {key: row for key, row in new.items() if old.get(key) is not row}
    return {**{key: row for key, row in committed.items() if key not in gone}, **changed}


def _deciding_early(name: str) -> Any:
    @contextmanager
    def session(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
        if not write:
            with sound(write=write, single=single) as opened:
                yield opened
            return
        with ExitStack() as stack:
            late = _Late(self.database, name, stack)
            opened = self.prepared(MemorySession(late.tables))
            late.wrap(opened)
            yield opened
            late.commit()

    return session


for _name in INTERLEAVED:
    add(f"{_name}_decides_before_it_waits", f"{_name}.interleaved", ("backend.session", _deciding_early(_name)))


@plant(" ".join(f"{name}.interleaved" for name in INTERLEAVED), "backend.session")
@contextmanager
def a_writer_that_meets_another_fails(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    busy = vars(self.database).setdefault("busy", threading.Semaphore(1))
    if write and not busy.acquire(blocking=False):
        raise DatabaseError("could not serialize access due to a concurrent update")
    try:
        with sound(write=write, single=single) as opened:
            yield opened
    finally:
        if write:
            busy.release()


# --- deadlocks --------------------------------------------------------------------------------


@contextmanager
def _interrupted(
    self: Any, sound: Any, end: Callable[[Any, Any], None], write: bool, single: bool
) -> Iterator[Session]:
    """End the first transaction that counts, between its two additions."""
    with sound(write=write, single=single) as opened:

        def at_once(method: Callable[..., Any], *arguments: Any) -> Any:
            answer = method(*arguments)
            number = vars(self.database)["counted"] = vars(self.database).get("counted", 0) + 1
            if number == 1:
                end(self, opened)
            return answer

        if write:
            opened.tasks.update = partial(at_once, opened.tasks.update)
            opened.graph.increment = partial(at_once, opened.graph.increment)
        yield opened


def _as_an_error(self: Any, opened: Any) -> None:
    raise DatabaseError("deadlock detected")


def _half_stored(self: Any, opened: Any) -> None:
    self.database.committed = opened._tables.snapshot()
    raise Unavailable("deadlock detected")


for _fault, _end in (
    ("a_deadlock_is_no_reason_to_retry", _as_an_error),
    ("the_loser_of_a_deadlock_is_stored_in_part", _half_stored),
):
    add(
        _fault,
        "session.deadlock",
        (
            "backend.session",
            lambda self, sound, *, write, single=False, end=_end: _interrupted(self, sound, end, write, single),
        ),
    )


@plant("session.deadlock", "backend.session")
@contextmanager
def the_winner_of_a_deadlock_is_lost(self: Any, sound: Any, *, write: bool, single: bool = False) -> Iterator[Session]:
    def nothing(database: Database, tables: Tables) -> None:
        first = vars(database).setdefault("first", iter([True]))
        if "counted" in vars(database) and next(first, False):
            return
        database.committed = tables.snapshot()

    with self.transaction(nothing, write=write) as opened:
        if write:
            increment, update = opened.graph.increment, opened.tasks.update
            opened.graph.increment = lambda *arguments: _counted(self.database, increment, arguments)
            opened.tasks.update = lambda *arguments: _counted(self.database, update, arguments)
        yield opened


def _counted(database: Any, method: Callable[..., Any], arguments: Any) -> Any:
    database.counted = True
    return method(*arguments)
