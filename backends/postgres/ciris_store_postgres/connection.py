"""Driver connection with the state that the pool, the watchdog and the session attach to it."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from typing import Any

import psycopg2
from psycopg2 import extensions

NEVER = float("inf")
"""The deadline of a connection on which nothing runs."""


class Permit:
    """Right to have one connection open. The pool counts a permit as free once it is released or garbage."""

    __slots__ = ("__weakref__",)


class PooledConnection:
    """Driver connection with the state that its users attach to it.

    - ``raw`` is the driver's connection.
    - ``session`` belongs to the pool's user, who may keep any object there for the life of the connection.
    - ``opened_at``, ``idle_since`` and ``expires_at`` are times of the pool's clock, in seconds.
    - ``deadline`` belongs to the watchdog, ``permit`` to the pool.
    """

    __slots__ = (
        "__weakref__",
        "_lock",
        "_poll",
        "_socket",
        "deadline",
        "expires_at",
        "idle_since",
        "opened_at",
        "permit",
        "raw",
        "session",
        "was_shut_down",
    )

    def __init__(self, raw: extensions.connection) -> None:
        """Take over an open connection."""
        self.raw = raw
        self.session: Any = None
        self.permit: Permit | None = None
        self.opened_at = self.idle_since = 0.0
        self.expires_at = self.deadline = NEVER
        self.was_shut_down = False
        # A duplicate descriptor: the driver may close its own at any time, and the kernel then reuses the number. A
        # shutdown of that number would hit a file or socket of the application.
        self._socket = socket.socket(fileno=os.dup(raw.fileno()))
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._lock = threading.Lock()

    def has_input(self) -> bool:
        """Return True if input arrived that no statement asked for. As a rule, the server closed the connection."""
        return bool(self._poll.poll(0))

    def shut_down(self) -> None:
        """Shut the socket down, so that a call that another thread is blocked in raises. Thread-safe."""
        with self._lock:
            self.was_shut_down = True
            self.deadline = NEVER
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection. Never blocks and never raises."""
        with contextlib.suppress(psycopg2.Error):
            self.raw.close()
        with self._lock:
            self._socket.close()

    def __del__(self) -> None:
        # Only the duplicate is closed here. The driver closes its descriptor, except in a forked child.
        if hasattr(self, "_socket"):
            self._socket.close()
