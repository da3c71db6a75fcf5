"""Fair write lock across threads and processes.

SQLite's own busy handler sleeps and tries again, so that under load some writers starve while others commit thousands
of times. Here threads queue first in, first out, and processes queue in the kernel, on an advisory lock of a file
beside the database. SQLite's lock is acquired all the same; this one only makes the order fair.
"""

from __future__ import annotations

import errno
import io
import os
import time
from _thread import start_new_thread
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from weakref import WeakSet

from ciris_store_core.contract.fair_lock import FairLock, Ticket
from ciris_store_core.errors import NotSupported, StoreError, TransactionError, Unavailable
from ciris_store_sqlite.files import filesystem_of

try:
    import fcntl
except ImportError:  # without advisory locks, writers of other processes wait in SQLite's busy handler
    fcntl = None  # type: ignore[assignment]


class WriteLock:
    """Write lock: first in, first out among the threads of this process; an advisory file lock among processes."""

    def __init__(self, path: str | None, timeout: float) -> None:
        """``path``: the lock file, created at the first use; None if no other process can open the database."""
        self._path = path
        self._timeout = timeout
        self._threads = FairLock()
        self._closed = False
        self._file: FileLock | None = None

    def acquire(self, ticket: Ticket) -> None:
        """Wait for the write lock, up to the timeout; then ``Unavailable``. After any exception, release the ticket."""
        if self._threads.is_mine():
            # A signal handler that writes while it interrupts a write of the same thread would wait for itself.
            raise TransactionError(
                "this thread is writing to this database already. Write outside of signal handlers and open sessions."
            )
        deadline = time.monotonic() + self._timeout
        if not (self._threads.acquire(ticket, self._timeout) and self._acquire_file(deadline)):
            raise self._lock_timeout()

    def try_threads(self, ticket: Ticket, timeout: float) -> bool:
        """Exclude the other threads of this process; return False if that fails within the timeout."""
        return not self._threads.is_mine() and self._threads.acquire(ticket, timeout)

    def release(self, ticket: Ticket) -> None:
        """Pass the lock on, or stop waiting for it. Idempotent."""
        try:
            if self._threads.holds(ticket):
                if self._file is not None:
                    self._file.release()
                if self._closed:
                    self._close_file()
        finally:
            self._threads.release(ticket)

    def close(self) -> None:
        """Close the file as soon as no thread of this process has the lock or waits for it."""
        self._closed = True
        ticket = Ticket()
        self._threads.acquire(ticket, 0)
        self.release(ticket)

    def _acquire_file(self, deadline: float) -> bool:
        if self._path is None or fcntl is None:
            return True
        if self._file is None:
            self._file = FileLock(self._path)
        try:
            return self._file.acquire(deadline - time.monotonic())
        except OSError as error:
            raise _locking_failed(self._path, error) from error

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _lock_timeout(self) -> Unavailable:
        problem = Unavailable(
            f"other writers kept the database locked for {self._timeout:g} s. Run the call again, "
            "or shorten transactions."
        )
        problem.waited = True
        return problem


def _locking_failed(path: str, error: OSError) -> StoreError:
    name = errno.errorcode.get(error.errno or 0, str(error.errno))
    text = f"cannot lock {path} ({name}) on its file system, {filesystem_of(path)}"
    if error.errno == errno.EIO:
        problem = Unavailable(f"{text}. Check the disk.")
        problem.retryable = False
        return problem
    return NotSupported(f"{text}. Put the database on a local disk that supports flock.")


class _Request:
    """Request for the lock of the file, which the waiting thread answers."""

    __slots__ = ("answer", "decided", "done", "error")

    def __init__(self) -> None:
        self.answer = Lock()
        self.answer.acquire()
        self.decided = Lock()
        """Acquired once: by the thread when it grants the lock, or by the caller when it stops waiting."""
        self.error: OSError | None = None
        self.done = False
        """True once the thread has finished with it. Until then no other caller tries the lock: flock belongs to the
        open file, and would be granted while the thread is about to release it."""


class FileLock:
    """Advisory lock on a file. flock has no timeout, so a thread of its own waits for it where it is contended.

    The thread starts when the lock is first found contended, and stays: starting one for each wait halves the
    throughput of many processes. It refers only to the file and the requests, so that a lost lock is closed.
    """

    def __init__(self, path: str) -> None:
        """Open the file; create it with access for its owner only."""
        self._file = io.FileIO(path, "a", opener=partial(os.open, mode=0o600))
        self._requests: SimpleQueue[_Request | None] = SimpleQueue()
        self._asked: _Request | None = None
        self._has_thread = False
        _locks.add(self)

    def acquire(self, timeout: float) -> bool:
        """Return True if the lock was acquired in time. One caller at a time; after an exception, call ``release``."""
        if (self._asked is None or self._asked.done) and self._try():
            return True
        request = self._asked = _Request()
        if not self._has_thread:
            start_new_thread(_serve, (self._file, self._requests))
            self._has_thread = True
        self._requests.put(request)
        if not request.answer.acquire(timeout=max(0.0, timeout)) and request.decided.acquire(blocking=False):
            return False  # the thread goes on waiting, and releases the lock as soon as it gets it
        if request.error is not None:
            raise request.error
        return True

    def release(self) -> None:
        """Pass the lock on, or stop waiting for it."""
        asked = self._asked
        # Python finalizes the objects of a store that was dropped in any order: the file may be closed already.
        if (asked is None or asked.done or not asked.decided.acquire(blocking=False)) and not self._file.closed:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file, which releases the lock. No caller may have it or wait for it."""
        if self._has_thread:
            self._requests.put(None)  # the thread may be using the file, and closes it
        else:
            self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_has_thread"):
            self.close()

    def _try(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def forget(self) -> None:
        """Close the file in a forked child: it shares the lock, and would keep it after the parent is killed."""
        self._has_thread = False
        self._file.close()


def _serve(file: io.FileIO, requests: SimpleQueue[_Request | None]) -> None:
    """Wait for the lock, for one request after another. An error goes to its request, and the thread goes on."""
    while (request := requests.get()) is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            request.error = error
        if request.decided.acquire(blocking=False):
            request.answer.release()
        elif (
            request.error is None and requests.empty()
        ):  # else the next request keeps the lock and its place in the kernel's queue
            fcntl.flock(file, fcntl.LOCK_UN)
        request.done = True
        del request
    file.close()


_locks: WeakSet[FileLock] = WeakSet()


def _forget_locks() -> None:
    for lock in _locks:
        lock.forget()


if fcntl is not None:
    os.register_at_fork(after_in_child=_forget_locks)


def lock_path(database: str) -> str:
    """Return the lock file of a database file: beside the file itself, also if the path is a link to it."""
    return f"{Path(database).resolve()}-turn"
