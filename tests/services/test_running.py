from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from ciris_store_core import (
    AsyncMemoryService,
    InvalidArgument,
    ManualClock,
    Store,
    Task,
    TestSeams,
    open_store,
    open_store_async,
)
from ciris_store_core.services import BackgroundWork, MemoryService, RetentionService

WAIT = 30.0
NAMES = {"maintenance", "retention"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # The archive is in a relative folder by default.


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & NAMES


def a_pass_of(work: BackgroundWork) -> None:
    """Wait until each of the services has done one."""
    for service in work.services:
        while service.last_report is None:
            assert service.running and service.last_error is None
            threading.Event().wait(0.005)


def with_old_rows(store: Store, clock: ManualClock) -> None:
    now = clock.now()
    memory = MemoryService(store)
    for minute in range(10):
        then = now - timedelta(days=60, minutes=minute)
        memory.memorize_metric("cpu", float(minute), {"h": "a"}, timestamp=then, retention_policy="downsampled")
        memory.memorize_log("it broke", "ERROR", timestamp=then, retention_policy="aggregated")
    memory.memorize_metric("cpu", 99.0)
    long_ago = now - timedelta(days=60)
    times = {"created_at": long_ago, "updated_at": long_ago}
    store.tasks.add(Task(task_id="t", channel_id="c", description="d", status="completed", **times))


def test_a_store_that_was_asked_to_keeps_itself_tidy(opened: Callable[..., Store], clock: ManualClock) -> None:
    store = opened()
    with_old_rows(store, clock)
    assert threads() == set()
    with BackgroundWork(store) as work:
        assert work.running and threads() == NAMES
        work.start()
        a_pass_of(work)
    assert not work.running and threads() == set()
    assert store.tasks.count() == 0 and [*Path("data/archive").iterdir()]
    recalled = MemoryService(store).recall_timeseries(hours=24 * 90)
    values = [(point.metric_name, point.value, point.resolution) for point in recalled]
    assert ("cpu", 99.0, "raw") in values and len(values) < 21
    assert sum(value for name, value, _ in values if name == "log.ERROR") == 10.0
    assert {name for name, _, resolution in values if resolution != "raw"} == {"cpu", "log.ERROR"}
    assert store.graph.count(type="tsdb_data") == sum(resolution == "raw" for _, _, resolution in values)


def test_opened_with_background(url: str, clock: ManualClock) -> None:
    with open_store(url, testing=TestSeams(clock=clock, server_clock=clock), background=True) as store:
        assert threads() == NAMES and store._background is not None
        a_pass_of(store._background)
    assert threads() == set()


def test_a_started_memory_service_runs_it(store: Store) -> None:
    memory = MemoryService(store)
    assert threads() == set()
    with memory:
        assert threads() == NAMES
    assert threads() == set()
    memory.start()
    memory.stop()
    memory.stop()
    assert threads() == set()
    with store.transaction() as tx, pytest.raises(InvalidArgument, match="over the store"):
        MemoryService(tx).start()


def test_the_service_for_asyncio_runs_it(url: str) -> None:
    async def body() -> None:
        async with open_store_async(url) as store:
            work = BackgroundWork(store.sync, plan="lean", archive_dir=None)
            async with AsyncMemoryService(store, background=work) as memory:
                assert threads() == NAMES
                assert (await memory.memorize_metric("m", 1.0)).status == "ok"
            assert threads() == set()
            assert isinstance(work.services[1], RetentionService)

    asyncio.run(body())
