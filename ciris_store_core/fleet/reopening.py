"""Backend that is closed while it is idle, and opened again by the next call."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from ciris_store_core.capabilities import Capability
from ciris_store_core.contract.backend import Backend, Session
from ciris_store_core.errors import StoreClosed
from ciris_store_core.models.operations import Diagnosis, PendingMigration


class ReopeningBackend(Backend):
    """Backend over another one that is opened on demand.

    Args:
        agent: Name of the agent.
        name: Name of the kind of database.
        capabilities: Capabilities of the backend.
        make: Returns the other backend, not yet prepared.
        before_opening: Called before the other backend is opened.
        monotonic: Clock that measures idleness.
    """

    def __init__(
        self,
        agent: str,
        name: str,
        capabilities: frozenset[Capability],
        make: Callable[[], Backend],
        before_opening: Callable[[ReopeningBackend], None],
        monotonic: Callable[[], float],
    ) -> None:
        self.agent = agent
        self.name = name
        self.capabilities = capabilities
        self._make = make
        self._before_opening = before_opening
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._backend: Backend | None = None
        self._migrate = True
        self._users = 0
        self._closed = False
        self._pid = os.getpid()
        self.last_used = monotonic()

    @property
    def is_open(self) -> bool:
        """True while the database is open."""
        return self._backend is not None

    def acquire(self) -> Backend:
        """Return the open backend, which stays open until ``release``."""
        if self._pid != os.getpid():
            raise StoreClosed("the fleet was opened before os.fork(). Open a new one in this process.")
        while True:
            with self._lock:
                if self._closed:
                    raise StoreClosed("the store is closed. Get it from the fleet again.")
                if self._backend is not None:
                    self._users += 1
                    return self._backend
            # Outside the lock: other stores are closed to make room, and each has a lock of its own.
            self._before_opening(self)
            self._open()

    def _open(self) -> None:
        with self._lock:
            if self._closed or self._backend is not None:  # by another thread
                return
            backend = self._make()
            try:
                backend.prepare(migrate=self._migrate)
            except BaseException:
                backend.close()
                raise
            self._backend = backend

    def release(self) -> None:
        """End a use."""
        with self._lock:
            self._users -= 1
            self.last_used = self._monotonic()

    def close_if_idle(self) -> bool:
        """Close the database unless a call uses it. Return True if it is closed."""
        with self._lock:
            if self._users:
                return False
            backend, self._backend = self._backend, None
            if backend is not None:
                backend.close()
            return True

    @contextmanager
    def _used(self) -> Iterator[Backend]:
        backend = self.acquire()
        try:
            yield backend
        finally:
            self.release()

    # --- the contract ---------------------------------------------------------------------------

    def prepare(self, *, migrate: bool) -> None:
        """Open the database now."""
        self._migrate = migrate
        with self._used():
            pass

    def pending(self) -> Sequence[PendingMigration]:
        return self._make().pending()

    def session(self, *, write: bool, single: bool = False) -> AbstractContextManager[Session]:
        return _Use(self, lambda backend: backend.session(write=write, single=single))

    def snapshot(self) -> AbstractContextManager[Session]:
        return _Use(self, lambda backend: backend.snapshot())

    def server_now(self) -> datetime:
        with self._used() as backend:
            return backend.server_now()

    def is_empty(self) -> bool:
        with self._used() as backend:
            return backend.is_empty()

    def info(self) -> Mapping[str, Any]:
        with self._used() as backend:
            return backend.info()

    def stats(self) -> Mapping[str, Any]:
        """Return the counters of the open database; nothing is opened for them."""
        backend = self._backend
        return {} if backend is None else backend.stats()

    def diagnose(self, *, thorough: bool = False) -> Diagnosis:
        with self._used() as backend:
            return backend.diagnose(thorough=thorough)

    def backup(self, path: Path, progress: Callable[[int, int], object]) -> None:
        with self._used() as backend:
            backend.backup(path, progress)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            backend, self._backend = self._backend, None
        if backend is not None:
            backend.close()


class _Use(AbstractContextManager[Session]):
    """One session, during which the database stays open."""

    __slots__ = ("_begin", "_inner", "_owner")

    def __init__(self, owner: ReopeningBackend, begin: Callable[[Backend], AbstractContextManager[Session]]) -> None:
        self._owner = owner
        self._begin = begin

    def __enter__(self) -> Session:
        backend = self._owner.acquire()
        try:
            self._inner = self._begin(backend)
            return self._inner.__enter__()
        except BaseException:
            self._owner.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return self._inner.__exit__(kind, error, trace)
        finally:
            self._owner.release()
