"""One use of a session: from its acquisition to its release."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

from ciris_store_core.contract.fair_lock import Ticket
from ciris_store_core.errors import StoreClosed
from ciris_store_sqlite.session import SqliteSession


class SessionPool(Protocol):
    """Source of sessions: one that writes, and a bounded number that read."""

    @property
    def forked(self) -> bool:
        """True in a child of the process that opened the store."""

    def unusable(self) -> StoreClosed:
        """Return the error that explains why no call is accepted."""

    def check_out(self, use: Use) -> SqliteSession:
        """Acquire a session for one transaction. After any exception, ``check_in`` frees its permit."""

    def check_in(self, use: Use) -> None:
        """Release the session. Idempotent: an interrupt within it may make it run again."""


class Use(AbstractContextManager[SqliteSession]):
    """Holder of a permit to write or to read. The permit is freed whatever becomes of the block.

    An interrupt at the first instruction of ``__exit__`` skips all of it; the finalizer then ends the transaction.
    """

    __slots__ = ("_pool", "_single", "session", "ticket", "write")

    def __init__(self, pool: SessionPool, write: bool, single: bool) -> None:
        self._pool = pool
        self._single = single
        self.write = write
        self.session: SqliteSession | None = None
        self.ticket = Ticket()

    def __enter__(self) -> SqliteSession:
        try:
            session = self.session = self._pool.check_out(self)
            if not self._single:
                session.begin(write=self.write)
            return session
        except BaseException:
            self._release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        session = self.session
        try:
            if self._pool.forked:  # the transaction belongs to the parent process
                if error is None:
                    raise self._pool.unusable()
                return
            try:
                if session is None:
                    return
                if not self._single:
                    session.end(error)
                elif error is not None and not isinstance(error, Exception):
                    session.recover()  # an interrupted statement would keep its snapshot open
            finally:
                self._release()
        except BaseException:
            self._release()  # an interrupt may have struck within the release above
            raise

    def _release(self) -> None:
        if self.ticket.wanted and not self._pool.forked:
            self._pool.check_in(self)

    def __del__(self) -> None:
        ticket = getattr(self, "ticket", None)
        if ticket is not None and ticket.wanted:
            self._release()
