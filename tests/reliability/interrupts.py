"""Interrupts at every place of an operation at which CPython runs the handler of a signal, and what must hold after.

``Attack`` takes the URL of a store, so that every backend can be attacked alike. Bound its waits in the URL: with
``pool_size=1`` and timeouts of 2 s, a lost connection or lock shows as an error and not as a hang.
"""

from __future__ import annotations

import _thread
import dis
import gc
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from random import Random
from types import CodeType, FrameType
from typing import Any

from ciris_store_core import GraphNode, RetryPolicy, Store, open_store
from ciris_store_core.conformance.factories import LOCAL, node, task
from tests.reliability.bounded import LIMIT, within
from tests.scenarios.processes import Team

ONCE = RetryPolicy(attempts=1)
QUEUE = "queue"
BATCH = 3


class RolledBack(Exception):
    """Ends a transaction."""


# --- the operations ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """One operation of the store, which writes records whose ids begin with a key."""

    run: Callable[[Store, str], object]
    whole: int
    """How many records are there once it was acknowledged; until then all of them or none."""
    before: Callable[[Store, str], object] = lambda store, key: None


def _add(store: Store, key: str) -> None:
    store.tasks.add(task(f"{key} 0"))


def _get(store: Store, key: str) -> None:
    store.tasks.get(f"{key} 0")


def _commit(store: Store, key: str) -> None:
    with store.transaction() as tx:
        tx.tasks.add(task(f"{key} 0"))
        with tx.savepoint():
            tx.tasks.add(task(f"{key} 1"))


def _roll_back(store: Store, key: str) -> None:
    with suppress(RolledBack), store.transaction() as tx:
        tx.tasks.add(task(f"{key} 0"))
        raise RolledBack


def _put(store: Store, key: str) -> None:
    store.graph.put(_node(f"{key} 0"))


def _node(id: str) -> GraphNode:
    return node(id, attributes={"text": "some words"})


def _batch(store: Store, key: str) -> None:
    store.tasks.add_many([task(f"{key} {number}") for number in range(BATCH)])


def _offer(store: Store, key: str) -> None:
    store.tasks.add(task(f"{key} 0", agent_occurrence_id=QUEUE))


def _claim(store: Store, key: str) -> None:
    assert store.tasks.claim_next("me", queue=QUEUE) is not None


def _open(store: Store, key: str) -> None:
    with open_store(_urls[id(store)], retry=ONCE) as second:
        second.tasks.add(task(f"{key} 0"))


OPERATIONS = {
    "add": Operation(_add, 1),
    "get": Operation(_get, 0),
    "commit": Operation(_commit, 2),
    "rollback": Operation(_roll_back, 0),
    "claim": Operation(_claim, 0, _offer),
    "put": Operation(_put, 1),
    "batch": Operation(_batch, BATCH),
    "open": Operation(_open, 1),
}

_urls: dict[int, str] = {}


def _written(store: Store, key: str) -> int:
    nodes = store.graph.get(f"{key} 0", LOCAL) is not None
    return nodes + sum(
        found is not None for found in store.tasks.get_many([f"{key} {number}" for number in range(BATCH)])
    )


# --- another process --------------------------------------------------------------------------


def look(store: Store, key: str) -> int | str:
    """Return the number of records of an operation that another program sees; an error if it cannot write in time."""
    began = time.monotonic()
    try:
        store.tasks.add(task(f"{key} seen"))
        found = _written(store, key)
    except Exception as error:
        return f"another process: {type(error).__name__}: {error}"
    if store.tasks.get(f"{key} after") is None:
        return "an acknowledged write is not there"
    waited = time.monotonic() - began
    return found if waited < LIMIT else f"another process waited for {waited:.1f} s"


def look_on(pipe: Any, url: str) -> None:
    """The other process."""
    with open_store(url, retry=ONCE) as store:
        while (key := pipe.recv()) is not None:
            pipe.send(look(store, key))


@contextmanager
def another(url: str) -> Iterator[Callable[[str], int | str]]:
    """Asks another process; of a database in memory, another store in another thread."""
    if url.startswith("memory:") or ":memory:" in url:
        with open_store(url, retry=ONCE) as store:
            yield lambda key: within(lambda: look(store, key))
        return
    with Team(look_on, [(url,)]) as team:

        def ask(key: str) -> int | str:
            team.pipes[0].send(key)
            return team.hear(0)  # type: ignore[no-any-return]

        yield ask


# --- interrupts -------------------------------------------------------------------------------


class _Trip:
    """``trip[signal]`` marks a signal as received; its handler runs where CPython looks next, which is not here."""

    __getitem__ = _thread.interrupt_main


_trip: Any = _Trip()


@cache
def _places(code: CodeType) -> frozenset[int]:
    return frozenset(
        each.offset
        for each in dis.get_instructions(code)
        if each.opname.startswith("CALL") or "JUMP_BACK" in each.opname
    )


class Tracer:
    """Counts the places at which CPython looks for signals, and sends one before the place of a number."""

    def __init__(self, at: int = -1) -> None:
        self.at = at
        self.seen = 0
        self.where = ""

    def __call__(self, frame: FrameType, event: str, arg: object) -> Tracer | None:
        """The trace function: what it does last is to mark the signal, after which it looks for none itself."""
        if frame.f_code.co_filename == __file__:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "call" or (event == "opcode" and frame.f_lasti in _places(frame.f_code)):
            if self.seen == self.at:
                self.where = f"{frame.f_code.co_qualname}:{frame.f_lineno}:{event}"
                sys.settrace(None)
                self.seen += 1
                _trip[signal.SIGALRM]
                return None
            self.seen += 1
        return self


@dataclass
class Outcome:
    """Outcome of one interrupted operation."""

    operation: str
    fired: str
    """Where the handler ran; empty where the operation ended before."""
    acknowledged: bool
    error: BaseException | None
    problem: str = ""


@dataclass
class Attack:
    """Interrupts operations on one store after another."""

    new_url: Callable[[], str]
    """The URL of an empty database; asked for again once one was spoilt."""
    keep_traceback: bool = False
    """Whether to keep the interrupt while looking, as a notebook does."""
    outcomes: list[Outcome] = field(default_factory=list)
    number: int = 0

    @property
    def wrong(self) -> list[Outcome]:
        """Those that left something behind."""
        return [each for each in self.outcomes if each.problem]

    @property
    def done(self) -> int:
        """Number of interrupts."""
        return sum(bool(each.fired) for each in self.outcomes)

    def places(self, name: str) -> int:
        """Return the number of places of an operation, once everything is warm."""
        with self._opened() as (store, _):
            for _ in range(3):
                tracer = Tracer()
                self._strike(store, name, self._key(), partial(sys.settrace, tracer))
        return tracer.seen

    def sweep(self, name: str, places: list[int]) -> None:
        """Interrupt an operation at each of these places."""
        self._all((name, partial(sys.settrace, Tracer(place))) for place in places)

    def random(self, count: int, random: Random) -> None:
        """Strike at random places of random operations; every fourth time by the signal of a timer."""
        places = {name: self.places(name) for name in OPERATIONS}

        def arm(number: int, name: str) -> Callable[[], object]:
            return (
                self._timer(name, random)
                if number % 4 == 3
                else partial(sys.settrace, Tracer(random.randrange(places[name])))
            )

        names = random.choices(list(OPERATIONS), k=count)
        self._all((name, arm(number, name)) for number, name in enumerate(names))

    def _timer(self, name: str, random: Random) -> Callable[[], None]:
        longest = self._times.setdefault(name, 0.0) or self._measure(name)
        return lambda: signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, longest))  # type: ignore[return-value]

    def __post_init__(self) -> None:
        self._times: dict[str, float] = {}

    def _measure(self, name: str) -> float:
        with self._opened() as (store, _):
            times = []
            for _ in range(5):
                key = self._key()
                OPERATIONS[name].before(store, key)
                began = time.perf_counter()
                OPERATIONS[name].run(store, key)
                times.append(time.perf_counter() - began)
        self._times[name] = sorted(times)[2]
        return self._times[name]

    def _all(self, work: Iterator[tuple[str, Callable[[], object]]]) -> None:
        left = True
        while left:
            left = False
            with self._opened() as (store, ask):
                for name, arm in work:
                    outcome = self._one(store, ask, name, arm)
                    self.outcomes.append(outcome)
                    if outcome.problem:
                        left = True
                        break

    @contextmanager
    def _opened(self) -> Iterator[tuple[Store, Callable[[str], int | str]]]:
        url = self.new_url()
        store = open_store(url, retry=ONCE)
        _urls[id(store)] = url
        with another(url) as ask:
            try:
                yield store, ask
            finally:
                del _urls[id(store)]
                within(store.close)

    def _key(self) -> str:
        self.number += 1
        return f"k{self.number}"

    def _one(self, store: Store, ask: Callable[[str], int | str], name: str, arm: Callable[[], object]) -> Outcome:
        key = self._key()
        outcome = self._strike(store, name, key, arm)
        if not self.keep_traceback:
            outcome.error = outcome.error and type(outcome.error)()
        outcome.problem = self._look(store, ask, name, key, outcome)
        outcome.error = None
        return outcome

    def _strike(self, store: Store, name: str, key: str, arm: Callable[[], object]) -> Outcome:
        operation, outcome = OPERATIONS[name], Outcome(name, "", False, None)
        operation.before(store, key)

        def handle(number: int, frame: FrameType | None) -> None:
            assert frame is not None
            if frame.f_code.co_filename != __file__:
                outcome.fired = _where(frame)
            raise KeyboardInterrupt

        usual, hook = signal.signal(signal.SIGALRM, handle), sys.unraisablehook
        sys.unraisablehook = lambda _: None  # an interrupt in a finalizer is dropped by Python
        try:
            try:
                arm()
                operation.run(store, key)
                outcome.acknowledged = True
            finally:
                sys.settrace(None)
                signal.setitimer(signal.ITIMER_REAL, 0)
                for _ in range(3):
                    pass
        except BaseException as error:
            outcome.error = error
        finally:
            sys.settrace(None)
            signal.signal(signal.SIGALRM, usual)
            sys.unraisablehook = hook
        return outcome

    def _look(self, store: Store, ask: Callable[[str], int | str], name: str, key: str, outcome: Outcome) -> str:
        if outcome.error is not None and not isinstance(outcome.error, KeyboardInterrupt):
            return f"the interrupt became {outcome.error!r}"
        read = within(lambda: store.tasks.count() >= 0)
        if read is not True:
            return str(read)
        try:
            began = time.monotonic()
            store.tasks.add(task(f"{key} after"))
            store.tasks.count()
            if time.monotonic() - began > LIMIT:
                return f"the thread waited for {time.monotonic() - began:.1f} s"
        except Exception as error:
            return f"this thread: {type(error).__name__}: {error}"
        found = ask(key)
        if isinstance(found, str):
            return found
        whole = OPERATIONS[name].whole
        if found != whole and (outcome.acknowledged or found):
            return f"{found} of {whole} records are there"
        return ""


def _where(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno} {frame.f_code.co_qualname}"


def main() -> None:
    """Map a backend: ``python -m tests.reliability.interrupts URL [operation...]``; ``{n}`` in the URL is a number."""
    url, *names = sys.argv[1:]
    keep = "--keep" in names
    names = [name for name in names if name != "--keep"]
    numbers = iter(range(10**9))
    attack = Attack(lambda: url.replace("{n}", str(next(numbers))), keep)
    for name in names or OPERATIONS:
        done, wrong, began = attack.done, len(attack.wrong), time.monotonic()
        attack.sweep(name, list(range(attack.places(name))))
        took = time.monotonic() - began
        print(f"{name}: {attack.done - done} places, {len(attack.wrong) - wrong} wrong, {took:.0f} s", flush=True)
        for each in attack.wrong[wrong:]:
            print(f"    {each.fired}: {each.problem}")
    gc.collect()


if __name__ == "__main__":
    main()
