"""Tasks and thoughts are passed on while others read them: every reader sees exactly one owner of each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest

from ciris_store_core import ANY_OCCURRENCE, Store, open_store
from ciris_store_core.conformance.factories import task, thought
from tests.reliability.rows import counts, record

pytestmark = pytest.mark.fault

OWNERS = ["a", "b", "c"]
TASKS = [f"t{number}" for number in range(12)]
THOUGHTS = [f"h{number}" for number in range(12)]
WRITERS, READERS = 2, 3
PAUSE = 0.001
"""Seconds between two steps of a thread, so that ten minutes of it leave the machine to others."""

Transfer = Callable[[Store, str, str, str], bool]


def transfer(store: Store, id: str, source: str, target: str) -> bool:
    """As the store does it."""
    if id in TASKS:
        return store.tasks.transfer(id, from_occurrence=source, to_occurrence=target)
    return bool(store.thoughts.transfer(thought_id=id, from_occurrence=source, to_occurrence=target))


def delete_and_add(store: Store, id: str, source: str, target: str) -> bool:
    """As it is done where the owner decides on which server a row is: away from here, then there."""
    part = store.tasks if id in TASKS else store.thoughts
    found = part.get(id, occurrence_id=source)
    if found is None or not part.delete(id):
        return False
    part.add(found.replaced(agent_occurrence_id=target))  # type: ignore[arg-type]  # of the same kind
    return True


@dataclass
class Seen:
    """Actions and observations of the threads."""

    transfers: int = 0
    reads: int = 0
    wrong: int = 0
    """Reads in which a record had no owner, or several."""
    errors: list[BaseException] = field(default_factory=list)


def pass_on(url: str, seconds: float, how: Transfer = transfer) -> Seen:
    seen, lock, over = Seen(), threading.Lock(), time.monotonic() + seconds

    def write(store: Store, number: int) -> None:
        random, done = Random(number), 0
        while time.monotonic() < over:
            source, target = random.sample(OWNERS, 2)
            done += how(store, random.choice(TASKS + THOUGHTS), source, target)
            time.sleep(PAUSE)
        with lock:
            seen.transfers += done

    def read(store: Store, number: int) -> None:
        reads = wrong = 0
        while time.monotonic() < over:
            tasks = [each.task_id for each in store.tasks.find(occurrence_id=ANY_OCCURRENCE).items]
            thoughts = [each.thought_id for each in store.thoughts.find(occurrence_id=ANY_OCCURRENCE).items]
            one = store.tasks.get(TASKS[reads % len(TASKS)], occurrence_id=ANY_OCCURRENCE)
            counted = sum(store.tasks.count_by_status(occurrence_id=ANY_OCCURRENCE).values())
            wrong += sorted(tasks) != sorted(TASKS) or sorted(thoughts) != sorted(THOUGHTS) or one is None
            wrong += counted != len(TASKS)
            reads += 4
            time.sleep(PAUSE)
        with lock:
            seen.reads += reads
            seen.wrong += wrong

    def guarded(work: Callable[[Store, int], None], store: Store, number: int) -> None:
        try:
            work(store, number)
        except BaseException as error:
            seen.errors.append(error)

    with open_store(url) as store:
        store.tasks.add_many([task(each, agent_occurrence_id="a") for each in TASKS])
        # Of no task, which a transfer of this test may delete, and its thoughts with it.
        thoughts = [thought(each, "elsewhere", agent_occurrence_id="a") for each in THOUGHTS]
        store._x.write("fill", lambda session: session.thoughts.add(thoughts))
        jobs = [(write, number) for number in range(WRITERS)] + [(read, number) for number in range(READERS)]
        threads = [threading.Thread(target=guarded, args=(work, store, number)) for work, number in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("count", counts("transfer"))
def test_every_reader_sees_one_owner(url: str, subject: str, count: int) -> None:
    seen = pass_on(url, count)
    record("transfer", subject, count, seen.wrong, note=f"{seen.transfers:,} transfers, {seen.reads:,} reads")
    assert (seen.wrong, seen.errors) == (0, [])
    assert seen.transfers > 10 * count and seen.reads > 10 * count


@pytest.mark.slow
def test_the_control_a_transfer_that_deletes_and_adds(url: str, subject: str) -> None:
    seen = pass_on(url, 2, delete_and_add)
    record("transfer", subject, 2, seen.wrong, control=True, note=f"delete, then add; {seen.reads:,} reads")
    assert seen.wrong > 0
