"""One transaction: from taking a session out to giving it back."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from ciris_store_core.contract.fair_lock import Ticket
from ciris_store_sqlite.session import SqliteSession

if TYPE_CHECKING:
    from ciris_store_sqlite.backend import SqliteBackend


class Use(AbstractContextManager[SqliteSession]):
    """Holds a place among the writers or readers for as long as it is there, whatever becomes of its block.

    An interrupt at the first instruction of ``__exit__`` skips all of it. Then the finalizer ends the transaction.
    """

    __slots__ = ("_backend", "_single", "session", "ticket", "write")

    def __init__(self, backend: SqliteBackend, write: bool, single: bool) -> None:
        self._backend = backend
        self._single = single
        self.write = write
        self.session: SqliteSession | None = None
        self.ticket = Ticket()

    def __enter__(self) -> SqliteSession:
        try:
            session = self.session = self._backend.check_out(self)
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
            if self._backend.forked:  # the transaction is the parent's to end
                if error is None:
                    raise self._backend.unusable()
                return
            try:
                if session is None:
                    return
                if not self._single:
                    session.end(error)
                elif error is not None and not isinstance(error, Exception):
                    session.recover()  # the statement that was interrupted would go on to hold its snapshot
            finally:
                self._release()
        except BaseException:
            self._release()  # perhaps an interrupt came in the middle of it
            raise

    def _release(self) -> None:
        if self.ticket.wanted and not self._backend.forked:
            self._backend.check_in(self)

    def __del__(self) -> None:
        ticket = getattr(self, "ticket", None)
        if ticket is not None and ticket.wanted:
            self._release()
