"""Instrument of the mutants: each call of the sound backend is a step, and so is each commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import contextmanager
from functools import partial
from typing import Any

from ciris_store_core.conformance.instruments import Instrument, Point, Steps
from ciris_store_core.contract import Session
from ciris_store_core.errors import DatabaseError
from ciris_store_core.models.paging import ResultPage

STORES = ("graph", "correlations", "tasks", "thoughts", "coordination", "secrets", "audit", "documents", "streams")
STEPS_OF_A_MIGRATION = 12


class LabInstrument(Instrument):
    """Counter of the calls of the sound backend that a mutant makes."""

    def __init__(self) -> None:
        self.steps: Steps | None = None
        self._within = False

    @contextmanager
    def watch(self, failing: Point | None = None, after: int = 0) -> Iterator[Steps]:
        self.steps = Steps(failing, after)
        try:
            yield self.steps
        finally:
            self.steps = None

    def step(self, point: Point) -> None:
        """Count a step, and fail at the chosen one."""
        if self.steps is not None and self.steps.fails(point):
            raise DatabaseError("the driver failed")

    def wrap(self, session: Session) -> None:
        """Count the calls of a session, if anyone counts."""
        if self.steps is None:
            return
        for name in STORES:
            store = getattr(session, name)
            for method in dir(type(store)):
                if not method.startswith("_") and callable(getattr(store, method)):
                    setattr(store, method, _named(partial(self._call, getattr(store, method)), method))

    def _call(self, method: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        if self._within:  # what a method of the reference calls is a part of it
            return method(*arguments, **more)
        self.step(Point.STATEMENT)
        self._within = True
        try:
            answer = method(*arguments, **more)
        finally:
            self._within = False
        self.step(Point.FETCH)
        if self.steps is not None:
            self.steps.rows += _rows(answer)
        return answer


def _named(function: Any, name: str) -> Any:
    function.__name__ = name  # as that of the method, which faults ask for
    return function


def _rows(answer: Any) -> int:
    if isinstance(answer, ResultPage):
        return len(answer.items)
    return len(answer) if isinstance(answer, Sized) and not isinstance(answer, (str, Mapping)) else 1
