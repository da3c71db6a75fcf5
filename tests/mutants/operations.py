"""Faults of diagnosis, statistics and restored leases."""

# A fault is a line of a table, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ciris_store_core.conformance.factories import T0
from ciris_store_core.inmemory.backend import MemorySession
from ciris_store_core.inmemory.tables import TABLE_NAMES, Tables
from ciris_store_core.models.operations import Diagnosis, Finding, PendingMigration, Severity, TableSize
from tests.mutants.planting import add, always, plant, raises_plain_conflict


@plant("coordination.add_leases", "coordination.add_leases")
def added_leases_begin_anew(self: Any, sound: Any, leases: Any) -> None:
    sound([lease.replaced(fence=1) for lease in leases])


@plant("coordination.add_leases", "coordination.add_leases")
def added_leases_are_held_from_now_on(self: Any, sound: Any, leases: Any) -> None:
    sound([lease.replaced(acquired_at=T0) for lease in leases])


@plant("coordination.add_leases.conflict", "coordination.add_leases")
def added_leases_overwrite(self: Any, sound: Any, leases: Any) -> None:
    for lease in leases:
        self._leases.put(lease.name, lease)


add(
    "a_lease_that_exists_is_a_plain_conflict",
    "coordination.add_leases.conflict",
    ("coordination.add_leases", raises_plain_conflict),
)


@plant("backend.snapshot", "backend.snapshot")
@contextmanager
def a_snapshot_sees_what_is_committed(self: Any, sound: Any) -> Iterator[Any]:
    yield _Fresh(self.database)


class _Fresh:
    def __init__(self, database: Any) -> None:
        self.database = database

    def __getattr__(self, part: str) -> Any:
        return getattr(MemorySession(Tables.of(list(self.database.committed), writable=False)), part)


PENDING = PendingMigration(1, "everything", ("CREATE TABLE t",))
add("something_is_always_pending", "backend.pending backend.pending.blank", ("backend.pending", always([PENDING])))
add("what_is_pending_has_no_statements", "backend.pending.blank", ("backend.pending", lambda self, sound: [] if self.database.prepared else [replace(PENDING, statements=())]))


@plant("backend.pending.blank", "backend.pending")
def looking_at_what_is_pending_applies_it(self: Any, sound: Any) -> Any:
    self.database.prepared = True
    return sound()


@plant("backend.diagnose", "backend.diagnose")
def a_sound_store_is_ill(self: Any, sound: Any, *, thorough: bool = False) -> Diagnosis:
    return Diagnosis([Finding("ill", Severity.ERROR, "it does not look well")] if thorough else [])


@plant("backend.diagnose", "backend.diagnose")
def a_diagnosis_harms(self: Any, sound: Any, *, thorough: bool = False) -> Any:
    self.database.committed = [{} for _ in TABLE_NAMES]
    return sound(thorough=thorough)


add("a_diagnosis_lists_small_tables_first", "backend.diagnose", ("backend.diagnose", always(Diagnosis(tables=[TableSize("a", 1), TableSize("b", 2)]))))
add("a_backup_is_not_made", "backend.backup", ("backend.backup", always(None)))
add("a_backup_is_empty", "backend.backup", ("backend.backup", lambda self, sound, path, progress: path.touch(mode=0o600)))


@plant("backend.backup", "backend.backup")
def a_backup_is_for_everybody(self: Any, sound: Any, path: Any, progress: Any) -> None:
    path.write_text("everything")
    path.chmod(0o644)
    progress(1, 1)
