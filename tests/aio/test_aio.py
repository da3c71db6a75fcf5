from __future__ import annotations

import ast
import asyncio
import inspect
import subprocess
import sys
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ciris_store_core import (
    AsyncStore,
    ClaimedTask,
    Conflict,
    GraphEdge,
    InvalidArgument,
    ManualClock,
    NotFound,
    RetryPolicy,
    Store,
    StoreError,
    Unavailable,
    aio,
    open_store_async,
)
from ciris_store_core.aio.facade import public_members
from ciris_store_core.errors import TransactionError
from tests.support.async_stubs import STUB, made
from tests.support.factories import concept, task

# --- what it does -----------------------------------------------------------------------------


def test_calls_scans_and_errors_are_those_of_the_store(within: Callable[..., Any], clock: ManualClock) -> None:
    async def body(store: AsyncStore) -> None:
        stored = await store.graph.put(concept(a=1))
        assert await store.graph.get("n", "local") == stored == store.sync.graph.get("n", "local")
        assert await store.graph.get("other", "local") is None and store.clock is clock
        with pytest.raises(NotFound):
            await store.graph.put_edge(GraphEdge(source="n", target="none", relationship="r", scope="local"))
        await store.tasks.add(task())
        with pytest.raises(Conflict):
            await store.tasks.add(task())
        await store.graph.put_many(concept(f"{i:05}") for i in range(2500))
        scanned = [each.id async for each in store.graph.scan(prefix="0")]
        assert sorted(scanned) == [f"{i:05}" for i in range(2500)] and len(scanned) == 2500
        with pytest.raises(InvalidArgument):
            _ = [each async for each in store.graph.scan(scope="nowhere")]

    within(body)


def test_handles_have_async_counterparts(within: Callable[..., Any]) -> None:
    async def body(store: AsyncStore) -> None:
        await store.tasks.add(task())
        async with store.for_occurrence("w") as me:
            assert me.occurrence_id == "w" and [o.occurrence_id for o in await store.occurrences.find()] == ["w"]
            [work] = await me.claim_next()
            assert isinstance(work, aio.AsyncClaimedTask) and not isinstance(work, ClaimedTask)
            again = store.tasks.claimed(work.task)
            await again.complete()
            assert (await me.tasks.get("t")).status == "completed"
        assert await store.occurrences.find() == []
        async with store.leases.lock("l", "me") as lease:
            assert [held.name for held in await store.leases.find()] == [lease.name] == ["l"]
        assert await store.leases.find() == []

    within(body)


def test_services_have_async_counterparts(within: Callable[..., Any]) -> None:
    async def body(store: AsyncStore) -> None:
        assert (await aio.AsyncRetentionService(store, "lean").run(dry_run=True)).rows == 0
        async with aio.AsyncDatabaseMaintenanceService(store, archive_dir=None) as maintenance:
            assert maintenance.running and (await maintenance.run(dry_run=True)).removed == 0
        assert not maintenance.running

    within(body)


def test_a_transaction_commits_or_rolls_back(within: Callable[..., Any]) -> None:
    async def body(store: AsyncStore) -> None:
        async with store.transaction() as tx:
            await tx.tasks.add(task("kept"))
            async with tx.for_occurrence("default") as me:
                assert await me.tasks.count() == 1
            with pytest.raises(Conflict):
                await tx.tasks.add(task("kept"))
            if "savepoints" in store.capabilities:
                with pytest.raises(ZeroDivisionError):
                    async with tx.savepoint():
                        await tx.tasks.add(task("undone"))
                        raise ZeroDivisionError
            assert [each.task_id async for each in tx.tasks.scan()] == ["kept"]
        with pytest.raises(TransactionError, match="over"):
            await tx.tasks.get("kept")
        with pytest.raises(ZeroDivisionError):
            async with store.transaction() as tx:
                await tx.tasks.add(task("gone"))
                raise ZeroDivisionError
        assert [each.task_id for each in await store.tasks.find()] == ["kept"]

    within(body)


def test_the_stores_own_calls_are_refused_inside_a_transaction(within: Callable[..., Any]) -> None:
    async def body(store: AsyncStore) -> None:
        async with store.transaction() as tx:
            for call in (store.tasks.count, store.transaction().__aenter__, asyncio.create_task):
                with pytest.raises(TransactionError, match="inside a transaction"):
                    await (call(store.tasks.count()) if call is asyncio.create_task else call())
            outside = asyncio.create_task(_later(store))
            await asyncio.gather(tx.tasks.add(task("a")), tx.tasks.add(task("b")))
        assert await outside == 2 == await store.tasks.count()
        async with store.transaction(), open_store_async("memory://") as other, other.transaction() as theirs:
            await theirs.tasks.add(task())
            with pytest.raises(TransactionError):
                await store.tasks.count()

    async def _later(store: AsyncStore) -> int:
        while True:
            try:
                return await store.tasks.count()
            except TransactionError:  # Begun inside the block, which is not over yet.
                await asyncio.sleep(0)

    within(body)


def test_run_retries_an_ordinary_function(within: Callable[..., Any]) -> None:
    runs = []

    def fn(tx: Any, id: str) -> int:
        runs.append(id)
        tx.tasks.add(task(id))
        if len(runs) == 1:
            raise Unavailable("once")
        return tx.tasks.count()

    async def body(store: AsyncStore) -> None:
        assert await store.run(fn, "x") == 1 and runs == ["x", "x"]

    within(body)


def test_run_retries_the_whole_transaction_of_an_async_function(within: Callable[..., Any]) -> None:
    runs: list[str] = []

    async def fn(tx: aio.AsyncTransaction, id: str) -> int:
        runs.append(id)
        await tx.tasks.add(task(f"{id}{len(runs)}"))
        if len(runs) < 3:
            raise Unavailable("twice")
        return await tx.tasks.count()

    async def body(store: AsyncStore) -> None:
        assert await store.run(fn, "x") == 1 and runs == ["x", "x", "x"]
        assert await store.run(partial(fn, id="y")) == 2
        assert {each.task_id for each in await store.tasks.find()} == {"x3", "y4"}

    within(body)


def test_run_retries_an_async_function_as_often_as_the_policy_says(within: Callable[..., Any]) -> None:
    runs: list[int] = []

    async def fn(tx: aio.AsyncTransaction, error: type[StoreError]) -> None:
        runs.append(len(runs))
        await tx.tasks.add(task())
        raise error("again and again")

    async def body(store: AsyncStore) -> None:
        for error, expected in ((Unavailable, 3), (Conflict, 1)):
            runs.clear()
            with pytest.raises(error):
                await store.run(fn, error)
            assert len(runs) == expected and await store.tasks.count() == 0

    within(body, retry=RetryPolicy(attempts=3, first_delay=0.001))


def test_run_refuses_a_coroutine_that_would_run_after_its_transaction(within: Callable[..., Any]) -> None:
    async def work(tx: Any) -> None:
        raise AssertionError

    def fn(tx: Any) -> Any:
        tx.tasks.add(task())
        return work(tx)

    async def body(store: AsyncStore) -> None:
        with pytest.raises(InvalidArgument, match="Pass the async function itself"):
            await store.run(fn)
        assert await store.tasks.count() == 0

    within(body)


def test_context_variables_go_along() -> None:
    who: ContextVar[str] = ContextVar("who")

    async def body() -> None:
        who.set("me")
        async with open_store_async("memory://") as store:
            assert await store.run(lambda tx: who.get()) == "me"
            async with store.transaction() as tx:
                who.set("still me")
                seen = await tx.graph.put(concept(who="?"))
                call = aio.facade.partial(who.get)
                assert await asyncio.wrap_future(tx._caller.submit(call)) == "still me" and seen.id == "n"

    asyncio.run(body())


# --- types ------------------------------------------------------------------------------------


def test_what_type_checkers_see_is_current() -> None:
    assert STUB.read_text() == made(), "run: make stubs"


def test_every_class_that_waits_has_a_counterpart_that_can_be_named() -> None:
    tree = ast.parse(STUB.read_text())
    classes = {each.name for each in tree.body if isinstance(each, ast.ClassDef)}
    assert classes | {"open_store_async", "open_fleet_async"} == set(aio.__all__)
    for name in classes - {"Opening"}:
        counterpart = getattr(aio, name)
        assert counterpart.__name__ == name and counterpart.__doc__
    for name, member in public_members(Store).items():
        assert hasattr(AsyncStore, name), name
        if inspect.isfunction(member) and name not in ("transaction", "for_occurrence"):
            assert inspect.iscoroutinefunction(getattr(AsyncStore, name)), name


@pytest.mark.slow
def test_type_checkers_know_the_async_store() -> None:
    program = Path(__file__).with_name("typed_use.py")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", str(program)], capture_output=True, text=True, cwd=STUB.parents[2]
    )
    assert done.returncode == 0, done.stdout
