"""Helpers of the scenarios: processes, databases, and clocks that are wrong."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from ciris_store_core import Store, TestSeams, open_store
from tests.support.pgserver import PostgresServer

SECONDS = 300.0
"""No step of a show takes longer; then it has failed."""

# A server that has loaded the library forks the processes: they start at once, and inherit no open store.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(
    ["tests.scenarios.processes", "ciris_store_sqlite.plugin", "ciris_store_postgres.plugin"]
)


class OffClock:
    """A host's clock that is wrong by a fixed span."""

    def __init__(self, off: timedelta) -> None:
        self._off = off

    def now(self) -> datetime:
        """The time that this host believes in."""
        return datetime.now(UTC) + self._off


def open_with_clock(url: str, off: timedelta) -> Store:
    """The store as a host opens it whose clock is off. On SQLite there is one host, whose clock is right."""
    return open_store(
        url, testing=TestSeams(clock=OffClock(off), server_clock=OffClock(timedelta(0)) if "sqlite" in url else None)
    )


class Team:
    """Processes that each send what they have to say, and end with a last word; all are gone when the block ends."""

    def __init__(self, target: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> None:
        """``target(pipe, *arguments)`` is run once for each."""
        pipes = [processes.Pipe() for _ in arguments]
        self.pipes = [ours for ours, _ in pipes]
        self._theirs = [theirs for _, theirs in pipes]
        self.members = [
            processes.Process(target=target, args=(theirs, *given), daemon=True)
            for (_, theirs), given in zip(pipes, arguments, strict=True)
        ]

    def __enter__(self) -> Team:
        for member, pipe in zip(self.members, self._theirs, strict=True):
            member.start()
            pipe.close()
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            if member.is_alive():
                member.kill()
            member.join()

    def hear(self, number: int, seconds: float = SECONDS) -> Any:
        """Return the next line of that process; raise if it is gone or silent."""
        if not self.pipes[number].poll(seconds):
            raise TimeoutError(f"process {number} says nothing")
        try:
            return self.pipes[number].recv()
        except EOFError:
            raise ChildProcessError(f"process {number} ended without a word") from None

    def hear_all(self, seconds: float = SECONDS) -> list[Any]:
        """Return the next line of each."""
        return [self.hear(number, seconds) for number in range(len(self.members))]

    def signal(self, number: int, code: signal.Signals) -> None:
        """Send a signal."""
        pid = self.members[number].pid
        assert pid is not None
        os.kill(pid, code)


def wait_until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Look again and again until it holds; ``TimeoutError`` if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come about")
        time.sleep(0.005)


@contextmanager
def database(kind: str) -> Iterator[str]:
    """The URL of a new database with the schema, as durable as by default."""
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            yield prepared(f"sqlite:///{folder}/show.db")
        else:
            with PostgresServer() as server:
                yield prepared(server.create_database())


def prepared(url: str) -> str:
    """The URL, once the database has the schema."""
    with open_store(url):
        return url


def arguments_of(description: str, **numbers: int) -> argparse.Namespace:
    """The command line of a show: some numbers, and which databases."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--databases", nargs="+", choices=["sqlite", "postgres"], default=["sqlite", "postgres"])
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    return parser.parse_args()
