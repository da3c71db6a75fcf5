"""FIFO lock among the threads of a process that no exception can leave locked.

An interrupt may strike between any two calls, also between an acquire and the ``try`` after it, and at the first
instruction of an ``__exit__``. So nothing is marked as locked: the holders are the first tickets of a queue that are
still wanted. A ticket that its owner released, or lost together with its frame, is passed over by the next thread
that looks at the queue.
"""

from __future__ import annotations

import time
from collections import deque
from threading import Lock, get_ident
from weakref import ref

LOOK_AGAIN_SECONDS = 0.05
"""Interval at which a waiter looks for lost holders, since these wake no waiter."""


class Ticket:
    """One caller's place in the queue. Keep it only in an object that ends with the caller."""

    __slots__ = ("__weakref__", "thread", "wake", "wanted")

    def __init__(self) -> None:
        """Make a ticket that is in no queue yet."""
        self.wanted = False
        self.thread = 0
        self.wake: Lock | None = None


class FairLock:
    """A lock for one holder, or a few at a time, in order of arrival.

    It relies on single operations of a deque, which are atomic, and has no lock of its own: a signal handler may use it
    in the thread that it interrupted.
    """

    def __init__(self, places: int = 1) -> None:
        """Make a lock for ``places`` holders at a time."""
        self._places = places
        self._queue: deque[ref[Ticket]] = deque()

    def acquire(self, ticket: Ticket, timeout: float) -> bool:
        """Wait until the ticket holds the lock; False after ``timeout`` seconds. After an exception, release it."""
        ticket.thread = get_ident()
        ticket.wanted = True
        self._queue.append(ref(ticket))
        # Places in the queue only move forward, so that a ticket that once was among the first still is.
        if len(self._queue) <= self._places or self.holds(ticket):
            return True
        return self._wait(ticket, time.monotonic() + timeout)

    def _wait(self, ticket: Ticket, deadline: float) -> bool:
        ticket.wake = wake = Lock()
        wake.acquire()
        while not self.holds(ticket):
            left = deadline - time.monotonic()
            if left <= 0:
                self.release(ticket)
                return False
            wake.acquire(timeout=min(left, LOOK_AGAIN_SECONDS))
        return True

    def holds(self, ticket: Ticket) -> bool:
        """Return whether the ticket is among the first."""
        ahead = 0
        for each in self._queue.copy():
            other = each()
            if other is ticket:
                return ticket.wanted
            if other is None or not other.wanted:
                self._drop(each)
            else:
                ahead += 1
                if ahead == self._places:
                    return False
        return False

    def release(self, ticket: Ticket) -> None:
        """Leave the queue. Idempotent."""
        ticket.wanted = False  # from here on, other threads pass it over
        self._drop(ref(ticket))
        if len(self._queue) >= self._places:
            self._wake_holders()

    def is_mine(self) -> bool:
        """Return whether this thread holds the lock or waits for it: a second ``acquire`` would wait for itself."""
        if not self._queue:
            return False
        me, tickets = get_ident(), [each() for each in self._queue.copy()]
        return any(ticket is not None and ticket.wanted and ticket.thread == me for ticket in tickets)

    def _drop(self, reference: ref[Ticket]) -> None:
        try:
            self._queue.remove(reference)
        except ValueError:  # another thread was faster
            return

    def _wake_holders(self) -> None:
        for each in list(self._queue.copy())[: self._places]:
            ticket = each()
            if ticket is not None and ticket.wake is not None:
                try:
                    ticket.wake.release()
                except RuntimeError:  # awake already
                    continue
