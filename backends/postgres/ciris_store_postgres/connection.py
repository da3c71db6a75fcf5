"""A driver connection with what the pool, the watchdog and the session keep beside it."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from typing import Any

import psycopg2
from psycopg2 import extensions

from ciris_store_postgres.watchdog import NEVER


class Place:
    """The right to have one connection open. Whoever drops it, on whatever way, gives it back to the pool."""

    __slots__ = ("__weakref__",)


class PooledConnection:
    """A driver connection with what the pool and the session keep beside it.

    ``raw`` is the driver's connection; ``session`` belongs to the pool's user, who may keep any object there for the
    connection's life; the times are those of the pool's clock, in seconds; ``deadline`` is the watchdog's, and
    ``place`` the pool's.
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
        "place",
        "raw",
        "session",
        "was_cut",
    )

    def __init__(self, raw: extensions.connection) -> None:
        """Take over an open connection."""
        self.raw = raw
        self.session: Any = None
        self.place: Place | None = None
        self.opened_at = self.idle_since = 0.0
        self.expires_at = self.deadline = NEVER
        self.was_cut = False
        # A descriptor of our own: the driver may close its one at any time, and the number may then be another file's.
        self._socket = socket.socket(fileno=os.dup(raw.fileno()))
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._lock = threading.Lock()

    def stirs(self) -> bool:
        """Whether something came in though nothing was asked: as a rule, that the server is gone."""
        return bool(self._poll.poll(0))

    def cut(self) -> None:
        """Shut the socket down, so that a call blocked on it in another thread raises. Safe from any thread."""
        with self._lock:
            self.was_cut = True
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
        # The driver closes its descriptor itself, unless the process is a fork of the one that opened it.
        if hasattr(self, "_socket"):
            self._socket.close()
