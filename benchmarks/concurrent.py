"""Many callers at once: threads, processes and asyncio tasks. Seconds are for one operation of all of them together."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

from benchmarks.contender import Contender
from benchmarks.contenders import MAKERS
from benchmarks.databases import Place
from benchmarks.fill import fill
from benchmarks.measure import Series, in_turns

THREADS = 16
PROCESSES = 8
TASKS = 200
CALLS = 10
"""Operations of one caller in one round: half of them add a task, half read one."""

MEASURED = ("raw driver", "store", "SQLAlchemy ORM")

_numbers = count(10**12)


class PerThread:
    """The contender of the calling thread, made when it first calls."""

    def __init__(self, contender: Contender) -> None:
        self._contender = contender
        self._local = threading.local()
        self._made: list[Contender] = []

    def add_or_get(self, number: int) -> None:
        """One operation: even numbers add, odd ones read."""
        mine = getattr(self._local, "contender", None)
        if mine is None:
            mine = self._local.contender = self._contender.for_thread()
            self._made.append(mine)
        _add_or_get(mine, number)

    def close(self) -> None:
        """Close them all."""
        for contender in {id(made): made for made in [*self._made, self._contender]}.values():
            contender.close()


def _add_or_get(contender: Contender, number: int) -> None:
    if number % 2:
        contender.task_get(number)
    else:
        contender.task_add(number)


def threads(place: Place, size: int, rounds: int) -> Series:
    """Sixteen threads."""
    with _per_thread(place, size) as contenders, ThreadPoolExecutor(THREADS) as pool:
        turns = {name: _thread_turn(contender, pool) for name, contender in contenders.items()}
        return _warm(turns, rounds, THREADS * CALLS)


def _thread_turn(contender: PerThread, pool: ThreadPoolExecutor) -> Callable[[int], float]:
    def caller(numbers: Sequence[int]) -> None:
        for number in numbers:
            contender.add_or_get(number)

    def turn(calls: int) -> float:
        shares = [[next(_numbers) for _ in range(CALLS)] for _ in range(THREADS)]
        start = perf_counter()
        list(pool.map(caller, shares))
        return (perf_counter() - start) / calls

    return turn


def tasks(place: Place, size: int, rounds: int) -> Series:
    """Two hundred asyncio tasks, each of which awaits its calls on worker threads, as drivers are synchronous."""
    with _per_thread(place, size) as contenders, asyncio.Runner() as runner:
        turns = {name: _task_turn(contender, runner) for name, contender in contenders.items()}
        return _warm(turns, rounds, TASKS)


def _task_turn(contender: PerThread, runner: asyncio.Runner) -> Callable[[int], float]:
    async def everyone() -> None:
        await asyncio.gather(*(asyncio.to_thread(contender.add_or_get, next(_numbers)) for _ in range(TASKS)))

    def turn(calls: int) -> float:
        start = perf_counter()
        runner.run(everyone())
        return (perf_counter() - start) / calls

    return turn


def _warm(turns: dict[str, Callable[[int], float]], rounds: int, calls: int) -> Series:
    for turn in turns.values():
        turn(calls)
    return in_turns(turns, rounds, calls)


@contextmanager
def _per_thread(place: Place, size: int) -> Iterator[dict[str, PerThread]]:
    with ExitStack() as stack:
        contenders: dict[str, PerThread] = {}
        for name in MEASURED:
            url = place.new_url()
            fill(url, size, 0)
            contenders[name] = PerThread(MAKERS[name](url, size))
            stack.callback(contenders[name].close)
        yield contenders


# --- processes --------------------------------------------------------------------------------


def processes(place: Place, size: int, rounds: int) -> Series:
    """Eight processes, started once; in each round all begin at the same time."""
    with ExitStack() as stack:
        turns: dict[str, Callable[[int], float]] = {}
        for name in MEASURED:
            url = place.new_url()
            fill(url, size, 0)
            turns[name] = _process_turn(stack.enter_context(_workers(name, url, size)))
        return _warm(turns, rounds, PROCESSES * CALLS)


@contextmanager
def _workers(name: str, url: str, size: int) -> Iterator[list[Connection]]:
    spawn = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    running: list[Any] = []
    for _ in range(PROCESSES):
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_work, args=(theirs, name, url, size))
        process.start()
        pipes.append(ours)
        running.append(process)
    try:
        for pipe in pipes:
            pipe.recv()
        yield pipes
    finally:
        for pipe in pipes:
            pipe.send(None)
        for process in running:
            process.join()


def _work(pipe: Connection, name: str, url: str, size: int) -> None:
    contender = MAKERS[name](url, size)
    pipe.send(None)
    while (numbers := pipe.recv()) is not None:
        for number in numbers:
            _add_or_get(contender, number)
        pipe.send(perf_counter())
    contender.close()


def _process_turn(pipes: list[Connection]) -> Callable[[int], float]:
    def turn(calls: int) -> float:
        start = perf_counter()
        for pipe in pipes:
            pipe.send([next(_numbers) for _ in range(CALLS)])
        ends = [float(pipe.recv()) for pipe in pipes]
        return (max(ends) - start) / calls  # the processes of a machine share one clock

    return turn


CROWDS: dict[str, tuple[str, Callable[[Place, int, int], Series]]] = {
    "threads": (f"{THREADS} threads, adding and reading", threads),
    "processes": (f"{PROCESSES} processes, adding and reading", processes),
    "async": (f"{TASKS} asyncio tasks over threads", tasks),
}
"""Workloads of many callers, by name."""
