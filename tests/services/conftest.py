"""These tests run on every backend too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core.models import Thought
from ciris_store_core.services import DatabaseMaintenanceService, MaintenanceReport
from ciris_store_core.store import Store
from tests.store.conftest import clock, opened, store, url

__all__ = ["add_orphans", "clock", "opened", "store", "url"]


def add_orphans(store: Store, *thoughts: Thought) -> None:
    """Store thoughts whose task does not exist, as older programs and copies leave them."""
    now = store.clock.now()
    dated = [thought.replaced(created_at=now, updated_at=now) for thought in thoughts]
    store._x.write("test", lambda session: session.thoughts.add(dated))


Service = Callable[..., DatabaseMaintenanceService]


def changed(report: MaintenanceReport) -> dict[str, int]:
    """Return the counts of the report that are not 0."""
    names = (
        "rescued_tasks", "recovered_thoughts", "stale_shared_tasks", "orphaned_tasks", "old_tasks", "thoughts",
        "orphaned_thoughts", "expired_nodes", "expired_correlations", "kept", "corrupt",
    )  # fmt: skip
    return {name: getattr(report, name) for name in names if getattr(report, name)}


@pytest.fixture
def service(store: Store, tmp_path: Path) -> Service:
    def make(**options: Any) -> DatabaseMaintenanceService:
        return DatabaseMaintenanceService(store, **{"archive_dir": tmp_path / "archive", **options})

    return make


@pytest.fixture
def clean(service: Service) -> Callable[..., dict[str, int]]:
    """A dry run and then a pass, which must agree, and a third, which must find nothing more to remove."""

    def run(**options: Any) -> dict[str, int]:
        maintenance = service(**options)
        planned, done = maintenance.run(dry_run=True), maintenance.run()
        again = maintenance.run()
        assert changed(planned) == changed(done) and planned.archive is None and not done.skipped
        assert {name: count for name, count in changed(again).items() if name != "kept"} == {}
        return changed(done)

    return run
