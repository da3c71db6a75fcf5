from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ciris_store_core import (
    Conflict,
    Correlation,
    InvalidArgument,
    ManualClock,
    Metric,
    OutcomeUnknown,
    Store,
    Unavailable,
    open_store,
)
from ciris_store_core.errors import StorageFull, StoreClosed, TransactionError

PATIENT: dict[str, Any] = {"max_delay_seconds": 600}


def log(correlation_id: str, **fields: Any) -> Correlation:
    given = {"correlation_type": "log_entry", "service_type": "s", "handler_name": "h", "action_type": "log"}
    return Correlation(correlation_id=correlation_id, log_level="INFO", log_message="m", **{**given, **fields})


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        threading.Event().wait(0.002)


def test_what_was_flushed_is_stored(store: Store, clock: ManualClock) -> None:
    with store.correlations.buffered(**PATIENT, service_type="sensors", ttl_seconds=6000) as writer:
        writer.add(Metric("cpu", 1.0, {"host": "a"}), log("l1"))
        accepted = clock.now()
        clock.advance(hours=1)
        assert writer.pending == 2 and store.correlations.count() == 0
        writer.flush()
        assert writer.pending == 0 and store.correlations.count() == 2
        writer.flush()
        writer.add(Metric("cpu", 2.0))
    first, second = store.correlations.scan(metric_name="cpu")
    assert (first.timestamp, first.service_type, first.ttl_seconds, first.tags) == (
        accepted,
        "sensors",
        6000,
        {"host": "a"},
    )
    stored = store.correlations.get("l1")
    assert stored is not None and stored.timestamp == stored.created_at == accepted and second.metric_value == 2.0
    with pytest.raises(StoreClosed):
        writer.add(log("l2"))


def test_a_full_batch_and_an_old_one_are_stored_by_themselves(store: Store) -> None:
    with store.correlations.buffered(batch_size=10, **PATIENT) as writer:
        writer.add(*(Metric("cpu", float(i)) for i in range(25)))
        until(lambda: writer.pending == 5)
        assert store.correlations.count() == 20
    with store.correlations.buffered(max_delay_seconds=0.01) as writer:
        writer.add(Metric("cpu", 1.0))
        until(lambda: writer.pending == 0)
    assert store.correlations.count() == 26


def test_what_cannot_be_stored_is_refused_at_once(store: Store) -> None:
    with store.correlations.buffered(**PATIENT) as writer:
        for bad in (Metric("cpu", float("nan")), Metric("", 1.0), log("a\0b"), "no item"):
            with pytest.raises((InvalidArgument, AttributeError)):
                writer.add(log("good"), bad)  # type: ignore[arg-type]
        assert writer.pending == 0
    for options in (
        {"batch_size": 0},
        {"batch_size": 10, "capacity": 5},
        {"max_delay_seconds": 0},
        {"scope": "nowhere"},
    ):
        with pytest.raises(InvalidArgument):
            store.correlations.buffered(**options)  # type: ignore[arg-type]
    with store.transaction() as tx, pytest.raises(TransactionError):
        tx.correlations.buffered()


def test_an_item_that_conflicts_harms_no_other(store: Store) -> None:
    store.correlations.add(log("taken", action_type="other"))
    writer = store.correlations.buffered(**PATIENT)
    writer.add(
        *(log(f"l{i}") for i in range(9)), log("taken"), Metric("cpu", 1.0), Metric("cpu", 2.0, metric_id="taken")
    )
    with pytest.raises(Conflict):
        writer.close()
    assert store.correlations.count() == 11
    rejected = writer.take_rejected()
    assert [type(item) for item, _ in rejected] == [Correlation, Metric] and writer.take_rejected() == []
    assert all(isinstance(error, Conflict) for _, error in rejected)


@pytest.mark.parametrize("error", [Unavailable, StorageFull, OutcomeUnknown])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_failure_loses_nothing_and_doubles_nothing(store: Store, error: type[Exception], late: bool) -> None:
    """The failure comes before the batch is stored, or its answer is lost."""
    writer = store.correlations.buffered(**PATIENT)
    sound, failing = writer._store, [True]

    def store_them(items: Any) -> object:
        if late:
            sound(items)
        if failing[0]:
            raise error("away")
        return None if late else sound(items)

    writer._store = store_them
    writer.add(Metric("cpu", 1.0), log("l"))
    with pytest.raises(error, match="away"):
        writer.flush()
    assert writer.pending == 2 and isinstance(writer.last_error, error)
    writer.add(log("l2"))
    with pytest.raises(error):
        writer.close()
    failing[0] = False
    writer.close()
    assert writer.pending == 0 and writer.last_error is None and store.correlations.count() == 3
    assert writer.take_rejected() == []


def test_a_full_buffer_makes_callers_wait(store: Store) -> None:
    writer = store.correlations.buffered(batch_size=1, capacity=2, **PATIENT)
    sound, go_on = writer._store, threading.Event()

    def wait(items: Any) -> object:
        assert go_on.wait(60)
        return sound(items)

    writer._store = wait
    writer.add(log("a"), log("b"))
    with pytest.raises(Unavailable, match="2 items wait"):
        writer.add(log("c"), timeout_seconds=0.01)
    with pytest.raises(Unavailable, match="keep up"):
        writer.flush(timeout_seconds=0.01)
    waiting = threading.Thread(target=writer.add, args=(log("c"),))
    waiting.start()
    go_on.set()
    waiting.join(60)
    writer.close()
    assert store.correlations.count() == 3


def test_it_outlives_a_store_that_was_closed() -> None:
    store = open_store("memory://")
    writer = store.correlations.buffered(**PATIENT)
    writer.add(log("a"))
    store.close()
    for _ in range(2):
        with pytest.raises(StoreClosed):
            writer.flush()
    assert writer.pending == 1


WRITE = """
import itertools, sys
from ciris_store_core import Metric, open_store
store = open_store(sys.argv[1])
writer = store.correlations.buffered(batch_size=50, max_delay_seconds=0.01)
for number in itertools.count():
    writer.add(*(Metric("cpu", float(i), metric_id=f"{number:06}-{i:03}") for i in range(120)))
    if number % 3 == 0:
        writer.flush()
        print(number, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill(url: str) -> None:
    if url.startswith("memory"):
        pytest.skip("a database in memory ends with its process")
    with open_store(url):
        pass
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITE, url], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            acknowledged = [int(writer.stdout.readline()) for _ in range(4)][-1]
            writer.kill()
        with open_store(url) as store:
            wanted = [f"{number:06}-{i:03}" for number in range(acknowledged + 1) for i in range(120)]
            assert len(store.correlations.get_many(wanted)) == len(wanted)
            everything = [row.correlation_id for row in store.correlations.scan()]
            store.correlations.delete_many(everything)


def test_what_was_rejected_meanwhile_is_told_at_the_end(store: Store) -> None:
    store.correlations.add(log("taken"))
    writer = store.correlations.buffered(max_delay_seconds=0.001)
    writer.add(log("taken", handler_name="another"))
    until(lambda: writer.pending == 0)
    with pytest.raises(Conflict):
        writer.close()
    writer.close()  # once is enough


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e9, "1"])
def test_a_delay_that_no_thread_can_wait_for_is_refused(store: Store, seconds: Any) -> None:
    with pytest.raises(InvalidArgument):
        store.correlations.buffered(max_delay_seconds=seconds)


def test_the_error_that_ended_the_block_is_not_hidden(store: Store) -> None:
    store.correlations.add(log("taken"))
    with pytest.raises(KeyError) as caught, store.correlations.buffered(**PATIENT) as writer:
        writer.add(log("taken"), log("new"))
        raise KeyError("the caller's")
    assert "storing what was buffered failed as well" in caught.value.__notes__[0]
    assert store.correlations.get("new") is not None and len(writer.take_rejected()) == 1
    with pytest.raises(Conflict), store.correlations.buffered(**PATIENT) as writer:
        writer.add(log("taken"))


def test_no_block_hides_the_error_that_ended_it(url: str) -> None:
    """A store that is closed inside the block makes the end of each fail."""
    for block in (lambda s: s.leases.lock("l", "o"), lambda s: s.for_occurrence("o"), lambda s: s.transaction()):
        store = open_store(url)
        with pytest.raises(KeyError), block(store):
            store.close()
            raise KeyError("the caller's")
