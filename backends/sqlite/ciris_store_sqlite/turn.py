"""Whose turn it is to write: one writer at a time, in order, among threads and processes.

SQLite's own busy handler sleeps and tries again, so that under load some writers starve while others commit thousands
of times. Here threads queue in order, and processes queue in the kernel, on an advisory lock of a file beside the
database. SQLite's lock is taken all the same: this one only makes it fair.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from pathlib import Path
from weakref import WeakSet

from ciris_store_core.errors import Unavailable

try:
    import fcntl
except ImportError:  # no advisory locks here: writers of other processes wait in SQLite's busy handler
    fcntl = None  # type: ignore[assignment]


class WriteTurn:
    """A first-come-first-served lock among the threads of this process and, through a file, other processes."""

    def __init__(self, path: str | None, timeout: float) -> None:
        """``path`` of the lock file, made when first needed; None where no other process can open the database."""
        self._path = path
        self._timeout = timeout
        self._gate = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._busy = False
        self._closed = False
        self._file: FileTurn | None = None

    def acquire(self) -> None:
        """Wait for the turn, up to the timeout; then ``Unavailable``."""
        deadline = time.monotonic() + self._timeout
        self._acquire_among_threads()
        try:
            if self._path is not None and fcntl is not None:
                if self._file is None:
                    self._file = FileTurn(self._path)
                if not self._file.acquire(deadline - time.monotonic()):
                    raise self._too_long()
        except BaseException:
            self._release_among_threads()
            raise

    def release(self) -> None:
        """Pass the turn on."""
        if self._file is not None:
            self._file.release()
        self._release_among_threads()

    def close(self) -> None:
        """Let go of the file, as soon as nobody in this process holds the turn or waits for it."""
        with self._gate:
            self._closed = True
            if not self._busy:
                self._close_file()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _acquire_among_threads(self) -> None:
        with self._gate:
            if not self._busy:
                self._busy = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        try:
            granted = mine.acquire(timeout=self._timeout)
        except BaseException:
            self._give_up(mine)
            raise
        if not granted:
            self._give_up(mine)
            raise self._too_long()

    def _give_up(self, mine: threading.Lock) -> None:
        with self._gate:
            if mine in self._waiting:
                self._waiting.remove(mine)
                return
        self._release_among_threads()  # the turn came just as this thread stopped waiting

    def _release_among_threads(self) -> None:
        with self._gate:
            if self._waiting:
                self._waiting.popleft().release()
                return
            self._busy = False
            if self._closed:
                self._close_file()

    def _too_long(self) -> Unavailable:
        return Unavailable(
            f"other writers kept the database busy for {self._timeout:g} s: run it again, or make transactions shorter"
        )


class FileTurn:
    """The advisory lock. The kernel has no timeout for it, so a thread of its own waits where it is taken.

    The thread is started when the lock is first found taken, and kept: starting one each time halves what many
    processes can write.
    """

    def __init__(self, path: str) -> None:
        """Opens the file, making it readable by its owner alone."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._state = threading.Lock()
        self._asked = False
        """The thread is waiting for the lock, or has it and has not passed it on yet."""
        self._wanted = False
        self._closed = False
        self._thread: threading.Thread | None = None
        # Both are kept taken, and released to say something once.
        self._ask, self._granted = threading.Lock(), threading.Lock()
        self._ask.acquire()
        self._granted.acquire()
        _turns.add(self)

    def acquire(self, timeout: float) -> bool:
        """Whether the lock was obtained in time. One caller at a time."""
        if not self._asked and self._try():
            return True
        with self._state:
            self._wanted = True
            if not self._asked:
                self._asked = True
                self._start()
                self._ask.release()
        if self._granted.acquire(timeout=max(0.0, timeout)):
            return True
        with self._state:
            self._wanted = False  # the thread goes on waiting, and lets go at once of what it gets
            return self._granted.acquire(blocking=False)  # it came just now

    def release(self) -> None:
        """Pass the lock on."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file, which lets go of the lock. Nobody may hold it or wait for it."""
        with self._state:
            self._closed = True
            if self._thread is None:
                os.close(self._fd)
            elif not self._asked:
                self._ask.release()  # the thread closes the file, which it may be using

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._wait, name="ciris-store-write-turn", daemon=True)
            self._thread.start()

    def _try(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait(self) -> None:
        while True:
            self._ask.acquire()
            if not self._closed:
                fcntl.flock(self._fd, fcntl.LOCK_EX)
            with self._state:
                if self._wanted:
                    self._wanted = False
                    self._granted.release()
                else:
                    fcntl.flock(self._fd, fcntl.LOCK_UN)
                # Last, as whoever sees it tries the lock, which is the file's and would be granted while held here.
                self._asked = False
                if self._closed:
                    os.close(self._fd)
                    return

    def forget(self) -> None:
        """Close the file in a forked process: it shares the lock, and would keep it when this process is killed."""
        if not self._closed:
            self._closed = True
            os.close(self._fd)


_turns: WeakSet[FileTurn] = WeakSet()


def _forget_turns() -> None:
    for turn in _turns:
        turn.forget()


if fcntl is not None:
    os.register_at_fork(after_in_child=_forget_turns)


def lock_path(database: str) -> str:
    """The lock file of a database file: beside it, whatever link it was reached by."""
    return f"{Path(database).resolve()}-turn"
