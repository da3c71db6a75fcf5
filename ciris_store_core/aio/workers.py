"""The threads that the async facade runs on: a bounded number, so that the pool of connections is never exhausted."""

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
"""How often an idle transaction looks whether its event loop is still there."""

# The transactions whose blocks the current task is inside of, those of other stores included.
_inside: ContextVar[tuple[Conversation, ...]] = ContextVar("ciris_store_transactions", default=())


class Caller(Protocol):
    """Runs functions on a thread; the caller's context variables go with them."""

    def submit(self, fn: Callable[[], T]) -> Future[T]:
        """Run it when its turn comes; cancelling the future before that means that it never runs."""
        ...


async def answer(future: Future[T]) -> T:
    """What the call returned. Cancelled before its turn it never runs; later it is left to finish by itself."""
    return await asyncio.wrap_future(future)


async def settled(future: Future[T]) -> T:
    """What the call returned, waited for to the end: a cancellation meanwhile is raised only then."""
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
    """Run it on a thread of its own."""
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
    """At most ``limit`` threads, begun when they are needed; calls wait for one in the order in which they came."""

    def __init__(self, limit: int, name: str) -> None:
        """``name``: of the threads."""
        if type(limit) is not int or limit < 1:
            raise InvalidArgument("workers must be a whole number of at least 1")
        self._executor = ThreadPoolExecutor(limit, thread_name_prefix=name)
        self._open: set[Conversation] = set()
        self._closed = False

    def submit(self, fn: Callable[[], T]) -> Future[T]:
        """Run it on one of the threads; refused inside a transaction of this store."""
        if any(conversation.keeps(self) for conversation in _inside.get()):
            # It would wait for itself: on SQLite for the turn to write, and anywhere once all workers do it.
            raise TransactionError(
                "this task is inside a transaction of this store: use the transaction's handle, "
                "as in 'async with store.transaction() as tx: await tx.tasks...', or tx.savepoint() to nest"
            )
        context = copy_context()
        try:
            return self._executor.submit(context.run, fn)
        except RuntimeError:
            raise _closed() from None

    def converse(self, store: Store) -> Conversation:
        """Open a transaction on a thread that is its own until it ends."""
        conversation = Conversation(self, asyncio.get_running_loop())
        conversation.life = self.submit(lambda: self._live(conversation, store))
        return conversation

    def _live(self, conversation: Conversation, store: Store) -> None:
        self._open.add(conversation)
        try:
            if self._closed:
                conversation.fail(_closed())
            else:
                conversation.live(store)
        finally:
            self._open.discard(conversation)

    def close(self) -> None:
        """Roll open transactions back, and wait for all other calls that were asked for. Blocks."""
        self._closed = True
        for conversation in tuple(self._open):
            conversation.end(commit=False)
        self._executor.shutdown()


def _closed() -> StoreClosed:
    return StoreClosed("the store was closed: open a new one")


class _RolledBack(Exception):
    """Leaves the transaction's block."""


class Conversation:
    """A transaction that stays open on one thread, which does there what it is asked, in order, until told to end."""

    life: Future[None]
    """Done when the transaction is over; fails as the begin or the commit did."""

    def __init__(self, workers: Workers, loop: asyncio.AbstractEventLoop) -> None:
        """Made by ``Workers.converse``."""
        self.opened: Future[Transaction] = Future()
        """The transaction, once it has begun."""
        self._workers = workers
        self._loop = loop
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._over = False
        self._commit = False

    def keeps(self, workers: Workers) -> bool:
        """Whether it occupies one of these."""
        return self._workers is workers and not self.life.done()

    # --- in the event loop --------------------------------------------------------------------------

    def submit(self, fn: Callable[[], T]) -> Future[T]:
        """Run it in the transaction, after what was asked before."""
        future: Future[T] = Future()
        context = copy_context()
        with self._lock:
            if self._over:
                raise TransactionError("the transaction is over: begin a new one")
            self._jobs.put((future, lambda: context.run(fn)))
        return future

    def end(self, *, commit: bool) -> None:
        """End it after what was asked before; the first call decides how."""
        with self._lock:
            if not self._over:
                self._over, self._commit = True, commit
                self._jobs.put(None)

    def enter(self) -> None:
        """The current task, and those that it begins, are inside the block."""
        _inside.set((*(other for other in _inside.get() if not other.life.done()), self))

    # --- on its thread ------------------------------------------------------------------------------

    def live(self, store: Store) -> None:
        """Begin, do what is asked, end."""
        try:
            with suppress(_RolledBack), store.transaction() as tx:
                if self.opened.set_running_or_notify_cancel():
                    self.opened.set_result(tx)
                    self._serve()
                if not self._commit:
                    raise _RolledBack
        except BaseException as error:
            self.fail(error)
            raise

    def fail(self, error: BaseException) -> None:
        """Nothing more can be asked, also where it never began."""
        self.end(commit=False)
        with suppress(InvalidStateError):  # It had begun, or whoever asked for it has left.
            self.opened.set_exception(error)

    def _serve(self) -> None:
        while (job := self._next_job()) is not None:
            _run(*job)
            del job  # What it held must not live until the next one comes.

    def _next_job(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        while True:
            with suppress(Empty):
                return self._jobs.get(timeout=LOOP_CHECK_SECONDS)
            if self._loop.is_closed():
                self.end(commit=False)  # Nobody is left who could.
