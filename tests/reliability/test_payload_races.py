"""Many callers use one document or one stream at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from ciris_store_core import ManualClock, Store, TestSeams, open_store
from tests.reliability.payload_racers import (
    NAME,
    NAMESPACE,
    PARTS,
    WIDTH,
    Append,
    Insert,
    Read,
    Take,
    append,
    appender,
    changer,
    compare_and_set,
    insert,
    look_then_delete,
    look_then_put,
    number_then_add,
    pop,
    read_documents,
    read_stream,
    read_then_write,
    taker,
)
from tests.reliability.rows import counts, record
from tests.scenarios.processes import SECONDS, Team, processes

pytestmark = pytest.mark.fault

RACERS = 16

# --- compare and set ------------------------------------------------------------------------------


def change_all(url: str, tries: int, change: Callable[[Store, str], bool]) -> tuple[int, int]:
    """Return the number of changes that succeeded, and how many of them the document does not hold."""
    barrier = processes.Barrier(RACERS)
    with Team(changer, [(url, tries, barrier, change)] * RACERS) as team:
        changed = sum(team.hear_all(3600))
    with open_store(url) as store:
        stored = store.documents.get(NAMESPACE, NAME)
    assert stored is not None
    return changed, abs(changed - stored.value) + abs(changed - stored.revision)


@pytest.mark.slow
@pytest.mark.parametrize("count", counts("document-compare-and-set"))
def test_every_compare_and_set_counts_once(url: str, subject: str, count: int) -> None:
    changed, wrong = change_all(url, count, compare_and_set)
    record("document-compare-and-set", subject, count, wrong, note=f"{changed:,} of {RACERS * count:,} succeeded")
    assert wrong == 0
    assert changed >= count


@pytest.mark.slow
def test_the_control_a_write_without_the_revision(url: str, subject: str) -> None:
    changed, wrong = change_all(url, 20, read_then_write)
    record("document-compare-and-set", subject, 20, wrong, control=True, note="without expected_revision")
    assert changed == 20 * RACERS
    assert wrong > 0


# --- appending ------------------------------------------------------------------------------------


def misplaced(entries: Sequence[tuple[int, Any]], after: int = 0) -> int:
    """Return how many of these entries do not follow the one before."""
    return sum(at != before + 1 for before, at in pairwise([after, *(at for at, _ in entries)]))


def append_all(url: str, times: int, how: Append, read: Read) -> tuple[int, int]:
    """Return the number of reads, and how many entries readers or appenders found at another place than they should."""
    barrier, over = processes.Barrier(RACERS), threading.Event()

    def watch() -> tuple[int, int]:
        after = reads = wrong = 0
        with open_store(url) as store:
            while not over.is_set():
                found = read(store, after)
                wrong += misplaced(found, after)
                # One append is one moment: no reader sees a part of it.
                wrong += 0 < len(found) < WIDTH and found[-1][1][2] != PARTS - 1
                after, reads = found[-1][0] if found else after, reads + 1
        return reads, wrong

    with ThreadPoolExecutor(2) as pool:
        watchers = [pool.submit(watch) for _ in range(2)]
        try:
            with Team(appender, [(url, me, times, barrier, how) for me in range(RACERS)]) as team:
                answers = team.hear_all(3600)
        finally:
            over.set()
    reads, wrong = (sum(each) for each in zip(*(watcher.result() for watcher in watchers), strict=True))
    stored: list[tuple[int, Any]] = []
    with open_store(url) as store:
        while found := read(store, len(stored)):
            stored += found
    values = dict(stored)
    told = {at: [me, number, part]
            for me, answer in enumerate(answers)
            for number, positions in enumerate(answer)
            for part, at in enumerate(positions)}  # fmt: skip
    assert len(stored) == RACERS * times * PARTS
    return reads, wrong + misplaced(stored) + sum(values.get(at) != value for at, value in told.items())


@pytest.mark.slow
@pytest.mark.parametrize("count", counts("stream-append"))
def test_no_reader_misses_a_position(url: str, subject: str, count: int) -> None:
    reads, wrong = append_all(url, count, append, read_stream)
    record("stream-append", subject, count, wrong, note=f"{RACERS * count * PARTS:,} entries, {reads:,} reads")
    assert wrong == 0
    assert reads > 0


@pytest.mark.slow
def test_the_control_numbers_that_are_taken_before_the_write(url: str, subject: str) -> None:
    _, wrong = append_all(url, 10, number_then_add, read_documents)
    record("stream-append", subject, 10, wrong, control=True, note="a number, then the entries")
    assert wrong > 0


# --- popping --------------------------------------------------------------------------------------


def take_all(url: str, entries: int, take: Take) -> int:
    """Return how many entries were taken twice, or not at all."""
    with open_store(url) as store:
        for first in range(0, entries, 1000):
            store.streams.append(NAMESPACE, NAME, range(first, min(first + 1000, entries)))
        barrier = processes.Barrier(RACERS)
        with Team(taker, [(url, barrier, take)] * RACERS) as team:
            taken = [value for answer in team.hear_all(3600) for value in answer]
        assert store.streams.last(NAMESPACE, NAME) is None
    return len(taken) - len(set(taken)) + len(set(range(entries)) - set(taken))


@pytest.mark.slow
@pytest.mark.parametrize("count", counts("stream-pop"))
def test_every_entry_is_popped_once(url: str, subject: str, count: int) -> None:
    wrong = take_all(url, count, pop)
    record("stream-pop", subject, count, wrong)
    assert wrong == 0


@pytest.mark.slow
def test_the_control_a_look_before_the_deletion(url: str, subject: str) -> None:
    wrong = take_all(url, 300, look_then_delete)
    record("stream-pop", subject, 300, wrong, control=True, note="look, then delete")
    assert wrong > 0


# --- forking --------------------------------------------------------------------------------------

APPENDERS = 4


def fork_all(url: str, rounds: int, parts: int = PARTS) -> tuple[int, int]:
    """Fork streams while threads append to them; return the number of forks, and how many are no moment of a stream.

    ``parts``: how many of the three entries that belong together an appender appends at a time.
    """
    forks = wrong = 0

    def append_to(store: Store, name: str, me: int, left: list[int]) -> None:
        for number in range(8):
            values = [[me, number, part] for part in range(PARTS)]
            for first in range(0, PARTS, parts):
                store.streams.append(NAMESPACE, name, values[first : first + parts])
        left.remove(me)

    with open_store(url) as store, ThreadPoolExecutor(APPENDERS) as pool:
        for number in range(rounds):
            name, left = f"log {number}", list(range(APPENDERS))
            store.streams.append(NAMESPACE, name, [["first", 0, part] for part in range(PARTS)])
            jobs = [pool.submit(append_to, store, name, me, left) for me in range(APPENDERS)]
            copies: list[str] = []
            while left and not any(job.done() and job.exception() for job in jobs):
                copies.append(f"{name}, copy {len(copies)}")
                store.streams.fork((NAMESPACE, name), (NAMESPACE, copies[-1]))
            for job in jobs:
                job.result()
            source = values_of(store, name)
            assert len(source) == PARTS * (APPENDERS * 8 + 1)
            forks += len(copies)
            wrong += sum(not is_a_moment(values_of(store, copy), source) for copy in copies)
    return forks, wrong


def values_of(store: Store, name: str) -> list[tuple[int, Any]]:
    return [(entry.position, entry.value) for entry in store.streams.scan(NAMESPACE, name)]


def is_a_moment(copy: list[tuple[int, Any]], source: list[tuple[int, Any]]) -> bool:
    """Return True if a copy has the first entries of its source, and all that belong together or none of them."""
    whole: dict[tuple[Any, int], int] = {}
    for _, (who, number, _) in copy:
        whole[who, number] = whole.get((who, number), 0) + 1
    return bool(copy) and copy == source[: len(copy)] and set(whole.values()) == {PARTS}


@pytest.mark.slow
@pytest.mark.parametrize("count", counts("stream-fork"))
def test_a_fork_is_one_moment(url: str, subject: str, count: int) -> None:
    forks, wrong = fork_all(url, count)
    record("stream-fork", subject, count, wrong, note=f"{forks:,} forks")
    assert wrong == 0
    assert forks >= count


@pytest.mark.slow
def test_the_control_entries_that_are_appended_one_by_one(url: str, subject: str) -> None:
    forks, wrong = fork_all(url, 5, parts=1)
    record("stream-fork", subject, 5, wrong, control=True, note=f"appended one by one, {forks:,} forks")
    assert wrong > 0


# --- expiry ---------------------------------------------------------------------------------------

READERS, WRITERS = 3, 4
TTL = 10.0


def expire_all(url: str, rounds: int, how: Insert) -> tuple[int, int]:
    """Let documents expire while threads read, replace and delete them; return the reads, and what was wrong.

    Wrong are a document without exactly one successor, one that came back, and another successor than the winner's.
    """
    clock = ManualClock()
    reads = wrong = 0
    with (
        open_store(url, testing=TestSeams(server_clock=clock)) as store,
        ThreadPoolExecutor(READERS + WRITERS + 1) as pool,
    ):
        for number in range(rounds):
            key, over = f"d{number}", threading.Event()
            barrier = threading.Barrier(READERS + WRITERS + 2)
            store.documents.put(NAMESPACE, key, "old", ttl=TTL)
            watchers = [pool.submit(watch_expiry, store, key, barrier, over, at == 0) for at in range(READERS)]
            writers = [pool.submit(replace_expired, store, key, f"new {me}", barrier, over, how)
                       for me in range(WRITERS)]  # fmt: skip
            sweeper = pool.submit(sweep, store, barrier, over, clock)
            barrier.wait(SECONDS)
            clock.advance(seconds=TTL)
            try:
                won = [name for writer in writers if (name := writer.result(SECONDS))]
            finally:
                over.set()
            found = store.documents.get(NAMESPACE, key)
            wrong += abs(len(won) - 1) + (found is None or [found.value] != won[-1:])
            sweeper.result(SECONDS)
            for watcher in watchers:
                seen, back = watcher.result(SECONDS)
                reads, wrong = reads + seen, wrong + back
    return reads, wrong


def watch_expiry(
    store: Store, key: str, barrier: threading.Barrier, over: threading.Event, refresh: bool
) -> tuple[int, int]:
    """Return the number of reads, and how many found what an earlier one had found expired or replaced."""
    barrier.wait(SECONDS)
    reads = wrong = last = 0
    while not over.is_set():
        found = store.documents.get(NAMESPACE, key, refresh=refresh)
        now = 1 if found is None else 0 if found.value == "old" else 2
        wrong += now < last
        last, reads = now, reads + 1
    return reads, wrong


def replace_expired(
    store: Store, key: str, value: str, barrier: threading.Barrier, over: threading.Event, how: Insert
) -> str | None:
    """Try to insert a successor until there is one; return its value if it is this one."""
    barrier.wait(SECONDS)
    while not over.is_set():
        if how(store, key, value):
            return value
        found = store.documents.get(NAMESPACE, key)
        if found is not None and found.value != "old":
            return None
    return None


def sweep(store: Store, barrier: threading.Barrier, over: threading.Event, clock: ManualClock) -> None:
    """Delete the expired, as maintenance does."""
    barrier.wait(SECONDS)
    while not over.is_set():
        store._x.write("sweep", lambda session: session.documents.delete_expired(clock.now(), 100))


@pytest.mark.slow
@pytest.mark.parametrize("count", counts("document-expiry"))
def test_an_expired_document_has_one_successor(url: str, subject: str, count: int) -> None:
    reads, wrong = expire_all(url, count, insert)
    record("document-expiry", subject, count, wrong, note=f"{reads:,} reads")
    assert wrong == 0
    assert reads >= count


@pytest.mark.slow
def test_the_control_a_look_before_the_insert(url: str, subject: str) -> None:
    _, wrong = expire_all(url, 20, look_then_put)
    record("document-expiry", subject, 20, wrong, control=True, note="look, then put")
    assert wrong > 0
