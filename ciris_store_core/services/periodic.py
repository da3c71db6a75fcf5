"""Periodic jobs, each in a thread of its own and in one process at a time."""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Generic, Self, TypeVar

from ciris_store_core.errors import InvalidArgument, StaleFence, StoreClosed, StoreError
from ciris_store_core.models.coordination import Lease
from ciris_store_core.models.ids import uuid7
from ciris_store_core.printable import printable
from ciris_store_core.store import Store
from ciris_store_core.store.execution import Blocking

T = TypeVar("T")
Keep = Callable[[], None]
"""Renews the job's lease when due. Raises ``StaleFence`` if the lease is lost or the job must stop: do not catch it."""

logger = logging.getLogger(__name__)


class Startable(ABC):
    """Base of objects that run from ``start`` to ``stop``; as context managers, they do both."""

    @abstractmethod
    def start(self) -> None:
        """Begin; do nothing if it is running."""

    @abstractmethod
    def stop(self) -> object:
        """End; do nothing if it is not running."""

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()


class Background(Startable, Generic[T]):
    """Periodic run of ``job`` under a lease, so that one process at a time runs it on a database.

    ``start`` begins a daemon thread, which runs the job at once and then every ``interval_seconds``; ``stop`` ends it.
    As a context manager, the object does both. Nothing runs before ``start``.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        job: Callable[[Keep], T],
        *,
        interval_seconds: float = 3600,
        ttl_seconds: float = 120,
    ) -> None:
        """Prepare the job.

        Args:
            store: The store that holds the lease. Stop the job before you close the store.
            name: Name of the lease and of the thread.
            job: Takes a function that renews the lease, and calls it between its steps, more often than every
                ``ttl_seconds``.
            interval_seconds: Time between the end of one run and the beginning of the next.
            ttl_seconds: Time for which a process that died keeps others from running the job.
        """
        if not interval_seconds > 0:
            raise InvalidArgument("interval_seconds must be more than 0")
        self.name = name
        """Name of the lease."""
        self.last_result: T | None = None
        """Result of the last successful run."""
        self.last_error: Exception | None = None
        """Error of the last run; None if it succeeded."""
        self._store = store
        self._job = job
        self._interval = interval_seconds
        self._ttl = ttl_seconds
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """True if the thread is at work or waits for its next run."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin; do nothing if it is running."""
        if self.running:
            return
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, args=(self._stop,), name=self.name, daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float | None = None) -> bool:
        """Finish the current step and end; do nothing if it is not running.

        Return True if the thread has ended, and False if ``timeout_seconds`` passed before that.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
        return not self.running

    close = stop

    def run_once(self) -> T | None:
        """Run the job now, in this thread, and return its result; None if another process or thread holds the lease.

        Raises:
            StaleFence: The lease was lost meanwhile, for example because the computer slept.
        """
        return self._under_lease(threading.Event())

    def _under_lease(self, stop: threading.Event) -> T | None:
        lease = self._store.leases.acquire(self.name, _holder(), self._ttl)
        if lease is None:
            return None
        try:
            result = self._job(_Keeper(self._store, lease, self._ttl, stop))
        finally:
            # A lease that cannot be released expires by itself. That failure must not hide an error of the job.
            with suppress(StoreError):
                self._store.leases.release(lease)
        return result

    def _loop(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._run_and_record(stop)
            stop.wait(self._interval)

    def _run_and_record(self, stop: threading.Event) -> None:
        try:
            result = self._under_lease(stop)
        except StoreClosed as error:
            self.last_error = error
            stop.set()
        except Exception as error:  # The thread must outlive a database that is away for a while.
            if stop.is_set():
                return
            self.last_error = error
            logger.warning(
                "%s failed and will be tried again in %g s: %s", self.name, self._interval, printable(str(error))
            )
        else:
            self.last_error = None
            self.last_result = self.last_result if result is None else result


class Scheduled(Startable, Blocking, Generic[T]):
    """Base of services that run in the background."""

    def __init__(self, background: Background[T]) -> None:
        """Schedule the given job."""
        self._background = background

    @property
    def running(self) -> bool:
        """True if the background thread runs."""
        return self._background.running

    @property
    def last_report(self) -> T | None:
        """Report of the last pass that the background thread finished."""
        return self._background.last_result

    @property
    def last_error(self) -> Exception | None:
        """Error of the last pass of the background thread; None if it succeeded."""
        return self._background.last_error

    def start(self) -> None:
        """Run a pass at once and then regularly, in the background; do nothing if it is running."""
        self._background.start()

    def stop(self, timeout_seconds: float | None = None) -> bool:
        """End the background thread after its current batch; return True if it has ended."""
        return self._background.stop(timeout_seconds)

    close = stop


class _Keeper:
    """Renewal of the lease during a job."""

    def __init__(self, store: Store, lease: Lease, ttl: float, stop: threading.Event) -> None:
        self._store = store
        self._lease = lease
        self._ttl = ttl
        self._stop = stop
        self._renewed = time.monotonic()

    def __call__(self) -> None:
        if self._stop.is_set():
            raise StaleFence(
                f"{self._lease.name} was told to stop", kind="lease", key=self._lease.name, hint="End the job."
            )
        # Renew after a quarter: the lease never comes near its expiry, and quick steps do not write it every time.
        if time.monotonic() - self._renewed < self._ttl / 4:
            return
        if self._store.leases.renew(self._lease, self._ttl) is None:
            raise StaleFence(
                f"the lease {self._lease.name!r} expired during the work, and another process may have it",
                kind="lease",
                key=self._lease.name,
                hint="End the job.",
            )
        self._renewed = time.monotonic()


def _holder() -> str:
    """Return a unique name of this run that shows an operator its host and process."""
    return f"{platform.node()[:40]}:{os.getpid()}:{uuid7()}"
