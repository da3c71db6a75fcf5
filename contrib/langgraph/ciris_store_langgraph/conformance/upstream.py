"""Factories of the stores and savers that the published table compares."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from ciris_store_langgraph.conformance.clauses import Subject
from ciris_store_langgraph.saver import CirisSaver
from ciris_store_langgraph.store import CirisStore

new_database: Callable[[], str] | None = None
"""Makes an empty PostgreSQL database and returns its URL; set it before the suite runs on PostgreSQL."""


def postgres_url(place: Path) -> str:
    """Return the URL of the database that belongs to a place."""
    note = place / "url"
    if not note.exists():
        if new_database is None:
            raise RuntimeError("no PostgreSQL server is known. Set new_database.")
        note.write_text(new_database())
    return note.read_text()


@contextmanager
def memory_store(place: Path) -> Iterator[Any]:
    """Open LangGraph's InMemoryStore."""
    from langgraph.store.memory import InMemoryStore

    yield InMemoryStore()


@contextmanager
def sqlite_store(place: Path) -> Iterator[Any]:
    """Open LangGraph's SqliteStore."""
    from langgraph.store.sqlite import SqliteStore

    with SqliteStore.from_conn_string(os.fspath(place / "store.db")) as store:
        store.setup()
        yield store


@asynccontextmanager
async def async_sqlite_store(place: Path) -> AsyncIterator[Any]:
    """Open LangGraph's AsyncSqliteStore."""
    from langgraph.store.sqlite.aio import AsyncSqliteStore

    async with AsyncSqliteStore.from_conn_string(os.fspath(place / "store.db")) as store:
        await store.setup()
        yield store


@contextmanager
def postgres_store(place: Path) -> Iterator[Any]:
    """Open LangGraph's PostgresStore."""
    from langgraph.store.postgres import PostgresStore

    with PostgresStore.from_conn_string(postgres_url(place)) as store:
        store.setup()
        yield store


@asynccontextmanager
async def async_postgres_store(place: Path) -> AsyncIterator[Any]:
    """Open LangGraph's AsyncPostgresStore."""
    from langgraph.store.postgres.aio import AsyncPostgresStore

    async with AsyncPostgresStore.from_conn_string(postgres_url(place)) as store:
        await store.setup()
        yield store


@contextmanager
def memory_saver(place: Path) -> Iterator[Any]:
    """Open LangGraph's InMemorySaver."""
    from langgraph.checkpoint.memory import InMemorySaver

    yield InMemorySaver()


@contextmanager
def sqlite_saver(place: Path) -> Iterator[Any]:
    """Open LangGraph's SqliteSaver."""
    from langgraph.checkpoint.sqlite import SqliteSaver

    with SqliteSaver.from_conn_string(os.fspath(place / "saver.db")) as saver:
        saver.setup()
        yield saver


@asynccontextmanager
async def async_sqlite_saver(place: Path) -> AsyncIterator[Any]:
    """Open LangGraph's AsyncSqliteSaver."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    async with AsyncSqliteSaver.from_conn_string(os.fspath(place / "saver.db")) as saver:
        await saver.setup()
        yield saver


@contextmanager
def postgres_saver(place: Path) -> Iterator[Any]:
    """Open LangGraph's PostgresSaver."""
    from langgraph.checkpoint.postgres import PostgresSaver

    with PostgresSaver.from_conn_string(postgres_url(place)) as saver:
        saver.setup()
        yield saver


@asynccontextmanager
async def async_postgres_saver(place: Path) -> AsyncIterator[Any]:
    """Open LangGraph's AsyncPostgresSaver."""
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

    async with AsyncPostgresSaver.from_conn_string(postgres_url(place)) as saver:
        await saver.setup()
        yield saver


@contextmanager
def ciris_memory_store(place: Path) -> Iterator[Any]:
    """Open CirisStore in memory."""
    with CirisStore.from_conn_string("memory://") as store:
        yield store


@contextmanager
def ciris_sqlite_store(place: Path) -> Iterator[Any]:
    """Open CirisStore on SQLite."""
    with CirisStore.from_conn_string(f"sqlite:///{place}/ciris.db") as store:
        yield store


@contextmanager
def ciris_postgres_store(place: Path) -> Iterator[Any]:
    """Open CirisStore on PostgreSQL."""
    with CirisStore.from_conn_string(postgres_url(place)) as store:
        yield store


@contextmanager
def ciris_memory_saver(place: Path) -> Iterator[Any]:
    """Open CirisSaver in memory."""
    with CirisSaver.from_conn_string("memory://") as saver:
        yield saver


@contextmanager
def ciris_sqlite_saver(place: Path) -> Iterator[Any]:
    """Open CirisSaver on SQLite."""
    with CirisSaver.from_conn_string(f"sqlite:///{place}/ciris.db") as saver:
        yield saver


@contextmanager
def ciris_postgres_saver(place: Path) -> Iterator[Any]:
    """Open CirisSaver on PostgreSQL."""
    with CirisSaver.from_conn_string(postgres_url(place)) as saver:
        yield saver


STORES = {
    "CirisStore, memory": Subject(ciris_memory_store, durable=False),
    "CirisStore, SQLite": Subject(ciris_sqlite_store),
    "CirisStore, PostgreSQL": Subject(ciris_postgres_store),
    "InMemoryStore": Subject(memory_store, durable=False),
    "SqliteStore": Subject(sqlite_store, async_sqlite_store),
    "PostgresStore": Subject(postgres_store, async_postgres_store),
}
SAVERS = {
    "CirisSaver, memory": Subject(ciris_memory_saver, durable=False),
    "CirisSaver, SQLite": Subject(ciris_sqlite_saver),
    "CirisSaver, PostgreSQL": Subject(ciris_postgres_saver),
    "InMemorySaver": Subject(memory_saver, durable=False),
    "SqliteSaver": Subject(sqlite_saver, async_sqlite_saver),
    "PostgresSaver": Subject(postgres_saver, async_postgres_saver),
}
