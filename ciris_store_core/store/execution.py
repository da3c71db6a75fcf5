"""Execution of store calls on the backend: each in a transaction of its own, or in the open one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from threading import RLock, get_ident
from typing import Protocol, TypeVar
from weakref import ref

from ciris_store_core.contract.backend import Backend, Session
from ciris_store_core.errors import StoreError, TransactionError
from ciris_store_core.models.secrets import SecretRecord
from ciris_store_core.secrets.crypto import keep
from ciris_store_core.store.access.session_guard import NeedsTransaction, SessionGuard, guarded
from ciris_store_core.store.retry import RetryPolicy

T = TypeVar("T")

logger = logging.getLogger(__name__)


Observe = Callable[[str, bool], AbstractContextManager[object]]
"""Called with the name of an operation, and True if it writes; returns a context manager around it."""


class Blocking:
    """Base of classes whose methods wait for the database; each has an async counterpart."""

    __slots__ = ()


class Executor(Protocol):
    """Runs a function on a session, as the named operation of the API. ``single``: it makes exactly one call."""

    def read(self, operation: str, fn: Callable[[Session], T], *, single: bool = True) -> T:
        """Run a function that only reads."""
        ...

    def write(
        self,
        operation: str,
        fn: Callable[[Session], T],
        *,
        single: bool = True,
        extracted: Sequence[SecretRecord] = (),
    ) -> T:
        """Run a function that writes, atomically.

        ``extracted``: secrets to store in the same transaction, unless the function returns False: it found no row.
        """
        ...

    def lock(self, fn: Callable[[Session], T]) -> T:
        """Run a function that locks what it reads; outside a transaction raise ``TransactionError``."""
        ...


def _keep_secrets(extracted: Sequence[SecretRecord], fn: Callable[[Session], T]) -> Callable[[Session], T]:
    def both(session: Session) -> T:
        result = fn(session)
        if result is not False:
            keep(session, extracted)
        return result

    return both


class _Open:
    """Open transaction, for as long as something refers to this mark."""

    __slots__ = ("__weakref__",)


class OpenTransactions(dict[int, ref[_Open]]):
    """Threads that have a transaction open on a store.

    Each entry refers to a mark that ends with the transaction's block. So an entry that an interrupt kept from being
    removed counts no longer.
    """

    __slots__ = ()

    def include_this_thread(self) -> bool:
        """Return whether the calling thread has a transaction open."""
        reference = self.get(get_ident())
        return reference is not None and reference() is not None


class ServerTimeQuery:
    """Query for the time of a backend's server, made again after a retryable error."""

    __slots__ = ("_ask", "_open", "_retry")

    def __init__(self, backend: Backend, retry: RetryPolicy, transactions: OpenTransactions) -> None:
        """Ask that backend."""
        self._ask = backend.server_now
        self._retry = retry
        self._open = transactions

    def __call__(self) -> datetime:
        """Return the server's time, asked now."""
        try:
            return self._ask()
        except StoreError as error:
            # The error has ended this thread's transaction, if it has one: only the whole of it can be run again.
            if not error.retryable or self._open.include_this_thread():
                raise
            return self._retry.again(self._ask, error)


class StoreExecutor:
    """Executor that runs every call as a transaction of its own, again as a whole after a retryable error."""

    def __init__(
        self, backend: Backend, retry: RetryPolicy, guard: SessionGuard, transactions: OpenTransactions
    ) -> None:
        """Take an open backend; writers get the sessions that the guard wraps."""
        self.backend = backend
        self.retry = retry
        self.guard = guard
        self.observe: Observe | None = None
        """Observer of every transaction; None if there is none."""
        self._inside = transactions

    def read(self, operation: str, fn: Callable[[Session], T], *, single: bool = True) -> T:
        """Run the function in a reading transaction."""
        return self._run(operation, fn, False, single)

    def write(
        self,
        operation: str,
        fn: Callable[[Session], T],
        *,
        single: bool = True,
        extracted: Sequence[SecretRecord] = (),
    ) -> T:
        """Run the function in a writing transaction."""
        if extracted:
            return self._run(operation, _keep_secrets(extracted, fn), True, False)
        return self._run(operation, fn, True, single)

    def _run(self, operation: str, fn: Callable[[Session], T], write: bool, single: bool, observed: bool = False) -> T:
        if self._inside:
            self.refuse_inside()
        if self.observe is not None and not observed:
            with self.observe(operation, write):
                return self._run(operation, fn, write, single, True)
        try:
            with self.backend.session(write=write, single=single) as session:
                return fn(self.guard(session, single) if write or self.guard.watches else session)
        except NeedsTransaction:
            return self._run(operation, fn, write, False, True)
        except StoreError as error:
            if not error.retryable:
                raise
            return self.retry.again(lambda: self._once(fn, write, single), error)
        finally:
            if self.guard.denied:
                self._record_denials()

    def _once(self, fn: Callable[[Session], T], write: bool, single: bool) -> T:
        try:
            with self.backend.session(write=write, single=single) as session:
                return fn(self.guard(session, single) if write or self.guard.watches else session)
        except NeedsTransaction:
            return self._once(fn, write, False)

    def lock(self, fn: Callable[[Session], T]) -> T:
        """Refuse: a lock ends with its transaction, and that would be the call itself."""
        raise TransactionError(
            "for_update locks records until the transaction ends, and no transaction is open. "
            "Use the handle of one, as in 'with store.transaction() as tx: tx.graph.get(..., for_update=True)'."
        )

    def refuse_inside(self) -> None:
        """Raise ``TransactionError`` if this thread has an open transaction: it would wait for itself."""
        if self._inside.include_this_thread():
            raise TransactionError(
                "this thread has a transaction open on this store. Use the transaction's handle, "
                "as in 'with store.transaction() as tx: tx.tasks...', or tx.savepoint() to nest."
            )

    @contextmanager
    def transaction(self, *, shared: bool = False) -> Iterator[TransactionExecutor]:
        """Open a writing transaction for this thread; ``shared``: for every thread, one call at a time."""
        self.refuse_inside()
        thread, mark = get_ident(), _Open()
        try:
            self._inside[thread] = ref(mark)
            with (
                self.observe("transaction", True) if self.observe else nullcontext(),
                self.backend.session(write=True) as session,
            ):
                kind = SharedTransactionExecutor if shared else TransactionExecutor
                executor = kind(self.guard(session, False))
                try:
                    yield executor
                finally:
                    executor.end()
        finally:
            self._inside.pop(thread, None)
            if self.guard.denied:
                self._record_denials()

    def _record_denials(self) -> None:
        """Store the denials of this thread in a transaction of their own: the caller's may have been rolled back."""
        events = self.guard.denied.pop(get_ident(), [])
        try:
            if events:
                self._run("audit.record_denials", lambda session: guarded(session).record(events), True, False)
        except StoreError:
            # The error that the caller is about to get, such as the denial itself, takes precedence.
            logger.exception("refused, and could not be recorded: %s", events)


class TransactionExecutor:
    """Executor that runs calls in the open transaction, in the thread that opened it."""

    __slots__ = ("_session", "_thread")

    def __init__(self, session: Session) -> None:
        """Bind the executor to the calling thread."""
        self._session = session
        self._thread: int | None = get_ident()

    def session(self) -> Session:
        """Return the session; raise ``TransactionError`` in another thread, or after the transaction."""
        if self._thread == get_ident():
            return self._session
        if self._thread is None:
            raise TransactionError("the transaction is over. Begin a new one.")
        raise TransactionError(
            "a transaction belongs to the thread that began it. Begin one of your own here, or that one as "
            "store.transaction(shared=True)."
        )

    def end(self) -> None:
        """Reject all later calls."""
        self._thread = None

    def call(self, fn: Callable[[Session], T]) -> T:
        """Run a function on the session."""
        return fn(self.session())

    def read(self, operation: str, fn: Callable[[Session], T], *, single: bool = True) -> T:
        """Run the function in the transaction."""
        return self.call(fn)

    def lock(self, fn: Callable[[Session], T]) -> T:
        """Run the function in the transaction, which keeps its locks."""
        return self.call(fn)

    def write(
        self,
        operation: str,
        fn: Callable[[Session], T],
        *,
        single: bool = True,
        extracted: Sequence[SecretRecord] = (),
    ) -> T:
        """Run the function in the transaction. If it makes several calls and fails, a savepoint undoes all of them.

        A backend without savepoints aborts the transaction instead, so that no part of it can be committed.
        """
        if extracted:
            fn, single = _keep_secrets(extracted, fn), False
        if single:
            return self.call(fn)

        def undone_if_it_fails(session: Session) -> T:
            with session.savepoint():
                return fn(session)

        return self.call(undone_if_it_fails)


class SharedTransactionExecutor(TransactionExecutor):
    """Executor that runs calls of any thread in the open transaction, one call at a time."""

    __slots__ = ("_lock",)

    def __init__(self, session: Session) -> None:
        """Take the session, which no thread may use but through this executor."""
        super().__init__(session)
        self._lock = RLock()

    def session(self) -> Session:
        """Return the session; raise ``TransactionError`` after the transaction."""
        if self._thread is None:
            raise TransactionError("the transaction is over. Begin a new one.")
        return self._session

    def end(self) -> None:
        """Reject all later calls, once the running one is over."""
        with self._lock:
            super().end()

    def call(self, fn: Callable[[Session], T]) -> T:
        """Run a function on the session, while no other thread uses it."""
        with self._lock:
            return super().call(fn)
