"""The threads of the async facade: a bounded number, so that the connection pool is never exhausted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar, copy_context
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from ciris_store_core.errors import InvalidArgument, StoreClosed, TransactionError
from ciris_store_core.store import Store, Transaction

T = TypeVar("T")

LOOP_CHECK_SECONDS = 1.0
"""Seconds between the checks whether the event loop of an idle transaction still exists."""

# The transactions whose blocks the current task is inside of, including those of other stores.
_inside: ContextVar[tuple[TransactionThread, ...]] = ContextVar("ciris_store_transactions", default=())


class Caller(Protocol):
    """An executor of functions on threads, with the caller's context variables."""

    def submit(self, fn: Callable[[], T]) -> Future[T]:
        """Queue a function. If its future is cancelled before it starts, it never runs."""
        ...


async def answer(future: Future[T]) -> T:
    """Return the result of the call.

    A cancelled call that has not started never runs; one that has started finishes in the background.
    """
    return await asyncio.wrap_future(future)


async def settled(future: Future[T]) -> T:
    """Return the result of the call after waiting for its end: a cancellation meanwhile is raised only then."""
    waiter = asyncio.wrap_future(future)
    cancelled: asyncio.CancelledError | None = None
    while not waiter.done():
        try:
            await asyncio.wait([waiter])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from waiter.exception()
    return waiter.result()


def in_thread(fn: Callable[[], T], name: str) -> Future[T]:
    """Run the function on a thread of its own."""
    future: Future[T] = Future()
    threading.Thread(target=_run, args=(future, fn), name=name, daemon=True).start()
    return future


def _run(future: Future[Any], fn: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = fn()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


class Workers:
    """At most ``limit`` threads, started on demand. Calls wait for one, first come, first served."""

    def __init__(self, limit: int, name: str) -> None:
        """Prepare the threads; ``name`` is the prefix of their names."""
        if type(limit) is not int or limit < 1:
            raise InvalidArgument("workers must be a whole number of at least 1")
        self._executor = ThreadPoolExecutor(limit, thread_name_prefix=name)
        self._open: set[TransactionThread] = set()
        self._closed = False

    def submit(self, fn: Callable[[], T]) -> Future[T]:
        """Queue the function for one of the threads; refuse it inside a transaction of this store."""
        if any(transaction.keeps(self) for transaction in _inside.get()):
            # The call would wait for its own transaction: on SQLite for the write lock, and anywhere once all workers
            # do so.
            raise TransactionError(
                "this task is inside a transaction of this store. Use the transaction's handle, "
                "as in 'async with store.transaction() as tx: await tx.tasks...', or tx.savepoint() to nest."
            )
        context = copy_context()
        try:
            return self._executor.submit(context.run, fn)
        except RuntimeError:
            raise _closed() from None

    def begin_transaction(self, store: Store) -> TransactionThread:
        """Open a transaction on a thread that it occupies until it ends."""
        transaction = TransactionThread(self, asyncio.get_running_loop())
        transaction.life = self.submit(lambda: self._live(transaction, store))
        return transaction

    def _live(self, transaction: TransactionThread, store: Store) -> None:
        self._open.add(transaction)
        try:
            if self._closed:
                transaction.fail(_closed())
            else:
                transaction.live(store)
        finally:
            self._open.discard(transaction)

    def close(self) -> None:
        """Roll back open transactions, and wait for all other calls. It blocks."""
        self._closed = True
        for transaction in tuple(self._open):
            transaction.end(commit=False)
        self._executor.shutdown()


def _closed() -> StoreClosed:
    return StoreClosed("the store was closed. Open a new one.")


class _RollBack(Exception):
    """Raised in the transaction's block to leave it with a rollback."""


class TransactionThread:
    """A transaction on a thread of its own, which runs submitted functions in order until it is told to end."""

    life: Future[None]
    """Done when the transaction is over; fails with the error of BEGIN or COMMIT."""

    def __init__(self, workers: Workers, loop: asyncio.AbstractEventLoop) -> None:
        """Prepare the transaction; ``Workers.begin_transaction`` calls this."""
        self.opened: Future[Transaction] = Future()
        """The transaction, once it has begun."""
        self._workers = workers
        self._loop = loop
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._over = False
        self._commit = False

    def keeps(self, workers: Workers) -> bool:
        """Return whether the transaction occupies one of these threads."""
        return self._workers is workers and not self.life.done()

    # --- in the event loop --------------------------------------------------------------------------

    def submit(self, fn: Callable[[], T]) -> Future[T]:
        """Queue the function after those submitted before, in the transaction."""
        future: Future[T] = Future()
        context = copy_context()
        with self._lock:
            if self._over:
                raise TransactionError("the transaction is over. Begin a new one.")
            self._jobs.put((future, lambda: context.run(fn)))
        return future

    def end(self, *, commit: bool) -> None:
        """End the transaction after the functions submitted before; the first call decides about the commit."""
        with self._lock:
            if not self._over:
                self._over, self._commit = True, commit
                self._jobs.put(None)

    def enter(self) -> None:
        """Put the current task, and the tasks that it starts, inside the block."""
        _inside.set((*(other for other in _inside.get() if not other.life.done()), self))

    # --- on its thread ------------------------------------------------------------------------------

    def live(self, store: Store) -> None:
        """Begin, run the submitted functions, end."""
        try:
            with suppress(_RollBack), store.transaction() as tx:
                if self.opened.set_running_or_notify_cancel():
                    self.opened.set_result(tx)
                    self._serve()
                if not self._commit:
                    raise _RollBack
        except BaseException as error:
            self.fail(error)
            raise

    def fail(self, error: BaseException) -> None:
        """Refuse further functions, even if the transaction never began."""
        self.end(commit=False)
        with suppress(InvalidStateError):  # The transaction had begun, or its requester was cancelled.
            self.opened.set_exception(error)

    def _serve(self) -> None:
        while (job := self._next_job()) is not None:
            _run(*job)
            del job  # References to the last function must not live until the next one arrives.

    def _next_job(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        while True:
            with suppress(Empty):
                return self._jobs.get(timeout=LOOP_CHECK_SECONDS)
            if self._loop.is_closed():
                self.end(commit=False)  # No caller is left that could retrieve the error.
