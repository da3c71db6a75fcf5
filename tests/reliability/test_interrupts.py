"""Interrupts strike anywhere: afterwards the store works, for this thread, for others, and for other processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count as numbers
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ciris_store_core.contract.fair_lock import FairLock, Ticket
from tests.reliability.interrupts import Attack
from tests.reliability.rows import counts, record

pytestmark = [pytest.mark.fault, pytest.mark.slow]

SUBJECTS = {"memory": "memory", "sqlite": "SQLite"}


@pytest.fixture(params=list(SUBJECTS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_url(kind: str, tmp_path: Path) -> Callable[[], str]:
    """The URL of a new database each time, in which a waiting caller gives up after 2 s."""
    names = numbers()
    if kind == "memory":
        return lambda: f"memory://{tmp_path.name}{next(names)}"
    return lambda: f"sqlite:///{tmp_path}/{next(names)}.db?pool_size=1&busy_timeout=2&synchronous=normal"


# An interrupt that strikes as ``open_store`` returns leaves a store that only its finalizer can close.
@pytest.mark.filterwarnings("ignore:unclosed store:ResourceWarning")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("count", counts("interrupts"))
def test_an_interrupt_anywhere_leaves_nothing_behind(new_url: Callable[[], str], kind: str, count: int) -> None:
    attack = Attack(new_url)
    attack.random(count, Random(count))
    record("interrupts", SUBJECTS[kind], count, len(attack.wrong), note=f"{attack.done:,} struck within the operation")
    assert [f"{each.operation} at {each.fired}: {each.problem}" for each in attack.wrong] == []
    assert attack.done > count / 2


def test_the_control_a_lock_that_is_a_flag(
    new_url: Callable[[], str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tickets are kept, as a flag is that a caller must reset."""
    kept: deque[Any] = deque()
    acquire = FairLock.acquire

    def acquire_and_keep(self: FairLock, ticket: Ticket, timeout: float) -> bool:
        kept.append(ticket)
        return acquire(self, ticket, min(timeout, 2))

    monkeypatch.setattr(FairLock, "acquire", acquire_and_keep)
    monkeypatch.setattr("ciris_store_sqlite.use.Use.__del__", lambda self: None)
    attack = Attack(new_url)
    attack.sweep("add", list(range(attack.places("add"))))
    record("interrupts", SUBJECTS[kind], attack.done, len(attack.wrong), control=True, note="a lock that is a flag")
    assert attack.wrong
