"""All contenders of one kind of database, each on a database of its own with the same content."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.contender import Contender
from benchmarks.databases import Place
from benchmarks.fill import fill, path_of, settle
from benchmarks.raw_postgres import LeanPostgres, RawPostgres
from benchmarks.raw_sqlite import LeanSqlite, RawSqlite
from benchmarks.with_store import WithDetection, WithStore


def raw(url: str, size: int) -> Contender:
    """The raw driver on a database with the store's tables."""
    return RawSqlite(path_of(url), size) if url.startswith("sqlite") else RawPostgres(url, size)


def lean(url: str, size: int) -> Contender:
    """The raw driver without what makes nodes searchable."""
    return LeanSqlite(path_of(url), size) if url.startswith("sqlite") else LeanPostgres(url, size)


def with_orm(url: str, size: int) -> Contender:
    """SQLAlchemy's ORM on a database with the store's tables."""
    from benchmarks.with_orm import WithOrm  # heavy, and not needed by the processes that measure others

    return WithOrm(url, size)


MAKERS: dict[str, Callable[[str, int], Contender]] = {
    "raw driver": raw,
    "store": WithStore,
    "SQLAlchemy ORM": with_orm,
    "raw driver, no search": lean,
    "store, detecting secrets": WithDetection,
}
"""Those that work on the store's tables, by name."""


@contextmanager
def all_contenders(place: Place, size: int) -> Iterator[list[Contender]]:
    """Raw driver first, then the store, then the others; closed at the end."""
    with ExitStack() as stack:
        contenders: list[Contender] = []
        for make in MAKERS.values():
            url = place.new_url()
            fill(url, size, size)
            contenders.append(make(url, size))
        contenders += _strangers(place, size)
        for contender in contenders:
            stack.callback(contender.close)
        yield contenders


def _strangers(place: Place, size: int) -> list[Contender]:
    """Those with tables of their own."""
    from benchmarks.with_langgraph import WithLangGraph
    from benchmarks.with_procrastinate import WithProcrastinate

    found: list[Contender] = []
    for kind in (WithLangGraph, WithProcrastinate) if place.name == "postgres" else (WithLangGraph,):
        url = place.new_url()
        contender = kind(url, size)
        contender.fill(size, size)
        settle(url)
        found.append(contender)
    return found
