"""Compare CirisSaver and CirisStore with LangGraph's own classes on one database, in one run.

python contrib/langgraph/bench.py [sqlite|postgres]...
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from langgraph.store.base import GetOp, PutOp

from ciris_store_langgraph import CirisSaver
from ciris_store_langgraph.conformance import upstream
from ciris_store_langgraph.conformance.savers import checkpoint, thread
from ciris_store_langgraph.store import CirisStore

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
CALLERS = 16
CALLS = {"put": 48, "put_writes": 48, "get_tuple": 48, "list of 50": 16, "search": 48, "batch of 20": 32}
VALUES = {"messages": [f"message {number} " * 20 for number in range(10)], "step": 1}


@contextmanager
def pooled(kind: str, place: Path) -> Iterator[tuple[Any, Any]]:
    """Open LangGraph's saver and store, on PostgreSQL over a pool of connections."""
    if kind == "sqlite":
        with upstream.sqlite_saver(place) as saver, upstream.sqlite_store(place) as store:
            yield saver, store
        return
    from langgraph.checkpoint.postgres import PostgresSaver
    from langgraph.store.postgres import PostgresStore
    from psycopg.rows import dict_row
    from psycopg_pool import ConnectionPool

    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    with ConnectionPool(upstream.postgres_url(place), min_size=10, max_size=10, kwargs=options) as pool:
        saver, store = PostgresSaver(pool), PostgresStore(pool)  # type: ignore[arg-type]
        saver.setup()
        store.setup()
        yield saver, store


@asynccontextmanager
async def pooled_async(kind: str, place: Path) -> AsyncIterator[tuple[Any, Any]]:
    """Open LangGraph's async saver and store."""
    if kind == "sqlite":
        async with upstream.async_sqlite_saver(place) as saver, upstream.async_sqlite_store(place) as store:
            yield saver, store
        return
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from langgraph.store.postgres.aio import AsyncPostgresStore
    from psycopg.rows import dict_row
    from psycopg_pool import AsyncConnectionPool

    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(upstream.postgres_url(place), min_size=10, max_size=10, kwargs=options) as pool:
        saver, store = AsyncPostgresSaver(pool), AsyncPostgresStore(pool)  # type: ignore[arg-type]
        await saver.setup()
        await store.setup()
        yield saver, store


@contextmanager
def ours(kind: str, place: Path) -> Iterator[tuple[Any, Any]]:
    """Open ours over one store."""
    url = upstream.postgres_url(place) if kind == "postgres" else f"sqlite:///{place}/ciris.db"
    with CirisSaver.from_conn_string(url) as saver:
        yield saver, CirisStore(saver.store)


@asynccontextmanager
async def ours_async(kind: str, place: Path) -> AsyncIterator[tuple[Any, Any]]:
    """Open ours for async calls."""
    with ours(kind, place) as both:
        yield both


def calls(saver: Any, store: Any, prefix: str = "") -> dict[str, Callable[[int, int], Any]]:
    """Return the operations by name, each of a caller and the number of the call."""

    def of(owner: Any, name: str) -> Any:
        return getattr(owner, prefix + name)

    def put(caller: int, number: int) -> Any:
        made = checkpoint({**VALUES, "step": number}, str(number))
        return of(saver, "put")(
            thread(f"p{caller}"), made, {"source": "loop", "step": number}, made["channel_versions"]
        )

    def put_writes(caller: int, number: int) -> Any:
        config = thread(f"w{caller}", checkpoint_id=f"c{number // 4}")
        return of(saver, "put_writes")(config, [("messages", VALUES["messages"][:2]), ("step", 1)], f"task{number}")

    def listed(caller: int, number: int) -> Any:
        if prefix:
            return _drained(saver.alist(thread("seed"), limit=50))
        return list(saver.list(thread("seed"), limit=50))

    def batch(caller: int, number: int) -> Any:
        names = ("batch", str(caller))
        gets = [GetOp(names, f"k{each}") for each in range(10)]
        return of(store, "batch")([*gets, *(PutOp(names, f"k{each}", {"n": number}) for each in range(10))])

    return {
        "put": put,
        "put_writes": put_writes,
        "get_tuple": lambda caller, number: of(saver, "get_tuple")(thread("seed")),
        "list of 50": listed,
        "search": lambda caller, number: of(store, "search")(("seed",), filter={"kind": "a"}, limit=10),
        "batch of 20": batch,
    }


async def _drained(found: Any) -> list[Any]:
    return [each async for each in found]


def seeds(number: int) -> tuple[Any, Any]:
    """Return a checkpoint and its metadata."""
    return checkpoint({**VALUES, "step": number}, str(number)), {"source": "loop", "step": number}


ITEMS = [PutOp(("seed", f"u{n % 10}"), f"k{n}", {"kind": "ab"[n % 2], "text": "word " * 20}) for n in range(200)]


def time_sync(opened: AbstractContextManager[Any], callers: int) -> dict[str, float]:
    """Return the seconds that all calls of each operation took."""
    found = {}
    with opened as (saver, store), ThreadPoolExecutor(callers) as pool:
        config = thread("seed")
        for number in range(60):
            made, facts = seeds(number)
            config = saver.put(config, made, facts, made["channel_versions"])
            saver.put_writes(config, [("messages", ["x"]), ("step", 1)], "task")
        store.batch(ITEMS)
        for name, call in calls(saver, store).items():
            count = CALLS[name] // callers
            list(pool.map(lambda caller, call=call: call(caller, 0), range(callers)))
            begin = time.perf_counter()
            list(pool.map(lambda c, call=call, n=count: [call(c, each + 1) for each in range(n)], range(callers)))
            found[name] = time.perf_counter() - begin
    return found


async def time_async(opened: AbstractAsyncContextManager[Any], callers: int) -> dict[str, float]:
    """Return the seconds that all awaited calls of each operation took."""
    found = {}

    async def work(call: Callable[[int, int], Awaitable[Any]], caller: int, count: int) -> None:
        for number in range(count):
            await call(caller, number + 1)

    async with opened as (saver, store):
        config = thread("seed")
        for number in range(60):
            made, facts = seeds(number)
            config = await saver.aput(config, made, facts, made["channel_versions"])
            await saver.aput_writes(config, [("messages", ["x"]), ("step", 1)], "task")
        await store.abatch(ITEMS)
        for name, call in calls(saver, store, "a").items():
            await asyncio.gather(*(call(caller, 0) for caller in range(callers)))
            begin = time.perf_counter()
            await asyncio.gather(*(work(call, caller, CALLS[name] // callers) for caller in range(callers)))
            found[name] = time.perf_counter() - begin
    return found


def compare(kind: str, mode: str, callers: int, rounds: int) -> None:
    """Print each operation's time per call, ours and theirs, in alternating rounds."""
    times: dict[str, list[dict[str, float]]] = {"ours": [], "theirs": []}
    for _ in range(rounds):
        for side in times:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
                place = Path(name)
                if mode == "sync":
                    times[side].append(time_sync((ours if side == "ours" else pooled)(kind, place), callers))
                else:
                    opener = ours_async if side == "ours" else pooled_async
                    times[side].append(asyncio.run(time_async(opener(kind, place), callers)))
    for name, count in CALLS.items():
        mine, other = (median(each[name] for each in times[side]) / count * 1000 for side in times)
        print(f"| {kind} | {mode} | {callers} | {name} | {mine:.2f} | {other:.2f} | {mine / other:.2f} |", flush=True)


def main() -> None:
    """Print the table."""
    from tests.support.pgserver import shared_server

    server, made = shared_server(), list[str]()

    def new_database() -> str:
        made.append(server.create_database())
        return made[-1]

    upstream.new_database = new_database
    print(
        "| database | calls | callers | operation | ours, ms | LangGraph's, ms | ratio |\n|---|---|---|---|---|---|---|"
    )
    try:
        for kind in sys.argv[1:] or ["sqlite", "postgres"]:
            for mode in ("sync", "async"):
                for callers in (1, CALLERS):
                    compare(kind, mode, callers, 3)
    finally:
        for url in made:
            server.drop_database(url)


if __name__ == "__main__":
    main()
