"""Callers that race for documents and streams, and careless versions of what they do.

They are not in the module of the tests, which other processes cannot import by name.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from ciris_store_core import Conflict, RevisionMismatch, Store, open_store
from tests.scenarios.processes import SECONDS

NAMESPACE = ("race",)
NAME = "shared"
PARTS = 3
"""Entries of one append."""
WIDTH = 500
"""Entries that a reader takes at a time."""

# --- one document that all change -------------------------------------------------------------


def compare_and_set(store: Store, key: str) -> bool:
    """Add 1 to a number by the revision that was read; return True if it was written."""
    found = store.documents.get(NAMESPACE, key)
    value, revision = (0, 0) if found is None else (found.value, found.revision)
    try:
        store.documents.put(NAMESPACE, key, value + 1, expected_revision=revision)
    except RevisionMismatch:
        return False
    return True


def read_then_write(store: Store, key: str) -> bool:
    """The careless version: without regard to writes since it read."""
    found = store.documents.get(NAMESPACE, key)
    store.documents.put(NAMESPACE, key, 1 if found is None else found.value + 1)
    return True


def changer(pipe: Connection, url: str, tries: int, barrier: Any, change: Callable[[Store, str], bool]) -> None:
    """Send the number of changes that succeeded."""
    with open_store(url) as store:
        store.server_now()  # the connection is there before the race begins
        barrier.wait(SECONDS)
        pipe.send(sum(change(store, NAME) for _ in range(tries)))


# --- one stream that all append to ------------------------------------------------------------

Append = Callable[[Store, list[Any]], list[int]]
Read = Callable[[Store, int], list[tuple[int, Any]]]


def append(store: Store, values: list[Any]) -> list[int]:
    """As the store does it."""
    return store.streams.append(NAMESPACE, NAME, values)


def read_stream(store: Store, after: int) -> list[tuple[int, Any]]:
    """Return the positions and values behind a position."""
    page = store.streams.read(NAMESPACE, NAME, after=after, limit=WIDTH)
    return [(entry.position, entry.value) for entry in page.items]


def number_then_add(store: Store, values: list[Any]) -> list[int]:
    """The careless version: take numbers from a counter, as from a sequence, then add documents under them."""
    [turn] = store.streams.append(("counter",), NAME, [None])
    positions = [(turn - 1) * PARTS + place for place in range(1, PARTS + 1)]
    store.documents.put_many([(NAMESPACE, f"{at:010}", value) for at, value in zip(positions, values, strict=True)])
    return positions


def read_documents(store: Store, after: int) -> list[tuple[int, Any]]:
    """Return the numbers and values behind a number."""
    keys = [(NAMESPACE, f"{at:010}") for at in range(after + 1, after + WIDTH + 1)]
    return sorted((int(key.key), document.value) for key, document in store.documents.get_many(keys).items())


def appender(pipe: Connection, url: str, me: int, times: int, barrier: Any, how: Append) -> None:
    """Send the positions that each append returned."""
    with open_store(url) as store:
        store.server_now()
        barrier.wait(SECONDS)
        pipe.send([how(store, [[me, number, part] for part in range(PARTS)]) for number in range(times)])


# --- one stream that all take from ------------------------------------------------------------

Take = Callable[[Store], Any]


def pop(store: Store) -> Any:
    """As the store does it."""
    found = store.streams.pop(NAMESPACE, NAME)
    return None if found is None else found.value


def look_then_delete(store: Store) -> Any:
    """The careless version: read the newest entry, then delete it."""
    found = store.streams.last(NAMESPACE, NAME)
    if found is None:
        return None
    store.streams.truncate(NAMESPACE, NAME, after=found.position - 1)
    return found.value


def taker(pipe: Connection, url: str, barrier: Any, take: Take) -> None:
    """Take until nothing is left, and send what was taken."""
    taken = []
    with open_store(url) as store:
        store.server_now()
        barrier.wait(SECONDS)
        while (value := take(store)) is not None:
            taken.append(value)
    pipe.send(taken)


# --- one document that expires while all look at it -------------------------------------------

Insert = Callable[[Store, str, str], bool]


def insert(store: Store, key: str, value: str) -> bool:
    """Write the document unless there is one; return True if it was written."""
    try:
        store.documents.put(NAMESPACE, key, value, insert=True)
    except Conflict:
        return False
    return True


def look_then_put(store: Store, key: str, value: str) -> bool:
    """The careless version: look whether there is one, then write."""
    if store.documents.get(NAMESPACE, key) is not None:
        return False
    store.documents.put(NAMESPACE, key, value)
    return True
