"""Buffered writes of correlations at a high rate: accepted at once, stored in batches by a thread."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from types import TracebackType
from typing import NamedTuple, Self

from ciris_store_core.errors import (
    AccessDenied,
    Conflict,
    InvalidArgument,
    StoreClosed,
    StoreError,
    Unavailable,
)
from ciris_store_core.models.correlations import Correlation, Metric
from ciris_store_core.printable import printable
from ciris_store_core.store.execution import Blocking
from ciris_store_core.store.resource import end_after
from ciris_store_core.validation.json_values import plain_number

Item = Correlation | Metric
Items = list[Item]


class Rejection(NamedTuple):
    """An item that cannot be stored."""

    item: Item
    error: StoreError
    """Reason of the rejection."""


Rejected = list[Rejection]

_OF_THE_ITEM = (Conflict, InvalidArgument, AccessDenied)
"""Errors that one item of a batch causes; the database causes all others, after which the whole batch waits."""

logger = logging.getLogger(__name__)


class BufferedWriter(Blocking):
    """Writer that stores correlations and measurements in batches; made by ``store.correlations.buffered``.

    - ``add`` **accepts**: the item was checked and is in memory, and a crash of the process may lose it.
    - ``flush`` and ``close`` **acknowledge**: all items accepted before are stored, as durably as by any other write.

    A thread stores a batch as soon as it is full or its oldest item has waited for ``max_delay_seconds``. While the
    database is unavailable, the batch is kept and tried again, and ``add`` waits as soon as the buffer is full. No item
    is stored twice, even if the answer to a write was lost. An item that cannot be stored, such as one whose id exists,
    is set apart for ``take_rejected``, and the others of its batch are stored.

    Use it in a ``with`` statement, or close it, before the store is closed. May be used from many threads.
    """

    def __init__(
        self,
        check: Callable[[Item], Item],
        store: Callable[[Items], object],
        stored: Callable[[Items], Items],
        *,
        batch_size: int = 1000,
        max_delay_seconds: float = 1.0,
        capacity: int = 50_000,
    ) -> None:
        """Called by ``Correlations.buffered``, which passes functions that check, store and look up items."""
        batch_size, capacity = plain_number(batch_size), plain_number(capacity)  # type: ignore[assignment]
        if not (type(batch_size) is int and type(capacity) is int and 1 <= batch_size <= min(capacity, 10_000)):
            raise InvalidArgument("batch_size must be from 1 to 10000, and capacity a whole number no less than it")
        max_delay_seconds = plain_number(max_delay_seconds) or 0
        if not 0 < max_delay_seconds <= 3600:
            raise InvalidArgument("max_delay_seconds must be more than 0 and at most an hour, in seconds")
        self._check, self._store, self._stored = check, store, stored
        self._batch_size, self._delay, self._capacity = batch_size, max_delay_seconds, capacity
        self._changed = threading.Condition()
        self._waiting: deque[Item] = deque()
        self._accepted = self._settled = self._attempts = self._flushes = self._wanted = 0
        self._oldest = 0.0
        self._error: StoreError | None = None
        self._rejected: Rejected = []
        self._told = 0
        """Number of rejections that a flush has raised."""
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def pending(self) -> int:
        """Number of items that were accepted and are not stored yet."""
        return len(self._waiting)

    @property
    def last_error(self) -> StoreError | None:
        """Error of the last attempt to store a batch; None if it succeeded."""
        return self._error

    def add(self, *items: Item, timeout_seconds: float = 30.0) -> None:
        """Accept correlations and measurements, all or none; missing times are set to that of this call.

        Raises:
            InvalidArgument: One of them cannot be stored.
            Unavailable: The buffer stayed full for ``timeout_seconds``.
            StoreClosed: The writer was closed.
        """
        ready = [self._check(item) for item in items]
        with self._changed:
            self._wait(lambda: len(self._waiting) + len(ready) <= self._capacity or not self._waiting, timeout_seconds)
            if self._closed:
                raise StoreClosed("the buffered writer was closed. Make a new one.")
            if not self._waiting:
                self._oldest = time.monotonic()
            self._waiting.extend(ready)
            self._accepted += len(ready)
            self._start()
            if len(self._waiting) >= self._batch_size:
                self._changed.notify_all()

    def flush(self, *, timeout_seconds: float | None = None) -> None:
        """Wait until all items accepted before are stored.

        Raises:
            StoreError: A batch could not be stored. Nothing is lost: the thread and the next flush try again. Or an
                item was rejected; see ``take_rejected``.
            Unavailable: It took longer than ``timeout_seconds``; the thread goes on.
        """
        rejected = self._flushed(timeout_seconds)
        if rejected is not None:
            raise rejected

    def take_rejected(self) -> Rejected:
        """Return the items that could not be stored, and remove them from the writer."""
        with self._changed:
            taken, self._rejected, self._told = self._rejected, [], 0
        return taken

    def close(self, *, timeout_seconds: float | None = None) -> None:
        """Store the remaining items and end; raise as ``flush`` does, and stay open if an item is not stored yet."""
        rejected = self._flushed(timeout_seconds)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
        if rejected is not None:
            raise rejected

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the writer. An error of the block propagates, with a note if closing failed as well."""
        end_after(error, self.close, "storing what was buffered")

    def _flushed(self, timeout_seconds: float | None) -> StoreError | None:
        """Wait until all accepted items are settled; return the first rejection that no flush has raised, or None."""
        with self._changed:
            goal, attempts = self._accepted, self._attempts
            self._wanted = goal
            self._flushes += 1
            if self._settled < goal:
                self._start()
            self._changed.notify_all()
            self._wait(lambda: self._settled >= goal or self._failed_since(attempts), timeout_seconds)
            if self._settled < goal and self._error is not None:
                raise self._error
            # Includes records that were rejected before, as no caller was told of them yet.
            untold, self._told = self._rejected[self._told :], len(self._rejected)
            return untold[0][1] if untold else None

    def _failed_since(self, attempts: int) -> bool:
        return self._error is not None and self._attempts > attempts

    def _wait(self, condition: Callable[[], bool], timeout_seconds: float | None) -> None:
        if not self._changed.wait_for(lambda: self._closed or condition(), timeout_seconds):
            why = f" ({self._error})" if self._error else ""
            raise Unavailable(
                f"the database does not keep up: {len(self._waiting)} items wait to be stored{why}. "
                "Write less, or raise capacity."
            )

    # --- the thread -----------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="buffered writer", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not isinstance(self._error, StoreClosed) or self._wanted > self._settled:
            with self._changed:
                while not self._due():
                    self._changed.wait(self._patience())
                if not self._waiting and self._closed:
                    return
                batch = list(islice(self._waiting, self._batch_size))
            self._attempt(batch)

    def _due(self) -> bool:
        full, wanted = len(self._waiting) >= self._batch_size, self._wanted > self._settled
        old = bool(self._waiting) and time.monotonic() >= self._oldest + self._delay
        return full or wanted or old or self._closed

    def _patience(self) -> float | None:
        return max(self._oldest + self._delay - time.monotonic(), 0) if self._waiting else None

    def _attempt(self, batch: Items) -> None:
        rejected: Rejected = []
        error: StoreError | None = None
        try:
            # After a failure some or all of them may be stored: an answer was lost, or a batch was divided.
            known = {id_of(item) for item in self._stored(batch)} if self._error else set()
            rejected = self._store_divided([item for item in batch if id_of(item) not in known])
        except StoreError as problem:
            error = problem
            if self._error is None:
                logger.warning("%d buffered items cannot be stored yet: %s", len(batch), printable(str(problem)))
        with self._changed:
            self._error, self._attempts = error, self._attempts + 1
            if error is None:
                self._settle(len(batch), rejected)
            self._changed.notify_all()
            if error is not None:
                seen = self._flushes
                self._changed.wait_for(lambda: self._flushes != seen or self._closed, self._delay)

    def _settle(self, count: int, rejected: Rejected) -> None:
        for _ in range(count):
            self._waiting.popleft()
        self._settled += count
        self._rejected += rejected
        self._oldest = time.monotonic()

    def _store_divided(self, batch: Items) -> Rejected:
        """Store a batch, by halves if it cannot be stored whole, and return the rejected items."""
        if not batch:
            return []
        try:
            self._store(batch)
        except _OF_THE_ITEM as error:
            if len(batch) == 1:
                return [Rejection(batch[0], error)]
            half = len(batch) // 2
            return self._store_divided(batch[:half]) + self._store_divided(batch[half:])
        return []


def id_of(item: Item) -> str | None:
    """Return the id under which an item is stored."""
    return item.metric_id if isinstance(item, Metric) else item.correlation_id


def by_kind(items: Sequence[Item]) -> tuple[list[Metric], list[Correlation]]:
    """Return the measurements, and the other items."""
    metrics = [item for item in items if isinstance(item, Metric)]
    return metrics, [item for item in items if not isinstance(item, Metric)]
