"""Bounded, fair pool of connections."""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR, TRANSACTION_STATUS_INTRANS

from ciris_store_core.errors import PoolTimeout, StoreClosed
from ciris_store_postgres.connection import NEVER, Permit, PooledConnection
from ciris_store_postgres.watchdog import Watchdog

# Seconds for the check of an idle connection, and for the rollback of one that is released within a transaction.
_CHECK_SECONDS = 5.0
# Seconds after which a waiting thread looks for connections that became garbage without a release.
_WAIT_SLICE = 0.5
# Share by which lifetimes vary, so that connections that were opened together do not all expire together.
_LIFETIME_SPREAD = 0.1

_pools: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()


class _Waiter:
    """Waiting thread. ``ready`` is released when a connection or a permit was served, or the pool closes."""

    __slots__ = ("ready", "served")

    def __init__(self) -> None:
        self.ready = threading.Lock()
        self.ready.acquire()
        self.served: PooledConnection | Permit | None = None


class _Checkout:
    """Context manager that acquires a connection and releases it."""

    __slots__ = ("_connection", "_pool", "_timeout")

    def __init__(self, pool: ConnectionPool, timeout: float | None) -> None:
        self._pool = pool
        self._timeout = timeout

    def __enter__(self) -> PooledConnection:
        self._connection = self._pool.acquire(self._timeout)
        return self._connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.release(self._connection)
        # A reference that outlives the block would keep a connection that is lost later from becoming garbage.
        del self._connection


class ConnectionPool:
    """Pool of at most ``size`` connections, opened on demand, each used by one thread at a time. Thread-safe.

    Idle connections are reused last in, first out; waiting threads are served first come, first served. A connection is
    checked before it is handed out, and replaced if it is dead, if it was idle for long, or was idle when another one
    turned out to be dead. A connection that becomes garbage without ``release`` frees its permit.

    Args:
        opener: Opens one connection; raises a ``StoreError``.
        watchdog: Guards the pool's own statements. Callers set the deadlines of theirs.
        size: The most connections at any time.
        timeout: Seconds that ``acquire`` waits.
        idle_check: Seconds of idleness after which a connection is checked before use.
        max_lifetime: Seconds after which a connection is replaced, give or take a tenth; 0 for never.
        clock: Seconds, for idleness and lifetime.
    """

    def __init__(
        self,
        opener: Callable[[], PooledConnection],
        watchdog: Watchdog,
        *,
        size: int = 10,
        timeout: float = 30.0,
        idle_check: float = 30.0,
        max_lifetime: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._opener = opener
        self._watchdog = watchdog
        self._size = size
        self._timeout = timeout
        self._idle_check = idle_check
        self._max_lifetime = max_lifetime or NEVER
        self._clock = clock
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._closed = False
        self._drained = threading.Event()
        self._idle: list[PooledConnection] = []
        self._waiters: deque[_Waiter] = deque()
        # Weak references: an interrupt between any two steps loses no permit. One that dies with the stack frame or the
        # connection that held it is appended to `_lost` by its callback, and is free again.
        self._permits: set[weakref.ref[Permit]] = set()
        self._lost: deque[weakref.ref[Permit]] = deque()
        # Connections in use or idle.
        self._connections: weakref.WeakSet[PooledConnection] = weakref.WeakSet()
        # Connections idle since before this time are checked before use: another one has died since.
        self._suspect_before = -NEVER
        self._opened_total = self._discarded_total = 0
        _pools.add(self)

    # --- for users ------------------------------------------------------------------------------

    def connection(self, timeout: float | None = None) -> _Checkout:
        """Acquire a connection for a ``with`` block, and release it at the end in any case."""
        return _Checkout(self, timeout)

    def acquire(self, timeout: float | None = None) -> PooledConnection:
        """Return a connection for the caller alone, outside any transaction. Return it to the pool with ``release``.

        Args:
            timeout: Seconds to wait for a connection, by default the pool's timeout.

        Raises:
            PoolTimeout: All connections stayed in use.
            StoreClosed: The pool is closed, or was made before this process was forked.
            StoreError: Raised by the opener.
        """
        if self._closed or os.getpid() != self._pid:
            self._refuse()
        now = self._clock()
        with self._lock:
            found = self._idle.pop() if self._idle else None
        if found is None:
            return self._ready(self._take(timeout))
        idle_since = found.idle_since
        if idle_since <= now - self._idle_check or idle_since <= self._suspect_before or now >= found.expires_at:
            return self._ready(found)
        # A connection whose server has restarted has unread input. Without this check the next write would be sent over
        # it and fail with OutcomeUnknown; with it, the connection is replaced before anything is sent.
        return self._ready(found) if found.has_input() else found

    def release(self, connection: PooledConnection, *, broken: bool = False) -> None:
        """Return a connection to the pool.

        A connection that is ``broken``, closed or busy is discarded. A transaction that is open on it is rolled back
        first. In a forked child this does nothing, since the connection belongs to the parent.
        """
        if os.getpid() != self._pid:
            return
        raw = connection.raw
        if broken or connection.was_shut_down or raw.closed or raw.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            self._release_unclean(connection, broken)
        else:
            self._return(connection)

    def connections(self) -> list[PooledConnection]:
        """Return all connections, in use or idle."""
        with self._lock:
            return list(self._connections)

    def stats(self) -> dict[str, int]:
        """Return counts: size, in_use, idle and waiting now; opened_total and discarded_total since the start.

        ``in_use`` includes connections that are being opened.
        """
        with self._lock:
            self._serve()
            return {
                "size": self._size,
                "in_use": len(self._permits) - len(self._idle),
                "idle": len(self._idle),
                "waiting": len(self._waiters),
                "opened_total": self._opened_total,
                "discarded_total": self._discarded_total,
            }

    def close(self, timeout: float = 5.0) -> None:
        """Close every connection. Idempotent.

        Waiting threads get ``StoreClosed``. Connections in use are closed on release; those that are still in use after
        ``timeout`` seconds are shut down, and their users get an error. In a forked child this does nothing.
        """
        if os.getpid() != self._pid:
            return
        for connection in self._begin_closing():
            self._discard(connection)
        if not self._drained.wait(timeout):
            for connection in self.connections():
                connection.shut_down()

    def abandon(self) -> None:
        """Give up all connections in the child of a fork: their sockets belong to the parent."""
        # Another thread of the parent may have held the lock at the fork, and does not exist here to release it.
        self._lock = threading.Lock()
        for connection in self._connections:
            if connection.session is not None:
                connection.session.abandon()

    # --- getting a connection -------------------------------------------------------------------

    def _refuse(self) -> NoReturn:
        if os.getpid() != self._pid:
            raise StoreClosed("the store was opened before os.fork(). Open a new one in this process.")
        raise StoreClosed("the store is closed. Open a new one.")

    def _take(self, timeout: float | None) -> PooledConnection | Permit:
        """Wait for an idle connection, or for a permit to open one."""
        waiter = _Waiter()
        with self._lock:
            if self._closed:
                self._refuse()
            self._waiters.append(waiter)
            self._serve()
        return self._wait(waiter, self._timeout if timeout is None else timeout)

    def _wait(self, waiter: _Waiter, timeout: float) -> PooledConnection | Permit:
        deadline = time.monotonic() + timeout
        try:
            while not waiter.ready.acquire(timeout=min(_WAIT_SLICE, max(deadline - time.monotonic(), 0.0))):
                self._repair_queue(waiter)
                if time.monotonic() >= deadline and self._gave_up(waiter):
                    raise PoolTimeout(
                        f"could not acquire a connection within {timeout:g} s (pool_size={self._size}). Shorten "
                        "transactions, or raise pool_size or pool_timeout in the URL."
                    )
        except BaseException:
            self._withdraw(waiter)
            raise
        return waiter.served or self._refuse()

    def _repair_queue(self, waiter: _Waiter) -> None:
        """Complete a step that an interrupted thread may have left half done."""
        with self._lock:
            if waiter.served is None and not self._closed and waiter not in self._waiters:
                self._waiters.appendleft(waiter)
            self._serve()

    def _gave_up(self, waiter: _Waiter) -> bool:
        """Leave the queue. Return False if the waiter was served at the last moment."""
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
                return True
            return False

    def _withdraw(self, waiter: _Waiter) -> None:
        """Return what an interrupted thread was served to the pool."""
        self._gave_up(waiter)
        if isinstance(waiter.served, PooledConnection):
            self._return(waiter.served)
        elif waiter.served is not None:
            self._free(waiter.served)

    def _ready(self, found: PooledConnection | Permit) -> PooledConnection:
        """Return the connection found if it works, else a new one under its permit."""
        if isinstance(found, Permit):
            return self._open_one(found)
        try:
            fit = self._is_fit(found)
        except BaseException:
            self._discard(found)
            raise
        return found if fit else self._open_one(self._shut(found))

    def _is_fit(self, connection: PooledConnection) -> bool:
        """Return True if an idle connection may be handed out. In doubt, ask the server."""
        now = self._clock()
        if now >= connection.expires_at:
            return False
        if connection.idle_since > max(now - self._idle_check, self._suspect_before) and not connection.has_input():
            return True
        return self._run(connection, "SELECT 1")

    def _run(self, connection: PooledConnection, statement: str) -> bool:
        """Run a statement of the pool itself. If it fails, return False and have all idle connections checked."""
        try:
            with self._watchdog.guard(connection, _CHECK_SECONDS), connection.raw.cursor() as cursor:
                cursor.execute(statement)
        except psycopg2.Error:
            self._suspect_before = self._clock()
            return False
        return True

    def _open_one(self, permit: Permit) -> PooledConnection:
        try:
            connection = self._opener()
        except BaseException:
            # The traceback holds this frame: the permit would stay taken for as long as the error is kept.
            self._free(permit)
            raise
        connection.permit = permit
        connection.opened_at = connection.idle_since = self._clock()
        spread = random.uniform(1 - _LIFETIME_SPREAD, 1 + _LIFETIME_SPREAD)
        connection.expires_at = connection.opened_at + self._max_lifetime * spread
        self._watchdog.watch(connection)
        with self._lock:
            self._connections.add(connection)
            self._opened_total += 1
        if self._closed:
            self._discard(connection)
            self._refuse()
        return connection

    # --- releasing ------------------------------------------------------------------------------

    def _release_unclean(self, connection: PooledConnection, broken: bool) -> None:
        dead = broken or connection.was_shut_down or connection.raw.closed
        if dead:
            self._suspect_before = self._clock()
        if dead or not self._rolled_back(connection):
            self._discard(connection)
        else:
            self._return(connection)

    def _rolled_back(self, connection: PooledConnection) -> bool:
        """Roll back an open transaction. Return False in the middle of a statement, which cannot be ended cleanly."""
        status = connection.raw.get_transaction_status()
        if status not in (TRANSACTION_STATUS_INTRANS, TRANSACTION_STATUS_INERROR):
            return False
        return self._run(connection, "ROLLBACK") and (
            connection.raw.get_transaction_status() == TRANSACTION_STATUS_IDLE
        )

    def _return(self, connection: PooledConnection) -> None:
        connection.idle_since = self._clock()
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                if self._waiters:
                    self._serve()
                return
        self._discard(connection)

    def _discard(self, connection: PooledConnection) -> None:
        """Close a connection and free its permit."""
        self._free(self._shut(connection))

    def _shut(self, connection: PooledConnection) -> Permit:
        """Close a connection, and return its permit, which the caller now holds."""
        # After a shutdown the driver cannot block on its closing message to a server that does not read.
        if not connection.raw.closed and connection.raw.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            connection.shut_down()
        connection.close()
        with self._lock:
            self._connections.discard(connection)
            self._discarded_total += 1
        permit, connection.permit = connection.permit, None
        return permit or Permit()

    def _free(self, permit: Permit) -> None:
        with self._lock:
            self._permits.discard(weakref.ref(permit))
            self._serve()

    def _serve(self) -> None:
        """Give connections and permits to the waiting threads, the longest-waiting first. The lock must be held."""
        while self._lost:
            self._permits.discard(self._lost.popleft())
        while self._waiters and (self._idle or len(self._permits) < self._size):
            waiter = self._waiters.popleft()
            waiter.served = self._idle.pop() if self._idle else self._new_permit()
            waiter.ready.release()
        if self._closed and not self._permits:
            self._drained.set()

    def _new_permit(self) -> Permit:
        permit = Permit()
        self._permits.add(weakref.ref(permit, self._lost.append))
        return permit

    # --- closing --------------------------------------------------------------------------------

    def _begin_closing(self) -> list[PooledConnection]:
        """Refuse new users, wake the waiting threads, and return the idle connections."""
        with self._lock:
            self._closed = True
            for waiter in self._waiters:
                waiter.ready.release()
            self._waiters.clear()
            idle, self._idle = self._idle, []
            self._serve()
            return idle


def _abandon_all() -> None:
    for pool in _pools:
        pool.abandon()


# A statement of the child on an inherited connection would mix with the parent's on one socket. The hook marks every
# session once; a comparison of process ids before each statement would cost a system call each time.
os.register_at_fork(after_in_child=_abandon_all)
