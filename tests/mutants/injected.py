"""Faults that show when the driver fails: errors taken for an answer, and failures of commits and migrations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from ciris_store_core.contract import Session
from ciris_store_core.errors import DatabaseError, IncompatibleSchema
from ciris_store_core.models.graph import TraversalResult
from ciris_store_core.models.paging import ResultPage
from tests.mutants.planting import Replacement, add, plant
from tests.mutants.transactions import committing_on


def _guessing(answer: Any) -> Replacement:
    """Return a method that answers so if the driver fails."""

    def method(self: Any, sound: Any, *arguments: Any, **more: Any) -> Any:
        try:
            return sound(*arguments, **more)
        except DatabaseError:
            return answer

    return method


def _raw(self: Any, sound: Any, *arguments: Any, **more: Any) -> Any:
    try:
        return sound(*arguments, **more)
    except DatabaseError as error:
        raise RuntimeError("SQLSTATE XX000") from error


for _target, _answer in (
    ("tasks.get", []),
    ("tasks.find", ResultPage([])),
    ("tasks.count_by_status", {}),
    ("graph.get_nodes", []),
    ("graph.traverse", TraversalResult({}, truncated=False)),
    ("graph.search", []),
    ("correlations.count", 0),
    ("correlations.metric_names", []),
    ("secrets.find", ResultPage([])),
    ("audit.anchor", None),
    ("documents.get", []),
    ("documents.count", 0),
    ("streams.read", ResultPage([])),
):
    add(f"an_error_of_{_target}_reads_as_nothing", "session.errors.reads", (_target, _guessing(_answer)))
for _target in ("thoughts.find", "correlations.aggregate", "documents.find", "streams.info"):
    add(f"an_error_of_{_target}_is_the_drivers", "session.errors.reads", (_target, _raw))
for _target, _answer in (
    ("tasks.add", None),
    ("tasks.claim_next", []),
    ("thoughts.update", False),
    ("graph.delete_nodes", 0),
    ("coordination.renew_lease", True),
    ("secrets.log_access", None),
    ("audit.append", None),
    ("documents.put", []),
    ("documents.delete_matching", 0),
    ("streams.append", []),
    ("streams.pop", None),
):
    _clauses = "session.errors.writes session.errors.single"
    add(f"an_error_of_{_target}_is_swallowed", _clauses, (_target, _guessing(_answer)))
for _target in ("coordination.acquire_lease", "graph.put_edges", "documents.touch", "streams.fork"):
    add(f"an_error_of_{_target}_is_the_drivers", "session.errors.writes session.errors.single", (_target, _raw))


def _one_by_one(self: Any, sound: Any, batch: Any, *more: Any) -> Any:
    return [sound([each], *more) for each in batch]


for _target in ("tasks.add", "thoughts.add", "correlations.add"):
    add(
        f"{_target}_stores_the_rows_before_an_error", "session.errors.writes session.errors.single",
        ("backend.session", committing_on(DatabaseError)), (_target, _one_by_one),
    )  # fmt: skip


@contextmanager
def _committing(self: Any, sound: Any, *, end: Any, write: bool, single: bool = False) -> Iterator[Session]:
    """Pass an error of the commit, and what was to be committed, to ``end``."""
    rows = reached = None
    try:
        with sound(write=write, single=single) as opened:
            yield opened
            reached, rows = write, opened._tables.snapshot()
    except DatabaseError as error:
        if not reached:
            raise
        end(self, error, rows)


def _ignored(self: Any, error: Exception, rows: Any) -> None:
    pass


def _of_the_driver(self: Any, error: Exception, rows: Any) -> None:
    raise RuntimeError("SQLSTATE XX000") from error


def _stored(self: Any, error: Exception, rows: Any) -> None:
    self.database.committed = rows
    raise error


for _name, _end in (
    ("a_failed_commit_is_ignored", _ignored),
    ("the_error_of_a_commit_is_the_drivers", _of_the_driver),
    ("a_failed_commit_is_stored", _stored),
):
    add(_name, "session.errors.commit", ("backend.session", partial(_committing, end=_end)))


# --- migrations -------------------------------------------------------------------------------


@plant("backend.prepare.errors", "backend.prepare")
def a_failed_migration_counts_as_applied(self: Any, sound: Any, *, migrate: bool) -> None:
    try:
        sound(migrate=migrate)
    except DatabaseError:
        self.database.prepared = True
        raise


@plant("backend.prepare.errors", "backend.prepare")
def a_failed_migration_is_ignored(self: Any, sound: Any, *, migrate: bool) -> None:
    try:
        sound(migrate=migrate)
    except DatabaseError:
        self.database.prepared = True


@plant("backend.prepare.errors", "backend.prepare")
def a_failed_migration_leaves_its_tables(self: Any, sound: Any, *, migrate: bool) -> None:
    if migrate and vars(self.database).get("half"):
        raise DatabaseError("the table exists already")
    try:
        sound(migrate=migrate)
    except DatabaseError:
        self.database.half = True
        raise


@plant("backend.prepare.newer", "backend.prepare", "backend.pending")
def any_later_schema_will_do(self: Any, sound: Any, **options: Any) -> Any:
    self.database.excludes = False
    return sound(**options)


@plant("backend.prepare.newer", "backend.prepare")
def every_later_schema_is_refused(self: Any, sound: Any, *, migrate: bool) -> None:
    if "excludes" in vars(self.database):
        raise IncompatibleSchema("the schema is of a later program")
    sound(migrate=migrate)


@plant("backend.prepare.newer", "backend.pending")
def pending_overlooks_a_later_schema(self: Any, sound: Any) -> Any:
    return ()
