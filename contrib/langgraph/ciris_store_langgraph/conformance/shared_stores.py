"""Clauses for stores that many callers, processes and restarts share."""

from __future__ import annotations

import asyncio
from itertools import count

from langgraph.store.base import BaseStore, PutOp

from ciris_store_langgraph.conformance.clauses import Trial, in_threads
from ciris_store_langgraph.conformance.stores import N, clause


@clause("16 threads write at once, and nothing is lost", breaks="Parallel nodes lose memories or raise lock errors.")
def threads(trial: Trial) -> None:
    with trial.open() as store:

        def work(number: int) -> None:
            for each in range(5):
                store.put((*N, f"t{number}"), f"k{each}", {"n": number})
                assert store.get((*N, f"t{number}"), f"k{each}") is not None

        in_threads(16, work)
        assert len(store.search(N, limit=100)) == 80


@clause("50 tasks write at once, and nothing is lost", breaks="An async graph loses memories.")
def tasks(trial: Trial) -> None:
    async def work(store: BaseStore) -> None:
        await asyncio.gather(*(store.aput(N, f"k{number}", {"n": number}) for number in range(50)))
        assert len(await store.asearch(N, limit=100)) == 50

    trial.run(work)


@clause("Batches of many writers of one key leave one whole batch", breaks="Two plans are mixed into one.")
def whole_batches(trial: Trial) -> None:
    with trial.open() as store:
        in_threads(8, lambda n: store.batch([PutOp(N, key, {"n": n}) for key in ("a", "b", "c")]))
        assert len({store.get(N, key).value["n"] for key in ("a", "b", "c")}) == 1


@clause("A cancelled call leaves a usable store", breaks="A timeout of one call stops every later one.")
def cancelled(trial: Trial) -> None:
    async def work(store: BaseStore) -> None:
        for delay in (0, 0.001, 0.01):
            call = asyncio.create_task(store.abatch([PutOp(N, key, {"d": delay}) for key in ("a", "b")]))
            await asyncio.sleep(delay)
            call.cancel()
            await asyncio.wait([call])
        await asyncio.wait_for(store.aput(N, "c", {}), 20)
        found = {item.key for item in await asyncio.wait_for(store.asearch(N), 20)}
        assert found in ({"c"}, {"a", "b", "c"})

    trial.run(work)


@clause("A sync call inside the event loop answers", breaks="A sync node of an async graph raises an error or hangs.")
def sync_inside(trial: Trial) -> None:
    async def work(store: BaseStore) -> None:
        store.put(N, "k", {"v": 1})
        item = store.get(N, "k")
        assert item is not None and item.value == {"v": 1}

    trial.run(work)


@clause("Items stay after a restart", breaks="The memory is empty after a deployment.")
def restart(trial: Trial) -> None:
    trial.durable()
    with trial.open() as store:
        store.put(N, "k", {"v": 1})
    with trial.open() as store:
        assert store.get(N, "k").value == {"v": 1}


@clause("Two open stores see each other's items", breaks="Two workers of one agent have different memories.")
def two_handles(trial: Trial) -> None:
    trial.durable()
    with trial.open() as one, trial.open() as two:
        one.put(N, "k", {"v": 1})
        assert two.get(N, "k").value == {"v": 1}
        two.put(N, "k", {"v": 2})
        assert one.get(N, "k").value == {"v": 2}


def _write_batches(store: BaseStore) -> None:
    for number in count():
        store.batch([PutOp((*N, f"b{number}"), f"k{each}", {"n": number}) for each in range(20)])
        print(f"b{number}", flush=True)


@clause("kill -9 loses no item that was put, and leaves whole batches", breaks="A crash leaves a half of a plan.")
def killed(trial: Trial) -> None:
    acknowledged = trial.killed(_write_batches, "b5")
    with trial.open() as store:
        found: dict[str, int] = {}
        for item in store.search(N, limit=10_000):
            found[item.namespace[-1]] = found.get(item.namespace[-1], 0) + 1
        assert set(acknowledged) <= set(found), set(acknowledged) - set(found)
        assert set(found.values()) == {20}, found
