"""Fork handling: idle connections are closed before a fork; files that stay open are refused in the child.

SQLite keeps a table, for each process, of its locks on each file. A child inherits the table but not the locks. A
connection of the child to such a file would rely on locks that it does not have, and its writes would be lost when the
parent removes the log.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Collection, Sequence
from typing import Protocol
from weakref import WeakSet

from ciris_store_core.contract.fair_lock import Ticket
from ciris_store_core.errors import StoreClosed
from ciris_store_sqlite.files import identity
from ciris_store_sqlite.session import SqliteSession
from ciris_store_sqlite.settings import Settings

PATIENCE_SECONDS = 1.0
"""Seconds for which a fork waits for the calls of other threads to end."""


class Forkable(Protocol):
    """Backend whose connections are closed before a fork."""

    settings: Settings

    @property
    def sessions(self) -> Collection[SqliteSession]:
        """Sessions of all open connections."""

    def keep_out(self, tickets: Sequence[Ticket], deadline: float) -> bool:
        """Acquire every permit; return True if no thread uses a connection until ``let_in``."""

    def let_in(self, tickets: Sequence[Ticket]) -> None:
        """Release the tickets."""

    def close_connections(self) -> None:
        """Close all connections, none of which may be in use."""


_backends: WeakSet[Forkable] = WeakSet()
_paused: list[tuple[Forkable, list[Ticket], bool]] = []
"""During a fork: each backend, the tickets that keep its callers out, and True if its connections are closed."""
_inherited: set[tuple[int, int] | None] = set()


def watch(backend: Forkable) -> None:
    """Register a backend, whose connections are closed or refused at every fork."""
    _backends.add(backend)


def refuse_inherited(path: str) -> None:
    """Raise ``StoreClosed`` if the file was open in the parent of this process when it forked."""
    if _inherited and identity(path) in _inherited:
        raise StoreClosed(
            f"{path} was in use when this process was forked, and SQLite's locks do not pass to a child. Fork outside "
            'of transactions, close the store before, or use multiprocessing.get_context("spawn").'
        )


def _before() -> None:
    # All permits of each backend are acquired, so that no thread uses or opens a connection while the process forks.
    deadline = time.monotonic() + PATIENCE_SECONDS
    for backend in list(_backends):
        tickets = [Ticket() for _ in range(1 + backend.settings.pool_size)]
        quiet = backend.keep_out(tickets, deadline)
        if quiet:
            backend.close_connections()
        _paused.append((backend, tickets, quiet))


def _after_in_parent() -> None:
    while _paused:
        backend, tickets, _ = _paused.pop()
        backend.let_in(tickets)


def _after_in_child() -> None:
    closed = [backend for backend, _, quiet in _paused if quiet]
    _paused.clear()
    for backend in list(_backends):
        if backend not in closed:
            _inherited.add(identity(backend.settings.path))
            for session in list(backend.sessions):
                _keep(session.connection)


def _keep(connection: object) -> None:
    # The reference is never dropped, so that the connection is not closed even when the child ends: closing it would
    # roll back, and so change the shared index of the log that the parent uses.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
