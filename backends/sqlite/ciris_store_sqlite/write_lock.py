"""Fair write lock across threads and processes.

SQLite's own busy handler sleeps and tries again, so that under load some writers starve while others commit thousands
of times. Here threads queue in order, and processes queue in the kernel, on an advisory lock of a file beside the
database. SQLite's lock is taken all the same: this one only makes it fair.
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
except ImportError:  # no advisory locks here: writers of other processes wait in SQLite's busy handler
    fcntl = None  # type: ignore[assignment]


class WriteLock:
    """A first-come-first-served lock among the threads of this process and, through a file, other processes."""

    def __init__(self, path: str | None, timeout: float) -> None:
        """``path`` of the lock file, made when first needed; None where no other process can open the database."""
        self._path = path
        self._timeout = timeout
        self._threads = FairLock()
        self._closed = False
        self._file: FileLock | None = None

    def acquire(self, ticket: Ticket) -> None:
        """Wait for the write lock, up to the timeout; then ``Unavailable``. After any exception, release the ticket."""
        if self._threads.is_mine():
            # A signal handler that writes while it interrupts a write: waiting would be waiting for itself.
            raise TransactionError(
                "this thread is writing to this database already: write outside of signal handlers and of open sessions"
            )
        deadline = time.monotonic() + self._timeout
        if not (self._threads.acquire(ticket, self._timeout) and self._acquire_file(deadline)):
            raise self._too_long()

    def try_threads(self, ticket: Ticket, timeout: float) -> bool:
        """Keep the other threads of this process out; False if that is not possible in time."""
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
        """Close the file, as soon as no thread of this process holds the lock or waits for it."""
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

    def _too_long(self) -> Unavailable:
        problem = Unavailable(
            f"other writers kept the database busy for {self._timeout:g} s: run it again, or make transactions shorter"
        )
        problem.waited = True
        return problem


def _locking_failed(path: str, error: OSError) -> StoreError:
    name = errno.errorcode.get(error.errno or 0, str(error.errno))
    text = f"cannot lock {path} ({name}) on its file system, {filesystem_of(path)}"
    if error.errno == errno.EIO:
        problem = Unavailable(f"{text}: check the disk")
        problem.retryable = False
        return problem
    return NotSupported(f"{text}: put the database on a local disk that supports flock")


class _Request:
    """One wait for the file's lock, left to the waiting thread."""

    __slots__ = ("answer", "decided", "done", "error")

    def __init__(self) -> None:
        self.answer = Lock()
        self.answer.acquire()
        self.decided = Lock()
        """Taken by the thread that grants the lock or by the caller that stops waiting, whoever comes first."""
        self.error: OSError | None = None
        self.done = False
        """The thread has finished with it. Until then nobody else tries the lock: it belongs to the open file, and
        would be granted while the thread is about to release it."""


class FileLock:
    """The advisory lock. The kernel has no timeout for it, so a thread of its own waits where it is taken.

    The thread is started when the lock is first found taken, and kept: starting one each time halves what many
    processes can write. It refers to the file and the requests alone, so that a lost lock is closed.
    """

    def __init__(self, path: str) -> None:
        """Opens the file, making it readable by its owner alone."""
        self._file = io.FileIO(path, "a", opener=partial(os.open, mode=0o600))
        self._requests: SimpleQueue[_Request | None] = SimpleQueue()
        self._asked: _Request | None = None
        self._has_thread = False
        _turns.add(self)

    def acquire(self, timeout: float) -> bool:
        """Whether the lock was obtained in time. One caller at a time, which calls ``release`` after an exception."""
        if (self._asked is None or self._asked.done) and self._try():
            return True
        request = self._asked = _Request()
        if not self._has_thread:
            start_new_thread(_serve, (self._file, self._requests))
            self._has_thread = True
        self._requests.put(request)
        if not request.answer.acquire(timeout=max(0.0, timeout)) and request.decided.acquire(blocking=False):
            return False  # the thread goes on waiting, and lets go at once of what it gets
        if request.error is not None:
            raise request.error
        return True

    def release(self) -> None:
        """Pass the lock on, or stop waiting for it."""
        asked = self._asked
        if asked is None or asked.done or not asked.decided.acquire(blocking=False):
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file, which lets go of the lock. Nobody may hold it or wait for it."""
        if self._has_thread:
            self._requests.put(None)  # the thread closes the file, which it may be using
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
        """Close the file in a forked process: it shares the lock, and would keep it when this process is killed."""
        self._has_thread = False
        self._file.close()


def _serve(file: io.FileIO, requests: SimpleQueue[_Request | None]) -> None:
    """Wait for the lock, for one request after another. An error is the request's, and ends nothing."""
    while (request := requests.get()) is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            request.error = error
        if request.decided.acquire(blocking=False):
            request.answer.release()
        elif request.error is None and requests.empty():  # else the next request wants it, and keeps the place
            fcntl.flock(file, fcntl.LOCK_UN)
        request.done = True
        del request
    file.close()


_turns: WeakSet[FileLock] = WeakSet()


def _forget_turns() -> None:
    for turn in _turns:
        turn.forget()


if fcntl is not None:
    os.register_at_fork(after_in_child=_forget_turns)


def lock_path(database: str) -> str:
    """The lock file of a database file: beside it, whatever link it was reached by."""
    return f"{Path(database).resolve()}-turn"
