"""Helpers of the fault tests: stores without retries, and writers that record the outcome of each call."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from ciris_store_core.conformance.factories import task
from ciris_store_core.errors import OutcomeUnknown, StoreError
from ciris_store_core.opening import open_store
from ciris_store_core.store.retry import RetryPolicy
from ciris_store_core.store.store import Store
from tests.support.pgserver import execute

COMMIT = b"COMMIT\0"
"""The message, not the word: BEGIN says READ COMMITTED."""
KILL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
ONCE = RetryPolicy(attempts=1)
#: The proxy looks into the messages, so they must not be encrypted.
PLAIN = {"sslmode": "disable", "gssencmode": "disable"}


def store_at(url: str, retry: RetryPolicy | None = ONCE, **options: Any) -> Store:
    """Return an open store, by default one without retries."""
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return open_store(f"{url}?{query}", retry=retry)


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until a condition is true. Fail if it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.01)


def task_ids(url: str) -> set[str]:
    """Return the ids of all stored tasks, read by SQL."""
    return {row[0] for row in execute(url, "SELECT task_id FROM tasks")}


def add_surely(store: Store, name: str) -> None:
    """Add a task, and retry safely if the answer is lost."""
    for _ in range(20):
        try:
            store.run(lambda tx: tx.tasks.add(task(name), exist_ok=True))
        except OutcomeUnknown:
            continue
        return
    raise AssertionError("the answer was lost 20 times")


class Load:
    """Threads that add tasks without a pause until they are stopped. Use it in a ``with`` statement.

    Args:
        stores: The stores to write to.
        writers: Number of writers per store.
        prefix: Prefix of the names of the tasks.
    """

    def __init__(self, stores: Sequence[Store], writers: int, prefix: str) -> None:
        self.acknowledged: list[tuple[float, str]] = []
        """The time at which each write returned, and the name of its task."""
        self.errors: list[StoreError] = []
        self.wrong: list[BaseException] = []
        """Errors that no store should raise."""
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(store, f"{prefix}-{number}-{writer}"))
            for number, store in enumerate(stores)
            for writer in range(writers)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads), "a writer is stuck"

    def _write(self, store: Store, prefix: str) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            try:
                store.tasks.add(task(f"{prefix}-{number}"))
                self.acknowledged.append((time.monotonic(), f"{prefix}-{number}"))
            except StoreError as error:
                self.errors.append(error)
            except BaseException as error:
                self.wrong.append(error)
                return

    def since(self, moment: float) -> list[float]:
        """Return the times of the acknowledged writes after a moment, in seconds from it."""
        return [when - moment for when, _ in self.acknowledged if when > moment]

    def lost(self, stored: set[str]) -> list[str]:
        """Return the acknowledged writes that are not stored."""
        return [name for _, name in self.acknowledged if name not in stored]

    def told(self) -> dict[str, int]:
        """Return the count of each error."""
        return dict(Counter(type(error).__name__ for error in self.errors))
