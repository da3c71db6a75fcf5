"""Numbered clauses, and the runners that hold a store or a checkpointer to them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Open = Callable[[Path], AbstractContextManager[Any]]
AsyncOpen = Callable[[Path], AbstractAsyncContextManager[Any]]
Kind = Literal["store", "saver"]

_SECONDS = 60
"""Time after which a clause counts as hanging."""


class Skipped(Exception):
    """Raised by a clause that does not apply to a subject."""


@dataclass(frozen=True)
class Subject:
    """A store or a checkpointer under test.

    Args:
        open: Opens it at a place, an empty directory of its own; at the same place again, it finds what it stored.
        aopen: The same for its async methods, if another class has them.
        durable: False if nothing stays after it is closed, as in memory.
    """

    open: Open
    aopen: AsyncOpen | None = None
    durable: bool = True

    def opened_async(self, place: Path) -> AbstractAsyncContextManager[Any]:
        """Open the subject for its async methods."""
        return self.aopen(place) if self.aopen else _as_async(self.open, place)


@asynccontextmanager
async def _as_async(open: Open, place: Path) -> AsyncIterator[Any]:
    with open(place) as subject:
        yield subject


@dataclass(frozen=True)
class Clause:
    """One promise, with its test."""

    number: str
    title: str
    breaks: str
    """Consequence for a user whose store does not keep it."""
    test: Callable[[Trial], None]


@dataclass(frozen=True)
class Trial:
    """One subject at one place, as the test of a clause gets it."""

    subject: Subject
    place: Path

    def open(self) -> AbstractContextManager[Any]:
        """Open the subject."""
        return self.subject.open(self.place)

    def run(self, fn: Callable[[Any], Any]) -> Any:
        """Run an async function on the subject in an event loop."""

        async def main() -> Any:
            async with self.subject.opened_async(self.place) as subject:
                return await fn(subject)

        return asyncio.run(main())

    def durable(self) -> None:
        """Skip the clause for a subject that keeps nothing."""
        if not self.subject.durable:
            raise Skipped("nothing stays after it is closed")

    def killed(self, work: Callable[..., None], after: str) -> list[str]:
        """Run a function on the subject in another process, kill that once it prints a line, and return its lines."""
        self.durable()
        with self.open():  # The other process finds its tables.
            pass
        opener, job = _name_of(self.subject.open), _name_of(work)
        code = "import sys; from ciris_store_langgraph.conformance.clauses import child; child(*sys.argv[1:])"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(
            [sys.executable, "-c", code, opener, job, str(self.place)],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        assert process.stdout is not None
        lines = []
        with process.stdout:
            for line in process.stdout:
                lines.append(line.strip())
                if lines[-1] == after:
                    process.send_signal(signal.SIGKILL)
                    break
            lines += [line.strip() for line in process.stdout]
        process.wait(_SECONDS)
        assert after in lines, f"the process ended before it printed {after!r}"
        return lines


def _name_of(fn: Callable[..., Any]) -> str:
    if "<" in fn.__qualname__:
        raise Skipped("the factory is no function of a module, so no other process can import it")
    return f"{fn.__module__}:{fn.__qualname__}"


def child(opener: str, job: str, place: str) -> None:
    """Run a function on a subject, both given as MODULE:NAME."""
    from importlib import import_module
    from operator import attrgetter

    def found(name: str) -> Any:
        module, _, attribute = name.partition(":")
        return attrgetter(attribute)(import_module(module))

    with found(opener)(Path(place)) as subject:
        found(job)(subject)


class Clauses:
    """The clauses of one interface, in order."""

    def __init__(self, letter: str) -> None:
        """Number them with this letter."""
        self.letter = letter
        self.listed: list[Clause] = []

    def __call__(self, title: str, *, breaks: str) -> Callable[[Callable[[Trial], None]], Callable[[Trial], None]]:
        """Return the decorator that makes a test a clause."""

        def added(test: Callable[[Trial], None]) -> Callable[[Trial], None]:
            self.listed.append(Clause(f"{self.letter}{len(self.listed) + 1:02}", title, breaks, test))
            return test

        return added


@dataclass(frozen=True)
class Outcome:
    """Result of one clause on one subject."""

    clause: Clause
    result: Literal["passed", "failed", "skipped"]
    error: BaseException | None = None


def clauses_of(kind: Kind) -> list[Clause]:
    """Return the clauses for stores or for savers."""
    if kind == "store":
        from ciris_store_langgraph.conformance.shared_stores import clause  # imports the other clauses before its own
    else:
        from ciris_store_langgraph.conformance.savers import clause
    return clause.listed


def check(clause: Clause, subject: Subject, place: Path) -> Outcome:
    """Run one clause at an empty place. A clause that does not end within a minute fails."""
    outcome: list[Outcome] = []

    def run() -> None:
        try:
            clause.test(Trial(subject, place))
        except Skipped as error:
            outcome.append(Outcome(clause, "skipped", error))
        except BaseException as error:
            outcome.append(Outcome(clause, "failed", error))
        else:
            outcome.append(Outcome(clause, "passed"))

    thread = threading.Thread(target=run, name=clause.number, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    return outcome[0] if outcome else Outcome(clause, "failed", TimeoutError(f"no end within {_SECONDS} s"))


def _suite(kind: Kind, subject: Subject) -> Callable[..., None]:
    import pytest

    @pytest.mark.parametrize("clause", clauses_of(kind), ids=lambda clause: clause.number)
    def test(clause: Clause, tmp_path: Path) -> None:
        outcome = check(clause, subject, tmp_path)
        if outcome.result == "skipped":
            pytest.skip(str(outcome.error))
        if outcome.error is not None:
            outcome.error.add_note(f"{clause.number}: {clause.title}. Without it: {clause.breaks}")
            raise outcome.error

    return test


def store_suite(open: Open, aopen: AsyncOpen | None = None, *, durable: bool = True) -> Callable[..., None]:
    """Return a test for pytest that runs every clause for stores; see ``Subject``."""
    return _suite("store", Subject(open, aopen, durable))


def saver_suite(open: Open, aopen: AsyncOpen | None = None, *, durable: bool = True) -> Callable[..., None]:
    """Return a test for pytest that runs every clause for checkpointers; see ``Subject``."""
    return _suite("saver", Subject(open, aopen, durable))


def in_threads(count: int, fn: Callable[[int], Any]) -> None:
    """Call a function on so many threads at once, and raise the first error of any."""
    barrier, errors = threading.Barrier(count), list[BaseException]()

    def run(number: int) -> None:
        try:
            barrier.wait(_SECONDS)
            fn(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_SECONDS)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if errors:
        raise errors[0]
