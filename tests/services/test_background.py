from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from ciris_store_core import InvalidArgument, ManualClock, StaleFence, Store, Unavailable, open_store
from ciris_store_core.services import Background, Keep

WAIT = 30.0


@pytest.fixture
def make(store: Store) -> Iterator[Callable[..., Background[int]]]:
    """Makes jobs, and stops them."""
    made: list[Background[int]] = []

    def make_it(job: Callable[[Keep], int], **options: float) -> Background[int]:
        made.append(Background(store, "job", job, **options))
        return made[-1]

    yield make_it
    for background in made:
        background.stop(WAIT)


def test_a_job_runs_once_under_its_lease(store: Store, make: Callable[..., Background[int]]) -> None:
    held: list[str] = []

    def job(keep: Keep) -> int:
        keep()
        held.extend(lease.name for lease in store.leases.find())
        return 7

    background = make(job)
    assert background.run_once() == 7 and held == ["job"] and store.leases.find() == []
    assert not background.running and background.stop()
    with store.leases.lock("job", "another"):
        assert background.run_once() is None


def test_a_job_that_fails_gives_the_lease_back(store: Store, make: Callable[..., Background[int]]) -> None:
    def job(keep: Keep) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make(job).run_once()
    assert store.leases.find() == []


def test_a_long_job_keeps_its_lease_and_notices_its_loss(
    store: Store, clock: ManualClock, make: Callable[..., Background[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.0]
    monkeypatch.setattr("ciris_store_core.services.periodic.time.monotonic", lambda: seconds[0])

    def pass_time(span: float) -> None:
        seconds[0] += span
        clock.advance(seconds=span)

    def job(keep: Keep) -> int:
        for _ in range(10):
            pass_time(50)
            keep()
        pass_time(61)
        with pytest.raises(StaleFence, match="expired during"):
            keep()
        return 1

    assert make(job, ttl_seconds=60).run_once() == 1


def test_the_thread_runs_it_again_and_again_until_stopped(make: Callable[..., Background[int]]) -> None:
    runs, enough = [], threading.Event()

    def job(keep: Keep) -> int:
        runs.append(threading.current_thread())
        if len(runs) == 3:
            enough.set()
        return len(runs)

    background = make(job, interval_seconds=0.001)
    with background:
        background.start()
        assert enough.wait(WAIT) and background.running
    assert not background.running and background.last_result == len(runs)
    assert {(thread.name, thread.daemon) for thread in runs} == {("job", True)} and len(set(runs)) == 1
    background.start()
    assert background.running


def test_an_error_does_not_end_the_thread(make: Callable[..., Background[int]]) -> None:
    failed, again = threading.Event(), threading.Event()

    def job(keep: Keep) -> int:
        if not failed.is_set():
            failed.set()
            raise Unavailable("away")
        again.set()
        return 1

    background = make(job, interval_seconds=0.001)
    background.start()
    assert again.wait(WAIT) and background.stop(WAIT) and background.last_error is None
    background = make(_always_failing, interval_seconds=WAIT)
    background.start()
    while background.last_error is None and background.running:
        threading.Event().wait(0.001)
    assert isinstance(background.last_error, Unavailable) and background.last_result is None


def _always_failing(keep: Keep) -> int:
    raise Unavailable("away")


def test_stopping_ends_a_job_between_its_steps(make: Callable[..., Background[int]]) -> None:
    begun = threading.Event()

    def job(keep: Keep) -> int:
        begun.set()
        while True:
            keep()

    background = make(job)
    background.start()
    assert begun.wait(WAIT) and background.stop(WAIT) and background.last_error is None


def test_the_thread_ends_when_the_store_is_closed() -> None:
    store = open_store("memory://")
    store.close()
    background: Background[int] = Background(store, "job", lambda keep: 1)
    background.start()
    assert background._thread is not None
    background._thread.join(WAIT)
    assert not background.running


def test_an_interval_is_positive(store: Store) -> None:
    with pytest.raises(InvalidArgument, match="interval_seconds"):
        Background(store, "job", lambda keep: 1, interval_seconds=0)


def test_stopping_what_never_started_returns_at_once(make: Callable[..., Background[int]]) -> None:
    background = make(lambda keep: 1)
    assert background.stop() is True and background.stop(0) is True
    assert not background.running
    background.start()
    assert background.stop() is True
