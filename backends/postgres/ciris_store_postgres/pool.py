"""A bounded, fair pool of connections."""

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
from ciris_store_postgres.connection import Place
from ciris_store_postgres.connection import PooledConnection as PooledConnection
from ciris_store_postgres.watchdog import NEVER, Watchdog

# Seconds for the check of an idle connection and for the rollback of one that comes back within a transaction.
_CHECK_SECONDS = 5.0
# Seconds between two looks of a waiting thread for connections that their users lost without returning them.
_WAIT_SLICE = 0.5
# Connections opened together should not all expire together.
_LIFETIME_SPREAD = 0.1


_pools: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()


class _Waiter:
    """A thread in the queue. ``ready`` opens when there is a connection or a place for it, or the pool closes."""

    __slots__ = ("ready", "served")

    def __init__(self) -> None:
        self.ready = threading.Lock()
        self.ready.acquire()
        self.served: PooledConnection | Place | None = None


class _Lease:
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
        # A lease that somebody keeps must not keep the connection from being noticed as lost later on.
        del self._connection


class ConnectionPool:
    """At most ``size`` connections, opened when needed, each used by one thread at a time. Thread-safe.

    Idle connections are reused last in, first out; threads that wait are served first come, first served. A
    connection that was idle for long, or that was idle when another one turned out to be dead, is checked before it
    is handed out, and replaced if it is dead. One that its user lost without ``release`` is noticed once it is
    garbage, and its place is used again.

    Args:
        opener: Opens one connection; raises a ``StoreError``.
        watchdog: Guards the pool's own statements. The caller arms it for its own.
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
        # References, so that an interrupt between any two steps loses nothing: a place that is dropped with the
        # stack frame or the connection that held it turns up in `_lost`.
        self._places: set[weakref.ref[Place]] = set()
        self._lost: deque[weakref.ref[Place]] = deque()
        #: Connections in use or idle.
        self._connections: weakref.WeakSet[PooledConnection] = weakref.WeakSet()
        #: Connections idle since before this time are checked: another one has died since.
        self._suspect_before = -NEVER
        self._opened_total = self._discarded_total = 0
        _pools.add(self)

    # --- for users ------------------------------------------------------------------------------

    def connection(self, timeout: float | None = None) -> _Lease:
        """``with pool.connection() as connection:`` acquires, and releases in any case."""
        return _Lease(self, timeout)

    def acquire(self, timeout: float | None = None) -> PooledConnection:
        """A connection for the caller alone, outside any transaction. Give it back with ``release``.

        Args:
            timeout: Seconds to wait for one, by default the pool's.

        Raises:
            PoolTimeout: All connections stayed in use.
            StoreClosed: The pool is closed, or belongs to the process that this one was forked from.
            StoreError: What the opener raised.
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
        # Without this look, the first write after a restart of the server would be sent, and its fate unknown.
        return self._ready(found) if found.stirs() else found

    def release(self, connection: PooledConnection, *, broken: bool = False) -> None:
        """Give a connection back.

        One that is ``broken``, closed, or busy is closed; one within a transaction is rolled back first. In a forked
        child nothing happens, since the connection is the parent's.
        """
        if os.getpid() != self._pid:
            return
        raw = connection.raw
        if broken or connection.was_cut or raw.closed or raw.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            self._release_unclean(connection, broken)
        else:
            self._return(connection)

    def connections(self) -> list[PooledConnection]:
        """All connections of this moment, in use or idle."""
        with self._lock:
            return list(self._connections)

    def stats(self) -> dict[str, int]:
        """Counts of this moment: size, in_use, idle, waiting; and since the start: opened_total, discarded_total.

        ``in_use`` includes connections that are just being opened.
        """
        with self._lock:
            self._serve()
            return {
                "size": self._size,
                "in_use": len(self._places) - len(self._idle),
                "idle": len(self._idle),
                "waiting": len(self._waiters),
                "opened_total": self._opened_total,
                "discarded_total": self._discarded_total,
            }

    def close(self, timeout: float = 5.0) -> None:
        """Close every connection. May be called twice.

        Threads that wait get ``StoreClosed``. Connections in use are closed when they come back; those still out
        after ``timeout`` seconds are cut, and their users get an error. In a forked child nothing is touched.
        """
        if os.getpid() != self._pid:
            return
        for connection in self._begin_closing():
            self._discard(connection)
        if not self._drained.wait(timeout):
            self._cut_all()

    def abandon(self) -> None:
        """In the child of a fork: leave the connections, which are the parent's, alone."""
        self._lock = threading.Lock()  # another thread of the parent may have held it
        for connection in self._connections:
            if connection.session is not None:
                connection.session.abandon()

    # --- getting a connection -------------------------------------------------------------------

    def _refuse(self) -> NoReturn:
        if os.getpid() != self._pid:
            raise StoreClosed("the store was opened before os.fork(): open a new one in this process")
        raise StoreClosed("the store is closed: open a new one")

    def _take(self, timeout: float | None) -> PooledConnection | Place:
        """An idle connection, or a place to open one in, waiting for either."""
        waiter = _Waiter()
        with self._lock:
            if self._closed:
                self._refuse()
            self._waiters.append(waiter)
            self._serve()
        return self._wait(waiter, self._timeout if timeout is None else timeout)

    def _wait(self, waiter: _Waiter, timeout: float) -> PooledConnection | Place:
        deadline = time.monotonic() + timeout
        try:
            while not waiter.ready.acquire(timeout=min(_WAIT_SLICE, max(deadline - time.monotonic(), 0.0))):
                self._look_again(waiter)
                if time.monotonic() >= deadline and self._gave_up(waiter):
                    raise self._timed_out(timeout)
        except BaseException:
            self._withdraw(waiter)
            raise
        return waiter.served or self._refuse()

    def _look_again(self, waiter: _Waiter) -> None:
        """Fix what an interrupted thread may have left half done."""
        with self._lock:
            if waiter.served is None and not self._closed and waiter not in self._waiters:
                self._waiters.appendleft(waiter)
            self._serve()

    def _gave_up(self, waiter: _Waiter) -> bool:
        """Leave the queue, unless served at the last moment."""
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
                return True
            return False

    def _withdraw(self, waiter: _Waiter) -> None:
        """Pass on what an interrupted thread was served."""
        self._gave_up(waiter)
        if isinstance(waiter.served, PooledConnection):
            self._return(waiter.served)
        elif waiter.served is not None:
            self._free(waiter.served)

    def _timed_out(self, timeout: float) -> PoolTimeout:
        return PoolTimeout(
            f"all {self._size} connections of the pool stayed in use for {timeout:g} seconds: hold transactions "
            "shorter, or enlarge the pool (URL option pool_size) or the wait (pool_timeout)"
        )

    def _ready(self, found: PooledConnection | Place) -> PooledConnection:
        """A connection that works: the given one if it does, else a new one in its place."""
        if isinstance(found, Place):
            return self._open_one(found)
        try:
            fit = self._is_fit(found)
        except BaseException:
            self._discard(found)
            raise
        return found if fit else self._open_one(self._shut(found))

    def _is_fit(self, connection: PooledConnection) -> bool:
        """Whether an idle connection may be handed out, asking the server where that is in doubt."""
        now = self._clock()
        if now >= connection.expires_at:
            return False
        if connection.idle_since > max(now - self._idle_check, self._suspect_before) and not connection.stirs():
            return True
        return self._run(connection, "SELECT 1")

    def _run(self, connection: PooledConnection, statement: str) -> bool:
        """Run a statement of the pool's own; False if it fails, which also makes the other idle ones suspect."""
        try:
            with self._watchdog.guard(connection, _CHECK_SECONDS), connection.raw.cursor() as cursor:
                cursor.execute(statement)
        except psycopg2.Error:
            self._suspect_before = self._clock()
            return False
        return True

    def _open_one(self, place: Place) -> PooledConnection:
        try:
            connection = self._opener()
        except BaseException:
            # The error's traceback would keep the place for as long as somebody keeps the error.
            self._free(place)
            raise
        connection.place = place
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

    # --- taking one back ------------------------------------------------------------------------

    def _release_unclean(self, connection: PooledConnection, broken: bool) -> None:
        dead = broken or connection.was_cut or connection.raw.closed
        if dead:
            self._suspect_before = self._clock()
        if dead or not self._rolled_back(connection):
            self._discard(connection)
        else:
            self._return(connection)

    def _rolled_back(self, connection: PooledConnection) -> bool:
        """End an open transaction. A connection in the middle of a statement cannot be saved."""
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
        """Close a connection and let its place be used again."""
        self._free(self._shut(connection))

    def _shut(self, connection: PooledConnection) -> Place:
        """Close a connection and take its place, which is the caller's now."""
        # After a cut the driver cannot block on saying goodbye to a peer that does not read.
        if not connection.raw.closed and connection.raw.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            connection.cut()
        connection.close()
        with self._lock:
            self._connections.discard(connection)
            self._discarded_total += 1
        place, connection.place = connection.place, None
        return place or Place()

    def _free(self, place: Place) -> None:
        with self._lock:
            self._places.discard(weakref.ref(place))
            self._serve()

    def _serve(self) -> None:
        """Give connections and places to those who wait, the longest first. Needs the lock."""
        while self._lost:
            self._places.discard(self._lost.popleft())
        while self._waiters and (self._idle or len(self._places) < self._size):
            waiter = self._waiters.popleft()
            waiter.served = self._idle.pop() if self._idle else self._new_place()
            waiter.ready.release()
        if self._closed and not self._places:
            self._drained.set()

    def _new_place(self) -> Place:
        place = Place()
        self._places.add(weakref.ref(place, self._lost.append))
        return place

    # --- closing --------------------------------------------------------------------------------

    def _begin_closing(self) -> list[PooledConnection]:
        """Let nobody in any more, send the waiting away, and return the idle connections."""
        with self._lock:
            self._closed = True
            for waiter in self._waiters:
                waiter.ready.release()
            self._waiters.clear()
            idle, self._idle = self._idle, []
            self._serve()
            return idle

    def _cut_all(self) -> None:
        for connection in self.connections():
            connection.cut()


def _abandon_all() -> None:
    for pool in _pools:
        pool.abandon()


# Not a look at the process's number in each statement, which would cost a system call.
os.register_at_fork(after_in_child=_abandon_all)
