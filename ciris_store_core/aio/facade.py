"""The async facade: async counterparts derived from the classes whose methods wait for the database.

The return annotation of a method decides about its counterpart:

- an iterator becomes an ``AsyncIterator``, which reads one page at a time;
- a context manager becomes an async context manager;
- another object with methods that wait becomes its counterpart, at once, since creating one does not use the database;
- any other result becomes a coroutine with the same result, in which such objects are replaced by their counterparts.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from functools import cached_property, partial, wraps
from itertools import islice
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from ciris_store_core.aio.workers import Caller, TransactionThread, Workers, answer, settled
from ciris_store_core.errors import StoreClosed, TransactionError
from ciris_store_core.store import Store
from ciris_store_core.store.execution import Blocking
from ciris_store_core.store.resource import SCAN_SIZE

T = TypeVar("T")
PACKAGE = "ciris_store_core"


class Facade:
    """The async counterpart of an object whose methods wait for the database."""

    def __init__(self, target: Any, caller: Caller) -> None:
        """Wrap ``target``; only the store's facade calls this."""
        self._target = target
        self._caller = caller

    def __repr__(self) -> str:
        """Return the representation of the wrapped object, after ``Async``."""
        return f"Async{self._target!r}"

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the wrapped object, such as the ``task`` of claimed work."""
        if name.startswith("_"):
            raise AttributeError(name)
        return to_async(getattr(self._target, name), self._caller)


class ContextFacade(Facade):
    """The async counterpart of a class that is a context manager. It exits what it entered, even if it is cancelled."""

    async def __aenter__(self) -> Self:
        """Enter the wrapped object."""
        await enter(self._target, self._caller)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Exit the wrapped object. A cancellation waits for it."""
        return await leave(self._target, self._caller, error)


class AsyncRows(AsyncIterator[T], Generic[T]):
    """The rows of a scan, read page by page."""

    def __init__(self, begin: Callable[[], Iterator[T]], caller: Caller) -> None:
        """Store ``begin``, which creates the iterator on a thread."""
        self._begin = begin
        self._caller = caller
        self._rows: Iterator[T] | None = None
        self._page: list[T] = []

    async def __anext__(self) -> T:
        """Return the next row."""
        if not self._page:
            self._page = await answer(self._caller.submit(self._read))
            self._page.reverse()
        if not self._page:
            raise StopAsyncIteration
        return self._page.pop()

    def _read(self) -> list[T]:
        if self._rows is None:
            self._rows = self._begin()
        return list(islice(self._rows, SCAN_SIZE))


class AsyncContext:
    """The async counterpart of the result of a method decorated with ``contextmanager``."""

    def __init__(self, target: AbstractContextManager[Any], caller: Caller) -> None:
        """Wrap ``target``; its entry and exit may run on different threads of ``caller``."""
        self._target = target
        self._caller = caller

    async def __aenter__(self) -> Any:
        """Enter the wrapped context manager."""
        return to_async(await enter(self._target, self._caller), self._caller)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Exit the wrapped context manager. A cancellation waits for it."""
        return await leave(self._target, self._caller, error)


class AsyncTransactionContext:
    """A transaction of the async store. It occupies a thread from entry to exit."""

    def __init__(self, store: Store, workers: Workers) -> None:
        """Prepare the transaction; ``AsyncStore.transaction`` calls this."""
        self._store = store
        self._workers = workers
        self._thread: TransactionThread | None = None

    async def __aenter__(self) -> Any:
        """Begin the transaction as soon as a thread is free."""
        thread = self._workers.begin_transaction(self._store)
        try:
            tx = await answer(thread.opened)
        except BaseException:
            thread.end(commit=False)
            thread.life.cancel()
            raise
        thread.enter()
        self._thread = thread
        return to_async(tx, thread)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Commit, or roll back if an exception left the block. A cancellation waits for it."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.end(commit=error is None)
            await settled(thread.life)


async def enter(target: AbstractContextManager[T], caller: Caller) -> T:
    """Enter a context manager; if the caller is cancelled meanwhile, exit it again."""
    future = caller.submit(target.__enter__)
    try:
        return await answer(future)
    except asyncio.CancelledError:
        future.add_done_callback(partial(_leave_again, target, caller))
        raise


def _leave_again(target: AbstractContextManager[Any], caller: Caller, entered: Future[Any]) -> None:
    if not entered.cancelled() and entered.exception() is None:
        with suppress(
            TransactionError, StoreClosed
        ):  # The store or transaction was closed before, which released everything.
            caller.submit(lambda: target.__exit__(None, None, None))


async def leave(target: AbstractContextManager[Any], caller: Caller, error: BaseException | None) -> bool | None:
    """Exit a context manager with the outcome of its block."""
    kind, traceback = (type(error), error.__traceback__) if error is not None else (None, None)
    return await settled(caller.submit(lambda: target.__exit__(kind, error, traceback)))


# --- counterparts ----------------------------------------------------------------------------------------


def to_async(value: Any, caller: Caller) -> Any:
    """Return the value with objects whose methods wait for the database replaced by their counterparts."""
    if isinstance(value, Blocking):
        return async_class_of(type(value))(value, caller)
    if type(value) is list and value and isinstance(value[0], Blocking):
        return [to_async(each, caller) for each in value]
    return value


_async_classes: dict[type, type[Facade]] = {}


def async_class_of(kind: type[Blocking]) -> type[Facade]:
    """Return the counterpart of a class, which is created once."""
    return _async_classes.get(kind) or _async_classes.setdefault(kind, _make_async_class(kind))


def _make_async_class(kind: type[Blocking]) -> type[Facade]:
    base = ContextFacade if hasattr(kind, "__enter__") else Facade
    members = {name: _async_member(member) for name, member in public_members(kind).items()}
    return type(async_name(kind), (base,), {"__doc__": kind.__doc__, "__module__": __name__, **members})


def async_name(kind: type) -> str:
    """Return ``Async`` and the class's name. A leading ``Sync`` of the name is removed instead."""
    return kind.__name__.removeprefix("Sync") if kind.__name__.startswith("Sync") else f"Async{kind.__name__}"


def public_members(kind: type) -> dict[str, Any]:
    """Return the public methods and properties of a class by name, including those of its bases."""
    own = [each for each in reversed(kind.__mro__) if each.__module__.startswith(PACKAGE)]
    found = {name: member for each in own for name, member in vars(each).items() if not name.startswith("_")}
    return {name: member for name, member in found.items() if inspect.isfunction(member) or is_property(member)}


def is_property(member: Any) -> bool:
    """Return whether reading the attribute calls a function."""
    return isinstance(member, property | cached_property)


def returned_kind(method: Callable[..., Any]) -> type | None:
    """Return the class that the method's return annotation names, if its module knows that class."""
    name = inspect.get_annotations(method).get("return")
    kind = inspect.unwrap(method).__globals__.get(name) if isinstance(name, str) else name
    return kind if isinstance(kind, type) else None


def is_context_manager(method: Callable[..., Any]) -> bool:
    """Return whether the method was decorated with ``contextmanager``."""
    return inspect.isgeneratorfunction(inspect.unwrap(method)) and inspect.unwrap(method) is not method


def is_scan(method: Callable[..., Any]) -> bool:
    """Return whether the method returns an iterator."""
    return str(inspect.get_annotations(method).get("return")).startswith("Iterator[")


def is_maker(method: Callable[..., Any]) -> bool:
    """Return whether the method returns another object whose methods wait."""
    return issubclass(returned_kind(method) or object, Blocking)


def _async_member(member: Any) -> Any:
    if is_property(member):
        return _AsyncProperty(member)
    for applies, counterpart in (
        (is_context_manager, _async_context),
        (is_scan, _async_scan),
        (is_maker, _async_maker),
    ):
        if applies(member):
            return counterpart(member)
    return _async_call(member)


class _AsyncProperty:
    """The async counterpart of a property."""

    def __init__(self, member: Any) -> None:
        self.__doc__ = member.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, facade: Facade | None, owner: type) -> Any:
        return self if facade is None else to_async(getattr(facade._target, self._name), facade._caller)


def _async_call(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    async def counterpart(self: Facade, /, *args: Any, **kwargs: Any) -> Any:
        call = partial(method, self._target, *args, **kwargs)
        return to_async(await answer(self._caller.submit(call)), self._caller)

    return counterpart


def _async_context(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def counterpart(self: Facade, /, *args: Any, **kwargs: Any) -> AsyncContext:
        return AsyncContext(method(self._target, *args, **kwargs), self._caller)

    return counterpart


def _async_scan(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def counterpart(self: Facade, /, *args: Any, **kwargs: Any) -> AsyncRows[Any]:
        return AsyncRows(partial(method, self._target, *args, **kwargs), self._caller)

    return counterpart


def _async_maker(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def counterpart(self: Facade, /, *args: Any, **kwargs: Any) -> Any:
        return to_async(method(self._target, *args, **kwargs), self._caller)

    return counterpart
