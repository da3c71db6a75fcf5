"""Ends operations that outlive their deadline by shutting the connection's socket down.

Against a peer that accepts and never answers, neither keepalives nor ``statement_timeout`` help. Cancelling would be
wrong too: a COMMIT that waits for its standby would then report success.
"""

from __future__ import annotations

import threading
import time
import weakref
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ciris_store_postgres.connection import PooledConnection

#: The deadline of a connection on which nothing runs.
NEVER = float("inf")

# The longest sleep between two looks. An operation armed during a sleep is seen at most this much too late.
_LONGEST_SLEEP = 0.5


class Watchdog:
    """One thread per store that cuts connections whose ``deadline`` has passed. Thread-safe.

    The blocked driver call raises then, and ``errors.translate`` says what that means. The thread starts with the
    first connection, and ends with ``close()`` or when nobody holds the watchdog any more.

    Args:
        timeout: Seconds that an operation may take where ``arm`` gets no other number; 0 for no limit.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout or NEVER
        self._lock = threading.Lock()
        self._connections: weakref.WeakSet[PooledConnection] = weakref.WeakSet()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, connection: PooledConnection) -> None:
        """Look after ``connection`` for as long as it lives."""
        with self._lock:
            self._connections.add(connection)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_patrol, args=(weakref.ref(self), self._stop), name="ciris-store-watchdog", daemon=True
                )
                self._thread.start()

    def guard(self, connection: PooledConnection, timeout: float | None = None) -> _Guard:
        """Around a ``with`` block that may take ``timeout`` seconds, by default the watchdog's own."""
        return _Guard(connection, self.timeout if timeout is None else timeout)

    def close(self) -> None:
        """Stop looking: nothing is cut from now on, so close the pool first."""
        self._stop.set()

    def _look(self) -> float:
        """Cut what is overdue, and return the seconds until the next deadline."""
        with self._lock:
            connections = list(self._connections)
        now = time.monotonic()
        for connection in connections:
            if connection.deadline <= now:
                connection.cut()
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


def _patrol(watchdog: weakref.ref[Watchdog], stop: threading.Event) -> None:
    # Holding no reference while asleep lets a store that was never closed be collected, and this thread end.
    sleep = 0.0
    while not stop.wait(sleep):
        alive = watchdog()
        if alive is None:
            return
        sleep = min(max(alive._look(), 0.0), _LONGEST_SLEEP)
        del alive
