"""Connections at a fork: closed before it where nobody uses them, else their files are refused in the child.

SQLite keeps a table of the locks that a process has on each file. A child inherits the table but not the locks: its own
connection to such a file would believe to be protected, and what it writes is lost when the parent removes the log.
"""

from __future__ import annotations

import ctypes
import os
import time
from typing import TYPE_CHECKING
from weakref import WeakSet

from ciris_store_core.contract.fair_lock import Ticket
from ciris_store_core.errors import StoreClosed
from ciris_store_sqlite.files import identity

if TYPE_CHECKING:
    from ciris_store_sqlite.backend import SqliteBackend

PATIENCE_SECONDS = 1.0
"""How long a fork waits for the calls of other threads to end."""

_backends: WeakSet[SqliteBackend] = WeakSet()
_paused: list[tuple[SqliteBackend, list[Ticket], bool]] = []
"""During a fork: each backend, what keeps its callers out, and whether its connections are closed."""
_inherited: set[tuple[int, int] | None] = set()


def watch(backend: SqliteBackend) -> None:
    """Care for the connections of a backend at every fork."""
    _backends.add(backend)


def refuse_inherited(path: str) -> None:
    """Raise ``StoreClosed`` if the file was open in the parent of this process when it forked."""
    if _inherited and identity(path) in _inherited:
        raise StoreClosed(
            f"{path} was in use when this process was forked, and SQLite's locks do not pass to a child: fork outside "
            'of transactions, close the store before, or use multiprocessing.get_context("spawn")'
        )


def _before() -> None:
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
    # Not even closed when the child ends: the rollback of that would change the parent's index of the log.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
