"""Hosts whose clock is wrong, and programs that became too old while they ran."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from ciris_store_core import GraphNode, Store, Task, open_store
from ciris_store_core.errors import IncompatibleSchema
from ciris_store_core.services import DatabaseMaintenanceService
from tests.store.conftest import BACKENDS

#: The host's own clock is off; nothing is injected.
HOST = """
import sys
from datetime import UTC, datetime, timedelta
from ciris_store_core import open_store
from ciris_store_core.clock import SystemClock
from ciris_store_core.services import DatabaseMaintenanceService
SystemClock.now = lambda self: datetime.now(UTC) + timedelta(hours=float(sys.argv[2]))
with open_store(sys.argv[1]) as store:
    me = store.for_occurrence("wrong")
    me.register()
"""

AHEAD = """
    print(store.leases.acquire("job", "wrong"), [task.task_id for task in me.rescue()])
    report = DatabaseMaintenanceService(store, archive_dir=None).run()
    print(report.rescued_tasks, report.expired_nodes, store.graph.get("note", "local") is not None)
"""

LATE = """
    [work] = me.claim_next()
    work.complete()
    store.occurrences.remove("wrong")
    print(store.tasks.count(status="completed", occurrence_id="wrong"))
"""


def on_host(url: str, hours: float, program: str) -> str:
    command = [sys.executable, "-c", HOST + program, url, str(hours)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    return BACKENDS[request.param](request)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """On a host whose clock is right."""
    with open_store(url) as opened:
        yield opened


@pytest.mark.parametrize("hours", [3, 24 * 400])
def test_a_host_whose_clock_is_ahead_takes_nothing_from_the_living(store: Store, url: str, hours: float) -> None:
    store.tasks.add(Task(task_id="t", channel_id="c", description="d"))
    until = datetime.now(UTC) + timedelta(hours=1)
    store.graph.put(GraphNode(id="note", type="concept", scope="local", attributes={}, expires_at=until))
    me = store.for_occurrence("right", 600)
    me.register()
    [work] = me.claim_next()
    lease = store.leases.acquire("job", "right", 600)
    assert on_host(url, hours, AHEAD) == "None []\n0 0 True\n"
    work.complete()
    assert lease is not None and store.leases.renew(lease) is not None


def test_what_a_late_host_completes_is_not_old(store: Store, url: str) -> None:
    store.tasks.add(Task(task_id="t", channel_id="c", description="d"))
    assert on_host(url, -24 * 31, LATE) == "1\n"
    assert DatabaseMaintenanceService(store, archive_dir=None).run().old_tasks == 0
    assert store.tasks.count(status="completed", occurrence_id="wrong") == 1


def test_a_program_that_a_migration_made_too_old_is_refused(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = store.for_occurrence("o")
    me.register()
    assert me.heartbeat()
    newer = "INSERT INTO {schema_migrations} (version, name, applied_at, oldest_program) VALUES (?, ?, ?, ?)"
    with open_store(url) as other, other._backend.session(write=True) as session:
        session.run(newer, (999, "later", session.codec.time_in(datetime.now(UTC)), 999))  # type: ignore[attr-defined]
    with pytest.raises(IncompatibleSchema, match="programs older than 999 may not use"):
        me.heartbeat()
    if url.startswith("postgres"):
        monkeypatch.setattr("ciris_store_core.store.context.SYNC_SECONDS", 0.0)
        for asks_the_time in (store.server_now, lambda: store.leases.acquire("l", "o")):
            with pytest.raises(IncompatibleSchema):
                asks_the_time()
