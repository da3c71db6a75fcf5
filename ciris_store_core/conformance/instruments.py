"""Instruments: counters of the steps that a backend takes, and failures of its driver at a chosen step.

The step of a backend on the SQL toolkit is a statement. Any other backend may offer an instrument of its own.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ciris_store_core.sql import SqlExecutor

_CONTROL = re.compile(r"(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)\b[\w ]*;?\s*")


_COMMIT = re.compile(r"(?:.*;\s*)?COMMIT\s*", re.DOTALL)
"""PostgreSQL gets what was left to send, such as the release of a savepoint, in one message with it."""


class Point(StrEnum):
    """Point at which a driver can fail."""

    STATEMENT = "statement"
    """Before a statement is executed, or a step taken."""
    FETCH = "fetch"
    """When rows are read."""
    COMMIT = "commit"
    """At a commit, of which nothing is stored."""


@dataclass
class Steps:
    """Steps that a backend took, and the point at which its driver fails once."""

    failing: Point | None = None
    after: int = 0
    """Number of times that the point is passed before it fails."""
    statements: int = 0
    fetches: int = 0
    commits: int = 0
    rows: int = 0
    failed: bool = False

    def fails(self, point: Point) -> bool:
        """Count a step, and return True if the driver must fail at it."""
        passed = {Point.STATEMENT: self.statements, Point.FETCH: self.fetches, Point.COMMIT: self.commits}[point]
        self.statements += point == Point.STATEMENT
        self.fetches += point == Point.FETCH
        self.commits += point == Point.COMMIT
        fails = point == self.failing and passed == self.after
        self.failed = self.failed or fails
        return fails


class Instrument(ABC):
    """Instrument of all open stores of a harness."""

    @abstractmethod
    def watch(self, failing: Point | None = None, after: int = 0) -> AbstractContextManager[Steps]:
        """Count the steps in the block.

        Args:
            failing: Point at which the driver raises an error of its own, once.
            after: Number of times that the point is passed before.
        """


class SqlInstrument(Instrument):
    """Instrument of a backend on the SQL toolkit: its sessions get cursors that count and fail."""

    @contextmanager
    def watch(self, failing: Point | None = None, after: int = 0) -> Iterator[Steps]:
        """Count statements and rows of all sessions of this process meanwhile."""
        steps = Steps(failing, after)
        # A data descriptor takes precedence over the attribute of each session that exists.
        setattr(SqlExecutor, "cursor", _CursorOfSession(steps))  # noqa: B010 - no attribute of the class otherwise
        try:
            yield steps
        finally:
            delattr(SqlExecutor, "cursor")


class _CursorOfSession:
    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def __get__(self, session: Any, owner: Any = None) -> Any:
        kinds = session.driver_error
        return _Cursor(session.__dict__["cursor"], self._steps, kinds[0] if isinstance(kinds, tuple) else kinds)

    def __set__(self, session: Any, cursor: Any) -> None:
        session.__dict__["cursor"] = cursor


class _Cursor:
    """Cursor of a driver that counts, and raises the driver's root error at the chosen step."""

    def __init__(self, raw: Any, steps: Steps, error: type[Exception]) -> None:
        self._raw, self._steps, self._error = raw, steps, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def execute(self, text: Any, *params: Any) -> Any:
        plain = text if isinstance(text, str) else text.decode()
        if _COMMIT.fullmatch(plain):
            self._pass(Point.COMMIT)
        elif not _CONTROL.fullmatch(plain):
            self._pass(Point.STATEMENT)
        return self._raw.execute(text, *params)

    def executemany(self, text: Any, many: Any) -> Any:
        self._pass(Point.STATEMENT)
        return self._raw.executemany(text, many)

    def copy_expert(self, *arguments: Any, **more: Any) -> Any:
        self._pass(Point.STATEMENT)
        return self._raw.copy_expert(*arguments, **more)

    def fetchall(self) -> Any:
        self._pass(Point.FETCH)
        rows = self._raw.fetchall()
        self._steps.rows += len(rows)
        return rows

    def fetchone(self) -> Any:
        self._pass(Point.FETCH)
        row = self._raw.fetchone()
        self._steps.rows += row is not None
        return row

    def _pass(self, point: Point) -> None:
        if self._steps.fails(point):
            raise self._error("the suite lets the driver fail here")
