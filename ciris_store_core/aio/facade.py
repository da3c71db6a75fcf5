"""The async facade: each class that waits for the database gets an async counterpart, made from its methods.

What a method becomes follows from what it says that it returns:

- an iterator: an ``AsyncIterator``, which reads one page at a time;
- a context manager: an async one;
- another object with methods that wait: its counterpart, at once, as making one asks nothing of the database;
- anything else: a coroutine, whose result is the same, with objects of that kind replaced by their counterparts.
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

from ciris_store_core.aio.workers import Caller, Conversation, Workers, answer, settled
from ciris_store_core.errors import StoreClosed, TransactionError
from ciris_store_core.store import Store
from ciris_store_core.store.execution import Blocking
from ciris_store_core.store.resource import SCAN_SIZE

T = TypeVar("T")
PACKAGE = "ciris_store_core"


class Facade:
    """The async counterpart of an object whose methods wait for the database."""

    def __init__(self, target: Any, caller: Caller) -> None:
        """Made by the facade of the store."""
        self._target = target
        self._caller = caller

    def __repr__(self) -> str:
        """That of the object beneath."""
        return f"Async{self._target!r}"

    def __getattr__(self, name: str) -> Any:
        """What the object beneath holds, such as the ``task`` of claimed work."""
        if name.startswith("_"):
            raise AttributeError(name)
        return in_async(getattr(self._target, name), self._caller)


class Entered(Facade):
    """The counterpart of a context manager: what it begins on entry it ends on exit, cancelled or not."""

    async def __aenter__(self) -> Self:
        """Begin."""
        await enter(self._target, self._caller)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """End; a cancellation waits for it."""
        return await leave(self._target, self._caller, error)


class Rows(AsyncIterator[T], Generic[T]):
    """What a scan finds, read page by page."""

    def __init__(self, begin: Callable[[], Iterator[T]], caller: Caller) -> None:
        """``begin`` makes the iterator, on a thread."""
        self._begin = begin
        self._caller = caller
        self._rows: Iterator[T] | None = None
        self._page: list[T] = []

    async def __anext__(self) -> T:
        """The next row."""
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


class Held:
    """The async counterpart of what a method decorated with ``contextmanager`` returns."""

    def __init__(self, target: AbstractContextManager[Any], caller: Caller) -> None:
        """Begun and ended on threads of ``caller``, which need not be the same one."""
        self._target = target
        self._caller = caller

    async def __aenter__(self) -> Any:
        """Begin."""
        return in_async(await enter(self._target, self._caller), self._caller)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """End; a cancellation waits for it."""
        return await leave(self._target, self._caller, error)


class Begun:
    """A transaction of the async store: it keeps a thread from entry to exit."""

    def __init__(self, store: Store, workers: Workers) -> None:
        """Made by ``transaction``."""
        self._store = store
        self._workers = workers
        self._conversation: Conversation | None = None

    async def __aenter__(self) -> Any:
        """Begin, once a thread is free."""
        conversation = self._workers.converse(self._store)
        try:
            tx = await answer(conversation.opened)
        except BaseException:
            conversation.end(commit=False)
            conversation.life.cancel()
            raise
        conversation.enter()
        self._conversation = conversation
        return in_async(tx, conversation)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Commit, or roll back where the block was left by an exception; a cancellation waits for that."""
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            conversation.end(commit=error is None)
            await settled(conversation.life)


async def enter(target: AbstractContextManager[T], caller: Caller) -> T:
    """Enter a context manager; cancelled while that goes on, it is left again."""
    future = caller.submit(target.__enter__)
    try:
        return await answer(future)
    except asyncio.CancelledError:
        future.add_done_callback(partial(_leave_again, target, caller))
        raise


def _leave_again(target: AbstractContextManager[Any], caller: Caller, entered: Future[Any]) -> None:
    if not entered.cancelled() and entered.exception() is None:
        with suppress(TransactionError, StoreClosed):  # It was over before: then so is whatever it held.
            caller.submit(lambda: target.__exit__(None, None, None))


async def leave(target: AbstractContextManager[Any], caller: Caller, error: BaseException | None) -> bool | None:
    """Leave a context manager as its block was left."""
    kind, traceback = (type(error), error.__traceback__) if error is not None else (None, None)
    return await settled(caller.submit(lambda: target.__exit__(kind, error, traceback)))


# --- counterparts ----------------------------------------------------------------------------------------


def in_async(value: Any, caller: Caller) -> Any:
    """The value, with objects whose methods wait for the database replaced by their counterparts."""
    if isinstance(value, Blocking):
        return async_class_of(type(value))(value, caller)
    if type(value) is list and value and isinstance(value[0], Blocking):
        return [in_async(each, caller) for each in value]
    return value


_async_classes: dict[type, type[Facade]] = {}


def async_class_of(kind: type[Blocking]) -> type[Facade]:
    """The class of the counterparts of a class, made once."""
    return _async_classes.get(kind) or _async_classes.setdefault(kind, _make_async_class(kind))


def _make_async_class(kind: type[Blocking]) -> type[Facade]:
    base = Entered if hasattr(kind, "__enter__") else Facade
    members = {name: _async_member(member) for name, member in public_members(kind).items()}
    return type(async_name(kind), (base,), {"__doc__": kind.__doc__, "__module__": __name__, **members})


def async_name(kind: type) -> str:
    """``Async`` and the name; of a class that is named after being synchronous, the name without that."""
    return kind.__name__.removeprefix("Sync") if kind.__name__.startswith("Sync") else f"Async{kind.__name__}"


def public_members(kind: type) -> dict[str, Any]:
    """The methods and properties of a class that users call, by name, those of its bases included."""
    own = [each for each in reversed(kind.__mro__) if each.__module__.startswith(PACKAGE)]
    found = {name: member for each in own for name, member in vars(each).items() if not name.startswith("_")}
    return {name: member for name, member in found.items() if inspect.isfunction(member) or is_property(member)}


def is_property(member: Any) -> bool:
    """Whether reading the attribute calls a function."""
    return isinstance(member, property | cached_property)


def returned_kind(method: Callable[..., Any]) -> type | None:
    """The class that the method says it returns, if that is a class of its own module or one imported there."""
    name = inspect.get_annotations(method).get("return")
    kind = inspect.unwrap(method).__globals__.get(name) if isinstance(name, str) else name
    return kind if isinstance(kind, type) else None


def is_context_manager(method: Callable[..., Any]) -> bool:
    """Whether it was decorated with ``contextmanager``."""
    return inspect.isgeneratorfunction(inspect.unwrap(method)) and inspect.unwrap(method) is not method


def is_scan(method: Callable[..., Any]) -> bool:
    """Whether it returns an iterator."""
    return str(inspect.get_annotations(method).get("return")).startswith("Iterator[")


def is_maker(method: Callable[..., Any]) -> bool:
    """Whether it returns another object whose methods wait."""
    return issubclass(returned_kind(method) or object, Blocking)


def _async_member(member: Any) -> Any:
    if is_property(member):
        return _Reading(member)
    for applies, counterpart in ((is_context_manager, _held), (is_scan, _rows), (is_maker, _made)):
        if applies(member):
            return counterpart(member)
    return _called(member)


class _Reading:
    """A property's counterpart."""

    def __init__(self, member: Any) -> None:
        self.__doc__ = member.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, facade: Facade | None, owner: type) -> Any:
        return self if facade is None else in_async(getattr(facade._target, self._name), facade._caller)


def _called(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    async def counterpart(self: Facade, /, *args: Any, **kwargs: Any) -> Any:
        call = partial(method, self._target, *args, **kwargs)
        return in_async(await answer(self._caller.submit(call)), self._caller)

    return counterpart


def _held(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def counterpart(self: Facade, /, *args: Any, **kwargs: Any) -> Held:
        return Held(method(self._target, *args, **kwargs), self._caller)

    return counterpart


def _rows(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def counterpart(self: Facade, /, *args: Any, **kwargs: Any) -> Rows[Any]:
        return Rows(partial(method, self._target, *args, **kwargs), self._caller)

    return counterpart


def _made(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def counterpart(self: Facade, /, *args: Any, **kwargs: Any) -> Any:
        return in_async(method(self._target, *args, **kwargs), self._caller)

    return counterpart
