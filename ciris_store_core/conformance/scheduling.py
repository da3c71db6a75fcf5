"""Scheduler of two transactions: the second calls while the first one holds its change open.

The outcome is compared with the two serial orders, run on the reference. A backend without row locks makes the second
transaction wait, and a backend that finds the conflict at the commit raises a retryable error: both are serial as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

from ciris_store_core.clock import ManualClock
from ciris_store_core.conformance.calls import Call, contents, fill, form
from ciris_store_core.conformance.factories import T0
from ciris_store_core.conformance.support import PATIENCE, RETRIES, BackgroundCall, reading, transact, writing
from ciris_store_core.contract import Backend, Session
from ciris_store_core.errors import StoreError
from ciris_store_core.inmemory import MemoryBackend

SETTLE = 0.03
"""Seconds in which the second call, once its thread runs, gets as far as it can."""


@dataclass(frozen=True)
class Interleaving:
    """Two transactions of one call each, on a filled store."""

    first: Call
    second: Call
    setup: Call | None = None
    skips: Any = ...
    """Answer of a second call that passes over what the first one locked, where the contract allows that."""


@dataclass(frozen=True)
class Outcome:
    """Answers of both calls, in a form that can be compared, and all records after both transactions."""

    first: Any
    second: Any
    records: dict[str, Any]


class _Undone(Exception):
    """Raised to roll a transaction back."""


def check(backend: Backend, method: str, case: Interleaving) -> None:
    """Run the second call within the first transaction, which is rolled back once, and then committed."""
    transact(backend, partial(_prepare, case))
    _compare(method, _run(backend, method, case, commit=False), _allowed(method, case, commit=False), "was rolled back")
    _compare(method, _run(backend, method, case, commit=True), _allowed(method, case, commit=True), "committed")


def _compare(method: str, got: Outcome, allowed: Sequence[Outcome], end: str) -> None:
    answers = [each.second for each in allowed]
    assert got.second in answers, (
        f"{method}, called while another transaction held its change open, which then {end}, answered {got.second}; "
        f"one after the other they answer {' or '.join(map(str, answers))}"
    )
    if got not in allowed:
        likely = allowed[answers.index(got.second)]
        assert got.first == likely.first, f"{method}: the answer of the transaction that {end}"
        assert got.records == likely.records, f"{method}: the records are those of no serial order"


def _prepare(case: Interleaving, session: Session) -> None:
    fill(session, ())  # documents and streams are those of the setup
    if case.setup is not None:
        case.setup(session)


def _run(backend: Backend, method: str, case: Interleaving, *, commit: bool) -> Outcome:
    started, second, first = threading.Event(), None, None

    def call_second() -> Any:
        started.set()
        # After the rollback of the first transaction, that of the second leaves the records for the other run.
        return _answer(backend, case.second) if commit else _answer_undone(backend, case.second)

    try:
        with writing(backend) as session:
            first = case.first(session)
            second = BackgroundCall(call_second)
            started.wait(PATIENCE)
            second.finished(SETTLE)
            if not commit:
                raise _Undone
    except _Undone:
        first = None
    except StoreError as error:
        # Of two transactions that conflict, a backend may refuse either.
        RETRIES.add(error)
        first = _answer(backend, case.first) if commit else None
    assert second is not None
    answer = second.result()
    with reading(backend) as session:
        return Outcome(_shown(method, first), _shown(method, answer), contents(session))


def _answer(backend: Backend, call: Call) -> Any:
    try:
        return transact(backend, call)
    except StoreError as error:
        return error


def _answer_undone(backend: Backend, call: Call) -> Any:
    answers = []

    def work(session: Session) -> None:
        answers.append(call(session))
        raise _Undone

    try:
        transact(backend, work)
    except _Undone:
        return answers[-1]
    except StoreError as error:
        return error


def _shown(method: str, answer: Any) -> Any:
    return type(answer).__name__ if isinstance(answer, StoreError) else form(method, answer)


def _allowed(method: str, case: Interleaving, *, commit: bool) -> list[Outcome]:
    if commit:
        found = [_serial(method, case, (0, 1)), _serial(method, case, (1, 0))]
        alone = _serial(method, case, (0,))
    else:
        alone = _serial(method, case, ())
        found = [Outcome(_shown(method, None), _serial(method, case, (1,)).second, alone.records)]
    if case.skips is not ...:
        found.append(Outcome(alone.first, form(method, case.skips), alone.records))
    return found


def _serial(method: str, case: Interleaving, order: Sequence[int]) -> Outcome:
    """Return the outcome of the calls of these numbers, one after the other, on the reference."""
    calls: tuple[Callable[[Session], Any], ...] = (case.first, case.second)
    answers: list[Any] = [None, None]
    with closing(MemoryBackend(ManualClock(T0))) as reference:
        reference.prepare(migrate=True)
        transact(reference, partial(_prepare, case))
        for number in order:
            answers[number] = _answer(reference, calls[number])
        with reading(reference) as session:
            records = contents(session)
    return Outcome(_shown(method, answers[0]), _shown(method, answers[1]), records)
