"""Conversion of rows to records and pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ciris_store_core.errors import Corrupt
from ciris_store_core.models.paging import CorruptRow, ResultPage, SortKey

T = TypeVar("T")
Row = tuple[Any, ...]

MAPPER_ERRORS = (ValueError, KeyError, TypeError, OverflowError, RecursionError, AttributeError)
"""Errors that a row mapper raises for a corrupt row: one that no program of this contract can have written."""


def _first(row: Row) -> str:
    return str(row[0])


def read_all(
    rows: Sequence[Row], mapper: Callable[[Row], T], what: str, name_of: Callable[[Row], str] = _first
) -> list[T]:
    """Return the records of rows. Raise ``Corrupt``, with the key, if one cannot be decoded."""
    try:
        return [mapper(row) for row in rows]
    except MAPPER_ERRORS:
        for row in rows:
            _read(row, mapper, what, name_of)
        raise


def _read(row: Row, mapper: Callable[[Row], T], what: str, name_of: Callable[[Row], str]) -> T:
    try:
        return mapper(row)
    except MAPPER_ERRORS as error:
        raise Corrupt(
            f"the stored {what} {name_of(row)!r} cannot be read ({type(error).__name__}). "
            "Restore it from a backup, or delete it."
        ) from error


def read_page(
    rows: Sequence[Row],
    mapper: Callable[[Row], T],
    limit: int,
    sort_key: Callable[[Row], SortKey],
    name_of: Callable[[Row], str] = _first,
) -> ResultPage[T]:
    """Return a page of up to ``limit`` records of ``limit + 1`` rows; list corrupt rows in ``page.corrupt``."""
    more = len(rows) > limit
    rows = rows[:limit]
    next_after = sort_key(rows[-1]) if more else None
    try:
        return ResultPage([mapper(row) for row in rows], next_after)
    except MAPPER_ERRORS:
        return _separate_corrupt(rows, mapper, next_after, name_of)


def _separate_corrupt(
    rows: Sequence[Row], mapper: Callable[[Row], T], next_after: SortKey | None, name_of: Callable[[Row], str]
) -> ResultPage[T]:
    page: ResultPage[T] = ResultPage([], next_after)
    for row in rows:
        try:
            page.items.append(mapper(row))
        except MAPPER_ERRORS as error:
            page.corrupt.append(CorruptRow(name_of(row), f"{type(error).__name__}: the stored row cannot be read"))
    return page
