"""Operations: snapshot, pending migrations, diagnosis, backup."""

from __future__ import annotations

import json
import stat
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest

from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.factories import task
from ciris_store_core.conformance.harness import Harness
from ciris_store_core.conformance.levels import Level, clause
from ciris_store_core.conformance.suite.backends import blank
from ciris_store_core.conformance.support import BackgroundCall, reading, writing
from ciris_store_core.contract import Backend
from ciris_store_core.errors import MigrationRequired, NotSupported
from ciris_store_core.models.operations import Severity


def add_task(backend: Backend, id: str) -> None:
    """Store a task, in a transaction of its own."""
    with writing(backend) as session:
        session.tasks.add([task(id)])


class TestOperations:
    """``snapshot``, ``pending``, ``diagnose`` and ``backup`` of ``Backend``."""

    @clause("backend.snapshot", Level.CONCURRENT)
    def test_a_snapshot_is_of_one_moment(self, backend: Backend) -> None:
        """Otherwise a copy or a backup holds half of what was written while it was made."""
        ids = ["before", "meanwhile"]
        add_task(backend, "before")
        with backend.snapshot() as session:
            assert len(session.tasks.get(ids, None)) == 1
            writer = BackgroundCall(lambda: add_task(backend, "meanwhile"))
            writer.finished()  # or it waits, where there are no readers beside a writer
            assert len(session.tasks.get(ids, None)) == 1
        writer.result()
        with reading(backend) as session:
            assert len(session.tasks.get(ids, None)) == 2

    @clause("backend.pending", Level.OPERABLE)
    def test_pending(self, backend: Backend) -> None:
        """Otherwise an operator is told to migrate a database that is up to date."""
        assert list(backend.pending()) == []

    @clause("backend.pending.blank", Level.OPERABLE)
    def test_pending_of_a_store_that_is_not_there(self, harness: Harness, clock: ManualClock) -> None:
        """Otherwise looking at what a migration would do already does some of it, or shows too little."""
        with closing(blank(harness, clock)) as first:
            pending = first.pending()
            assert [each.version for each in pending] == sorted(each.version for each in pending)
            assert all(each.name and each.statements for each in pending)
        with closing(blank(harness, clock)) as second, pytest.raises(MigrationRequired):
            second.prepare(migrate=False)
        with closing(blank(harness, clock)) as third:
            third.prepare(migrate=True)
            assert list(third.pending()) == []
            version = third.info().get("schema_version")
        # Where there is a schema, all of it is pending; where there is none, nothing ever is.
        assert [each.version for each in pending][-1:] == ([] if version is None else [version])

    @pytest.mark.parametrize("thorough", [False, True])
    @clause("backend.diagnose", Level.OPERABLE)
    def test_diagnose_a_sound_store(self, backend: Backend, thorough: bool) -> None:
        """Otherwise operators learn to overlook alarms, or the check itself does harm."""
        add_task(backend, "t")
        found = backend.diagnose(thorough=thorough)
        assert not [each for each in found.findings if each.severity == Severity.ERROR]
        assert json.loads(json.dumps(asdict(found)))
        assert all(table.name and table.bytes >= table.index_bytes >= 0 for table in found.tables)
        assert [table.bytes for table in found.tables] == sorted((t.bytes for t in found.tables), reverse=True)
        with reading(backend) as session:
            assert len(session.tasks.get(["t"], None)) == 1

    @clause("backend.backup", Level.OPERABLE)
    def test_backup(self, backend: Backend, tmp_path: Path) -> None:
        """Otherwise a backup is missing when it is needed, or readable by every user."""
        add_task(backend, "t")
        target = tmp_path / "backup"
        steps: list[tuple[int, int]] = []
        try:
            backend.backup(target, lambda done, total: steps.append((done, total)))
        except NotSupported:
            assert not target.exists()
            return
        assert target.stat().st_size > 0
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert steps and steps[-1][0] == steps[-1][1] > 0
