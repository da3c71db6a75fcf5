"""Watchdog that ends operations past their deadline by shutting down the socket of their connection.

Neither keepalives nor ``statement_timeout`` end a call to a server that accepts data and never answers. A cancel
request is no alternative: a COMMIT that waits for its standby would report success.
"""

from __future__ import annotations

import threading
import time
import weakref
from types import TracebackType

from ciris_store_postgres.connection import NEVER, PooledConnection

# The longest sleep between two checks: a deadline that is set during a sleep is noticed at most this much too late.
_LONGEST_SLEEP = 0.5


class Watchdog:
    """Thread, one per store, that shuts down connections whose ``deadline`` has passed. Thread-safe.

    The blocked driver call raises then, and ``errors.translate`` turns its error into one of the store. The thread
    starts with the first connection. It ends with ``close()``, or when the watchdog is garbage.

    Args:
        timeout: Seconds that an operation may take unless ``guard`` is given another number; 0 for no limit.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout or NEVER
        self._lock = threading.Lock()
        self._connections: weakref.WeakSet[PooledConnection] = weakref.WeakSet()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, connection: PooledConnection) -> None:
        """Check the deadline of ``connection`` for as long as it exists."""
        with self._lock:
            self._connections.add(connection)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_run_checks, args=(weakref.ref(self), self._stop), name="ciris-store-watchdog", daemon=True
                )
                self._thread.start()

    def guard(self, connection: PooledConnection, timeout: float | None = None) -> _Guard:
        """Limit a ``with`` block to ``timeout`` seconds, by default the watchdog's timeout."""
        return _Guard(connection, self.timeout if timeout is None else timeout)

    def close(self) -> None:
        """Stop. No deadline is enforced from now on, so close the pool first."""
        self._stop.set()

    def _check(self) -> float:
        """Shut down overdue connections, and return the seconds until the next deadline."""
        with self._lock:
            connections = list(self._connections)
        now = time.monotonic()
        for connection in connections:
            if connection.deadline <= now:
                connection.shut_down()
        return min((connection.deadline for connection in connections), default=NEVER) - now


class _Guard:
    __slots__ = ("_connection", "_timeout")

    def __init__(self, connection: PooledConnection, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout

    def __enter__(self) -> None:
        self._connection.deadline = time.monotonic() + self._timeout

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.deadline = NEVER


def _run_checks(watchdog: weakref.ref[Watchdog], stop: threading.Event) -> None:
    # No reference is held during the sleep: a store that was never closed can be collected, and this thread ends.
    sleep = 0.0
    while not stop.wait(sleep):
        found = watchdog()
        if found is None:
            return
        sleep = min(max(found._check(), 0.0), _LONGEST_SLEEP)
        del found
