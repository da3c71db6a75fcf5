"""Common code of the functions: the caller's time service, reading of lists, async counterparts."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, ParamSpec, Protocol, TypeVar

from ciris_store_core.aio.workers import answer
from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.paging import Page
from ciris_store_core.persistence.default_store import workers
from ciris_store_core.store.resource import Resource, raise_corrupt
from ciris_store_core.validation.validator import MAX_LIMIT, moment, whole

T = TypeVar("T")
P = ParamSpec("P")
PartT = TypeVar("PartT", bound=Resource)

TimeService = Any
"""An object with ``now()``, an aware datetime, or ``now_iso()``, its ISO 8601 text. None means the store's clock."""


class ServiceClock:
    """A clock that asks a time service."""

    def __init__(self, time_service: TimeService) -> None:
        """Wrap an object with ``now()`` or ``now_iso()``; raise ``InvalidArgument`` for any other."""
        if not (hasattr(time_service, "now") or hasattr(time_service, "now_iso")):
            raise InvalidArgument(
                f"time_service: {type(time_service).__name__} has neither now() nor now_iso(). "
                "Leave it out to use the store's clock."
            )
        self._service = time_service

    def now(self) -> datetime:
        """Return the service's time in UTC; raise ``InvalidArgument`` if it is not an aware datetime."""
        for name in ("now", "now_iso"):
            value = getattr(self._service, name, lambda: None)()
            if isinstance(value, datetime | str):
                return instant(value, f"time_service.{name}()").astimezone(UTC)
        raise InvalidArgument(
            "time_service: its now() and now_iso() give no datetime and no ISO 8601 text. Fix it, or leave it out."
        )


def clocked(part: PartT, time_service: TimeService) -> PartT:
    """Return the part of a store, with the time service's clock if one is given."""
    if time_service is None:
        return part
    return type(part)(part._x, replace(part._ctx, clock=ServiceClock(time_service), clock_given=True))


def instant(value: datetime | str, name: str) -> datetime:
    """Return an aware datetime, or its ISO 8601 text, in UTC."""
    at = moment(value, name)  # type: ignore[arg-type]
    if at is None:
        raise InvalidArgument(f"{name}: expected an aware datetime or its ISO 8601 text")
    return at


# --- lists ------------------------------------------------------------------------------------


class Listing(Protocol[T]):
    """A part of a store that lists records."""

    @property
    def find(self) -> Callable[..., Page[T]]:
        """Return one page."""
        ...

    @property
    def scan(self) -> Callable[..., Iterator[T]]:
        """Yield the records of all pages."""
        ...


def readable(page: Page[T]) -> list[T]:
    """Return the records of a page; raise ``Corrupt`` if one of its rows is corrupt."""
    for row in page.corrupt:
        raise_corrupt(row)
    return page.items


def some(part: Listing[T], limit: int | None, offset: int = 0, **filters: Any) -> list[T]:
    """Return ``limit`` records after the first ``offset`` of a listing, or all of them if ``limit`` is None."""
    start = whole(offset, "offset", 0, 2**63 - 1)
    if limit is None:
        return [*islice(part.scan(**filters), start, None)]
    stop = start + whole(limit, "limit", 0, 2**63 - 1 - start)
    if not 0 < stop <= MAX_LIMIT:
        return [*islice(part.scan(**filters), start, stop)] if stop else []
    return readable(part.find(limit=stop, **filters))[start:]


# --- async ------------------------------------------------------------------------------------


def counterpart(function: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return the async counterpart of a function: a coroutine function that runs it on a worker thread.

    The threads are fewer than a store has connections. A call that is cancelled before it starts never runs.
    """

    @functools.wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return await answer(workers().submit(functools.partial(function, *args, **kwargs)))

    call.__name__ = f"async_{function.__name__}"
    call.__qualname__ = f"async_{function.__qualname__}"
    call.__doc__ = f"``{function.__name__}`` in a worker thread."
    return call


async def completed(answer: Awaitable[T] | T) -> T:
    """Return the answer, awaited if it is awaitable."""
    return await answer if isinstance(answer, Awaitable) else answer
