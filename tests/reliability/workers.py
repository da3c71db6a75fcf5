"""Programs that run in processes of their own.

They are not in the modules of the tests, which other processes cannot import by name.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from random import Random
from typing import Any

from ciris_store_core import (
    ANY_OCCURRENCE,
    Conflict,
    GraphNode,
    Store,
    StoreError,
    Task,
    Transaction,
    Unavailable,
    open_store,
)
from ciris_store_core.conformance.factories import task, thought
from ciris_store_core.errors import StaleFence
from tests.reliability.histories import Done
from tests.scenarios.processes import SECONDS

TEXT = "x" * 2000
BETWEEN_BARRIERS = 20
"""Tasks that the racers go through before they wait for one another again."""
TTL_SECONDS = 2.0
"""How long a claimer lives without a heartbeat."""


def write(pipe: Connection, url: str, name: str, early: bool) -> None:
    """Write once, wait for a word, and write on until killed. Each commit is said once it is done.

    ``early``: a little before that, to see that it matters.
    """
    with open_store(url) as store:
        for number in range(10**9):
            one = f"{name}-{number}"
            with store.transaction() as tx:
                tx.tasks.add(task(one))
                tx.thoughts.add(thought(f"{one} 1", one, content=TEXT))
                if early:
                    pipe.send(one)
                tx.thoughts.add(thought(f"{one} 2", one, content=TEXT))
            if not early:
                pipe.send(one)
            if number == 0:
                pipe.recv()


Claim = Callable[[Store, str, str], bool]


def claim(store: Store, kind: str, me: str) -> bool:
    """As the store does it."""
    return store.shared_tasks.claim_and_transfer(kind, "c", "d", occurrence_id=me)[1]


def look_and_add(store: Store, kind: str, me: str) -> bool:
    """A careless version without regard to other processes: look whether it is there, then add it."""
    if store.tasks.get(kind, occurrence_id=ANY_OCCURRENCE) is not None:
        return False
    with suppress(StoreError):  # another process added it meanwhile, but this one believes that it won
        store.tasks.add(Task(task_id=kind, channel_id="c", description=me), exist_ok=True)
    return True


def racer(pipe: Connection, url: str, me: str, tasks: int, barrier: Any, claim: Claim) -> None:
    won = bytearray()
    with open_store(url) as store:
        store.server_now()  # the connection is there before the race begins
        for number in range(tasks):
            if number % BETWEEN_BARRIERS == 0:
                barrier.wait(SECONDS)
            won.append(claim(store, f"race_{number}", me))
    pipe.send(bytes(won))


def claimer(pipe: Connection, url: str, name: str, fenced: bool) -> None:
    """Claim one task and, once told to, complete it; ``fenced``: by the handle that the claim gave."""
    with open_store(url) as store:
        me = store.for_occurrence(name, TTL_SECONDS)
        me.register()
        [work] = me.claim_next()
        pipe.send(work.task.task_id)
        pipe.recv()
        try:
            if fenced:
                work.complete()
            else:
                store.tasks.update(work.task.task_id, occurrence_id=ANY_OCCURRENCE, status="completed")
        except StaleFence:
            pipe.send(True)
        else:
            pipe.send(False)


# --- lists that are appended to ---------------------------------------------------------------

KEYS = 8
"""Lists that are being appended to at a time."""
LONGEST = 60
"""Elements of a list, roughly, before the next lists are taken."""


def append_all(pipe: Connection, url: str, me: int, workers: int, transactions: int, careful: bool) -> None:
    """Run so many transactions that read some lists and append to some, and send what each saw and did.

    ``careful``: each list is written by the revision that was read; otherwise without regard to other processes.
    """
    random, history = Random(me), []
    with open_store(url) as store:
        for number in range(transactions):
            # All workers move on to new lists at about the same time.
            generation = number * workers // (KEYS * LONGEST)
            # In order, so that no two wait for one another: PostgreSQL takes a second to notice.
            keys = sorted(random.sample([f"{generation}.{key}" for key in range(KEYS)], random.randint(1, 3)))
            appended = keys[: random.randint(0, len(keys))]
            history.append(append(store, number * workers + me, keys, appended, random, careful))
    pipe.send(history)


def append(store: Store, number: int, keys: list[str], appended: list[str], random: Random, careful: bool) -> Done:
    """One transaction, again until it is done: a list that another one changed since is read again."""
    stop = random.random() < 0.02
    for attempt in range(1000):
        # Every attempt has elements of its own, so that those of one that was undone are known.
        done = Done(number * 1000 + attempt)
        for place, key in enumerate(appended):
            first = (done.number * 4 + place) * 2
            done.appends[key] = list(range(first, first + random.randint(1, 2)))
        with suppress(Conflict, Unavailable, _Stop):
            if careful:
                with store.transaction() as tx:
                    _append(tx, done, keys, random, stop)
            else:
                _append(store, done, keys, random, False)
            return done
        if stop:
            done.committed = False
            return done
    raise AssertionError("a transaction never got through")


class _Stop(Exception):
    """Undoes a transaction on purpose."""


def _append(home: Store | Transaction, done: Done, keys: list[str], random: Random, stop: bool) -> None:
    for key in keys:
        node = home.graph.get(key, "local")
        seen = [] if node is None else node.attributes["list"]
        done.reads[key] = list(seen)
        # Each element in a write of its own, so that a reader could come in between.
        revision = 0 if node is None else node.revision
        for place, _ in enumerate(done.appends.get(key, ()), 1):
            attributes = {"list": seen + done.appends[key][:place]}
            written = GraphNode(id=key, type="concept", scope="local", attributes=attributes)
            expected = revision if isinstance(home, Transaction) else None
            revision = home.graph.put(written, expected_revision=expected).revision
    if stop:
        raise _Stop
