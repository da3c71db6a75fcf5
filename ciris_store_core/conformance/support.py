"""Helpers of the suite's tests: sessions, exact comparison, paging, racing threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from ciris_store_core.contract import Backend, Session
from ciris_store_core.errors import StoreError
from ciris_store_core.models.base import Record
from ciris_store_core.models.paging import PageRequest, ResultPage

T = TypeVar("T")
Q = TypeVar("Q", bound=PageRequest)

PATIENCE = 60.0
"""Seconds after which a thread counts as stuck."""
MOMENT = 0.15
"""Seconds during which a thread must be seen to wait."""


def writing(backend: Backend) -> AbstractContextManager[Session]:
    """Begin a write transaction."""
    return backend.session(write=True)


def reading(backend: Backend) -> AbstractContextManager[Session]:
    """Begin a read transaction."""
    return backend.session(write=False)


def exact(value: Any) -> Any:
    """Return a form of records and JSON that compares types too: 1, 1.0 and True all differ.

    The order of keys is ignored.
    """
    if isinstance(value, Record):
        # Not dict(value), which would call an attribute named "keys".
        return (type(value).__name__, {name: exact(item) for name, item in value})
    if isinstance(value, Mapping):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, datetime):
        return (value.tzname(), value.isoformat())
    return (type(value).__name__, repr(value))


def pages(fetch: Callable[[Q], ResultPage[T]], query: Q, *, full: bool = True) -> list[list[T]]:
    """Return the items of all pages from the query's position on. Check the limit and the progress of each page.

    With ``full``, each page but the last must reach its limit: a limit that is taken before a filter shows so.
    """
    found: list[list[T]] = []
    while True:
        page = fetch(query)
        rows = len(page.items) + len(page.corrupt)
        assert rows <= query.limit, "a page holds more than its limit"
        assert not full or page.next_after is None or rows == query.limit, "a page is short, and leads to another"
        found.append(page.items)
        if page.next_after is None:
            return found
        assert page.next_after != query.after, "a page leads to itself"
        query = replace(query, after=page.next_after)


def everything(fetch: Callable[[Q], ResultPage[T]], query: Q, *, full: bool = True) -> list[T]:
    """Return the items of all pages, in order."""
    return [item for page in pages(fetch, query, full=full) for item in page]


class BackgroundCall:
    """Call that runs in a thread of its own, with a result that is fetched later."""

    def __init__(self, work: Callable[[], Any]) -> None:
        """Start the thread."""
        self._work = work
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error

    def finished(self, within: float = MOMENT) -> bool:
        """Return True if the call ends within some seconds."""
        self._thread.join(within)
        return not self._thread.is_alive()

    def result(self) -> Any:
        """Return the result of the call, or raise its error."""
        assert self.finished(PATIENCE), "a thread is stuck"
        if self._error is not None:
            raise self._error
        return self._result


def race(count: int, work: Callable[[int], T]) -> list[T]:
    """Run the work in threads that start together, and return their results by number."""
    barrier = threading.Barrier(count)

    def start(number: int) -> T:
        barrier.wait(PATIENCE)
        return work(number)

    workers = [BackgroundCall(partial(start, number)) for number in range(count)]
    return [worker.result() for worker in workers]


class RetryCounter:
    """Counter of the transactions that a test ran again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def add(self, error: StoreError) -> None:
        """Count a retry, or raise the error if it is not retryable."""
        if not error.retryable:
            raise error
        with self._lock:
            self._count += 1

    def take(self) -> int:
        """Return the count, and start again at 0."""
        with self._lock:
            count, self._count = self._count, 0
        return count


RETRIES = RetryCounter()


def transact(backend: Backend, work: Callable[[Session], T]) -> T:
    """Run the work in a transaction. Retry after retryable errors, as a store does, and count the retries."""
    for _ in range(100):
        try:
            with writing(backend) as session:
                return work(session)
        except StoreError as error:
            RETRIES.add(error)
    raise AssertionError("100 retries were not enough")
